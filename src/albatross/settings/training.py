"""Settings of the verbs that train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.config import variant
from albatross.errors import ConfigError
from albatross.settings.settings import MODEL, OUT, Settings

_SHARDS = tyro.conf.arg(metavar="SHARDS")
_LABELS = tyro.conf.arg(metavar="LABEL...", help_behavior_hint="(default: as in the file)")


@dataclass(frozen=True)
class PretrainSettings(Settings):
    """Pre-train an ALBERT or a BERT on shards; once stopped, the same command goes on.

    Example:
      albatross pretrain runs/shards runs/pretrained --variant albatross-tiny --steps 1000
    """

    shards: Annotated[Positional[Path], _SHARDS]
    """A folder that build-shards wrote."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    variant: str = "albatross-mini"
    """One of the table that `albatross info` prints."""
    from_model: Path | None = None
    """Go on from this model folder or hub name instead of a new variant; the shards must be of its
    tokenizer."""
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
    """Peak learning rate; with LAMB the share of its own norm that a tensor moves by."""
    optimizer: Literal["adamw", "lamb", "lamb-google"] = "adamw"
    """`lamb` for large batches; `lamb-google` has Google's numerics, without bias correction."""
    schedule: Literal["linear", "wsd"] = "linear"
    """After its rise the rate falls to 0 at once, or (`wsd`) stays and falls at the end."""
    warmup: float = 0.06
    """Share of the steps in which the rate rises."""
    decay: float = 0.2
    """Share of the steps in which the rate of `wsd` falls."""
    weight_decay: float = 0.01
    """Decay of weights, not of biases and norms."""
    beta2: float = 0.98
    """Decay of the optimizer's second moment."""
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
        if self.from_model is not None and self.position_start != "normal":
            raise ConfigError(
                "`--position-start` is for new models; one that goes on keeps its positions."
                f" Received: {self.position_start} with --from-model. Leave one out."
            )


@dataclass(frozen=True)
class FinetuneSettings(Settings):
    """Fine-tune a model on labelled records.

    Example:
      albatross finetune runs/pretrained runs/sst2 --train train.tsv --labels negative positive
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder; with --from-scratch its configuration and tokenizer alone are taken."""
    out: Annotated[Positional[Path], OUT]
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
    """Peak learning rate; 1e-5 to 3e-5 for the published sizes."""
    optimizer: Literal["adamw", "lamb", "lamb-google"] = "adamw"
    """`lamb` for large batches; `lamb-google` has Google's numerics, without bias correction."""
    schedule: Literal["linear", "wsd"] = "linear"
    """After its rise the rate falls to 0 at once, or (`wsd`) stays and falls at the end."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    decay: float = 0.2
    """Share of the steps in which the rate of `wsd` falls."""
    weight_decay: float = 0.01
    """Decay of weights, not of biases and norms."""
    dropout: float | None = None
    """Dropout of hidden rows and attention; the model's own when not given."""
    beta2: float = 0.999
    """Decay of the optimizer's second moment."""
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
