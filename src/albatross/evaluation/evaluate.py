"""The verb evaluate: a model, a file of labelled records, one report."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import write_file, write_json
from albatross.data.columns import columns_of
from albatross.data.packing import batches_by_tokens, pack
from albatross.engine.engine import Engine, Outputs, join_outputs, run_depths, split_outputs
from albatross.engine.open import open_model
from albatross.errors import FolderError
from albatross.evaluation import details
from albatross.evaluation.report import PartScore, Report, is_figure
from albatross.evaluation.report_page import report_page
from albatross.evaluation.verdicts import worst_mistakes
from albatross.metrics.intervals import Interval, bootstrap
from albatross.pipelines.pipeline import answer_records
from albatross.progress import Progress
from albatross.report import data_digest, run_record
from albatross.rng import stream
from albatross.settings.answering import EvaluateSettings
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Task, score

# Of the drawings for intervals and of the halves for the temperature: equal runs, equal reports.
_SEED = 0
_JSON, _PAGE = "report.json", "report.html"


def evaluate(settings: EvaluateSettings) -> Report:
    """Score a model on labelled records.

    Raises:
        DataError: the records cannot be read.
        LabelError: a record has no label, or one that the model does not know.
        FolderError: the report cannot be written.
    """
    start = time.monotonic()
    _check_place(settings.report)
    opened = open_model(settings.model, engine=settings.engine, task=settings.task)
    task = opened.task
    records = task.read(settings.records, columns_of(settings.columns))
    task.check(records)
    batch_tokens = settings.batch_tokens or opened.engine.batch_tokens
    by_depth = _answer(opened.engine, task, records, batch_tokens)
    report = _report(settings, task, records, by_depth, time.monotonic() - start)
    if settings.report is not None:
        _write(settings.report, report)
    return report


def score_records(
    engine: Engine, task: Task[Any], records: Sequence[Any], batch_tokens: int
) -> dict[str, float]:
    """Return the figures alone, as a run of training wants them.

    Raises:
        LabelError: a record has no label, or one that the task does not know.
    """
    task.check(records)
    with Progress("evaluating", 1) as progress:
        answers = answer_records(engine, task, records, batch_tokens, progress=progress)
    return score(task, answers, records)


def answers_by_depth(
    engine: Engine,
    task: Task[Any],
    records: Sequence[Any],
    batch_tokens: int,
    *,
    progress: Progress | None = None,
) -> list[list[Any]]:
    """Return the answers after each depth, in one pass, of a model with exits."""
    features = [task.features(record) for record in records]
    examples = [example for parts in features for example in parts]
    bounds = np.cumsum([0, *map(len, features)])
    outputs: list[list[Outputs]] = [[{}] * len(examples) for _ in range(engine.config.depth)]
    for indices in batches_by_tokens([len(each.input_ids) for each in examples], batch_tokens):
        batch = pack([examples[i].bare() for i in indices])
        for depth, found in enumerate(run_depths(engine, batch)):
            for index, one in zip(indices, split_outputs(found, batch), strict=True):
                outputs[depth][index] = one
        if progress is not None:
            progress.advance(len(indices) / len(examples))
    return [
        [
            task.answer(join_outputs(rows[bounds[i] : bounds[i + 1]]), record, features[i])
            for i, record in enumerate(records)
        ]
        for rows in outputs
    ]


def _answer(
    engine: Engine, task: Task[Any], records: Sequence[Any], batch_tokens: int
) -> list[list[Any]]:
    """Return the answers of the model, and before them those of its exits, if it has any."""
    with Progress("evaluating", 1) as progress:
        if not isinstance(task, GenerationTask) and engine.exit_names:
            return answers_by_depth(engine, task, records, batch_tokens, progress=progress)
        return [answer_records(engine, task, records, batch_tokens, progress=progress)]


def _report(
    settings: EvaluateSettings,
    task: Task[Any],
    records: Sequence[Any],
    by_depth: Sequence[Sequence[Any]],
    seconds: float,
) -> Report:
    """Put together what the answers say."""
    answers = by_depth[-1]
    judged = task.judge(answers, records)
    metrics, intervals = _figures(task, judged, settings.bootstrap)
    threshold = float(getattr(task, "threshold", 0.0))
    return Report(
        model=str(settings.model),
        records_file=str(settings.records),
        task=task.name,
        kind=task.kind,
        records=len(records),
        main_metric=task.main_metric,
        metrics=metrics,
        intervals=intervals,
        labels=details.label_rows(task, answers, records),
        confusions=details.confusions(task, answers, records),
        calibration=details.calibration(task, answers, records, _SEED),
        no_answer=details.no_answer(answers, records, threshold),
        depths=_depths(task, records, by_depth, settings.bootstrap),
        lengths=details.by_length(task, judged, records, _SEED, settings.bootstrap),
        subsets=details.by_subset(task, judged, records, _SEED, settings.bootstrap),
        mistakes=worst_mistakes(task, answers, records),
        run=_run(settings, metrics, len(records), seconds),
    )


def _figures(
    task: Task[Any], judged: NDArray[np.float64], rounds: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    """Return the figures and their intervals."""
    metrics = {name: float(value) for name, value in task.metrics(judged).items()}
    with Progress("intervals", 1) as progress:
        drawn = bootstrap(
            task.metrics,
            judged,
            stream(_SEED, "bootstrap"),
            rounds=rounds,
            advance=progress.advance,
        )
    sure = [
        name
        for name in metrics
        if name in drawn and is_figure(name) and not name.endswith("_threshold")
    ]
    return metrics, {name: drawn[name] for name in sure}


def _depths(
    task: Task[Any], records: Sequence[Any], by_depth: Sequence[Sequence[Any]], rounds: int
) -> tuple[PartScore, ...]:
    """Return the main figure after each depth."""
    if len(by_depth) < 2:
        return ()
    return tuple(
        details.part_score(task, task.judge(answers, records), str(depth), _SEED, rounds)
        for depth, answers in enumerate(by_depth, start=1)
    )


def _run(
    settings: EvaluateSettings, metrics: dict[str, float], records: int, seconds: float
) -> dict[str, Any]:
    """Return what was run: settings, the file's checksum, versions."""
    data = {"records": records, **data_digest(settings.records)}
    progress = {"seconds": round(seconds, 3)}
    run = run_record("evaluate", settings.to_dict(), data=data, metrics=metrics, progress=progress)
    return {key: value for key, value in run.items() if key != "metrics"}


def _check_place(report: Path | None) -> None:
    """Refuse a place that no report can be written to, before anything is computed."""
    if report is None:
        return
    if report.suffix.lower() in (".json", ".html") or (report.exists() and not report.is_dir()):
        raise FolderError(
            f"`--report` must be a folder, in which {_JSON} and {_PAGE} are written. Received:"
            f" {str(report)!r}. Name a folder, for example {str(report.with_suffix(''))!r}."
        )
    place = report.absolute()
    while not place.exists():
        place = place.parent
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise FolderError(
            f"`--report` must stand where a folder can be written. Received: {str(report)!r}, below"
            f" {str(place)!r}. Name another place."
        )


def _write(folder: Path, report: Report) -> None:
    """Write both files, each whole or not at all; others of the folder stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page = report_page(report)
        write_file(folder / _PAGE, page.encode("utf-8", "backslashreplace"))
        write_json(folder / _JSON, report.to_dict())
    except OSError as error:
        raise FolderError(
            f"`--report` must be a folder that can be written. Received: {str(folder)!r}:"
            f" {error.strerror}. Name another place."
        ) from error
