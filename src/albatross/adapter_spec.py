"""What an adapter is: a few new weights that learn while a model's own stay as they are.

Its form alone; `modeling/adapters.py` has the modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from albatross.errors import ConfigError

AdapterKind = Literal["lora", "bottleneck"]
_ALL_MAPS = (
    *("attention.query", "attention.key", "attention.value", "attention.dense"),
    *("ffn", "ffn_output"),
)
ADAPTED_PARTS: dict[str, tuple[str, ...]] = {
    "lora": _ALL_MAPS,
    "bottleneck": ("attention.dense", "ffn_output"),
}
"""The maps of a layer that each kind of adapter can act on, by their names in a layer."""
_USUAL_PARTS = {"lora": _ALL_MAPS, "bottleneck": ("ffn_output",)}


@dataclass(frozen=True)
class AdapterSpec:
    """Which adapter a model has; the key `adapter` of its `config.json`.

    Raises:
        ConfigError: all rules that the values break, in one message.

    >>> AdapterSpec("bottleneck", rank=16).parts
    ('ffn_output',)
    """

    kind: AdapterKind
    """`lora` adds a product of two narrow matrices to a map (Hu et al., 2021); `bottleneck` puts
    two narrow maps with a ReLU between them behind a map, before the skip connection (Houlsby et
    al., 2019)."""
    rank: int
    """Width of the narrow matrices."""
    per_depth: bool = False
    """Whether every flat depth index has an adapter of its own, or all depths share one."""
    parts: tuple[str, ...] = ()
    """The maps that it acts on, such as attention.query; by default for `lora` all of a layer's,
    for `bottleneck` the end of the feed-forward block (Pfeiffer et al., 2020)."""
    scale: float = 1.0
    """By which what `lora` adds is multiplied: alpha / rank in the paper."""

    def __post_init__(self) -> None:
        """Fill in the usual parts, and check every rule."""
        if not self.parts:
            object.__setattr__(self, "parts", _USUAL_PARTS.get(self.kind, ()))
        broken = list(_broken_rules(self))
        if broken:
            raise ConfigError(" ".join(broken))

    @classmethod
    def from_dict(cls, values: Any) -> AdapterSpec:
        """Read the key of a `config.json`.

        Raises:
            ConfigError: it is no object, lacks a key or has unknown ones, or breaks a rule.
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping) or not {"kind", "rank"} <= set(values) <= known:
            raise ConfigError(
                "`adapter` must be an object with kind and rank, and perhaps per_depth, parts and"
                f" scale. Received: {str(values)[:100]}. Write the folder again."
            )
        parts = values.get("parts", ())
        return cls(**{**values, "parts": tuple(parts) if isinstance(parts, list) else parts})

    def number_of(self, depth: int) -> int:
        """Return which adapter a flat depth index uses."""
        return depth if self.per_depth else 0


def _broken_rules(spec: AdapterSpec) -> list[str]:
    """Return a sentence for every rule that the values break."""
    if spec.kind not in get_args(AdapterKind):
        kinds = " or ".join(get_args(AdapterKind))
        return [f"An adapter's `kind` must be {kinds}. Received: {spec.kind!r}."]
    broken = []
    if type(spec.rank) is not int or spec.rank < 1:
        broken.append(
            f"An adapter's `rank` must be a positive whole number. Received: {spec.rank!r}."
        )
    if type(spec.per_depth) is not bool:
        broken.append(
            f"An adapter's `per_depth` must be true or false. Received: {spec.per_depth!r}."
        )
    choices = ADAPTED_PARTS[spec.kind]
    parts = spec.parts if isinstance(spec.parts, tuple) else (spec.parts,)
    if not all(part in choices for part in parts) or len(set(parts)) < len(parts):
        broken.append(
            f"An adapter of kind {spec.kind} acts on some of {', '.join(choices)}, each once."
            f" Received: {', '.join(map(str, parts))}."
        )
    number = isinstance(spec.scale, int | float) and not isinstance(spec.scale, bool)
    if not number or not 0 < spec.scale <= 1_000:
        broken.append(
            "An adapter's `scale` must be a number above 0 and at most 1,000."
            f" Received: {spec.scale!r}."
        )
    return broken
