"""Which optimizer moves which weights, and which weights are decayed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from albatross.errors import ConfigError
from albatross.training.lamb import Lamb
from albatross.training.muon import Muon
from albatross.training.stable_adamw import StableAdamW

OptimizerName = Literal["adamw", "stable-adamw", "lamb", "lamb-google", "muon"]
# As in Google's code; single precision cannot tell the usual 1e-8 from nothing in a sum with 1.
_EPS = 1e-6


def make_optimizers(
    model: nn.Module,
    name: OptimizerName,
    *,
    learning_rate: float,
    beta2: float,
    weight_decay: float,
    rate_scales: Mapping[str, float] = MappingProxyType({}),
) -> list[Optimizer]:
    """Return the optimizers that together move all of a model's parameters.

    `adamw` and `stable-adamw` are the known ones, with bias correction. `lamb` is the paper's,
    `lamb-google` leaves bias correction out, as Google's code does. `muon` moves the matrices of
    the layers along orthogonal directions and leaves the rest to AdamW; its steps are made as large
    as AdamW's, so that one rate serves both (Liu et al., "Muon is scalable", 2025, section 2.2).

    A group's rate is the run's times the group's `rate_scale`.

    Args:
        model: whose parameters are moved.
        name: what moves them.
        learning_rate: the peak rate.
        beta2: decay of the second moment.
        weight_decay: decay of what `undecayed` does not name.
        rate_scales: for single parameters, by name, what their rate is multiplied by.

    Raises:
        ConfigError: Muon has no layers to move.
    """
    options: dict[str, Any] = {"lr": learning_rate, "betas": (0.9, beta2), "eps": _EPS}
    if name == "muon":
        return _with_muon(model, learning_rate, weight_decay, options, rate_scales)
    groups = parameter_groups(model, weight_decay, rate_scales)
    if name == "adamw":
        return [torch.optim.AdamW(groups, **options, fused=True)]
    if name == "stable-adamw":
        return [StableAdamW(groups, **options)]
    return [Lamb(groups, **options, bias_correction=name == "lamb")]


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    rate_scales: Mapping[str, float] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Part the parameters: biases and norms are neither decayed nor adapted, as in Google's code.

    `layer_adaptation` is LAMB's; the others take no notice of it.
    """
    named = dict(model.named_parameters())
    return _groups(named, set(undecayed(model)), weight_decay, rate_scales)


def undecayed(model: nn.Module) -> list[str]:
    """Return the names of the parameters without weight decay: biases and norms."""
    return [
        name
        for name, _ in model.named_parameters()
        if name.endswith("bias") or "LayerNorm" in name or "layer_norm" in name
    ]


def layer_matrices(model: nn.Module) -> list[str]:
    """Return the names of the matrices of the encoder's layers, which Muon moves.

    Embeddings, their projection, heads, and what single depths have to themselves are not among
    them: their rows stand for pieces and labels, or are few, and have no use for orthogonality.
    """
    return [
        name
        for name, parameter in model.named_parameters()
        if "albert_layer_groups." in name and parameter.ndim == 2
    ]


def _with_muon(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    options: dict[str, Any],
    rate_scales: Mapping[str, float],
) -> list[Optimizer]:
    """Return Muon for the layers' matrices, and AdamW for the rest."""
    named, inside = dict(model.named_parameters()), set(layer_matrices(model))
    if not inside:
        raise ConfigError(
            "`--optimizer muon` needs layers to move. Received: a model without"
            " `albert_layer_groups`. Choose another optimizer."
        )
    matrices = {name: named[name] for name in sorted(inside)}
    muon = Muon(
        [
            {"params": list(part.values()), "rate_scale": scale}
            for scale, part in _by_scale(matrices, rate_scales).items()
        ],
        lr=learning_rate,
        weight_decay=weight_decay,
    )
    rest = {name: parameter for name, parameter in named.items() if name not in inside}
    groups = _groups(rest, set(undecayed(model)), weight_decay, rate_scales)
    return [muon, torch.optim.AdamW(groups, **options, fused=True)]


def _groups(
    named: Mapping[str, nn.Parameter],
    plain: set[str],
    weight_decay: float,
    rate_scales: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Part parameters by their rates into those that are decayed and adapted, and plain ones."""
    return [
        {
            "params": [one for name, one in part.items() if (name in plain) == is_plain],
            "rate_scale": scale,
            "weight_decay": 0.0 if is_plain else weight_decay,
            "layer_adaptation": not is_plain,
        }
        for scale, part in _by_scale(named, rate_scales).items()
        for is_plain in (False, True)
    ]


def _by_scale(
    named: Mapping[str, nn.Parameter], rate_scales: Mapping[str, float]
) -> dict[float, dict[str, nn.Parameter]]:
    """Part parameters by what their rate is multiplied by; 1 unless it is said."""
    parts: dict[float, dict[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        parts.setdefault(rate_scales.get(name, 1.0), {})[name] = parameter
    return parts
