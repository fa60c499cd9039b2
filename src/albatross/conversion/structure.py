"""One structure of layers into another: merge, un-share, grow, with or without depth residuals.

Every new layer takes the place of old ones: new repeat r of L' stands where old repeat
r * L // L' of L stood, and a new group takes what its repeats took. One old layer is copied; of
several the weights are averaged by use, or one is picked. What a merged layer lost at each depth
can be kept as a residual of low rank (Relaxed Recursive Transformers, 2024, section 3).

More groups of the same depth compute the same function, exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.huggingface import Arrays
from albatross.config import AlbertConfig
from albatross.errors import ConfigError
from albatross.progress import Progress

Merge = Literal["average", "first", "middle", "last"]
FloatArray = NDArray[np.float32]
ATTENTION_MAPS = ("attention.query", "attention.key", "attention.value", "attention.dense")
FFN_MAPS = ("ffn", "ffn_output")
ATTENTION_NORM, FFN_NORM = "attention.LayerNorm", "full_layer_layer_norm"
_ATTENTION = (*ATTENTION_MAPS, ATTENTION_NORM)
_MODULES = (*_ATTENTION, *FFN_MAPS, FFN_NORM)
_LAYERS = "albert.encoder.albert_layer_groups."
_RESIDUALS = "albert.encoder.depth_residuals."


@dataclass(frozen=True)
class Structured:
    """A model of another structure.

    Attributes:
        config: its configuration
        arrays: its tensors
        preserving: whether it must compute the same function
    """

    config: AlbertConfig
    arrays: Arrays
    preserving: bool


def restructure(
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    *,
    groups: int | None = None,
    layers: int | None = None,
    merge: Merge = "average",
    depth_lora_rank: int | None = None,
    progress: Progress | None = None,
) -> Structured:
    """Return the model with other groups, another depth, or residuals of another rank.

    Args:
        config: of the model as it is.
        arrays: its tensors.
        groups: how many distinct layers there shall be; as many as now when not given.
        layers: how many times layers are applied; as often as now when not given.
        merge: what becomes of several layers where one shall be.
        depth_lora_rank: rank of the residuals; 0 for none; as now when not given and nothing else
            changes.
        progress: told the share that is done.

    Raises:
        ConfigError: the counts do not divide, or the rank is larger than the layers are wide.
    """
    new = _new_config(config, groups, layers, depth_lora_rank)
    if new == config:
        return Structured(config, dict(arrays), preserving=True)
    nested = new.num_hidden_groups % config.num_hidden_groups == 0
    if nested and config.depth_lora_rank and config.depth_lora_rank == new.depth_lora_rank:
        return _with_old_residuals(config, arrays, new)
    kept = {n: a for n, a in arrays.items() if not n.startswith((_LAYERS, _RESIDUALS))}
    old_layers = _LayersByDepth(config, arrays)
    made: Arrays = {}
    preserving = new.num_hidden_layers == config.num_hidden_layers
    sources = [_sources(config, new, group) for group in range(new.num_hidden_groups)]
    for inner in range(config.inner_group_num):
        for group, repeats in enumerate(sources):
            for module in _MODULES:
                shared = old_layers.merged(module, repeats, inner, merge)
                prefix = f"{_LAYERS}{group}.albert_layers.{inner}.{module}"
                made[f"{prefix}.weight"], made[f"{prefix}.bias"] = shared.weight, shared.bias
                preserving &= shared.is_copy or new.depth_lora_rank >= config.hidden_size
                if new.depth_lora_rank:
                    made |= _residuals(old_layers, new, group, inner, module, shared)
            if progress is not None:
                done = inner * len(sources) + group + 1
                progress.advance(1 / (len(sources) * config.inner_group_num), f"layer {done}")
    return Structured(new, kept | made, preserving)


def plain(config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]) -> Structured:
    """Return the same function with whole layers alone, as others know them.

    Residuals are added into their layers, and a block that is shared apart is copied to where it is
    used; both need a group for every depth.
    """
    if not config.depth_lora_rank and config.cross_layer_sharing in ("all", "none"):
        return Structured(config, dict(arrays), preserving=True)
    layers = config.num_hidden_layers
    return restructure(config, arrays, groups=layers, depth_lora_rank=0)


@dataclass(frozen=True)
class _Map:
    """Weight and bias of one module, and whether they are those of one old layer."""

    weight: FloatArray
    bias: FloatArray
    is_copy: bool = True


class _LayersByDepth:
    """The old layers as each depth uses them, residuals added."""

    def __init__(self, config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Take a model."""
        self.config = config
        self.arrays = arrays

    def key(self, module: str, repeat: int) -> int:
        """Return a number that is equal where two repeats use the same weights."""
        if self.config.depth_lora_rank:
            return repeat
        return self._group(module, repeat)

    def module(self, module: str, repeat: int, inner: int) -> _Map:
        """Return a module as one repeat uses it."""
        prefix = f"{_LAYERS}{self._group(module, repeat)}.albert_layers.{inner}.{module}"
        weight, bias = self._array(f"{prefix}.weight"), self._array(f"{prefix}.bias")
        if not self.config.depth_lora_rank:
            return _Map(weight, bias)
        depth = repeat * self.config.inner_group_num + inner
        added = f"{_RESIDUALS}{depth}.{module}"
        bias = bias + self._array(f"{added}.bias")
        if module in (ATTENTION_NORM, FFN_NORM):
            return _Map(weight + self._array(f"{added}.weight"), bias)
        up, down = self._array(f"{added}.lora_B.weight"), self._array(f"{added}.lora_A.weight")
        return _Map(weight + up @ down, bias)

    def merged(self, module: str, repeats: list[int], inner: int, merge: Merge) -> _Map:
        """Return one module in the place of those that these repeats use."""
        uses = Counter(self.key(module, repeat) for repeat in repeats)
        one_of = {self.key(module, repeat): repeat for repeat in repeats}
        if len(uses) == 1 or merge != "average":
            at = {"first": 0, "middle": len(repeats) // 2, "last": -1}.get(merge, 0)
            picked = self.module(module, repeats[at], inner)
            return replace(picked, is_copy=len(uses) == 1)
        shares = {one_of[key]: count / len(repeats) for key, count in uses.items()}
        olds = [(self.module(module, repeat, inner), share) for repeat, share in shares.items()]
        weight = sum(old.weight.astype(np.float64) * share for old, share in olds)
        bias = sum(old.bias.astype(np.float64) * share for old, share in olds)
        return _Map(np.asarray(weight, np.float32), np.asarray(bias, np.float32), is_copy=False)

    def _group(self, module: str, repeat: int) -> int:
        """Return the group whose module a repeat uses."""
        if module in _ATTENTION:
            return self.config.attention_group_of(repeat)
        return self.config.ffn_group_of(repeat)

    def _array(self, name: str) -> FloatArray:
        """Return a tensor in float32, as models compute."""
        return np.asarray(self.arrays[name], np.float32)


def _new_config(
    config: AlbertConfig, groups: int | None, layers: int | None, rank: int | None
) -> AlbertConfig:
    """Return the configuration of the wanted structure."""
    if (groups, layers, rank) == (None, None, None):
        return config
    layers = layers or config.num_hidden_layers
    if groups is None:
        groups = config.num_hidden_groups if config.cross_layer_sharing == "all" else layers
    if rank is None:
        grows = groups % config.num_hidden_groups == 0
        rank = config.depth_lora_rank if grows and groups < layers else 0
    if config.adapter is not None and config.adapter.per_depth:
        _refuse_other_depth(config, layers)
    if rank > config.hidden_size:
        raise ConfigError(
            "`--depth-lora-rank` must be at most the hidden size, where nothing is lost any more."
            f" Received: {rank} for {config.hidden_size}."
        )
    if rank and groups == layers:
        raise ConfigError(
            "`--depth-lora-rank` needs layers that several depths share. Received: a group for each"
            f" of {layers} layers. Give `--groups 1` beside it."
        )
    unshared = config.cross_layer_sharing == "none" and groups == layers
    return replace(
        config,
        num_hidden_layers=layers,
        num_hidden_groups=groups,
        cross_layer_sharing="none" if unshared else "all",
        depth_lora_rank=rank,
    )


def _refuse_other_depth(config: AlbertConfig, layers: int) -> None:
    """Refuse another number of layers where each depth has an adapter of its own."""
    if layers != config.num_hidden_layers:
        raise ConfigError(
            "A model with an adapter for each depth keeps its depth. Received: --layers"
            f" {layers} for {config.num_hidden_layers}. Leave it out, or convert the base."
        )


def _with_old_residuals(
    config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]], new: AlbertConfig
) -> Structured:
    """Return a model that grows in groups or depth and takes its residuals along as they are."""
    made = {n: a for n, a in arrays.items() if not n.startswith((_LAYERS, _RESIDUALS))}
    inner_layers = new.inner_group_num
    for name, array in arrays.items():
        if name.startswith(_LAYERS):
            group, _, rest = name.removeprefix(_LAYERS).partition(".")
            for grown in range(new.num_hidden_groups):
                if config.group_of(_sources(config, new, grown)[0]) == int(group):
                    made[f"{_LAYERS}{grown}.{rest}"] = array.copy()
        elif name.startswith(_RESIDUALS):
            depth, _, rest = name.removeprefix(_RESIDUALS).partition(".")
            repeat, inner = divmod(int(depth), inner_layers)
            for stands in range(new.num_hidden_layers):
                if stands * config.num_hidden_layers // new.num_hidden_layers == repeat:
                    place = stands * inner_layers + inner
                    made[f"{_RESIDUALS}{place}.{rest}"] = array.copy()
    same_depth = new.num_hidden_layers == config.num_hidden_layers
    return Structured(new, made, preserving=same_depth)


def _sources(config: AlbertConfig, new: AlbertConfig, group: int) -> list[int]:
    """Return the old repeat that each repeat of a new group stands for."""
    layers, old_layers = new.num_hidden_layers, config.num_hidden_layers
    return [r * old_layers // layers for r in range(layers) if new.group_of(r) == group]


def _residuals(
    old: _LayersByDepth, new: AlbertConfig, group: int, inner: int, module: str, shared: _Map
) -> Arrays:
    """Return what each depth of a group adds to the shared module to be the old layer again."""
    made: Arrays = {}
    layers, old_layers = new.num_hidden_layers, old.config.num_hidden_layers
    for repeat in range(layers):
        if new.group_of(repeat) != group:
            continue
        wanted = old.module(module, repeat * old_layers // layers, inner)
        prefix = f"{_RESIDUALS}{repeat * new.inner_group_num + inner}.{module}"
        made[f"{prefix}.bias"] = wanted.bias - shared.bias
        if module in (ATTENTION_NORM, FFN_NORM):
            made[f"{prefix}.weight"] = wanted.weight - shared.weight
            continue
        factors = _factors(wanted.weight - shared.weight, new.depth_lora_rank)
        made |= {f"{prefix}.{name}.weight": factor for name, factor in factors.items()}
    return made


def _factors(difference: FloatArray, rank: int) -> dict[str, FloatArray]:
    """Return lora_B `(out, rank)` and lora_A `(rank, in)`, whose product is the nearest there is.

    The singular vectors of the shorter side come from the eigenvectors of its Gram matrix, which is
    several times as fast as an SVD; both factors get the root of the singular values.
    """
    wide = difference.shape[0] <= difference.shape[1]
    matrix = (difference if wide else difference.T).astype(np.float64)
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    left = vectors[:, ::-1][:, :rank]
    right = left.T @ matrix
    roots = np.sqrt(np.linalg.norm(right, axis=1))
    roots = np.where(roots > 0, roots, 1.0)
    left, right = left * roots, right / roots[:, None]
    if not wide:
        left, right = right.T, left.T
    missing = rank - left.shape[1]
    return {
        "lora_B": np.pad(left, ((0, 0), (0, missing))).astype(np.float32),
        "lora_A": np.pad(right, ((0, missing), (0, 0))).astype(np.float32),
    }
