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

from albatross.atomic import check_free, write_json, writing
from albatross.checkpoints.base_file import is_delta, move_base
from albatross.checkpoints.model_folder import RUN, TRAINING_STATE, read_run
from albatross.engine.open import OpenModel, open_model
from albatross.errors import ConfigError, FolderError
from albatross.evaluation.details import calibration
from albatross.pipelines.pipeline import answer_records
from albatross.progress import Progress
from albatross.report import data_digest
from albatross.settings.answering import TuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task import Task, Tunable, score
from albatross.tasks.task_file import write_tasks

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
        """Return a short table; of several thresholds only that they are chosen."""
        rows = [f"{f'{self.task}, {self.records:,} records':<36}{'before':>10}{'after':>10}"]
        for name in self.after:
            was, now = self.before.get(name), self.after[name]
            if isinstance(now, float):
                rows.append(f"{name:<36}{'-' if was is None else f'{was:.4f}':>10}{now:>10.4f}")
        return "\n".join([*rows, f"Wrote {self.out}"])


def tune(settings: TuneSettings) -> Tuned:
    """Write a copy of a model that decides as these records say is best.

    Classes get a temperature, and a threshold where a label stands for texts of no other; several
    labels a threshold each; answer spans that of there being none.

    Raises:
        ConfigError: the task has nothing to choose.
        DataError: the records cannot be read.
        FolderError: the place is taken, or is the model's own.
        LabelError: a record has no label, or one that the model does not know.
    """
    check_free(settings.out)
    opened = open_model(settings.model, task=settings.task)
    if settings.out.resolve() == opened.folder.resolve():
        raise FolderError(
            f"A model must not be tuned onto itself. Received: {str(settings.out)!r} for both."
            " Name another folder."
        )
    task = _tunable(opened.task)
    records = task.read(settings.records)
    task.check(records)
    with Progress("tuning", 2) as progress:
        answers = _answers(opened, task, records, progress)
        assert isinstance(task, Tunable)
        chosen = task.tuned(answers, records)
        found = Tuned(
            out=str(settings.out),
            task=task.name,
            records=len(records),
            before=_figures(task, answers, records),
            after=_figures(chosen, _answers(opened, chosen, records, progress), records),
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


def _answers(
    opened: OpenModel, task: Task[Any], records: Sequence[Any], progress: Progress
) -> list[Any]:
    """Return a task's answers to the records."""
    engine = opened.engine
    return answer_records(engine, task, records, engine.batch_tokens, progress=progress)


def _figures(task: Task[Any], answers: Sequence[Any], records: Sequence[Any]) -> dict[str, Any]:
    """Return the main figure, how well probabilities are meant, and what decides."""
    figures: dict[str, Any] = {task.main_metric: score(task, answers, records)[task.main_metric]}
    if (found := calibration(task, answers, records, 0)) is not None:
        figures[_CALIBRATION] = found.error
    told = task.to_dict()
    usual = {"temperature": 1.0} if isinstance(task, ClassificationTask) else {}
    return figures | usual | {key: told[key] for key in _CHOSEN if key in told}


def _write(settings: TuneSettings, opened: OpenModel, chosen: Task[Any], found: Tuned) -> None:
    """Write the copy, with what was chosen and by which file."""
    told = data_digest(settings.records)
    with writing(settings.out) as draft:
        leave = shutil.ignore_patterns(TRAINING_STATE)
        shutil.copytree(opened.folder, draft, dirs_exist_ok=True, ignore=leave)
        if is_delta(opened.folder):
            move_base(draft, opened.folder, settings.out)
        tasks = {**opened.tasks, chosen.name: chosen}
        write_tasks(draft, [*tasks.values()])
        run = read_run(draft)
        kept = {name: value for name, value in found.to_dict().items() if name != "out"}
        write_json(draft / RUN, {"verb": "tune", **run, "tuned": {**told, **kept}})
