"""Learning rates over the steps of a run, as factors of the peak rate."""

from __future__ import annotations

from typing import Literal

Schedule = Literal["linear", "wsd"]


def schedule_factor(
    schedule: Schedule, step: int, *, warmup_steps: int, total_steps: int, decay: float
) -> float:
    """Return the factor for a step of a named schedule.

    `linear` falls from the peak on; `wsd` stays there and falls in the last `decay` of the steps
    (warm-up, stable, decay: MiniCPM, 2024, section 4), so that a run can be prolonged from any
    step before.
    """
    if schedule == "linear":
        return linear_schedule(step, warmup_steps=warmup_steps, total_steps=total_steps)
    falling = max(1, round(total_steps * decay))
    return min(1.0, (step + 1) / warmup_steps, (total_steps - step) / falling)


def linear_schedule(step: int, *, warmup_steps: int, total_steps: int) -> float:
    """Return the factor for a step: straight up to 1, then straight down to 0 at the end.

    Continuous at its peak, unlike Google's, whose decay is counted from step 0.

    >>> [round(linear_schedule(s, warmup_steps=2, total_steps=6), 2) for s in range(7)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
