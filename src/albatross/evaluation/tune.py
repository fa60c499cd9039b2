"""The verb tune: a model's temperature and thresholds chosen by records; no weight changes.

What was chosen in training suits the records that were held out there. Where a model is used, texts
may be others, and an export in 8 bits answers a little differently. One pass over labelled records
of that place is enough, without torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from albatross.atomic import write_json, writing
from albatross.checkpoints.base_file import has_base, move_base
from albatross.checkpoints.delta import check_place
from albatross.checkpoints.model_folder import CARD, RUN, read_run
from albatross.data.columns import columns_of
from albatross.engine.open import OpenModel, open_model
from albatross.errors import ConfigError, DataError
from albatross.evaluation.details import calibration
from albatross.pipelines.pipeline import answers_of, engine_outputs
from albatross.progress import Progress
from albatross.report import data_digest
from albatross.settings.answering import TuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task import Task, Tunable, score
from albatross.tasks.task_file import write_tasks

# Fewer records say too little of how sure a model may be.
_LEAST_RECORDS = 50
# What is chosen, by its name in `task.json`.
_CHOSEN = ("temperature", "threshold", "thresholds")
_CALIBRATION = "calibration error"


@dataclass(frozen=True)
class Tuned:
    """What was chosen, and figures of the same records with the old and the new choice.

    Attributes:
        out: the folder that was written
        task: whose decision was chosen
        records: how many chose it
        before: figures, and what was there
        after: the same of the new folder
    """

    out: str
    task: str
    records: int
    before: dict[str, Any]
    after: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints and `run.json` keeps."""
        return dict(vars(self))

    def __str__(self) -> str:
        """Return a short table; of several thresholds, how many there are."""
        rows = [f"{f'{self.task}, {self.records:,} records':<36}{'before':>10}{'after':>10}"]
        for name in [*self.before, *(self.after.keys() - self.before.keys())]:
            cells = [_cell(each.get(name)) for each in (self.before, self.after)]
            rows.append(f"{name:<36}{cells[0]:>10}{cells[1]:>10}")
        return "\n".join([*rows, f"Wrote {self.out}"])


def tune(settings: TuneSettings) -> Tuned:
    """Write a copy of a model that decides as these records say is best.

    Classes get a temperature, and a threshold where a label stands for texts of no other; several
    labels a threshold each; answer spans that of there being none.

    Raises:
        ConfigError: the task has nothing to choose.
        DataError: the records cannot be read, or are too few.
        FolderError: the place is taken, or is that of the model or its base.
        LabelError: a record has no label, or one that the model does not know.
    """
    opened = open_model(settings.model, task=settings.task)
    check_place(settings.out, [opened.folder], mark="tuned")
    task = _tunable(opened.task)
    records = task.read(settings.records, columns_of(settings.columns))
    task.check(records)
    if len(records) < _LEAST_RECORDS:
        raise DataError(
            f"Temperature and thresholds are chosen by at least {_LEAST_RECORDS} labelled records."
            f" Received: {len(records)} in {str(settings.records)!r}. Label some more."
        )
    features = [task.features(record) for record in records]
    examples = [example for parts in features for example in parts]
    with Progress("tuning", 1) as progress:
        engine = opened.engine
        outputs = engine_outputs(engine, examples, engine.batch_tokens, progress=progress)
    answers = answers_of(task, records, features, outputs)
    assert isinstance(task, Tunable)
    chosen = task.tuned(answers, records)
    found = Tuned(
        out=str(settings.out),
        task=task.name,
        records=len(records),
        before=_figures(task, answers, records),
        after=_figures(chosen, answers_of(chosen, records, features, outputs), records),
    )
    _write(settings, opened, chosen, found)
    return found


def _tunable(task: Task[Any]) -> Task[Any]:
    """Return the task as one whose decision is chosen.

    Raises:
        ConfigError: it has none.
    """
    if isinstance(task, ClassificationTask):
        return replace(task, decision=replace(task.decision, calibrate=True))
    if isinstance(task, Tunable) and task.has_thresholds:
        return task
    raise ConfigError(
        "A temperature or thresholds are chosen for classes, several labels, and answer spans that"
        f" may be missing. Received: the task {task.name!r} of kind {task.kind}, which has none."
        " Name another with --task."
    )


def _figures(task: Task[Any], answers: Sequence[Any], records: Sequence[Any]) -> dict[str, Any]:
    """Return the main figure, how well probabilities are meant, and what decides."""
    figures: dict[str, Any] = {task.main_metric: score(task, answers, records)[task.main_metric]}
    if (found := calibration(task, answers, records, 0)) is not None:
        figures[_CALIBRATION] = found.error
    told = task.to_dict()
    usual = {"temperature": 1.0} if isinstance(task, ClassificationTask) else {}
    return figures | usual | {key: told[key] for key in _CHOSEN if key in told}


def _cell(value: Any) -> str:
    """Return a figure as the table shows it."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else f"{len(value)} chosen"


def _write(settings: TuneSettings, opened: OpenModel, chosen: Task[Any], found: Tuned) -> None:
    """Write a copy of the model's files, with what was chosen and by which records."""
    told = data_digest(settings.records)
    with writing(settings.out) as draft:
        for file in opened.folder.iterdir():
            if file.is_file() and not file.name.startswith("."):
                shutil.copy(file, draft)
        if has_base(opened.folder):
            move_base(draft, opened.folder, settings.out)
        write_tasks(draft, [*{**opened.tasks, chosen.name: chosen}.values()])
        kept = {name: value for name, value in found.to_dict().items() if name != "out"}
        write_json(draft / RUN, {"verb": "tune", **read_run(draft), "tuned": {**told, **kept}})
        if (draft / CARD).is_file():
            with (draft / CARD).open("a", encoding="utf-8") as card:
                card.write(_card_section(found, told["file"]))


def _card_section(found: Tuned, file: str) -> str:
    """Return what a model card says of it, below the figures of the training."""
    figures = [name for name, value in found.after.items() if isinstance(value, float)]
    rows = [
        f"| {name} | {_cell(found.before.get(name))} | {_cell(found.after[name])} |"
        for name in figures
    ]
    return "\n".join(
        [
            "",
            "## Tuned",
            "",
            f"How `{found.task}` decides was chosen afterwards by {found.records:,} records of"
            f" `{file}`, which these figures are of. Those above are of the model before that.",
            "",
            "| figure | before | after |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )
