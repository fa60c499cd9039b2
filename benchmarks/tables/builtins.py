"""The models inside the package: each made by commands, in 8 bits, scored beside a plain baseline.

`scripts/install_builtins.py` puts what was made here into the package, with a card each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import albatross
from albatross.atomic import read_json
from tables.baselines import baseline_score
from tables.counted import neighbour_score, order_score, word_vector_score
from tables.files import write_builtin_records, write_shards, write_tables
from tables.table import Figures, Place, Table
from tables.taught import TAUGHT, write_taught

WAYS = ("layers", "whole")
"""How a task may have been learned, what ships fewest bytes first."""
# What layers of its own may lose to all weights and ship: a sixth of the bytes.
_LOST = 0.01


@dataclass(frozen=True)
class Builtin:
    """A task of the models inside the package.

    Attributes:
        name: by which it is opened
        options: of `albatross finetune` where it is learned alone, beside `--train` and `--dev`
        train: the records it learns from
        test: those it is scored on; more files than one are scored each
        baseline: a key of BASELINES, or "" for word vectors
        figure: the one that counts
        sets: what it learned from, with the licence of each
        scored_on: what the records of `test` are, for the card
        labelled: what the baseline learns from, where it is not the same
        tuning: the records that choose its temperature, where held-out ones are unlike those scored
    """

    name: str
    options: str
    train: str
    test: tuple[str, ...]
    baseline: str
    figure: str
    sets: tuple[tuple[str, str], ...]
    scored_on: tuple[str, ...]
    labelled: str = ""
    tuning: str = ""

    def measure(self, place: Place) -> Figures:
        """Learn it in two ways, export each in 8 bits, and score what they answer.

        Layers of its own learn over the embeddings of `pretrained`, and all weights.
        """
        write_tables(place)
        write_builtin_records(place)
        if self.train == TAUGHT:
            write_taught(place)
        train, *tests = place.filled(f"{self.train} {' '.join(self.test)}")
        words = ["--train", train, "--dev", tests[0], *place.filled(self.options)]
        words += ["--name", self.name]
        folders = {
            "layers": _made(place, f"{self.name}-layers", [*words, "--adapt", "layers"]),
            "whole": _made(place, self.name, words),
        }
        run = read_json(place.work / "builtins" / f"{self.name}-float" / "run.json")
        for file in place.filled(self.labelled):
            run["settings"]["train"] = file
        return {
            **{key: [_report(each, f, self.name) for f in tests] for key, each in folders.items()},
            "baselines": [self._baseline(place, run, Path(file)) for file in tests],
            "bytes": {key: _bytes_of(each) for key, each in folders.items()},
        }

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells, as the table heads them."""
        values = (
            _listed([report["metrics"][self.figure] for report in found[key]]) for key in WAYS
        )
        way = shipped(found, self.figure)
        reports = found[way or "layers"]
        error = reports[0]["calibration"] and reports[0]["calibration"]["error"]
        return [
            f"`{self.name}`",
            ", ".join(name for name, _ in self.sets),
            self.figure.replace("_", " "),
            _listed(found["baselines"]),
            *values,
            " / ".join(_interval(report, self.figure) for report in reports),
            f"{error:.3f}" if error is not None else "-",
            f"{found['bytes'][way] / 1e3:,.0f}" if way else "not shipped",
        ]

    def _baseline(self, place: Place, run: dict[str, Any], file: Path) -> float:
        """Score what knows no language on the same records."""
        if not self.baseline:
            return word_vector_score(write_shards(place), file)
        tuned = place.work / "builtins" / f"{self.name}-float"
        return baseline_score(self.baseline, tuned, run, file)[self.figure]


@dataclass(frozen=True)
class Pretrained:
    """What the pre-trained encoder answers as it is.

    Attributes:
        name: by which it is opened
        test: what it is scored on
    """

    name: str
    test: str

    def measure(self, place: Place) -> Figures:
        """Score the encoder inside the package, and what counts words."""
        write_builtin_records(place)
        (test,) = place.filled(self.test)
        score = neighbour_score if self.name == "fill-mask" else order_score
        plain = score(write_shards(place), Path(test))
        return {"report": _report(self.name, test, self.name), "baseline": plain}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells, likewise."""
        report = found["report"]
        error = report["calibration"] and report["calibration"]["error"]
        return [
            f"`{self.name}`",
            "the pre-training text",
            "accuracy",
            f"{found['baseline']:.3f}",
            "-",
            f"{report['metrics']['accuracy']:.3f}",
            _interval(report, "accuracy"),
            f"{error:.3f}" if error is not None else "-",
            "-",
        ]


def _made(place: Place, name: str, words: list[Any]) -> Path:
    """Fine-tune from `pretrained`, export over it in 8 bits, and let records tune it."""
    folders = place.work / "builtins"
    limit = [] if place.limit is None else ["--limit", place.limit, "--epochs", 1]
    floats = place.make("finetune", "pretrained", folders / f"{name}-float", *words, *limit)
    tasks = read_json(floats / "task.json")
    tuned = [row for row in BUILTINS if row.tuning and row.name in tasks]
    stages = [*(folders / f"{name}-{number}" for number in range(len(tuned))), folders / name]
    place.make("export", floats, stages[0], "--dtype", "int8", "--over", "pretrained")
    for row, (before, after) in zip(tuned, pairwise(stages), strict=True):
        place.make("tune", before, after, *place.filled(row.tuning), "--task", row.name)
    return stages[-1]


def _report(model: Path | str, file: str, task: str) -> dict[str, Any]:
    """Return what `albatross evaluate` says, without texts of the file."""
    report = albatross.evaluate(model, file, task=task).to_dict()
    kept = ("metrics", "intervals", "calibration", "records")
    return {key: report[key] for key in kept}


def shipped(found: Mapping[str, Any], figure: str) -> str | None:
    """Return the way that beats the baseline on every part, if there is one; layers before all."""
    reached = {way: [report["metrics"][figure] for report in found[way]] for way in WAYS}
    beating = [
        way
        for way, figures in reached.items()
        if all(ours > plain for ours, plain in zip(figures, found["baselines"], strict=True))
    ]
    if len(beating) == len(WAYS):
        layers, whole = (mean(reached[way]) for way in WAYS)
        return "layers" if layers >= whole - _LOST else "whole"
    return beating[0] if beating else None


def _bytes_of(folder: Path) -> int:
    """Return what a folder takes in the package, without the card that it gets there."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _interval(report: Mapping[str, Any], figure: str) -> str:
    bounds = report["intervals"][figure]
    return f"{bounds['low']:.3f} to {bounds['high']:.3f}"


def _listed(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


BUILTINS = (
    Builtin(
        "sentiment",
        "--labels negative positive --epochs 1.5 --calibrate --hold-out 0.05",
        TAUGHT,
        ("{work}/records/sentiment-test.tsv",),
        "words",
        "accuracy",
        (("SST-2", "given out for research"),),
        ("SST-2, sentences of its dev and training parts",),
        "{work}/sst2/train.tsv",
        "{work}/records/sentiment-tune.tsv",
    ),
    Builtin(
        "spam",
        "--calibrate --metric macro_f1",
        "{work}/records/spam-train.tsv",
        ("{work}/records/spam-test.tsv",),
        "words",
        "macro_f1",
        (("SMS Spam Collection", "CC BY 4.0"),),
        ("a fifth of its messages",),
    ),
    Builtin(
        "question-type",
        "--calibrate --epochs 8",
        "{work}/trec/train.tsv",
        ("{work}/trec/test.tsv",),
        "words",
        "accuracy",
        (("TREC questions", "given out for research"),),
        ("TREC, its test part",),
    ),
    Builtin(
        "intent",
        "--calibrate --otherwise oos --epochs 12",
        "{work}/records/intent-train.tsv",
        ("{work}/records/intent-test.tsv",),
        "words",
        "accuracy",
        (("CLINC150", "CC BY 3.0"),),
        ("CLINC150, its test part with out-of-scope",),
    ),
    Builtin(
        "entities",
        "--task tagging --format conll --epochs 20",
        "{work}/records/entities-train.conll",
        ("{work}/records/entities-wikigold.conll", "{work}/records/entities-wnut.conll"),
        "crf",
        "f1",
        (("WNUT-17", "CC BY 4.0"), ("WikiGold", "CC BY 4.0")),
        ("WikiGold, a fifth of its documents", "WNUT-17, its dev part"),
    ),
    Builtin(
        "embed",
        "--task similarity --epochs 4",
        "{work}/records/entailed.jsonl",
        ("{work}/records/similarity.tsv",),
        "",
        "spearman",
        (("SNLI, entailed pairs", "CC BY-SA 4.0"),),
        ("STS-B, its dev part",),
    ),
)
ROWS = (
    *BUILTINS,
    Pretrained("fill-mask", "{work}/records/gaps.tsv"),
    Pretrained("coherence", "{work}/records/orders.tsv"),
)
TABLE = Table(
    "builtins",
    "The models inside the package",
    """
Each is made from `pretrained` by `albatross finetune` and `albatross export --dtype int8 --over
pretrained`, in two ways: layers of its own learn over the embeddings of `pretrained` (`--adapt
layers`), or all weights, of which it keeps those rows of the table of words that learning has
moved. What beats the baseline on every part ships; layers before all weights unless they lose more
than a point, which is decided on the part that is scored. The last three columns are those of the
way that ships: the 95 % interval of a bootstrap, the calibration error, and its folder's bytes. One
encoder for several tasks, all of whose weights learn, costs `intent` two points and more
(`docs/log.md`, 49).

All are scored as they are shipped, on records that they have not seen: in 8 bits, but for the last
two, which are `pretrained` itself, in 16-bit floats. Gaps are words that are one piece of a
vocabulary of 8,192, as 71 % of words are. The baseline knows no language: words counted (TF-IDF,
logistic regression), a conditional random field without lists of names, the mean of word vectors
counted from the pre-training text, and for gaps what stands between their two neighbours most
often. For `embed` others are stronger: the cosine of TF-IDF has .72 to .75 on the same pairs by
words and .776 by runs of letters (`docs/log.md`, 64). Half of the likeness that it tells is that of
the words, without anything learned; the learned half alone has .715. `sentiment` learns from the
shares that two encoders and counted words give (`benchmarks/tables/taught.py`), its baseline from
the labels; both are scored on 1,936 sentences: the 436 of the development part that are public, and
1,500 of the training part, no phrase of which is learned from, though both have been looked at
before, when it was decided how to train. 500 more choose its temperature by `albatross tune`.
Entities are scored on WikiGold and WNUT-17. The calibration error is the mean distance of
confidence and accuracy.
""",
    (
        "model",
        "learned from",
        "figure",
        "baseline",
        "layers",
        "all weights",
        "95 %",
        "calibration",
        "kB",
    ),
    ROWS,
    of_encoder=True,
)
