"""In which precision products are computed; what `--precision auto` means on a run's devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch

from albatross.settings.training import TrainingSettings
from albatross.training.distributed import World

Precision = Literal["float32", "bfloat16", "float16"]
Settings = TypeVar("Settings", bound=TrainingSettings)
# By what torch calls them; others, such as ARM's, have not been measured.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def on_devices(settings: Settings, world: World) -> Settings:
    """Return settings with the precision that `auto` means here; others as they are.

    All processes must call it, and compute alike: in bfloat16 only if each has instructions for it.
    What was chosen stands in `run.json`, so that an interrupted run does not go on elsewhere in
    another one.
    """
    if settings.precision != "auto":
        return settings
    able = world.sum([_multiplies_bfloat16(world.device)])[0] == world.size
    return replace(settings, precision="bfloat16" if able else "float32")


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for it: without them it is slower than 32 bits."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch from 2.6 on can tell.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name) for name in _INSTRUCTIONS)
