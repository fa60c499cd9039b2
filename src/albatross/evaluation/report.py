"""What an evaluation finds: the figures with their intervals, and what lies behind them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from albatross.metrics.intervals import Interval


@dataclass(frozen=True)
class PartScore:
    """The main figure of a part of the records, or after one depth of the model."""

    name: str
    records: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelRow:
    """Scores of one label or one type of entity; `support` is how often it is expected."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confusion:
    """How often a label is answered where another one, or the same, is expected."""

    expected: str
    answered: str
    count: int


@dataclass(frozen=True)
class Calibration:
    """Whether the model is as often right as it says.

    Attributes:
        counts: answers by their probability, in bins of equal width
        confidence: mean probability of each bin; 0 where it is empty
        accuracy: share of right answers of each bin
        error: the expected calibration error over all records
        brier: the Brier score over all records
        temperature: fitted on half of the records
        half_error: the expected calibration error on the other half, as the model is
        half_error_tempered: there, at that temperature
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]
    error: float
    brier: float
    temperature: float
    half_error: float
    half_error_tempered: float


@dataclass(frozen=True)
class NoAnswer:
    """Thresholds above which a question counts as said to have no answer.

    `threshold` is the model's own; the best ones are tuned on this very file, which flatters them.
    """

    threshold: float
    best_exact: float
    best_exact_threshold: float
    best_f1: float
    best_f1_threshold: float


@dataclass(frozen=True)
class Mistake:
    """A record that was answered wrongly; `score` is how sure, or how wrong, the answer was."""

    place: str
    text: str
    expected: str
    answered: str
    score: float


@dataclass(frozen=True)
class Report:
    """How a model did on a file.

    Attributes:
        model: as it was named
        records_file: likewise
        task: the task's name
        kind: and its kind
        records: how many there are
        main_metric: the figure that counts, a key of `metrics`
        metrics: the figures by name
        intervals: those of the figures that were resampled, at 95 %
        labels: scores of each label, where there are labels
        confusions: of labels, the most frequent first
        calibration: of answers with probabilities
        no_answer: of questions that may have no answer
        depths: the main figure after each depth of a model with exits
        lengths: the main figure by the length of the text
        subsets: the main figure by the subset that the file names
        mistakes: the worst ones
        run: what was run, on what and with which versions
    """

    model: str
    records_file: str
    task: str
    kind: str
    records: int
    main_metric: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    labels: tuple[LabelRow, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    calibration: Calibration | None = None
    no_answer: NoAnswer | None = None
    depths: tuple[PartScore, ...] = ()
    lengths: tuple[PartScore, ...] = ()
    subsets: tuple[PartScore, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints and `report.json` holds; what is not finite is null."""
        found: dict[str, Any] = _finite(asdict(self))
        return found

    def __str__(self) -> str:
        """Return a short table."""
        width = max(map(len, self.figures)) + (2 if not self.depths else 18)
        rows = [f"  {'metric':<{width}}{'value':>8}   95 % interval"]
        for name, value in self.figures.items():
            row = f"  {name:<{width}}{shown(value):>8}"
            if (interval := self.intervals.get(name)) is not None:
                row += f"   {shown(interval.low)} to {shown(interval.high)}"
            rows.append(row)
        for depth in self.depths:
            name = f"{self.main_metric} after depth {depth.name}"
            rows.append(
                f"  {name:<{width}}{shown(depth.score):>8}   {shown(depth.low)} to"
                f" {shown(depth.high)}"
            )
        if any(map(is_tuned, self.metrics)):
            rows.append("  Figures named best are tuned on this very file.")
        return "\n".join([f"{self.title}: {self.records:,} records", *rows])

    @property
    def figures(self) -> dict[str, float]:
        """The figures without the count of records, the main one first."""
        names = sorted(filter(is_figure, self.metrics), key=lambda name: name != self.main_metric)
        return {name: self.metrics[name] for name in names}

    @property
    def following(self) -> str:
        """What to do next: look at the page, or have one written."""
        folder = self.run.get("settings", {}).get("report")
        if folder is not None:
            return f"open {shlex.quote(folder)}/report.html in a browser"
        words = ("albatross", "evaluate", self.model, self.records_file, "--report", "runs/report")
        return shlex.join(words)

    @property
    def title(self) -> str:
        """What was scored on what."""
        return f"{self.model} on {self.records_file}"


def shown(value: float) -> str:
    """Return a figure as tables have it.

    >>> shown(0.91234), shown(27.2), shown(12_000)
    ('0.9123', '27.20', '12,000')
    """
    if not math.isfinite(value):
        return "-"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def is_figure(name: str) -> bool:
    """Return whether a metric says how good a model is, and not how many records there are."""
    return name != "records"


def is_tuned(name: str) -> bool:
    """Return whether a figure is one of a threshold that was tuned on the file it is of."""
    return name.startswith("best_")


def _finite(value: Any) -> Any:
    """Return a value as JSON may hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
