"""What an inspection finds, as plain values; how it is shown is known elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from albatross.data.masking_rate import MaskingFigures
from albatross.inspection.probe import ProbeResult
from albatross.inspection.shown import ShownSample


@dataclass(frozen=True)
class LengthFigures:
    """How long samples are: `bars` are shares of samples of up to so many tokens."""

    mean: float
    full: float
    bars: dict[int, float]


@dataclass(frozen=True)
class Inspection:
    """Everything that `albatross inspect` shows.

    Attributes:
        folder: the shards
        objective: what sentence labels mean
        facts: what the folder holds, by name
        lengths: of the samples of training
        labels: share of samples with each sentence label
        masking: how much is predicted
        samples: some of the first of training
        probes: accuracy of telling labels from topic, by the way samples are made; None where there
            are too few pairs
        verdict: what the probes say of the objective
    """

    folder: str
    objective: str
    facts: dict[str, str]
    lengths: LengthFigures
    labels: dict[str, float]
    masking: MaskingFigures
    samples: list[ShownSample]
    probes: dict[str, ProbeResult | None]
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        values = {name: value for name, value in vars(self).items() if name != "samples"}
        for name in ("lengths", "masking"):
            values[name] = asdict(values[name])
        values["probes"] = {name: found and asdict(found) for name, found in self.probes.items()}
        values["samples"] = [sample.to_dict() for sample in self.samples]
        return values
