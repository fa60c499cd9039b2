"""An adapter merged into the weights that it is added to, where one exact weight results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.huggingface import Arrays
from albatross.config import AlbertConfig
from albatross.conversion.structure import Structured
from albatross.errors import ConfigError

_ADAPTERS = "albert.encoder.adapters."
_LAYERS = "albert.encoder.albert_layer_groups."


def is_mergeable(config: AlbertConfig) -> bool:
    """Whether every weight has one adapter over it that is linear: LoRA that its depths share.

    >>> is_mergeable(AlbertConfig(adapter=AdapterSpec("lora", 8)))
    True
    >>> is_mergeable(AlbertConfig(adapter=AdapterSpec("lora", 8, per_depth=True)))
    False
    """
    spec = config.adapter
    if spec is None:
        return True
    numbers = [_adapters_of(config, spec, name) for name in _adapted(config, spec)]
    return spec.kind == "lora" and all(len(found) == 1 for found in numbers)


def merge_adapter(config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]) -> Structured:
    """Return the model without its adapter, whose part the weights have taken over.

    Raises:
        ConfigError: depths that share a weight have adapters of their own, or it is a bottleneck,
            which is no linear map.
    """
    spec = config.adapter
    if spec is None:
        return Structured(config, dict(arrays), preserving=True)
    if not is_mergeable(config):
        what = "a bottleneck" if spec.kind == "bottleneck" else "one per depth of shared layers"
        raise ConfigError(
            "An adapter can be merged into the weights if it is LoRA that is the same wherever a"
            f" weight is used. Received: {what}. Run this folder with torch as it is, or train it"
            " with `--adapt lora` without `--per-depth`."
        )
    made: Arrays = {n: a for n, a in arrays.items() if not n.startswith(_ADAPTERS)}
    for name in _adapted(config, spec):
        (number,) = _adapters_of(config, spec, name)
        prefix = f"{_ADAPTERS}{number}.{_part_of(name)}"
        up, down = (np.asarray(arrays[f"{prefix}.lora_{m}.weight"], np.float32) for m in "BA")
        weight = np.asarray(arrays[name], np.float32)
        made[name] = weight + np.float32(spec.scale) * (up @ down)
    return Structured(replace(config, adapter=None), made, preserving=True)


def _adapted(config: AlbertConfig, spec: AdapterSpec) -> list[str]:
    """Return the names of the weights that an adapter is added to."""
    names = []
    for part in spec.parts:
        of_attention = part.startswith("attention.")
        groups = config.num_attention_groups if of_attention else config.num_ffn_groups
        for group in range(groups):
            for inner in range(config.inner_group_num):
                names.append(f"{_LAYERS}{group}.albert_layers.{inner}.{part}.weight")
    return names


def _adapters_of(config: AlbertConfig, spec: AdapterSpec, name: str) -> set[int]:
    """Return the numbers of the adapters that are added to a weight at the depths that use it."""
    group, _, inner = name.removeprefix(_LAYERS).split(".")[:3]
    group_of = config.ffn_group_of
    if _part_of(name).startswith("attention."):
        group_of = config.attention_group_of
    repeats = [r for r in range(config.num_hidden_layers) if group_of(r) == int(group)]
    return {spec.number_of(repeat * config.inner_group_num + int(inner)) for repeat in repeats}


def _part_of(name: str) -> str:
    """Return the map that a weight belongs to, by its name in a layer."""
    return name.removeprefix(_LAYERS).removesuffix(".weight").split(".", 3)[3]
