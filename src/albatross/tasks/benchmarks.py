"""The public benchmarks: what each asks for, and where its files stand in a folder of data.

Knows names of files and columns of figures; downloads nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from albatross.data.glue import GLUE
from albatross.data.text_files import PACKINGS
from albatross.errors import AlbatrossWarning, ConfigError, DataError

# What GLUE's numbers mean, in their order.
_NAMES = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "wnli": ("not_entailment", "entailment"),
}
# Folders that hold GLUE's data sets, beside the one that is given.
_GLUE_HOMES = ("", "glue/", "glue_data/")


@dataclass(frozen=True)
class Benchmark:
    """A data set with a published layout, and the figure it is compared by.

    Files are named as published, without a packing's ending. Between bars stand other names that
    a file may have, the first of which is taken: `valid.txt|dev.txt`; a name may hold `*`.

    Attributes:
        name: what it is called here
        kind: the kind of its task
        format: the format of its files
        folders: folders that it may stand in, below the folder of all data
        train: names of the training file
        dev: names of the development sets
        test: names of the test sets
        labels: its labels as published; none where they are values, or the data's own
        names: what the labels mean, where the files only number them
        metric: the figure that is published of it
        submission: names of the files to hand in, one for each test set, with spaces between
    """

    name: str
    kind: str
    format: str
    folders: tuple[str, ...]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    metric: str = "accuracy"
    submission: str = ""


@dataclass(frozen=True)
class BenchmarkFiles:
    """Where the files of a benchmark stand; the sets by their file's name without its ending."""

    train: Path | None
    dev: dict[str, Path]
    test: dict[str, Path]


def benchmark_of(name: str) -> Benchmark:
    """Return a benchmark by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    raise ConfigError(
        f"A benchmark must be one of {', '.join(BENCHMARKS)}. Received: {name!r}. Choose one."
    )


def find_files(benchmark: Benchmark, data: Path) -> BenchmarkFiles:
    """Find the files of a benchmark in its own folder, or in the folder of all data.

    Raises:
        DataError: there is none of them.
    """
    for folder in _folders(benchmark, data):
        train = next(_found(folder, benchmark.train), None)
        files = BenchmarkFiles(
            train,
            {stem_of(path): path for path in _found(folder, benchmark.dev)},
            {stem_of(path): path for path in _found(folder, benchmark.test)},
        )
        if train or files.dev or files.test:
            return files
    names = [name.split("|")[0] for name in (*benchmark.train, *benchmark.dev, *benchmark.test)]
    raise DataError(
        f"The data of `{benchmark.name}` must stand in {', '.join(benchmark.folders[:2])} or the"
        f" folder that is given. Received: {str(data)!r}"
        f"{'' if data.is_dir() else ', which is no folder'}, without any of {', '.join(names)}."
        " Check the path; the files may be packed."
    )


def _folders(benchmark: Benchmark, data: Path) -> Iterator[Path]:
    """Yield the folders to look in: the benchmark's below `data`, then `data` itself."""
    for name in benchmark.folders:
        place: Path | None = data
        for part in name.split("/"):
            place = place and _entry(place, part)
        if place and place.is_dir():
            yield place
    if data.is_dir():
        yield data


def _entry(folder: Path, name: str) -> Path | None:
    """Return an entry of a folder by its name, the exact one before one in another case."""
    if (folder / name).exists():
        return folder / name
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((entry for entry in entries if entry.name.lower() == name.lower()), None)


def _found(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Yield the file or folder of each name, in its first spelling that there is."""
    for name in names:
        found = (fitting for each in name.split("|") if (fitting := _fitting(folder, each)))
        yield from next(found, [])[:1]


def _fitting(folder: Path, pattern: str) -> list[Path]:
    """Return the files that fit a pattern, the plain before the packed."""
    patterns = [pattern, *(pattern + packing for packing in PACKINGS)]
    fitting = [path for each in patterns for path in sorted(folder.glob(each))]
    if len({stem_of(path) for path in fitting}) > 1:
        warnings.warn(
            f"One file should fit the name {pattern}. Received:"
            f" {', '.join(path.name for path in fitting)} in {str(folder)!r}."
            f" {fitting[0].name} is taken; give another by its path.",
            AlbatrossWarning,
            stacklevel=5,
        )
    return fitting


def stem_of(path: Path) -> str:
    """Return the name of a file without the endings of its packing and its format."""
    name = path.with_suffix("").name if path.suffix.lower() in PACKINGS else path.name
    for ending in (".tsv", ".csv", ".jsonl", ".json", ".txt", ".conll", ".parquet"):
        name = name.removesuffix(ending)
    return name


def _glue(
    name: str, folder: str, metric: str = "accuracy", submission: str = "", kind: str = ""
) -> Benchmark:
    """Return a data set of GLUE with the files that most of them have."""
    return Benchmark(
        name,
        kind or "classification",
        name,
        tuple(home + folder for home in _GLUE_HOMES),
        ("train.tsv",),
        ("dev.tsv",),
        ("test.tsv",),
        GLUE[name].labels,
        _NAMES.get(name, ()),
        metric,
        submission or f"{folder}.tsv",
    )


_MNLI = replace(
    _glue("mnli", "MNLI", submission="MNLI-m.tsv MNLI-mm.tsv"),
    dev=("dev_matched.tsv", "dev_mismatched.tsv"),
    test=("test_matched.tsv", "test_mismatched.tsv"),
)
_AX = replace(
    _glue("ax", "AX", "matthews"),
    folders=tuple(home + name for home in _GLUE_HOMES for name in ("AX", "diagnostic")),
    train=(),
    dev=("diagnostic-full.tsv",),
    test=("AX.tsv|diagnostic.tsv",),
)
_SQUAD1 = Benchmark(
    "squad1",
    "spans",
    "squad",
    ("squad/v1.1", "squad1", "SQuAD1.1", "squad-v1.1", "squad"),
    ("train-v1.1.json|train-v1.1*.json",),
    ("dev-v1.1.json|dev-v1.1*.json",),
    metric="f1",
    submission="predictions.json",
)
_SQUAD2 = Benchmark(
    "squad2",
    "spans",
    "squad",
    ("squad/v2.0", "squad2", "SQuAD2.0", "squad-v2.0", "squad"),
    ("train-v2.0.json|train-v2.0*.json",),
    ("dev-v2.0.json|dev-v2.0*.json",),
    metric="f1",
    submission="predictions.json na_prob.json",
)
_CONLL = Benchmark(
    "conll",
    "tagging",
    "conll",
    ("conll", "conll2003", "CoNLL-2003", "ner"),
    ("train.txt|eng.train|train.conll|*train*.conll",),
    ("valid.txt|dev.txt|eng.testa|dev.conll|*dev*.conll|*valid*.conll",),
    ("test.txt|eng.testb|test.conll|*test*.conll",),
    metric="f1",
)

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        _glue("cola", "CoLA", "matthews"),
        _glue("sst2", "SST-2"),
        _glue("mrpc", "MRPC", "f1"),
        _glue("stsb", "STS-B", "pearson_spearman", kind="regression"),
        _glue("qqp", "QQP", "f1"),
        _MNLI,
        _glue("qnli", "QNLI"),
        _glue("rte", "RTE"),
        _glue("wnli", "WNLI"),
        _AX,
        replace(
            _glue("snli", "SNLI"),
            train=("train.tsv|snli_1.0_train.txt|snli_1.0_train.jsonl",),
            dev=("dev.tsv|snli_1.0_dev.txt|snli_1.0_dev.jsonl",),
            test=("test.tsv|snli_1.0_test.txt|snli_1.0_test.jsonl",),
            submission="",
        ),
        _SQUAD1,
        _SQUAD2,
        Benchmark("race", "choice", "race", ("RACE",), ("train",), ("dev",), ("test",)),
        Benchmark(
            "dream", "choice", "dream", ("DREAM",), ("train.json",), ("dev.json",), ("test.json",)
        ),
        Benchmark("swag", "choice", "swag", ("SWAG",), ("train.csv",), ("val.csv",), ("test.csv",)),
        _CONLL,
    )
}
"""All benchmarks by name."""
