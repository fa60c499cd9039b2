"""Answers to test sets, as the benchmarks take them in: GLUE's tables and archive, SQuAD's JSON."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albatross.atomic import write_file, write_json
from albatross.data.records import SpanRecord, TextRecord
from albatross.errors import DataError, LabelError
from albatross.tasks.answers import AnyAnswer
from albatross.tasks.benchmarks import BENCHMARKS, Benchmark, stem_of
from albatross.tasks.inputs import sigmoid
from albatross.tasks.task import Task

GLUE_FILES = tuple(
    name
    for benchmark in BENCHMARKS.values()
    if benchmark.submission.endswith(".tsv")
    for name in benchmark.submission.split()
)
"""Every file that GLUE's archive must hold."""

# ZIP knows no earlier day; a fixed one makes equal archives of equal answers.
_DAY = (1980, 1, 1, 0, 0, 0)


def write_submission(
    task: Task[Any],
    file: Path,
    records: Sequence[Any],
    answers: Sequence[AnyAnswer],
    folder: Path,
) -> list[Path]:
    """Write the answers to a test set of GLUE or SQuAD as the benchmark's server takes them.

    Args:
        task: what was answered.
        file: the test set as it was published; of several, its name says which it is.
        records: its records
        answers: an answer for each
        folder: where to write. GLUE's archive is packed anew of all tables that stand there.

    Returns:
        The files that were written.

    Raises:
        DataError: the model is of no benchmark that takes answers, or the file is not the test set.
        LabelError: an answer is none of the benchmark's.
    """
    benchmark, test = benchmark_of_test(task, file)
    if benchmark.format == "squad":
        return write_squad_answers(benchmark, records, answers, folder)
    table = write_glue_answers(benchmark, records, answers, folder, test)
    archive = folder / "submission.zip"
    pack_glue_answers(folder, archive)
    return [table, archive]


def benchmark_of_test(task: Task[Any], file: Path) -> tuple[Benchmark, str]:
    """Return the benchmark whose test set a file is, and which of several.

    Args:
        task: of a model that learned from the benchmark's files; one of MNLI answers AX, too.
        file: the test set

    Raises:
        DataError: it is of none that takes answers.
    """
    layout = getattr(getattr(task, "inputs", None), "format", "")
    test = stem_of(file)
    if layout == "squad":
        return BENCHMARKS["squad2" if getattr(task, "no_answer", False) else "squad1"], test
    if layout == "mnli" and test in ("AX", "diagnostic"):
        return BENCHMARKS["ax"], test
    if layout in BENCHMARKS and BENCHMARKS[layout].submission:
        submission_file(BENCHMARKS[layout], test)
        return BENCHMARKS[layout], test
    raise DataError(
        "A submission is for a model that was fine-tuned on GLUE or SQuAD by `--task` with the"
        f" benchmark's name. Received: `{task.name}`, whose files are of the format"
        f" {layout or 'text'!r}. Leave `--submission` out."
    )


def submission_file(benchmark: Benchmark, test: str = "") -> str:
    """Return the official name of the file of answers to a test set.

    Args:
        benchmark: the benchmark
        test: the test set by its key in `BenchmarkFiles.test`; needed where there are several

    Raises:
        DataError: the benchmark takes no answers, or has no such test set.
    """
    names = [name for name in benchmark.submission.split() if name in GLUE_FILES]
    tests = [name.split("|")[0].removesuffix(".tsv") for name in benchmark.test]
    if len(names) == 1:
        return names[0]
    if names and test in tests:
        return names[tests.index(test)]
    wanted = f"one of the test sets {', '.join(tests)}" if names else "a benchmark of GLUE"
    raise DataError(
        f"A table of answers is for {wanted}. Received: {test!r} of `{benchmark.name}`."
        " Name the one that was answered."
    )


def write_glue_answers(
    benchmark: Benchmark,
    records: Sequence[TextRecord],
    answers: Sequence[AnyAnswer],
    folder: Path,
    test: str = "",
) -> Path:
    """Write the answers to a test set of GLUE under its official name, and return the file.

    Args:
        benchmark: the benchmark
        records: the test set
        answers: an answer for each record: labels as published or by their names, or numbers
        folder: where to write
        test: which of several test sets it is: "test_matched" or "test_mismatched"

    Raises:
        DataError: answers lack, or two records have the same number.
        LabelError: an answer is none of the benchmark's labels, or no number.
    """
    name = submission_file(benchmark, test)
    _check_counts(records, answers)
    indices = [record.id or str(number) for number, record in enumerate(records)]
    _check_once(indices)
    spelled = [_spelled(benchmark, answer) for answer in answers]
    rows = [f"{index}\t{answer}\n" for index, answer in zip(indices, spelled, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / name, "".join(["index\tprediction\n", *rows]).encode())
    return folder / name


def pack_glue_answers(folder: Path, archive: Path) -> tuple[str, ...]:
    """Pack the tables of a folder into the archive that GLUE's server takes.

    Returns:
        The official names that the folder lacks; the server wants them all.

    Raises:
        DataError: the folder has no table.
    """
    found = [name for name in GLUE_FILES if (folder / name).is_file()]
    if not found:
        raise DataError(
            f"The folder must hold tables of answers such as {GLUE_FILES[0]}. Received:"
            f" {str(folder)!r} with none. Answer a test set first."
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name in found:
            entry = zipfile.ZipInfo(name, _DAY)
            file.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    archive.parent.mkdir(parents=True, exist_ok=True)
    write_file(archive, packed.getvalue())
    return tuple(name for name in GLUE_FILES if name not in found)


def write_squad_answers(
    benchmark: Benchmark,
    records: Sequence[SpanRecord],
    answers: Sequence[AnyAnswer],
    folder: Path,
) -> list[Path]:
    """Write `predictions.json`, and for SQuAD 2.0 `na_prob.json`, and return the files.

    Raises:
        DataError: the benchmark is another, answers lack, or two questions have the same id.
    """
    names = benchmark.submission.split()
    if benchmark.format != "squad":
        raise DataError(
            f"These files are SQuAD's alone. Received: `{benchmark.name}`. Use the tables of GLUE,"
            " or keep the answers of `predict --json`."
        )
    _check_counts(records, answers)
    ids = [record.id for record in records]
    _check_once(ids)
    found = dict(zip(ids, (answer.to_dict() for answer in answers), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: str(answer["text"]) for name, answer in found.items()}
    write_json(folder / names[0], texts)
    for name in names[1:]:
        write_json(folder / name, {each: _probability(a) for each, a in found.items()})
    return [folder / name for name in names]


def _probability(answer: Mapping[str, Any]) -> float:
    """Return how probable it is that there is no answer: 1 is the official script's threshold."""
    return sigmoid(np.array([float(answer["no_answer_score"])])).item()


def _check_counts(records: Sequence[object], answers: Sequence[object]) -> None:
    """Refuse records without an answer."""
    if len(records) != len(answers) or not records:
        raise DataError(
            "Every record must have an answer, and there must be one. Received:"
            f" {len(records)} records and {len(answers)} answers. Answer the whole test set."
        )


def _check_once(names: Sequence[str]) -> None:
    """Refuse records of the same name, of whose answers one would be lost."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"Every record must have an id of its own. Received: {name!r} twice. Answer the"
                " file as it was published."
            )
        seen.add(name)


def _spelled(benchmark: Benchmark, answer: AnyAnswer) -> str:
    """Return an answer as the benchmark spells it."""
    given = answer.to_dict()
    if benchmark.labels:
        label = given.get("label")
        if label in benchmark.names:
            label = benchmark.labels[benchmark.names.index(str(label))]
        if label in benchmark.labels:
            return str(label)
        received, rule = repr(label), f"one of {', '.join(benchmark.labels)}"
    else:
        value = given.get("value")
        if isinstance(value, float | int) and math.isfinite(value):
            return f"{value:.5f}"
        received, rule = repr(value), "a number"
    raise LabelError(
        f"An answer to `{benchmark.name}` must be {rule}. Received: {received}. Fine-tune with the"
        " labels as they were published."
    )
