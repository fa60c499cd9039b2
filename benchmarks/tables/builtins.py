"""The models inside the package: each made by commands, in 8 bits, scored beside a plain baseline.

`scripts/install_builtins.py` puts what was made here into the package, with a card each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albatross
from albatross.atomic import read_json
from tables.baselines import baseline_score
from tables.counted import neighbour_score, order_score, word_vector_score
from tables.files import write_builtin_records, write_shards, write_tables
from tables.table import Figures, Place, Table

# Weights and graphs; the vocabulary is counted once.
_COUNTED = ("*.safetensors", "*.onnx", "*.json")


@dataclass(frozen=True)
class Builtin:
    """A model for one task.

    Attributes:
        name: by which it is opened
        options: of `albatross finetune`, beside `--train` and `--dev`
        train: the records it learns from
        test: those it is scored on; more files than one are scored each
        baseline: a key of BASELINES, or "" where it has one of its own
        figure: the one that counts
        sets: what it learned from, with the licence of each
    """

    name: str
    options: str
    train: str
    test: tuple[str, ...]
    baseline: str
    figure: str
    sets: tuple[tuple[str, str], ...]

    def measure(self, place: Place) -> Figures:
        """Fine-tune with three seeds, export the median one in 8 bits, and score that."""
        write_tables(place)
        write_builtin_records(place)
        tuned = place.work / "builtins" / f"{self.name}-float"
        folder = place.work / "builtins" / self.name
        tuned.parent.mkdir(parents=True, exist_ok=True)
        files = place.filled(f"{self.train} {' '.join(self.test)}")
        words = ["--train", files[0], "--dev", files[1], *place.filled(self.options)]
        words += ["--name", self.name, "--precision", "bfloat16"]
        limited = [] if place.limit is None else ["--limit", place.limit, "--epochs", 1]
        if not (tuned / "run.json").is_file():
            place.albatross("finetune", "pretrained", tuned, *words, "--seeds", 3, *limited)
        if not (folder / "run.json").is_file():
            place.albatross("export", tuned, folder, "--dtype", "int8", "--dev", files[1])
        run = read_json(tuned / "run.json")
        reports = [albatross.evaluate(folder, file).to_dict() for file in files[1:]]
        for report in reports:
            del report["run"], report["mistakes"]
        if self.baseline:
            scores = (baseline_score(self.baseline, tuned, run, Path(f)) for f in files[1:])
            plain = [found[self.figure] for found in scores]
        else:
            plain = [word_vector_score(write_shards(place), Path(file)) for file in files[1:]]
        return {
            "reports": reports,
            "baselines": plain,
            "seeds": run["seeds"]["by_seed"],
            "bytes": bytes_of(folder),
        }

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return name, sets, figure with its interval, baseline, calibration and size."""
        return _cells(self.name, [name for name, _ in self.sets], self.figure, found)


@dataclass(frozen=True)
class Pretrained:
    """What the pre-trained encoder answers as it is.

    Attributes:
        name: by which it is opened
        test: what it is scored on
        figure: the one that counts
    """

    name: str
    test: str
    figure: str = "accuracy"

    def measure(self, place: Place) -> Figures:
        """Score the encoder inside the package, and what counts words."""
        write_builtin_records(place)
        (test,) = place.filled(self.test)
        report = albatross.evaluate(self.name, test).to_dict()
        del report["run"], report["mistakes"]
        score = neighbour_score if self.name == "fill-mask" else order_score
        plain = score(write_shards(place), Path(test))
        return {"reports": [report], "baselines": [plain], "bytes": 0}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells, likewise."""
        return _cells(self.name, ["the pre-training text"], self.figure, found)


ROWS = (
    Builtin(
        "sentiment",
        "--task sst2 --epochs 2 --calibrate --hold-out 0.05",
        "{data}/glue/SST-2/train.tsv.gz",
        ("{data}/glue/SST-2/dev.tsv",),
        "words",
        "accuracy",
        (("SST-2", "given out for research"),),
    ),
    Builtin(
        "spam",
        "--calibrate --metric macro_f1",
        "{work}/records/spam-train.tsv",
        ("{work}/records/spam-test.tsv",),
        "words",
        "macro_f1",
        (("SMS Spam Collection", "CC BY 4.0"),),
    ),
    Builtin(
        "question-type",
        "--calibrate --epochs 8",
        "{work}/trec/train.tsv",
        ("{work}/trec/test.tsv",),
        "words",
        "accuracy",
        (("TREC questions", "given out for research"),),
    ),
    Builtin(
        "intent",
        "--calibrate --otherwise oos --epochs 12",
        "{work}/records/intent-train.tsv",
        ("{work}/records/intent-test.tsv",),
        "words",
        "accuracy",
        (("CLINC150", "CC BY 3.0"),),
    ),
    Builtin(
        "entities",
        "--task tagging --format conll --epochs 20",
        "{work}/records/entities-train.conll",
        ("{work}/records/entities-wikigold.conll", "{work}/records/entities-wnut.conll"),
        "crf",
        "f1",
        (("WNUT-17", "CC BY 4.0"), ("WikiGold", "CC BY 4.0")),
    ),
    Builtin(
        "embed",
        "--task similarity --epochs 4",
        "{work}/records/entailed.jsonl",
        ("{work}/records/similarity.tsv",),
        "",
        "spearman",
        (("SNLI, entailed pairs", "CC BY-SA 4.0"),),
    ),
    Pretrained("fill-mask", "{work}/records/gaps.tsv"),
    Pretrained("coherence", "{work}/records/orders.tsv"),
)
TABLE = Table(
    "builtins",
    "The models inside the package",
    """
Each is made from `pretrained` by `albatross finetune` and `albatross export --dtype int8`, and
scored as it is shipped, on records that it has not seen, with the 95 % interval of a bootstrap. The
baseline knows no language: words counted (TF-IDF, logistic regression), a conditional random field
without lists of names, the mean of word vectors counted from the pre-training text, and for gaps
what stands between their two neighbours most often. The calibration error is the mean distance of
confidence and accuracy.
""",
    ("model", "learned from", "figure", "value", "95 %", "baseline", "calibration", "kB"),
    ROWS,
)


def bytes_of(folder: Path) -> int:
    """Return what a folder takes in the package beside the vocabulary."""
    return sum(path.stat().st_size for pattern in _COUNTED for path in folder.glob(pattern))


def _cells(name: str, sets: list[str], figure: str, found: Mapping[str, Any]) -> list[str]:
    reports = found["reports"]
    values = [report["metrics"][figure] for report in reports]
    intervals = [report["intervals"][figure] for report in reports]
    error = reports[0]["calibration"] and reports[0]["calibration"]["error"]
    return [
        f"`{name}`",
        ", ".join(sets),
        figure.replace("_", " "),
        " / ".join(f"{value:.3f}" for value in values),
        " / ".join(f"{each['low']:.3f} to {each['high']:.3f}" for each in intervals),
        " / ".join(f"{value:.3f}" for value in found["baselines"]),
        f"{error:.3f}" if error is not None else "-",
        f"{found['bytes'] / 1e3:,.0f}" if found["bytes"] else "-",
    ]
