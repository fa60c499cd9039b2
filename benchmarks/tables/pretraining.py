"""Pre-training runs as rows: a command, its held-out figures, and probes by a fixed fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from albatross.atomic import read_json
from albatross.checkpoints.safetensors_file import read_header
from tables.files import write_shards, write_tables
from tables.table import Figures, Place, spread

COMMON = (
    "--precision bfloat16 --max-length 64 --batch-tokens 2048 --max-ngram 1 --masking-rate 0.2"
    " --position-start sinusoidal --evaluations 4"
)
"""What all runs of a search have unless they say otherwise."""
PROBES = {
    "SST-2, 2,000 rows": "--task sst2 --data {data}/glue --limit 2000 --epochs 4 --dropout 0.1",
    "SST-2": "--task sst2 --data {data}/glue --epochs 2",
    "TREC": "--train {work}/trec/train.tsv --dev {work}/trec/test.tsv",
    "MNLI, 9,000 rows": "--task mnli --data {data}/glue",
    "QQP, 9,000 rows": "--task qqp --data {data}/glue --metric accuracy",
}
"""How a pre-trained folder is judged, always alike: options of `albatross finetune`."""
_PROBE_COMMON = "--precision bfloat16 --seeds 2"


@dataclass(frozen=True)
class Trial:
    """One pre-training, with one seed or several.

    Attributes:
        name: what it is called, and its folder
        options: of `albatross pretrain`, beside those of COMMON
        seeds: how many runs
        probes: keys of PROBES
        shards: the folder that it reads, below {work} if not given in full
    """

    name: str
    options: str
    seeds: int = 1
    probes: tuple[str, ...] = ()
    shards: str = "{work}/shards"

    def measure(self, place: Place) -> Figures:
        """Train and probe with every seed."""
        write_shards(place)
        return {"runs": [self._run(place, seed) for seed in range(self.seeds)]}

    def cells(self, found: Mapping[str, Figures]) -> list[str]:
        """Return name, parameters, tokens, held-out figures, probes and the command."""
        runs = found["runs"]
        assert isinstance(runs, list)
        losses = [run["masked_lm_loss"] for run in runs]
        orders = [run.get("sentence_order_accuracy", 0) for run in runs]
        probes = [
            spread(_over_seeds([run["probes"][name] for run in runs]))
            if name in runs[0]["probes"]
            else "-"
            for name in PROBES
        ]
        return [
            self.name,
            f"{runs[0]['parameters'] / 1e6:.2f}",
            f"{runs[0]['tokens'] / 1e6:.1f}",
            f"{mean(losses):.3f}" + (f" ± {stdev(losses):.3f}" if len(losses) > 1 else ""),
            f"{mean(run['masked_lm_accuracy'] for run in runs):.3f}",
            f"{mean(orders):.3f}" if any(orders) else "-",
            *probes,
            f"`{self.options}`",
        ]

    def folder(self, place: Place, seed: int = 0) -> Path:
        """Return where the run of a seed is."""
        return place.work / "pretraining" / f"{self.name.replace(' ', '-')}-{seed}"

    def _run(self, place: Place, seed: int) -> Figures:
        """Train with one seed, and return its figures."""
        out = self.folder(place, seed)
        out.parent.mkdir(parents=True, exist_ok=True)
        words = [*place.filled(self.shards), out, *COMMON.split()]
        words += [*place.filled(self.options), "--seed", seed]
        if place.threads is not None:
            words += ["--threads", place.threads]
        if not (out / "run.json").is_file():
            place.albatross("pretrain", *words)
        run = read_json(out / "run.json")
        shapes = [entry.shape for entry in read_header(out / "model.safetensors").values()]
        figures = {key: value for key, value in run["metrics"].items() if value is not None}
        return {
            **figures,
            "parameters": sum(_product(shape) for shape in shapes),
            "probes": {name: self._probe(place, out, name) for name in self.probes},
        }

    def _probe(self, place: Place, folder: Path, name: str) -> Figures:
        """Fine-tune on one probe, and return its figures over seeds."""
        write_tables(place)
        key = "".join(c if c.isalnum() else "-" for c in name.lower())
        out = place.work / "probes" / f"{folder.name}-{key}"
        out.parent.mkdir(parents=True, exist_ok=True)
        words = [*place.filled(PROBES[name]), *_PROBE_COMMON.split()]
        if place.limit is not None:
            words += ["--limit", place.limit, "--epochs", 1]
        if not (out / "run.json").is_file():
            place.albatross("finetune", folder, out, *words)
        found: Figures = read_json(out / "run.json")["seeds"]
        return found


def _over_seeds(found: list[Figures]) -> Figures:
    """Return the mean and the deviation over all fine-tunings of all runs."""
    values = [value for each in found for value in each["by_seed"].values()]
    return {
        "mean": mean(values),
        "deviation": stdev(values) if len(values) > 1 else 0.0,
        "by_seed": dict(enumerate(values)),
    }


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
