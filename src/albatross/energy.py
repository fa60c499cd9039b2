"""How much energy a piece of work took: counted where the machine counts, else estimated.

Processors of Intel and AMD count the energy they take (RAPL). Linux shows the counts as files, one
per processor, which only root may read unless it is allowed. The count is of the whole processor,
and of its memory where that has a counter of its own, so other work on the machine is in it.

Without such counters, the time for which cores were busy with this process is multiplied by 12
watts: what "Green algorithms: quantifying the carbon footprint of computation" (Lannelongue et al.,
2021) has its calculator assume for a core of an unknown processor. It is an estimate of the right
order: a core of a large server takes a third of it. Memory and other processes are not in it.

An accelerator is asked for its power whenever the meter is read. Power supplies and cooling are in
no figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
WATTS_PER_CORE = 12.0
_JOULES_PER_WATT_HOUR = 3600.0


class EnergyMeter:
    """Adds up the energy taken since it was made; one for each machine that takes part.

    >>> meter = EnergyMeter(Path("none"), processor_time=iter([0.0, 600.0]).__next__)
    >>> meter.read()
    2.0
    >>> meter.method
    'estimated: 12 W for every busy core'

    Attributes:
        method: how the figure comes about, in words.
        watt_hours: the energy up to the last reading.
    """

    def __init__(
        self,
        counters: Path = COUNTERS,
        *,
        accelerator_watts: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        processor_time: Callable[[], float] = time.process_time,
    ) -> None:
        """Find the counters and begin.

        Args:
            counters: the folder in which Linux shows them.
            accelerator_watts: tells what the accelerators of the machine take now.
            clock: tells the time.
            processor_time: tells for how many seconds cores were busy with this process.
        """
        self._counters = _readable(counters)
        self._watts, self._clock, self._busy = accelerator_watts, clock, processor_time
        self.watt_hours = 0.0
        counted = "counted by the processor (RAPL)"
        assumed = f"estimated: {WATTS_PER_CORE:.0f} W for every busy core"
        self.method = counted if self._counters else assumed
        if accelerator_watts is not None:
            self.method += ", and the accelerator's power as it tells it"
        self._last_busy = 0.0 if self._counters else processor_time()
        self._last_time = clock()
        self._last_watts = accelerator_watts() if accelerator_watts else 0.0

    def read(self) -> float:
        """Return the watt-hours so far.

        To be asked every few seconds with an accelerator, whose power is taken to change evenly
        between two readings, and every half hour without, before a counter has gone round twice.
        """
        if self._counters:
            joules = sum(counter.passed() for counter in self._counters)
        else:
            before, self._last_busy = self._last_busy, self._busy()
            joules = WATTS_PER_CORE * (self._last_busy - before)
        if self._watts is not None:
            now, watts = self._clock(), self._watts()
            joules += (now - self._last_time) * (watts + self._last_watts) / 2
            self._last_time, self._last_watts = now, watts
        self.watt_hours += joules / _JOULES_PER_WATT_HOUR
        return self.watt_hours


class _Counter:
    """A counter of the processor; it begins again at 0 when it is full."""

    def __init__(self, folder: Path) -> None:
        """Look at it for the first time."""
        self._path = folder / "energy_uj"
        self._full = _number(folder / "max_energy_range_uj")
        self._last = _number(self._path)

    def passed(self) -> float:
        """Return the joules since it was looked at last."""
        before, self._last = self._last, _number(self._path)
        around = self._full if self._last < before else 0
        return (self._last - before + around) / 1_000_000


def _readable(folder: Path) -> list[_Counter]:
    """Return the counters of whole processors and of their memory, if they may be read.

    Counters of cores are part of a processor's, and that of the platform contains it.
    """
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):  # so called on AMD's too
        try:
            name = (zone / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                found.append(_Counter(zone))
        except (OSError, ValueError):
            return []
    return found


def _number(path: Path) -> int:
    """Return the number that a file shows."""
    return int(path.read_text())
