"""Learning rates that fall from the last depth to the first, for layers that are used many times.

Depth d of L has the weight decay^(L-1-d), as in ELECTRA and XLNet. A block's rate is the mean
weight of its uses, and what each use sends back is scaled by its own weight over that mean; a block
used once has the scale 1, which is the usual rule. Embeddings and their projection lie below depth
0; the pooler and all heads learn at the full rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from torch import Tensor

from albatross.checkpoints.huggingface import EMBEDDINGS
from albatross.config import AlbertConfig
from albatross.modeling.encoder import BlockScales
from albatross.modeling.with_heads import AlbertWithHeads

_LAYER = re.compile(r"albert_layer_groups\.(\d+)\.albert_layers\.(\d+)\.(attention\.)?")
_OWN = re.compile(r"encoder\.(depth_residuals|adapters)\.(\d+)\.(attention\.)?")


def apply_layer_decay(model: AlbertWithHeads, decay: float) -> dict[str, float]:
    """Scale what each depth's gradients do to shared weights; return what scales the rates."""
    config = model.config
    scales = gradient_scales(config, decay)
    model.albert.encoder.gradient_scales = scales
    names = [name for name, _ in model.named_parameters()]
    for name, parameter in model.named_parameters():
        depth = _own_depth(name, config)
        if scales is None or depth is None or not parameter.requires_grad:
            continue
        # Used once, inside a block that is scaled.
        scale = scales[depth].attention if ".attention." in name else scales[depth].feed_forward
        parameter.register_hook(partial(_divided, scale))
    return rate_scales(names, config, decay)


def rate_scales(names: Iterable[str], config: AlbertConfig, decay: float) -> dict[str, float]:
    """Return by what the run's rate is multiplied for each parameter.

    Args:
        names: of the parameters.
        config: of the model.
        decay: of the rate from one depth to the one below.

    >>> names = ["albert.embeddings.word_embeddings.weight", "classifier.weight"]
    >>> rate_scales(names, AlbertConfig(num_hidden_layers=2, num_hidden_groups=1), 0.5)
    {'albert.embeddings.word_embeddings.weight': 0.25, 'classifier.weight': 1.0}
    """
    return {name: _rate_scale(name, config, decay) for name in names}


def gradient_scales(config: AlbertConfig, decay: float) -> tuple[BlockScales, ...] | None:
    """Return what each depth's gradients are multiplied by; None where every scale is 1."""
    weights, scales = _weights(config, decay), []
    for depth, weight in enumerate(weights):
        repeat, inner = divmod(depth, config.inner_group_num)
        attention = _mean_weight(config, decay, config.attention_group_of(repeat), inner, True)
        feed_forward = _mean_weight(config, decay, config.ffn_group_of(repeat), inner, False)
        scales.append(BlockScales(weight / attention, weight / feed_forward))
    return None if all(scale == (1, 1) for scale in scales) else tuple(scales)


def _rate_scale(name: str, config: AlbertConfig, decay: float) -> float:
    """Return the scale of one parameter's rate."""
    if name.startswith(EMBEDDINGS):
        return float(decay**config.depth)
    if found := _LAYER.search(name):
        group, inner = int(found[1]), int(found[2])
        return _mean_weight(config, decay, group, inner, found[3] is not None)
    weights, depth = _weights(config, decay), _own_depth(name, config)
    if depth is not None:
        return weights[depth]
    return sum(weights) / len(weights) if _OWN.search(name) else 1.0


def _own_depth(name: str, config: AlbertConfig) -> int | None:
    """Return the depth that has a parameter to itself: of a residual, or of an adapter of its own.

    None for all others.
    """
    found = _OWN.search(name)
    is_shared = config.adapter is not None and not config.adapter.per_depth
    if found is None or (found[1] == "adapters" and is_shared):
        return None
    return int(found[2])


def _divided(scale: float, gradient: Tensor) -> Tensor:
    """Return a gradient as it was before it was scaled."""
    return gradient / scale


def _mean_weight(
    config: AlbertConfig, decay: float, group: int, inner: int, is_attention: bool
) -> float:
    """Return the mean weight of the depths that use a block."""
    group_of = config.attention_group_of if is_attention else config.ffn_group_of
    weights = _weights(config, decay)
    used = [
        weights[repeat * config.inner_group_num + inner]
        for repeat in range(config.num_hidden_layers)
        if group_of(repeat) == group
    ]
    return sum(used) / len(used)


def _weights(config: AlbertConfig, decay: float) -> list[float]:
    """Return the weight of every flat depth index."""
    return [float(decay ** (config.depth - 1 - depth)) for depth in range(config.depth)]
