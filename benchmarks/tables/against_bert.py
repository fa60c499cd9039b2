"""ALBERT against BERT from this code, and the paper's ablations in small (Lan et al., 2020, 4)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from albatross.atomic import read_json, write_json
from albatross.training.run_log import read_log
from tables.files import write_shards
from tables.picture import draw
from tables.pretraining import FOUND, Trial, columns, shown_figure
from tables.table import Figures, Place, Table

_PROBED = (
    "SST-2, 2,000 rows",
    "MNLI, 9,000 rows",
    "QQP, 9,000 rows",
    "SQuAD 1.1, small",
    "RACE, small",
)
_SHOWS = ("size", "bytes", "speed", "memory", "tokens", "loss", "order", *_PROBED)
_SMALL = ("size", "tokens", "loss", "accuracy", "order")
_ALBERT = f"{FOUND} --variant albatross-mini"
_UNSHARED = "cross_layer_sharing=none num_hidden_groups=4"
_BERT = f"--objective nsp --shape {_UNSHARED} embedding_size=192 embedding_projection=false"
_TINY = f"{FOUND} --variant albatross-tiny --tokens 6000000"
_SEEDS = 2

# Short runs of both in turn, each first as often as second but once, tell speed and memory.
_SHORT = "--tokens 200000 --evaluations 0 --threads 1"
_ROUNDS = 5


@dataclass(frozen=True)
class Rival(Trial):
    """One of the models of the first table; `shape` is what makes it other than ALBERT."""

    shape: str = ""

    def measure(self, place: Place) -> Figures:
        """Train and probe; then say how fast it is beside ALBERT, and what it holds."""
        found, pace = super().measure(place), _pace(place)
        own, first = pace[self.shape], pace[""]
        speed, of_albert = median(own["speeds"]), median(first["speeds"])
        return {**found, "speed": speed, "of_albert": speed / of_albert, "memory": own["memory"]}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells, with the speed as a share of ALBERT's."""
        cells = super().cells(found)
        cells[1 + self.shows.index("speed")] = f"{found['speed']:,.0f} ({found['of_albert']:.2f})"
        cells[1 + self.shows.index("memory")] = f"{found['memory'] / 1e6:,.0f}"
        return cells


RIVALS = tuple(
    Rival(
        name,
        f"{shape} --tokens {tokens}".strip(),
        _SEEDS,
        _PROBED,
        _SHOWS,
        common=_ALBERT,
        shape=shape,
    )
    for name, shape, tokens in (
        ("ALBERT", "", 7_000_000),
        ("BERT, equal tokens", _BERT, 7_000_000),
        ("BERT, equal time", _BERT, 6_500_000),
    )
)


def _pace(place: Place) -> Figures:
    """Return speeds and memory of ALBERT and BERT, by shape, measured once for all rows."""
    kept = place.work / "pace.json"
    if kept.is_file():
        return read_json(kept)
    found: Figures = {shape: {"speeds": [], "memory": 0} for shape in ("", _BERT)}
    out = place.work / "pretraining" / "short"
    for turn in range(_ROUNDS):
        for shape in [*found][:: -1 if turn % 2 else 1]:
            shutil.rmtree(out, ignore_errors=True)
            words = f"{_ALBERT} {shape} {_SHORT}".split()
            held = place.albatross("pretrain", write_shards(place), out, *words)
            speed = read_json(out / "run.json")["metrics"]["tokens_per_second"]
            found[shape]["speeds"].append(speed)
            found[shape]["memory"] = max(found[shape]["memory"], held)
    write_json(kept, found)
    return found


def _ablation(name: str, options: str = "") -> Trial:
    """Return a small run that differs from the first in one thing at most."""
    return Trial(name, options, _SEEDS, (), _SMALL, common=_TINY)


@dataclass(frozen=True)
class Asked:
    """The models of an ablation, asked for what they have not learned.

    Attributes:
        name: what it is called
        trial: the ablation
        layers: how often the layer is applied; as often as in training when 0
        objective: of the pairs of segments that are measured
    """

    name: str
    trial: Trial
    layers: int = 0
    objective: str = "sop"

    def measure(self, place: Place) -> Figures:
        """Measure held-out text with every seed: a run of one step at no rate does."""
        return {"runs": [self._run(place, seed) for seed in range(self.trial.seeds)]}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells of a trial, without a size and tokens of its own."""
        told = f"convert --layers {self.layers}" if self.layers else f"--objective {self.objective}"
        shown = [shown_figure(key, found["runs"]) for key in _SMALL[2:]]
        return [self.name, "", "", *shown, f"`{told}`"]

    def _run(self, place: Place, seed: int) -> Figures:
        """Measure the model of one seed."""
        learned = self.trial.made(place, seed)
        out = learned.with_name(f"asked-{learned.name}-{self.layers}-{self.objective}")
        deep = out.with_name(f"{out.name}-start")
        for folder in (out, deep):
            shutil.rmtree(folder, ignore_errors=True)
        if self.layers:
            place.albatross("convert", learned, deep, "--layers", self.layers)
        start = deep if self.layers else learned
        words = f"--from {start} --objective {self.objective} --precision bfloat16 --max-length 64"
        words += f" --evaluations 0 --steps 1 --learning-rate 1e-9 --seed {seed}"
        place.albatross("pretrain", write_shards(place), out, *words.split())
        found = [line["evaluation"] for line in read_log(out / "log.jsonl") if "evaluation" in line]
        return found[-1]


ABLATIONS: tuple[Trial, ...] = (
    _ablation("all shared, E 128, as wide as H, sentence order"),
    _ablation("attention shared", "--shape cross_layer_sharing=attention"),
    _ablation("feed-forward shared", "--shape cross_layer_sharing=ffn"),
    _ablation("nothing shared", f"--shape {_UNSHARED}"),
    _ablation("E 64", "--shape embedding_size=64"),
    _ablation("E 32", "--shape embedding_size=32"),
    _ablation("next sentence", "--objective nsp"),
    _ablation("masked words alone", "--objective none"),
)
ASKED = (
    Asked("sentence order, asked for the next", ABLATIONS[0], objective="nsp"),
    Asked("next sentence, asked for the order", ABLATIONS[6]),
    *(Asked(f"applied {layers} times", ABLATIONS[0], layers) for layers in (2, 3, 5, 6, 8)),
)


def _picture(rows: Path, folder: Path) -> Path | None:
    """Draw the first two rows, if they are there."""
    kept = {row: RIVALS_TABLE.kept(row, rows) for row in RIVALS[:2]}
    if not all(path.is_file() for path in kept.values()):
        return None
    path = folder / "albert-against-bert.svg"
    found = {
        row.name.partition(",")[0]: read_json(path)["figures"]["runs"] for row, path in kept.items()
    }
    draw(path, found)
    return path


RIVALS_TABLE = Table(
    "bert",
    "ALBERT against BERT",
    f"""
The same code, text, vocabulary of 8,192 pieces, steps and optimizer: an ALBERT of width 192 and 4
layers, and the BERT of that width (layers of their own, E = H, next-sentence pairs), after equal
tokens and after equal time. Means and deviations over two seeds, each fine-tuned once. Speed, with
its share of ALBERT's, and memory are those of one thread in short runs of both in turn. The tokens
of equal time were set by an earlier measurement, .93; by this one BERT had a twentieth too many.

BERT has twice the parameters and reads masked words better by .11 after equal tokens, .08 after
equal time. After fine-tuning it is ahead by one to two points on MNLI and one to three on SST-2,
ALBERT by one to two on QQP and by two to three on RACE, whose passages have many sentences: each of
its two runs there is above all four of BERT, though one standard error of the 908 questions is 1.5
points, and chance .25. `pairs` is not one question: the order of sentences is harder to tell than
which follow each other. SQuAD none of them has learned from so little text. All have

    {_ALBERT}
""",
    columns(_SHOWS),
    RIVALS,
    _picture,
    is_timed=True,
)
ABLATIONS_TABLE = Table(
    "ablations",
    "The paper's ablations, in small",
    f"""
Width 128, 4 layers, 8,192 pieces, equal tokens, two seeds; each differs from the first row in what
its name says. Wider models need several times the tokens before they part. `pairs` is what a model
has learned for two segments: their order, or whether the second follows. Below, models asked for
the other one of the two, and the first model applied more and fewer times than it has learned with.

As in the paper (4.4 to 4.6), all shared is worse than nothing shared, by .11 here and with 0.7 of
the parameters; sharing one half lies between, within what seeds differ; and neither of the two
tasks teaches the other. Unlike there, embeddings narrower than the layers cost much: where all is
this narrow, they are most of the model. What sentence pairs cost masked words is not more than
seeds differ. A depth more or less than in training costs .07 to .09, two more .28, two fewer .38.
All have

    {_TINY}
""",
    columns(_SMALL),
    (*ABLATIONS, *ASKED),
)
