"""The verb predict: texts, pairs or records in, answers out; or a benchmark's test set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from albatross.pipelines.pipeline import Pipeline, load
from albatross.pipelines.requests import records_of
from albatross.pipelines.submission import benchmark_of_test, write_submission
from albatross.progress import Progress
from albatross.settings.answering import PredictSettings


def predict(settings: PredictSettings) -> list[Any]:
    """Answer the texts of the settings, or the records or lines of their file.

    Raises:
        DataError: a file that cannot be read, or no test set where a submission is asked for.
        LabelError: an answer that the benchmark's server would not take.
    """
    if settings.submission is None:
        return [answer for _, answer in answered(settings)]
    assert settings.file is not None  # of the settings' checks
    pipeline = open_pipeline(settings)
    task = pipeline.task
    benchmark_of_test(task, settings.file)  # before anything is computed
    records = list(records_of(task, settings))
    answers = []
    with Progress("answering", max(1, len(records))) as progress:
        for _, answer in pipeline.stream_records(records):
            answers.append(answer)
            progress.advance()
    write_submission(task, settings.file, records, answers, settings.submission)
    return answers


def answered(settings: PredictSettings) -> Iterator[tuple[Any, Any]]:
    """Yield what the settings ask about with its answers, in order and in bounded memory."""
    pipeline = open_pipeline(settings)
    yield from pipeline.stream_records(records_of(pipeline.task, settings))


def open_pipeline(settings: PredictSettings) -> Pipeline:
    """Open the model that the settings name."""
    return load(
        settings.model,
        engine=settings.engine,
        batch_tokens=settings.batch_tokens,
        task=settings.task,
    )
