"""The models inside the package: each made by commands, in 8 bits, scored beside a plain baseline.

`scripts/install_builtins.py` puts what was made here into the package, with a card each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import albatross
from albatross.atomic import read_json
from albatross.engine.open import open_model
from albatross.evaluation.details import calibration
from albatross.metrics.intervals import bootstrap
from albatross.pipelines.pipeline import answer_records
from albatross.rng import stream
from albatross.tasks.task import score
from tables.baselines import baseline_answers, baseline_score
from tables.counted import neighbour_score, order_score, word_vector_score
from tables.files import FOLDS, write_builtin_records, write_shards, write_spam, write_tables
from tables.table import Figures, Place, Table
from tables.taught import TAUGHT, write_taught

WAYS = ("layers", "whole")
"""How a task may have been learned, what ships fewest bytes first."""
# What is kept of a report, which has texts of the file.
_REPORTED = ("metrics", "intervals", "calibration", "records")
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
        tuning = place.filled(self.tuning)
        folders = {
            "layers": _made(place, f"{self.name}-layers", [*words, "--adapt", "layers"], tuning),
            "whole": _made(place, self.name, words, tuning),
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
        return _cells(self, found)

    def _baseline(self, place: Place, run: dict[str, Any], file: Path) -> float:
        """Score what knows no language on the same records."""
        if not self.baseline:
            return word_vector_score(write_shards(place), file)
        tuned = place.work / "builtins" / f"{self.name}-float"
        return baseline_score(self.baseline, tuned, run, file)[self.figure]


@dataclass(frozen=True)
class Folded:
    """A task whose set has no part to be scored on: several models each leave a part out.

    All answers are scored together. What ships learned from all parts, by the same command, all
    weights.

    Attributes:
        name: by which it is opened
        options: of `albatross finetune`, beside `--train` and `--dev`
        test: what is scored, each as a part of its own: endings of the files of `write_spam`
        labelled: what the baseline learns from, likewise; the better one counts
        baseline: a key of BASELINES
        figure: the one that counts
        sets: what it learned from, with the licence of each
        scored_on: what `test` are, for the card
    """

    name: str
    options: str
    test: tuple[str, ...]
    labelled: tuple[str, ...]
    baseline: str
    figure: str
    sets: tuple[tuple[str, str], ...]
    scored_on: tuple[str, ...]

    def measure(self, place: Place) -> Figures:
        """Learn it without each part in turn and from all, and score what each leaves out."""
        write_spam(place)
        folds = [str(fold) for fold in range(FOLDS)]
        models = {fold: self._learned(place, fold, f"{self.name}-{fold}") for fold in folds}
        shipping = self._learned(place, "all", self.name)
        return {
            "whole": [
                _pooled([_answers(models[fold], self._file(place, fold, end)) for fold in folds])
                for end in self.test
            ],
            "baselines": [
                max(self._baseline(place, folds, end, learned) for learned in self.labelled)
                for end in self.test
            ],
            "bytes": {"whole": _bytes_of(shipping)},
        }

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells, likewise."""
        return _cells(self, found)

    def _file(self, place: Place, part: str, end: str) -> str:
        return str(place.work / "records" / f"{self.name}-{part}-{end}.tsv")

    def _learned(self, place: Place, part: str, name: str) -> Path:
        """Return the exported model that learned what a part leaves."""
        train, tuning = (self._file(place, part, end) for end in ("train", "tune"))
        words = ["--train", train, "--dev", tuning, *self.options.split(), "--name", self.name]
        return _made(place, name, words, [tuning])

    def _baseline(self, place: Place, folds: Sequence[str], end: str, learned: str) -> float:
        """Score what the baseline answers to each part after learning from the others."""
        found = []
        for fold in folds:
            out = place.work / "builtins" / f"{self.name}-{fold}-float"
            run = read_json(out / "run.json")
            run["settings"]["train"] = self._file(place, fold, learned)
            file = Path(self._file(place, fold, end))
            found.append(baseline_answers(self.baseline, out, run, file))
        return score(*_joined(found))[self.figure]


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


def _made(place: Place, name: str, words: list[Any], tuning: Sequence[str]) -> Path:
    """Fine-tune from `pretrained`, export over it in 8 bits, and let records tune it, if any."""
    folders = place.work / "builtins"
    limit = [] if place.limit is None else ["--limit", place.limit, "--epochs", 1]
    floats = place.make("finetune", "pretrained", folders / f"{name}-float", *words, *limit)
    made = folders / (f"{name}-untuned" if tuning else name)
    place.make("export", floats, made, "--dtype", "int8", "--over", "pretrained")
    return place.make("tune", made, folders / name, *tuning) if tuning else made


def _report(model: Path | str, file: str, task: str) -> dict[str, Any]:
    """Return what `albatross evaluate` says, without texts of the file."""
    report = albatross.evaluate(model, file, task=task).to_dict()
    return {key: report[key] for key in _REPORTED}


def _answers(model: Path, file: str) -> tuple[Any, list[Any], list[Any]]:
    """Return the task of a model, its answers to the records of a file, and these."""
    opened = open_model(model)
    records = opened.task.read(Path(file))
    engine = opened.engine
    return (
        opened.task,
        answer_records(engine, opened.task, records, engine.batch_tokens),
        records,
    )


def _joined(
    found: Sequence[tuple[Any, list[Any], list[Any]]],
) -> tuple[Any, list[Any], list[Any]]:
    """Return the task, and what several models answered to a part each, in one."""
    answers = [answer for _, some, _ in found for answer in some]
    records = [record for _, _, some in found for record in some]
    return found[0][0], answers, records


def _pooled(found: Sequence[tuple[Any, list[Any], list[Any]]]) -> dict[str, Any]:
    """Return what `_report` does, of such answers."""
    task, answers, records = _joined(found)
    judged = task.judge(answers, records)
    drawn = bootstrap(task.metrics, judged, stream(0, "bootstrap"))
    calibrated = calibration(task, answers, records, seed=0)
    values = (
        {name: float(value) for name, value in task.metrics(judged).items()},
        {name: asdict(interval) for name, interval in drawn.items()},
        calibrated and asdict(calibrated),
        len(records),
    )
    return dict(zip(_REPORTED, values, strict=True))


def _cells(row: Builtin | Folded, found: Mapping[str, Any]) -> list[str]:
    """Return the cells of a task, as the table heads them; a way that was not tried has none."""
    values = [
        _listed([report["metrics"][row.figure] for report in found[key]]) if key in found else "-"
        for key in WAYS
    ]
    way = shipped(found, row.figure)
    reports = found[way or next(key for key in WAYS if key in found)]
    error = reports[0]["calibration"] and reports[0]["calibration"]["error"]
    return [
        f"`{row.name}`",
        ", ".join(name for name, _ in row.sets),
        row.figure.replace("_", " "),
        _listed(found["baselines"]),
        *values,
        " / ".join(_interval(report, row.figure) for report in reports),
        f"{error:.3f}" if error is not None else "-",
        f"{found['bytes'][way] / 1e3:,.0f}" if way else "not shipped",
    ]


def shipped(found: Mapping[str, Any], figure: str) -> str | None:
    """Return the way that beats the baseline on every part, if there is one; layers before all."""
    reached = {
        way: [report["metrics"][figure] for report in found[way]] for way in WAYS if way in found
    }
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


BUILTINS: tuple[Builtin | Folded, ...] = (
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
    Folded(
        "spam",
        "--metric macro_f1 --epochs 4",
        ("test", "bare"),
        ("plain", "labelled"),
        "words",
        "macro_f1",
        (("SMS Spam Collection", "CC BY 4.0"),),
        (
            "its messages, each by one of five models that had learned from others",
            "the same without words that hold a digit or an address",
        ),
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

`spam` has no part to be scored on that is large enough to tell a point. Five models, made by the
command of the one that ships, each leave out a fifth of the messages, and their answers are scored
together: to messages as they are, and without words that hold a digit or an address, by which most
of this set's spam is told. What differs in such words alone, in capitals or in marks stays in one
fifth. Its baseline is the better of two, which learned the messages, or both forms. Layers of its
own lose too much without numbers (`docs/log.md`, 52), and were not made.

All others are scored as they are shipped, on records that they have not seen: in 8 bits, but for
the last two, which are `pretrained` itself, in 16-bit floats. Gaps are words that are one piece of
a vocabulary of 8,192, as 71 % of words are. The baseline knows no language: words counted (TF-IDF,
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
