"""Settings of the verbs that make one checkpoint of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.settings.settings import MODEL, OUT, Settings

_SOURCE = tyro.conf.arg(metavar="SOURCE")
Architecture = Literal[
    "AlbertModel",
    "AlbertForPreTraining",
    "AlbertForMaskedLM",
    "AlbertForSequenceClassification",
    "AlbertForTokenClassification",
    "AlbertForQuestionAnswering",
    "AlbertForMultipleChoice",
    "AlbertForBeamQuestionAnswering",
]


@dataclass(frozen=True)
class ConvertSettings(Settings):
    """Convert any ALBERT or BERT checkpoint, with a report of every tensor.

    Exits with 1, and writes nothing, when something trained would be lost.

    Example:
      albatross convert albert_base/model.ckpt-best runs/albert-base --to huggingface
    """

    source: Annotated[Positional[Path], _SOURCE]
    """A folder of transformers or ours, a hub name, a TF1 checkpoint's folder or prefix, or a
    frozen graph."""
    out: Annotated[Positional[Path], OUT]
    """The folder to write."""
    to: Literal["albatross", "huggingface", "google"] = "albatross"
    """Whose form to write; `huggingface` opens in transformers, `google` in their TF1 scripts."""
    groups: int | None = None
    """Distinct layers: as many as there are layers to un-share, 1 to share all."""
    layers: int | None = None
    """How many times layers are applied; the new ones begin as copies."""
    merge: Literal["average", "first", "middle", "last"] = "average"
    """What becomes of several layers where one shall be."""
    depth_lora_rank: int | None = None
    """Keep what merging took from each depth, as residuals of this rank."""
    hidden_act: Literal["gelu_new", "gelu", "relu", "tanh"] | None = None
    """Correct a wrong activation; v1 folders say gelu and were trained with gelu_new."""
    dtype: Literal["float32", "float16"] | None = None
    """How weights are stored; float16 halves the file and rounds them. As they are by default."""
    architecture: Architecture | None = None
    """The class to write down, where the tensors alone do not tell: a RACE checkpoint of Google's
    is AlbertForMultipleChoice."""
    config: Path | None = None
    """Google's albert_config.json, when it is not beside the checkpoint."""
    vocabulary: Path | None = None
    """A folder with the vocabulary, when it is not beside the checkpoint."""
    drop: tuple[str, ...] = ()
    """Beginnings of names of tensors to give up."""
    json: bool = False
    """Print the whole report as JSON."""


@dataclass(frozen=True)
class ExtendVocabularySettings(Settings):
    """Add words to a model's vocabulary; each starts as the mean of the pieces it was cut into.

    Example:
      albatross extend-vocabulary runs/pretrained runs/medical --words words.txt
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    words: Path
    """A text file, one word a line."""


@dataclass(frozen=True)
class SwapVocabularySettings(Settings):
    """Give a model another vocabulary, for another language or domain.

    Each new piece starts as the mean of the old pieces that it was cut into.

    Example:
      albatross swap-vocabulary pretrained runs/german --tokenizer runs/german-tokenizer
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder; tasks that it was fine-tuned for are left behind."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    tokenizer: Path
    """A folder that train-tokenizer wrote."""
