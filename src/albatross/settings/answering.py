"""Settings of the verbs that use a model or look at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.atomic import read_json
from albatross.errors import ConfigError
from albatross.settings.settings import COLUMNS, MODEL, OUT, Settings

_TEXT = tyro.conf.arg(metavar="TEXT...", help_behavior_hint="(optional)")
_FILE = tyro.conf.arg(metavar="FILE")
_DEV = tyro.conf.arg(metavar="[TASK=]FILE...", help_behavior_hint="(optional)")
_FILE_OR_NONE = tyro.conf.arg(metavar="FILE", help_behavior_hint="(optional)")
_VARIANT_OR_MODEL = tyro.conf.arg(metavar="VARIANT|MODEL", help_behavior_hint="(optional)")


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Score a model on labelled records, with intervals and, as a page, what lies behind them.

    Example:
      albatross evaluate runs/sst2 dev.tsv --report runs/sst2-report
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder or a built-in name such as sentiment."""
    records: Annotated[Positional[Path], _FILE]
    """Records, as for finetune."""
    task: str | None = None
    """The name of one of the model's tasks; the first by default."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What computes; `auto` takes ONNX Runtime where the folder has been exported."""
    report: Path | None = None
    """Write the figures and what lies behind them into this folder: report.json, report.html."""
    bootstrap: int = 1_000
    """How often the records are drawn anew for the 95 % intervals; 0 for none."""
    json: bool = False
    """Print JSON instead of a table."""
    batch_tokens: int | None = None
    """Tokens computed together; by default as many as the engine is fastest with."""
    columns: Annotated[tuple[str, ...], COLUMNS] = ()
    """Columns of a table that are not named as usual, such as: text=review label=stars."""


@dataclass(frozen=True)
class PredictSettings(Settings):
    """Answer texts, pairs of texts or records with a model.

    Example:
      albatross predict sentiment "A lovely film." "Two hours I want back."
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder or a built-in name such as sentiment."""
    texts: Annotated[Positional[tuple[str, ...]], _TEXT] = ()
    """Texts, or questions; with none, --file or the lines of standard input are read."""
    pair: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """What goes with a text: its second text, or the context of a question. Once for each text."""
    file: Path | None = None
    """Records as the model was fine-tuned on (.tsv, .csv, .jsonl, .parquet, .json; labels are not
    looked at), else a text file, one text a line."""
    task: str | None = None
    """The name of one of the model's tasks; the first by default."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What computes; `auto` takes ONNX Runtime where the folder has been exported."""
    json: bool = False
    """Print JSON lines with all that the model says."""
    submission: Path | None = None
    """Write the answers to a test set of GLUE or SQuAD, given by --file, into this folder, as the
    benchmark's server takes them."""
    batch_tokens: int | None = None
    """Tokens computed together; by default as many as the engine is fastest with."""
    columns: Annotated[tuple[str, ...], COLUMNS] = ()
    """Columns of a table that are not named as usual, such as: text=review label=stars."""

    def __post_init__(self) -> None:
        """Check that every text has its second one, if any has."""
        super().__post_init__()
        if self.pair and len(self.pair) != len(self.texts):
            raise ConfigError(
                "`--pair` must be given once for each text, or not at all. Received:"
                f" {len(self.pair)} for {len(self.texts)} texts."
            )
        self.refuse_unused(columns=(self.file is not None, "--file"))
        if self.texts and self.file is not None:
            raise ConfigError(
                "Texts are given as words or by `--file`. Received: both. Leave one out."
            )
        if self.submission is not None and (self.file is None or self.json):
            raise ConfigError(
                "`--submission` must come with the test set by `--file`, and without `--json`."
                f" Received: --file {self.file}{' --json' if self.json else ''}. Name the test set"
                " as it was published."
            )


@dataclass(frozen=True)
class TuneSettings(Settings):
    """Choose a model's temperature and thresholds by labelled records; its weights stay.

    Example:
      albatross tune runs/intent-edge runs/intent-tuned valid.tsv
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder or a built-in name such as sentiment; an export answers without torch."""
    out: Annotated[Positional[Path], OUT]
    """The folder to write: the model with what was chosen."""
    records: Annotated[Positional[Path], _FILE]
    """Records, as for finetune, that were neither learned from nor are reported."""
    task: str | None = None
    """The name of one of the model's tasks; the first by default."""
    json: bool = False
    """Print JSON instead of a table."""
    columns: Annotated[tuple[str, ...], COLUMNS] = ()
    """Columns of a table that are not named as usual, such as: text=review label=stars."""


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Write a folder that runs without torch: the layer once, weights once.

    Example:
      albatross export runs/sst2 runs/sst2-edge --dtype int8 --dev dev.tsv
    """

    model: Annotated[Positional[Path], MODEL]
    """A fine-tuned model folder."""
    out: Annotated[Positional[Path], OUT]
    """The folder to write."""
    dtype: Literal["float32", "float16", "int8"] = "float32"
    """How weights are stored; float16 halves the file, arithmetic stays in float32. int8 makes a
    quarter of it, and products of whole numbers, for ONNX Runtime alone."""
    dev: Annotated[tuple[str, ...], _DEV] = ()
    """Labelled records, as for evaluate, on which the export is measured beside the model; of a
    model with several tasks a file each, spam=spam.tsv, a bare one being the first task's."""
    max_loss: float = 0.5
    """With --dev: points of the task's main figure that may be lost; past them nothing is written.
    A point is a hundredth of the figure."""
    over: Path | None = None
    """An exported model with the same vocabulary, such as `pretrained`, where that stays, and with
    it the embeddings where they are the same: of what --adapt layers learned, five sixths."""
    single_file: bool = False
    """Write the whole model as one `model.onnx` for any ONNX Runtime, in place of step graphs and
    model.safetensors; Albatross itself does not open it."""
    page: bool = False
    """Add a web page that answers in the browser with that file; implies `--single-file`."""

    def __post_init__(self) -> None:
        """Check what does not go together."""
        super().__post_init__()
        self.refuse_unused(max_loss=(bool(self.dev), "--dev"))
        if self.over is not None and (self.single_file or self.page):
            raise ConfigError(
                "A model in one file has all its weights. Received: --over beside --single-file or"
                " --page. Leave one out."
            )

    @property
    def following(self) -> str:
        """The command that comes next, of an export that stands."""
        if self.page:
            return "python -m http.server --directory {out}, and docs/browser.md for its ort/"
        if self.single_file:
            return ""
        first = next(iter(read_json(self.out / "task.json").values()))
        text = "A [MASK] film." if first["kind"] == "fill-mask" else "Some text."
        return f'albatross predict {{out}} "{text}"'


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


@dataclass(frozen=True)
class BenchSettings(Settings):
    """Measure how fast a model answers on this machine, and what it takes of it.

    Example:
      albatross bench sentiment --repeats 3
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder or a built-in name such as sentiment."""
    file: Path | None = None
    """Records or lines, as for predict, of which the first 100 are answered together; composed
    texts by default."""
    task: str | None = None
    """The name of one of the model's tasks; the first by default."""
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """What computes; `auto` takes ONNX Runtime where the folder has been exported."""
    threads: int | None = None
    """Processor threads of ONNX Runtime; one for each core by default."""
    batch_tokens: int | None = None
    """Tokens computed together; by default as many as the engine is fastest with."""
    repeats: int = 5
    """How often everything is measured in turn; medians are shown."""
    json: bool = False
    """Print JSON instead of a table."""
