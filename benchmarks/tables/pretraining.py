"""Pre-training runs as rows: a command, its held-out figures, and probes by a fixed fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from albatross.atomic import read_json
from albatross.checkpoints.safetensors_file import read_header
from albatross.training.run_log import read_log
from tables.files import write_sentences, write_shards, write_tables
from tables.table import Figures, Place, seeds_of, slug, spread

_ALL = "--precision bfloat16 --max-length 64 --batch-tokens 2048 --max-ngram 1 --evaluations 4"
SEARCHED = f"{_ALL} --masking-rate 0.2 --optimizer adamw --learning-rate 1e-3"
"""What the runs of the search have unless they say otherwise."""
FOUND = f"{_ALL} --masking-rate 0.3 --optimizer muon --learning-rate 2e-3"
"""What the search found, and all runs after it have."""
PROBES = {
    "SST-2, 2,000 rows": "--task sst2 --train {work}/sst2/train.tsv --dev {work}/sst2/dev.tsv"
    " --limit 2000 --epochs 4 --dropout 0.1",
    "SST-2": "--task sst2 --train {work}/sst2/train.tsv --dev {work}/sst2/dev.tsv --epochs 2",
    "TREC": "--train {work}/trec/train.tsv --dev {work}/trec/test.tsv",
    "MNLI, 9,000 rows": "--task mnli --data {data}/glue --mark-shared no",
    "QQP, 9,000 rows": "--task qqp --data {data}/glue --metric accuracy --mark-shared no",
    "SQuAD 1.1, small": "--task squad1 --train {data}/squad/v1.1/train-v1.1-articles.json.gz"
    " --dev {data}/squad/v1.1/dev-v1.1-xquad-en.json.gz --mark-shared no",
    "RACE, small": "--task race --data {data}/race --epochs 1 --max-length 256 --mark-shared no",
}
"""How a pre-trained folder is judged, always alike: options of `albatross finetune`.

What both texts of a pair have is not marked, so that what a model sees by itself is told apart.
"""
# Points of a curve.
_POINTS = 60
_FIGURES = {
    "loss": ("masked words, loss", "masked_lm_loss"),
    "accuracy": ("right", "masked_lm_accuracy"),
    "order": ("pairs", "sentence_order_accuracy"),
}


@dataclass(frozen=True)
class Trial:
    """One pre-training, with one seed or several.

    Attributes:
        name: what it is called, and its folder
        options: of `albatross pretrain`, beside those that all rows have
        seeds: how many runs
        probes: keys of PROBES
        shows: the cells beside name and command: size, bytes, tokens, keys of _FIGURES and of
            PROBES
        pieces: of the vocabulary
        shards: the folder that it reads; that of the pre-training text when not given
        common: options that all rows of the table have, which its text says
    """

    name: str
    options: str
    seeds: int = 1
    probes: tuple[str, ...] = ()
    shows: tuple[str, ...] = ("size", "tokens", "loss", "accuracy", "order")
    pieces: int = 8_192
    shards: str = ""
    common: str = FOUND

    def measure(self, place: Place) -> Figures:
        """Train and probe with every seed."""
        return {"runs": [self._run(place, seed) for seed in range(self.seeds)]}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return name, what is shown, and the command's options."""
        shown = [shown_figure(key, found["runs"]) for key in self.shows]
        options = self.options.replace("{work}", "WORK")
        return [self.name, *shown, f"`{options}`" if options else ""]

    def folder(self, work: Path, seed: int = 0) -> Path:
        """Return where the run of a seed is."""
        return work / "pretraining" / f"{slug(self.name)}-{seed}"

    def made(self, place: Place, seed: int) -> Path:
        """Train with one seed, and return the folder."""
        (shards,) = place.filled(self.shards) or [write_shards(place, self.pieces)]
        words = [*self.common.split(), *place.filled(self.options), "--seed", seed]
        if place.threads is not None:
            words += ["--threads", place.threads]
        if place.limit is not None:
            words += ["--tokens", 1_000 * place.limit]
        return place.make("pretrain", shards, self.folder(place.work, seed), *words)

    def _run(self, place: Place, seed: int) -> Figures:
        """Train with one seed, and return its figures."""
        out = self.made(place, seed)
        run = read_json(out / "run.json")
        weights = out / "model.safetensors"
        shapes = [entry.shape for entry in read_header(weights).values()]
        return {
            **run["metrics"],
            "curve": _curve(out),
            "tokens": run["progress"]["tokens"],
            "parameters": sum(prod(shape) for shape in shapes),
            "bytes": weights.stat().st_size,
            "probes": {name: self._probe(place, out, name) for name in self.probes},
        }

    def _probe(self, place: Place, folder: Path, name: str) -> Figures:
        """Fine-tune on one probe, and return its figures over seeds."""
        write_tables(place)
        write_sentences(place)
        out = place.work / "probes" / f"{folder.name}-{slug(name)}"
        # Two figures at least: of two runs one each, of a single run two.
        words = [*place.filled(PROBES[name]), "--seed", 0]
        words += ["--seeds", 2 if self.seeds == 1 else 1]
        if place.limit is not None:
            words += ["--limit", place.limit, "--epochs", 1]
        place.make("finetune", folder, out, *words)
        task = next(iter(read_json(out / "task.json").values()))
        return seeds_of(read_json(out / "run.json"), task.get("metric", "accuracy"))


def _curve(folder: Path) -> dict[str, list[float]]:
    """Return how a run learned: masked-word losses, each the mean of equally many steps."""
    lines = [line for line in read_log(folder / "log.jsonl") if "masked_lm_loss" in line]
    parts = [part for part in np.array_split(np.arange(len(lines)), _POINTS) if len(part)]
    losses = [float(np.mean([lines[i]["masked_lm_loss"] for i in part])) for part in parts]
    return {"loss": [round(loss, 4) for loss in losses]}


def columns(shows: tuple[str, ...]) -> tuple[str, ...]:
    """Return the heads of a table of trials."""
    heads = {
        "size": "M parameters",
        "bytes": "MB",
        "speed": "tokens/s",
        "memory": "MB in training",
        "tokens": "M tokens",
        "QQP, 9,000 rows": "QQP, 9,000 rows, accuracy",
        **{key: head for key, (head, _) in _FIGURES.items()},
    }
    return ("run", *(heads.get(key, key) for key in shows), "options")


def shown_figure(key: str, runs: list[Figures]) -> str:
    """Return the cell of a key over the runs of a trial: of one figure plain, else its spread."""
    plain = {
        "size": lambda run: f"{run['parameters'] / 1e6:.2f}",
        "bytes": lambda run: f"{run['bytes'] / 1e6:.1f}",
        "tokens": lambda run: f"{run['tokens'] / 1e6:.1f}",
    }
    if key in plain:
        return plain[key](runs[0])
    if key in _FIGURES:
        values = [run[_FIGURES[key][1]] for run in runs if _FIGURES[key][1] in run]
    else:
        found = [run["probes"][key] for run in runs if key in run["probes"]]
        values = [value for each in found for value in each["by_seed"].values()]
    if not values:
        return "-"
    deviation = stdev(values) if len(values) > 1 else 0.0
    return spread(
        {"mean": mean(values), "deviation": deviation, "by_seed": dict(enumerate(values))}
    )
