"""How long a run is, and its learning rate on the way, as a factor of the peak rate.

Nothing here reads a clock: how far a run is comes as an argument, so that a run that is replayed
from its log takes the same rates again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from albatross.errors import ConfigError

Schedule = Literal["linear", "wsd", "cosine"]
# Of a budget, before any step was timed: a run of ten thousand steps.
_FIRST_UNIT = 1e-4
_BUDGET = re.compile(
    r"(?:(?P<d>[\d.]+)d)?(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s)?"
)
_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}


def schedule_factor(
    schedule: Schedule, fraction: float, unit: float, *, warmup: float, decay: float
) -> float:
    """Return the factor for the step that begins when `fraction` of the run is done.

    Every schedule rises straight to 1 and is 0 at the end. `linear` falls from the peak on, without
    the jump of Google's, whose decay is counted from step 0. `wsd` stays at the peak and falls in
    the last `decay` of the run (warm-up, stable, decay: MiniCPM, 2024, section 4), so that a run
    can be prolonged from any step before. `cosine` falls slowly, fast, and slowly (SGDR, 2017,
    equation 5, without restarts).

    Args:
        schedule: its name.
        fraction: share of the run done before the step.
        unit: share of the run that the step takes; a rise or fall lasts one step at least.
        warmup: share of the run in which the rate rises.
        decay: share of the run in which the rate of `wsd` falls.

    >>> [round(schedule_factor("linear", s / 6, 1 / 6, warmup=1 / 3, decay=1), 2) for s in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    rise = _share(fraction + unit, max(warmup, unit))
    left = max(0.0, 1.0 - fraction)
    if schedule == "wsd":
        return min(rise, _share(left, max(decay, unit)))
    fall = _share(left, max(1.0 - warmup, unit))
    if schedule == "cosine":
        fall = (1.0 - math.cos(math.pi * fall)) / 2
    return min(rise, fall)


@dataclass(frozen=True)
class Extent:
    """How long a run is: a number of steps, of tokens, or of seconds. One of them is given.

    >>> Extent(steps=8).fraction(step=2, tokens=512, seconds=3.0)
    0.25
    """

    steps: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check that one is given."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1 or min(given.values()) <= 0:
            raise ConfigError(
                "A run's length must be one of steps, tokens and seconds, above 0. Received:"
                f" {given or 'none'}. Give one of them."
            )

    def fraction(self, step: int, tokens: int, seconds: float) -> float:
        """Return the share of the run that is done after so many steps, tokens and seconds.

        Under a budget of seconds it has six digits, as in the log: what is read back from there
        is what was trained with.
        """
        if self.steps is not None:
            return step / self.steps
        if self.tokens is not None:
            return tokens / self.tokens
        assert self.seconds is not None
        return float(f"{seconds / self.seconds:.6g}")

    def unit(self, fraction: float, step: int, batch_tokens: int) -> float:
        """Return the share of the run that the next step takes; under a budget, the mean so far.

        It follows from the fraction and not from the clock, so that a replayed step, and every
        process of a run, has the same.

        Args:
            fraction: share of the run that is done.
            step: how many steps are done.
            batch_tokens: tokens of the next step.
        """
        if self.steps is not None:
            return 1 / self.steps
        if self.tokens is not None:
            return batch_tokens / self.tokens
        return fraction / step if step and fraction else _FIRST_UNIT


def parse_budget(text: str) -> float:
    """Return the seconds of a span of time: days, hours, minutes and seconds.

    Raises:
        ConfigError: it is none, or no longer than nothing.

    >>> parse_budget("45m"), parse_budget("1h30m"), parse_budget("90s")
    (2700.0, 5400.0, 90.0)
    """
    found = _BUDGET.fullmatch(text.strip().lower().replace(" ", ""))
    try:
        parts = {k: float(v) for k, v in found.groupdict().items() if v} if found else {}
    except ValueError:  # such as 1.2.3h
        parts = {}
    seconds = sum(value * _SECONDS[name] for name, value in parts.items())
    if seconds <= 0:
        raise ConfigError(
            "A budget must be a span of time above 0 in d, h, m and s, in this order. Received:"
            f" {text!r}. Write it as in 45m, 1h30m or 90s."
        )
    return seconds


def _share(part: float, whole: float) -> float:
    """Return a part as a share of a whole, 1 at most; all of nothing is 1."""
    return 1.0 if part >= whole else part / whole
