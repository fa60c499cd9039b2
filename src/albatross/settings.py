"""Every verb's settings: frozen dataclasses that are at once the command line, the recipe files and the help.

The text below a field is its help. All rules that values break are reported together, in the words
the user typed.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from albatross.config import VARIANTS
from albatross.errors import ConfigError


_SHARDS = tyro.conf.arg(metavar="SHARDS")
_MODEL = tyro.conf.arg(metavar="MODEL")
_OUT = tyro.conf.arg(metavar="OUT")
_CORPUS_OUT = tyro.conf.arg(metavar="CORPUS... OUT")
_TEXT = tyro.conf.arg(metavar="TEXT...")
_FILE = tyro.conf.arg(metavar="FILE")


@dataclass(frozen=True)
class Settings:
    """What all settings share: numbers are checked by the rule of their name."""

    def __post_init__(self) -> None:
        """Turn text into paths, and report every rule that is broken."""
        broken = []
        for f in fields(self):
            value = getattr(self, f.name)
            if "Path" in str(f.type) and isinstance(value, str):
                object.__setattr__(self, f.name, Path(value))
            rule = _RULES.get(f.name)
            if rule and value is not None and not rule[0] <= value <= rule[1]:
                option = "--" + f.name.replace("_", "-")
                broken.append(
                    f"`{option}` must lie between {rule[0]:g} and {rule[1]:g}. Received: {value}."
                )
        if broken:
            raise ConfigError(" ".join(broken))


# Least and greatest value of a setting, by name, in whatever verb it stands.
_RULES: dict[str, tuple[float, float]] = {
    "vocab_size": (16, 1_000_000),
    "character_coverage": (0.5, 1),
    "tokens_per_shard": (1, 2**31),
    "held_out": (0, 0.5),
    "steps": (1, 10**9),
    "epochs": (0.001, 10_000),
    "batch_tokens": (16, 2**31),
    "batch_size": (1, 2**20),
    "max_length": (16, 65_536),
    "masking_rate": (0.01, 0.9),
    "max_ngram": (1, 10),
    "short_fraction": (0, 1),
    "learning_rate": (1e-9, 10),
    "warmup": (0, 1),
    "weight_decay": (0, 10),
    "beta2": (0, 0.999999),
    "clip_norm": (1e-6, 1e6),
    "dropout": (0, 0.9),
    "seed": (0, 2**31),
    "threads": (1, 4_096),
    "save_minutes": (0, 10_000),
    "limit": (1, 10**9),
    "sequence_length": (1, 65_536),
}


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """What the verbs that read a corpus share."""

    paths: Annotated[Positional[tuple[Path, ...]], _CORPUS_OUT]
    """Text: .txt (a sentence a line, a blank line between documents) or .jsonl with `text`; plain, .gz, .bz2 or .xz; or folders of them. The last path is the folder to write."""

    def __post_init__(self) -> None:
        """Ask for a corpus and a place to write."""
        object.__setattr__(self, "paths", tuple(Path(path) for path in self.paths))
        if len(self.paths) < 2:
            raise ConfigError(
                "A corpus and a folder to write must be given: CORPUS... OUT."
                f" Received: {' '.join(map(str, self.paths)) or 'nothing'}."
            )
        super().__post_init__()

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
    """Pre-train an ALBERT (or a BERT) on shards. Stopped, it goes on when the same command is run again.

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


@dataclass(frozen=True)
class FinetuneSettings(Settings):
    """Fine-tune a model on labelled records.

    Example:
      albatross finetune runs/pretrained runs/sst2 --train train.tsv --dev dev.tsv --labels negative
      positive
    """

    model: Annotated[Positional[Path], _MODEL]
    """A model folder, or with --from-scratch a folder whose configuration and tokenizer are taken."""
    out: Annotated[Positional[Path], _OUT]
    """The model folder to write."""
    train: Path
    """Records: .tsv, .csv or .jsonl with `text` or `sentence` (`text_pair`, `sentence2`) and `label`."""
    dev: Path | None = None
    """Records to evaluate on after every epoch; not trained on."""
    task: Literal["classification"] = "classification"
    """What the model is to learn."""
    name: str = "classifier"
    """The task's name in the folder and its files."""
    labels: tuple[str, ...] = ()
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

    model: Annotated[Positional[str | None], tyro.conf.arg(metavar="VARIANT|MODEL")] = None
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
    """See the built-in model answer, then the whole path in small: every verb on text composed here.

    Example:
      albatross demo
    """

    out: Path = Path("runs/demo")
    """Where the rehearsal writes its folders."""


def read_recipe(path: Path, settings: type[Settings]) -> dict[str, Any]:
    """Read the settings of a recipe file: a flat TOML table.

    Raises:
        ConfigError: no such file, no TOML, or a key that the verb does not have.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"`--recipe` must be a TOML file. Received: {str(path)!r}: {error}. Check the path."
        ) from error
    unknown = sorted(set(values) - {f.name for f in fields(settings)})
    if unknown:
        raise ConfigError(
            f"A recipe holds settings of its verb. Received in {str(path)!r}: {', '.join(unknown)}."
            " Remove them, or give the recipe to another verb."
        )
    return values


def check_variant(name: str) -> str:
    """Return a variant's name if it is in the table.

    Raises:
        ConfigError: it is not.
    """
    if name not in VARIANTS:
        raise ConfigError(f"`--variant` must be one of {', '.join(VARIANTS)}. Received: {name!r}.")
    return name
