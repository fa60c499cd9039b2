"""A model, a file of labelled records: one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from albatross.atomic import write_json
from albatross.engine.engine import Engine
from albatross.engine.open import open_model
from albatross.errors import FolderError
from albatross.pipelines.pipeline import answer_records
from albatross.progress import Progress
from albatross.settings.answering import EvaluateSettings
from albatross.tasks.classification import ClassificationTask


@dataclass(frozen=True)
class Report:
    """How a model did on a file."""

    model: str
    records_file: str
    task: str
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and `--report` write."""
        return dict(vars(self))

    def __str__(self) -> str:
        """Return a short table."""
        metrics = self.metrics
        rows = [
            ("accuracy", f"{metrics['accuracy']:.4f}"),
            ("  95 % interval", f"{metrics['accuracy_low']:.4f} to {metrics['accuracy_high']:.4f}"),
            ("macro F1", f"{metrics['macro_f1']:.4f}"),
            ("records", f"{int(metrics['records']):,}"),
        ]
        title = f"{self.model} on {self.records_file}"
        return "\n".join([title, *(f"  {name:<16} {value}" for name, value in rows)])


def evaluate(settings: EvaluateSettings) -> Report:
    """Score a model on labelled records.

    Raises:
        DataError: the records cannot be read.
        LabelError: a record has no label, or one that the model does not know.
        FolderError: the report cannot be written.
    """
    if settings.report is not None and not settings.report.absolute().parent.is_dir():
        raise FolderError(
            f"`--report` must stand in a folder that exists. Received: {str(settings.report)!r}."
            " Make the folder first."
        )
    opened = open_model(settings.model, engine=settings.engine)
    records = opened.task.read(settings.records)
    metrics = score_records(opened.engine, opened.task, records, settings.batch_tokens)
    report = Report(str(settings.model), str(settings.records), opened.task.name, metrics)
    if settings.report is not None:
        write_json(settings.report, report.to_dict())
    return report


def score_records(
    engine: Engine, task: ClassificationTask, records: Sequence[Any], batch_tokens: int
) -> dict[str, float]:
    """Answer records and compare with their labels."""
    task.expected(records)
    with Progress("evaluating", 1) as progress:
        answers = answer_records(engine, task, records, batch_tokens, progress=progress)
    return task.score(answers, records)
