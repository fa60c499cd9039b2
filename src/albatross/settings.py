"""Every verb's settings: frozen dataclasses that are command line, recipe files and help at once.

The text below a field is its help. All rules that values break are reported together, in the words
the user typed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import tyro
from tyro.conf import Positional

from albatross.config import variant
from albatross.errors import ConfigError
from albatross.rules import broken_limit, fitted

_SHARDS = tyro.conf.arg(metavar="SHARDS")
_MODEL = tyro.conf.arg(metavar="MODEL")
_OUT = tyro.conf.arg(metavar="OUT")
_CORPUS_OUT = tyro.conf.arg(metavar="CORPUS... OUT", help_behavior_hint="(required)")
_TEXT = tyro.conf.arg(metavar="TEXT...", help_behavior_hint="(optional)")
_FILE = tyro.conf.arg(metavar="FILE")
_VARIANT_OR_MODEL = tyro.conf.arg(metavar="VARIANT|MODEL", help_behavior_hint="(optional)")
_LABELS = tyro.conf.arg(metavar="LABEL...", help_behavior_hint="(default: as in the file)")


@dataclass(frozen=True)
class Settings:
    """What all settings share: values of their fields' types, numbers within the limits."""

    def __post_init__(self) -> None:
        """Take text for paths and lists for tuples, and report every rule that is broken."""
        broken = []
        kinds = get_type_hints(type(self))
        for f in fields(self):
            option = "--" + f.name.replace("_", "-")
            try:
                value = fitted(getattr(self, f.name), kinds[f.name])
            except TypeError as error:
                broken.append(f"`{option}` must be {error}. Received: {getattr(self, f.name)!r}.")
                continue
            object.__setattr__(self, f.name, value)
            limit = broken_limit(f.name, value)
            if limit is not None:
                broken.append(f"`{option}` must lie between {limit}. Received: {value}.")
        if broken:
            raise ConfigError(" ".join(broken))


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """What the verbs that read a corpus share."""

    paths: Annotated[Positional[tuple[Path, ...]], _CORPUS_OUT]
    """Text: .txt (a sentence a line, a blank line between documents) or .jsonl with `text`, also
    with .gz, .bz2 or .xz; or folders of them. The last path is the folder to write."""

    def __post_init__(self) -> None:
        """Ask for a corpus and a place to write."""
        super().__post_init__()
        if len(self.paths) < 2:
            raise ConfigError(
                "A corpus and a folder to write must be given: CORPUS... OUT."
                f" Received: {' '.join(map(str, self.paths)) or 'nothing'}."
            )

    @property
    def corpus(self) -> tuple[Path, ...]:
        """The files and folders to read."""
        return self.paths[:-1]

    @property
    def out(self) -> Path:
        """The folder to write."""
        return self.paths[-1]


@dataclass(frozen=True)
class TrainTokenizerSettings(CorpusSettings):
    """Train a vocabulary: a unigram model by the published recipe.

    Example:
      albatross train-tokenizer corpus/ runs/tokenizer --vocab-size 8192
    """

    vocab_size: int = 30_000
    """Number of pieces, specials included."""
    cased: bool = False
    """Keep upper case and accents; the published English models do not."""
    character_coverage: float = 0.99995
    """Share of the text's characters that get a piece."""
    max_sentences: int = 1_000_000
    """Sentences to learn from, drawn from all of the corpus."""
    seed: int = 0
    """Of that draw."""


@dataclass(frozen=True)
class BuildShardsSettings(CorpusSettings):
    """Tokenise a corpus once into checksummed, memory-mapped shards.

    Example:
      albatross build-shards corpus/ runs/shards --tokenizer runs/tokenizer
    """

    tokenizer: Path = Path("runs/tokenizer")
    """A tokenizer or model folder."""
    sentence_breaks: Literal["lines", "rules"] = "lines"
    """`lines`: every line is a sentence; `rules`: split running text."""
    held_out: float = 0.01
    """Share of documents kept for evaluation, chosen by their hash."""
    tokens_per_shard: int = 20_000_000
    """A shard ends at the first document that reaches this many."""
    threads: int | None = None
    """Tokenizer threads; all cores when not given."""


@dataclass(frozen=True)
class PretrainSettings(Settings):
    """Pre-train an ALBERT or a BERT on shards; once stopped, the same command goes on.

    Example:
      albatross pretrain runs/shards runs/pretrained --variant albatross-tiny --steps 1000
    """

    shards: Annotated[Positional[Path], _SHARDS]
    """A folder that build-shards wrote."""
    out: Annotated[Positional[Path], _OUT]
    """The model folder to write."""
    variant: str = "albatross-mini"
    """One of the table that `albatross info` prints."""
    steps: int = 10_000
    """Optimizer steps."""
    batch_tokens: int = 8_192
    """Tokens of a step, all sequences together."""
    max_length: int = 128
    """Tokens of a sample, specials included."""
    objective: Literal["sop", "nsp", "none"] = "sop"
    """Beside masked words: sentence order, BERT's next sentence, or nothing."""
    masking_rate: float = 0.15
    """Share of tokens to predict."""
    max_ngram: int = 3
    """Longest run of whole words masked together."""
    position_start: Literal["normal", "sinusoidal"] = "normal"
    """How the learned position table starts: at random, as published, or as sines and cosines."""
    short_fraction: float = 0.1
    """Share of samples cut at a random shorter length."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW."""
    warmup: float = 0.06
    """Share of the steps in which the rate rises."""
    weight_decay: float = 0.01
    """Decay of weights, not of biases and norms."""
    beta2: float = 0.98
    """Decay of AdamW's second moment."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    activation_checkpointing: bool = False
    """Compute activations twice to keep fewer: less memory, a third more time."""
    seed: int = 0
    """Of every random draw."""
    threads: int | None = None
    """Processor threads; all cores when not given."""
    save_minutes: float = 5.0
    """Minutes between saved states."""
    recipe: Path | None = None
    """A TOML file with these settings; options given beside it win."""

    def __post_init__(self) -> None:
        """Look the variant up."""
        super().__post_init__()
        variant(self.variant)


@dataclass(frozen=True)
class FinetuneSettings(Settings):
    """Fine-tune a model on labelled records.

    Example:
      albatross finetune runs/pretrained runs/sst2 --train train.tsv --labels negative positive
    """

    model: Annotated[Positional[Path], _MODEL]
    """A model folder; with --from-scratch its configuration and tokenizer alone are taken."""
    out: Annotated[Positional[Path], _OUT]
    """The model folder to write."""
    train: Path
    """Records: .tsv, .csv or .jsonl with `text` or `sentence` and `label`; `text_pair` or
    `sentence2` for pairs."""
    dev: Path | None = None
    """Records that the finished model is scored on; not trained on."""
    task: Literal["classification"] = "classification"
    """What the model is to learn."""
    name: str = "classifier"
    """The task's name in the folder and its files."""
    labels: Annotated[tuple[str, ...], _LABELS] = ()
    """Names for the labels of the file in sorted order, such as: negative positive."""
    limit: int | None = None
    """Use so many training records, drawn by the seed with classes in proportion."""
    epochs: float = 3.0
    """Passes over the training records."""
    batch_size: int = 32
    """Sequences of a step."""
    max_length: int = 128
    """Tokens of a sequence, specials included; longer texts are cut into windows."""
    learning_rate: float = 1e-4
    """Peak learning rate of AdamW; 1e-5 to 3e-5 for the published sizes."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    weight_decay: float = 0.01
    """Decay of weights, not of biases and norms."""
    dropout: float | None = None
    """Dropout of hidden rows and attention; the model's own when not given."""
    beta2: float = 0.999
    """Decay of AdamW's second moment."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    from_scratch: bool = False
    """Start from random weights, to see what pre-training gave."""
    seed: int = 0
    """Of every random draw."""
    threads: int | None = None
    """Processor threads; all cores when not given."""
    save_minutes: float = 5.0
    """Minutes between saved states."""
    recipe: Path | None = None
    """A TOML file with these settings; options given beside it win."""


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Score a model on labelled records.

    Example:
      albatross evaluate runs/sst2 dev.tsv
    """

    model: Annotated[Positional[Path], _MODEL]
    """A model folder or a built-in name such as sentiment."""
    records: Annotated[Positional[Path], _FILE]
    """Records, as for finetune."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What computes; `auto` takes ONNX Runtime where the folder has been exported."""
    report: Path | None = None
    """Write the figures to this JSON file."""
    json: bool = False
    """Print JSON instead of a table."""
    batch_tokens: int = 4_096
    """Tokens computed together."""


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Answer texts with a model.

    Example:
      albatross predict sentiment "A lovely film." "Two hours I want back."
    """

    model: Annotated[Positional[Path], _MODEL]
    """A model folder or a built-in name such as sentiment."""
    texts: Annotated[Positional[tuple[str, ...]], _TEXT] = ()
    """Texts; with none, lines are read from --file or standard input."""
    file: Path | None = None
    """A text file, one text a line."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What computes; `auto` takes ONNX Runtime where the folder has been exported."""
    json: bool = False
    """Print JSON lines with all probabilities."""
    batch_tokens: int = 4_096
    """Tokens computed together."""


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Write a folder that runs without torch: the layer once, weights once.

    Example:
      albatross export runs/sst2 runs/sst2-edge --dtype float16
    """

    model: Annotated[Positional[Path], _MODEL]
    """A fine-tuned model folder."""
    out: Annotated[Positional[Path], _OUT]
    """The folder to write."""
    dtype: Literal["float32", "float16"] = "float32"
    """How weights are stored; float16 halves the file, arithmetic stays in float32."""


@dataclass(frozen=True)
class InfoSettings(Settings):
    """Print what a variant or a model folder is and costs.

    Example:
      albatross info albert-base-v2
    """

    model: Annotated[Positional[str | None], _VARIANT_OR_MODEL] = None
    """A variant, a model folder or a built-in name; with none, the table of variants."""
    batch_size: int = 32
    """Sequences of the batch that training memory is counted for."""
    sequence_length: int = 128
    """Tokens of each."""
    activation_checkpointing: bool = False
    """Count training memory with activation checkpointing."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class DemoSettings(Settings):
    """See the built-in model answer, then every verb on text composed here.

    Example:
      albatross demo
    """

    out: Path = Path("runs/demo")
    """Where the rehearsal writes its folders."""


def read_recipe(path: Path, settings: type[Settings]) -> dict[str, Any]:
    """Read the settings of a recipe file: a flat TOML table.

    Raises:
        ConfigError: no such file, no TOML, a key that the verb does not have, or a value of another
            type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"`--recipe` must be a TOML file. Received: {str(path)!r}: {error}. Check the path."
        ) from error
    kinds = get_type_hints(settings)
    unknown = sorted(set(values) - set(kinds) | {"recipe"} & set(values))
    if unknown:
        raise ConfigError(
            f"A recipe holds settings of its verb. Received in {str(path)!r}: {', '.join(unknown)}."
            " Remove them, or give the recipe to another verb."
        )
    for name, value in values.items():
        try:
            values[name] = fitted(value, kinds[name])
        except TypeError as error:
            raise ConfigError(
                f"`{name}` must be {error}. Received in {str(path)!r}: {value!r}. Correct the file."
            ) from error
    return values
