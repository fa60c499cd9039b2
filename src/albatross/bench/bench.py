"""The verb bench: how fast a model folder answers on this machine, beside what arithmetic allows.

Texts of one length alone, texts of mixed lengths together, a fresh process up to its first answer,
memory and disk. Rounds are interleaved and medians shown, so that what else the machine does falls
on every row alike. How ours compares with other libraries is the subject of
`benchmarks/inference.py`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from albatross.bench.result import Bench, Timing
from albatross.checkpoints.delta import root_of, vocabulary_files, vocabulary_folder
from albatross.config import AlbertConfig
from albatross.costs import model_cost
from albatross.data.packing import Example, pack
from albatross.engine.engine import run
from albatross.errors import ConfigError, DataError, FolderError
from albatross.pipelines.pipeline import Pipeline, engine_outputs, load
from albatross.pipelines.requests import records_of
from albatross.progress import Progress
from albatross.rehearsal.grammar import compose_documents
from albatross.rng import stream
from albatross.settings.answering import BenchSettings, PredictSettings
from albatross.tasks.generation import GenerationTask

LENGTHS = (8, 32, 128, 384)
"""Tokens of the texts that are answered alone, [CLS] and [SEP] among them."""
TEXTS = 100
"""Of a file, so many records are looked at; without one, so many texts are composed."""
_MIXED = "mixed"
# One text is answered again and again for so long in every round.
_SECONDS_PER_LENGTH, _MOST_REPEATS = 0.1, 20
_STARTS = 3
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def bench(settings: BenchSettings) -> Bench:
    """Measure a model on this machine.

    Raises:
        ConfigError: a task that writes, which has no answer after one pass.
        DataError: the file holds no record, or cannot be read.
        FolderError: no such model, or a fresh process cannot answer with it.
    """
    options: dict[str, Any] = {
        "model": settings.model.as_posix(),
        "engine": settings.engine,
        "task": settings.task,
        "threads": settings.threads,
    }
    pipeline = load(**options, batch_tokens=settings.batch_tokens)
    if isinstance(pipeline.task, GenerationTask):
        raise ConfigError(
            "`albatross bench` measures tasks that answer after one pass. Received: the task"
            f" {pipeline.task.name!r}, which writes. Name another one by `--task`."
        )
    config: AlbertConfig = pipeline.engine.config
    prepare = _records(pipeline, settings) if settings.file else _composed(pipeline, config)
    lengths = [len(example.input_ids) for example in prepare()]
    batch_tokens = settings.batch_tokens or pipeline.engine.batch_tokens
    together = min(batch_tokens, sum(lengths))
    threads = settings.threads or os.cpu_count() or 1
    with Progress("measuring", settings.repeats + _STARTS + 1) as progress:
        seconds = _timed(_works(pipeline, batch_tokens, prepare), settings.repeats, progress)
        speeds = _product_speeds(config, {*LENGTHS, together}, threads)
        progress.advance()
        start, bare_start, memory = _starts(options, progress)
    return Bench(
        model=options["model"],
        about=f"hidden {config.hidden_size}, depth {config.depth}, vocabulary"
        f" {config.vocab_size:,}, {type(pipeline.engine).__name__}",
        threads=threads,
        lengths={
            n: Timing(1, n, seconds[str(n)], _flops(config, [n]) / speeds[n])
            for n in _lengths(config)
        },
        mixed=Timing(
            len(lengths), sum(lengths), seconds[_MIXED], _flops(config, lengths) / speeds[together]
        ),
        start=start,
        bare_start=bare_start,
        memory=memory,
        file_bytes=_file_bytes(pipeline.folder),
    )


def _file_bytes(folder: Path) -> int:
    """Return what a folder takes on disk, with the base that it stands on."""
    files = {file for each in {folder, root_of(folder)} for file in each.iterdir()}
    files |= {*vocabulary_files(vocabulary_folder(folder))}
    return sum(file.stat().st_size for file in files if file.is_file())


# === What is answered ===


def _works(
    pipeline: Pipeline, batch_tokens: int, prepare: Callable[[], list[Example]]
) -> dict[str, Callable[[], object]]:
    """Return what is timed: a text of each length, without tokenising it, and the mixed ones."""
    engine, config = pipeline.engine, pipeline.engine.config
    works: dict[str, Callable[[], object]] = {
        str(n): partial(run, engine, pack([_random_example(pipeline, config, n)]))
        for n in _lengths(config)
    }
    return {**works, _MIXED: lambda: engine_outputs(engine, prepare(), batch_tokens)}


def _lengths(config: AlbertConfig) -> list[int]:
    """Return the lengths that the model has positions for."""
    return [n for n in LENGTHS if n <= config.max_position_embeddings]


def _random_example(pipeline: Pipeline, config: AlbertConfig, tokens: int) -> Example:
    """Return a text of exactly so many tokens, of any pieces."""
    ids = stream("bench", tokens).integers(0, config.vocab_size, tokens)
    ids[0], ids[-1] = pipeline.tokenizer.cls_id, pipeline.tokenizer.sep_id
    return Example(ids, np.zeros_like(ids))


def _records(pipeline: Pipeline, settings: BenchSettings) -> Callable[[], list[Example]]:
    """Return what tokenises the first records of the settings' file."""
    task = pipeline.task
    asked = PredictSettings(settings.model, file=settings.file, task=settings.task)
    records = list(islice(records_of(task, asked), TEXTS))
    if not records:
        raise DataError(
            f"`--file` must hold at least one record. Received: {str(settings.file)!r}, which is"
            " empty. Leave it out to measure with composed texts."
        )
    return lambda: [example for record in records for example in task.features(record)]


def _composed(pipeline: Pipeline, config: AlbertConfig) -> Callable[[], list[Example]]:
    """Return what tokenises little stories, of which the first is told to its first sentence."""
    reader, longest = pipeline.tokenizer, config.max_position_embeddings
    stories = list(compose_documents(TEXTS, seed=0))
    texts = [" ".join(story[: 1 + at % len(story)]) for at, story in enumerate(stories)]

    def prepare() -> list[Example]:
        framed = [
            np.array([reader.cls_id, *reader.encode(text)[: longest - 2], reader.sep_id])
            for text in texts
        ]
        return [Example(ids, np.zeros_like(ids)) for ids in framed]

    return prepare


# === How long it takes ===


def _timed(
    works: Mapping[str, Callable[[], object]], rounds: int, progress: Progress
) -> dict[str, float]:
    """Do everything once unseen, then in turn in every round; return the medians in seconds."""
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name] += _repeated(work)
        progress.advance()
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _repeated(work: Callable[[], object]) -> list[float]:
    """Time one work, short ones several times."""
    taken: list[float] = []
    while sum(taken) < _SECONDS_PER_LENGTH and len(taken) < _MOST_REPEATS:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def _flops(config: AlbertConfig, lengths: Sequence[int]) -> int:
    """Return the additions and multiplications of texts of these lengths."""
    return sum(
        count * length * model_cost(config, sequence_length=length).flops_per_token
        for length, count in Counter(lengths).items()
    )


# === Fresh processes ===


def _product_speeds(config: AlbertConfig, rows: set[int], threads: int) -> dict[int, float]:
    """Return the FLOP/s of the model's matrix products by their rows, of all threads together.

    Each thread is a process of its own at the same time, so that none waits for another: what the
    machine could do at best.
    """
    asked = sorted(rows)
    sizes = [config.hidden_size, config.intermediate_size, *asked]
    words = [sys.executable, "-m", "albatross.bench.products", *map(str, sizes)]
    environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, "1")}
    processes = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) for _ in range(threads)
    ]
    found = [json.loads(process.communicate()[0]) for process in processes]
    return {count: sum(speeds) for count, *speeds in zip(asked, *found, strict=True)}


def _starts(options: Mapping[str, Any], progress: Progress) -> tuple[float, float, int | None]:
    """Return median seconds to a first answer and to a bare import, and the former's memory."""
    answering = ["-m", "albatross.bench.first_answer", json.dumps(options)]
    answered, imported = [], []
    for _ in range(_STARTS):
        seconds, said = _start(answering)
        answered.append(seconds)
        imported.append(_start(["-c", "import onnxruntime; print(flush=True)"])[0])
        progress.advance()
    return statistics.median(answered), statistics.median(imported), json.loads(said)


def _start(words: Sequence[str]) -> tuple[float, str]:
    """Return the seconds until a Python process says its first line, and what it says then.

    Raises:
        FolderError: it fails.
    """
    begun = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - begun
        rest = process.stdout.read()  # `communicate` would forget what is buffered
        if process.wait():
            complaints.seek(0)
            said = complaints.read().strip().splitlines()[-1:]
            raise FolderError(
                "A fresh process must be able to answer with the model. Received:"
                f" {' '.join(said) or process.returncode}. Try `albatross predict` on it."
            )
    return seconds, rest
