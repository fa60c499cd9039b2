"""What the value of a setting may be: its field's type, and the limits that go with its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

# Least and greatest value of a setting, by name, in whatever verb it stands.
LIMITS: Mapping[str, tuple[float, float]] = {
    "vocab_size": (16, 1_000_000),
    "character_coverage": (0.5, 1),
    "max_sentences": (1, 10**9),
    "tokens_per_shard": (1, 2**31),
    "held_out": (0, 0.5),
    "hold_out": (0, 0.5),
    "word_share": (0, 1),
    "steps": (1, 10**9),
    "epochs": (0.001, 10_000),
    "tokens": (16, 10**15),
    "batch_tokens": (16, 2**31),
    "batch_start": (0.001, 1),
    "batch_warmup": (0, 1),
    "micro_tokens": (16, 2**31),
    "random_depth": (1, 1_000),
    "max_predictions": (1, 65_536),
    "replay_share": (0.001, 0.999),
    "spike_factor": (0, 1e6),
    "ema": (0, 0.999999),
    "evaluations": (0, 100_000),
    "batch_size": (1, 2**20),
    "max_length": (16, 65_536),
    "masking_rate": (0.01, 0.9),
    "max_ngram": (1, 10),
    "short_fraction": (0, 1),
    "text_share": (0.0001, 1),
    "samples": (0, 1_000),
    "learning_rate": (1e-9, 10),
    "warmup": (0, 1),
    "decay": (0.001, 1),
    "weight_decay": (0, 10),
    "beta2": (0, 0.999999),
    "clip_norm": (1e-6, 1e6),
    "dropout": (0, 0.9),
    "layer_decay": (0.01, 1),
    "label_smoothing": (0, 0.9),
    "temperature": (0.01, 1_000),
    "rank": (1, 65_536),
    "target_length": (2, 65_536),
    "patience": (1, 100_000),
    "seeds": (1, 1_000),
    "stride": (1, 65_536),
    "seed": (0, 2**31),
    "threads": (1, 4_096),
    "workers": (1, 4_096),
    "min_characters": (0, 10**12),
    "max_characters": (1, 10**12),
    "near_threshold": (0.5, 1),
    "save_minutes": (0, 10_000),
    "limit": (1, 10**9),
    "max_loss": (0, 100),
    "bootstrap": (0, 100_000),
    "repeats": (1, 1_000),
    "groups": (1, 1_000),
    "layers": (1, 1_000),
    "depth_lora_rank": (0, 65_536),
    "sequence_length": (1, 65_536),
}
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "none",
}


def fitted(value: Any, kind: Any) -> Any:
    """Return a value as its field's type holds it: text may stand for a path, a list for a tuple.

    Raises:
        TypeError: it is of another type; the message names the right one.

    >>> [path.name for path in fitted("corpus/a.txt", tuple[Path, ...])]
    ['a.txt']
    """
    if get_origin(kind) is tuple:
        several = value if isinstance(value, list | tuple) else [value]
        return tuple(fitted(one, get_args(kind)[0]) for one in several)
    if get_origin(kind) is Union:  # a choice that may be left open; plain unions are below
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
        return value if value is None else fitted(value, kind)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise TypeError(f"one of {', '.join(get_args(kind))}")
        return value
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if type(value) in kinds:
        return value
    if (listed := next((one for one in kinds if get_origin(one) is tuple), None)) is not None:
        return fitted(value, listed)
    if Path in kinds and isinstance(value, str | os.PathLike):
        return Path(value)
    number = None if isinstance(value, bool) else value
    if int in kinds and isinstance(number, Integral):
        return int(number)
    if float in kinds and isinstance(number, Real):
        return float(number)
    raise TypeError(" or ".join(_NAMES[one] for one in kinds))


def broken_limit(name: str, value: Any) -> str | None:
    """Return the limits of a setting when its value lies outside them.

    >>> broken_limit("steps", 0)
    '1 and 1,000,000,000'
    """
    if name not in LIMITS or value is None:
        return None
    least, greatest = LIMITS[name]
    return None if least <= value <= greatest else f"{least:,} and {greatest:,}"
