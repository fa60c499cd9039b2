"""In which precision products are computed; what `--precision auto` means on a run's devices."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch

from albatross.errors import AlbatrossWarning
from albatross.settings.training import TrainingSettings
from albatross.training.distributed import World
from albatross.training.matrix_peak import matrix_peak

Precision = Literal["float32", "bfloat16", "float16"]
Settings = TypeVar("Settings", bound=TrainingSettings)
# By what torch calls them; others, such as ARM's, have not been measured.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
# Products must be so many times as fast for a step to gain by it, a third of which is other work.
_PAYS = 1.5


def on_devices(settings: Settings, world: World) -> Settings:
    """Return settings with the precision that `auto` means here; others as they are.

    All processes must call it, and compute alike: in bfloat16 only if each is faster in it.
    What was chosen stands in `run.json`, so that an interrupted run does not go on elsewhere in
    another one. Who asks for bfloat16 where it is known to be slow gets it, and a warning.
    """
    able = _gains_by_bfloat16(world.device)
    if settings.precision == "auto":
        all_able = world.sum([able is True])[0] == world.size
        return replace(settings, precision="bfloat16" if all_able else "float32")
    if settings.precision == "bfloat16" and able is False and world.is_first:
        warnings.warn(
            "`--precision bfloat16` pays where a device multiplies faster in it than in 32 bits."
            f" Received: a {'GPU' if world.device.type == 'cuda' else 'processor'} that does not."
            " Leave it to `--precision auto`.",
            AlbatrossWarning,
            stacklevel=2,
        )
    return settings


def _gains_by_bfloat16(device: torch.device) -> bool | None:
    """Whether a device has instructions for it, and a processor is faster by them.

    Some are not: those of Intel whose tiles (AMX) a virtual machine hides take twice as long as in
    32 bits. None where it cannot be told.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch from 2.6 on can tell.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not known:
        return None
    if not any(known.get(name) for name in _INSTRUCTIONS):
        return False
    return matrix_peak(device, torch.bfloat16) >= _PAYS * matrix_peak(device, torch.float32)
