"""In which precision products are computed; what `--precision auto` means on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch

from albatross.settings.training import TrainingSettings

Precision = Literal["float32", "bfloat16", "float16"]
Settings = TypeVar("Settings", bound=TrainingSettings)
# By what torch calls them; others, such as ARM's, have not been measured.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def on_device(settings: Settings, device: torch.device) -> Settings:
    """Return settings with the precision that `auto` means on a device; others as they are.

    It stands in `run.json`, so that an interrupted run does not go on elsewhere in another one.
    """
    if settings.precision != "auto":
        return settings
    return replace(settings, precision="bfloat16" if _multiplies_bfloat16(device) else "float32")


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for it: without them it is slower than 32 bits."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not every torch from 2.6 on can tell.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name) for name in _INSTRUCTIONS)
