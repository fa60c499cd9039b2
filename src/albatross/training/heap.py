"""How freed memory is kept or given back between the tensors of a step, where libc lets one say."""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1
# What is larger is a tensor of many rows.
_TENSOR = 2**20


def tune_heap(prefer: Literal["speed", "memory"]) -> bool:
    """Tell this process's allocator what matters; False where it takes no such word.

    `speed` keeps all that was freed for the next step: asking the system for it anew took a tenth
    of a step. `memory` gives every large tensor back at once: with activation checkpointing, large
    tensors come and go between small ones that stay, and the holes between them had taken three
    times what was alive.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    settings = {
        "speed": {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: _LARGEST},
        "memory": {_MMAP_THRESHOLD: _TENSOR, _TRIM_THRESHOLD: _TENSOR},
    }
    return all(libc.mallopt(option, value) == 1 for option, value in settings[prefer].items())
