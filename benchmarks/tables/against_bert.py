"""ALBERT against BERT from this code, and the paper's ablations in small (Lan et al., 2020, 4)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albatross.atomic import read_json
from albatross.training.run_log import read_log
from tables.files import write_shards
from tables.picture import draw
from tables.pretraining import FOUND, Trial, columns
from tables.table import Figures, Place, Table

_PROBED = (
    "SST-2, 2,000 rows",
    "MNLI, 9,000 rows",
    "QQP, 9,000 rows",
    "SQuAD 1.1, small",
    "RACE, small",
)
_SHOWS = ("size", "bytes", "memory", "speed", "tokens", "loss", "order", *_PROBED)
_SMALL = ("size", "tokens", "loss", "accuracy", "order")
_ALBERT = f"{FOUND} --variant albatross-mini"
_UNSHARED = "cross_layer_sharing=none num_hidden_groups=4"
_BERT = f"--objective nsp --shape {_UNSHARED} embedding_size=192 embedding_projection=false"
_TINY = f"{FOUND} --variant albatross-tiny --tokens 6000000"
_SEEDS = 2

RIVALS = tuple(
    Trial(name, f"{options} --tokens {tokens}".strip(), _SEEDS, _PROBED, _SHOWS, common=_ALBERT)
    for name, options, tokens in (
        ("ALBERT", "", 7_000_000),
        ("BERT, equal tokens", _BERT, 7_000_000),
        ("BERT, equal time", _BERT, 6_500_000),
    )
)


def _ablation(name: str, options: str = "") -> Trial:
    """Return a small run that differs from the first in one thing at most."""
    return Trial(name, options, _SEEDS, (), _SMALL, common=_TINY)


@dataclass(frozen=True)
class OtherDepth:
    """The first ablation's model, which has learned with four depths, applied with another number.

    Attributes:
        depths: how often its layer is applied
    """

    depths: int

    @property
    def name(self) -> str:
        """What it is called."""
        return f"applied {self.depths} times"

    def measure(self, place: Place) -> Figures:
        """Change the depth and measure held-out text, which a run of one step at no rate does."""
        learned = ABLATIONS[0].folder(place.work)
        out = place.work / "pretraining" / f"depth-{self.depths}"
        deep = out.with_name(f"{out.name}-start")
        for folder in (out, deep):
            shutil.rmtree(folder, ignore_errors=True)
        place.albatross("convert", learned, deep, "--layers", self.depths)
        options = ["--max-length", 64, "--evaluations", 0, "--steps", 1, "--learning-rate", 1e-9]
        place.albatross("pretrain", write_shards(place), out, "--from", deep, *options)
        found = [line["evaluation"] for line in read_log(out / "log.jsonl") if "evaluation" in line]
        return {"runs": [{**found[-1], "parameters": 0, "tokens": 0, "probes": {}}]}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return the cells of a trial, without a size and tokens of its own."""
        figures = found["runs"][0]
        names = ("masked_lm_loss", "masked_lm_accuracy", "sentence_order_accuracy")
        shown = [f"{figures[name]:.3f}".removeprefix("0") for name in names]
        return [self.name, "", "", *shown, f"`convert --layers {self.depths}`"]


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
tokens and after equal time. Means and deviations over two seeds, each fine-tuned once.
Speed and memory are those of one thread in training. All have

    {_ALBERT}
""",
    columns(_SHOWS),
    RIVALS,
    _picture,
)
ABLATIONS_TABLE = Table(
    "ablations",
    "The paper's ablations, in small",
    f"""
Width 128, 4 layers, 8,192 pieces, equal tokens, two seeds; each differs from the first row in what
its name says. Wider models need several times the tokens before they part. Below, the first model
applied more and fewer times than it has learned with. All have

    {_TINY}
""",
    columns(_SMALL),
    (*ABLATIONS, *(OtherDepth(depths) for depths in (2, 3, 5, 6, 8))),
)
