"""A layer's graph with what single depths and adapters add to the weights that it shares.

The tensors of all depths that use the layer are laid on each other, and an input `depth` picks one;
where they do not differ by depth there is no such input. ONNX Runtime lays them when it loads the
graph. What is added is what `modeling/adapters.py` adds.
"""

from __future__ import annotations

from collections.abc import Sequence

from albatross.config import AlbertConfig
from albatross.export.graph import Graph, Weights
from albatross.export.layers import LAYER_GROUPS

_RESIDUALS, _ADAPTERS = "albert.encoder.depth_residuals", "albert.encoder.adapters"


class DepthGraph(Graph):
    """A graph whose layer is that of some depths, each with what it has to itself."""

    def __init__(
        self, weights: Weights, config: AlbertConfig, depths: Sequence[int], depth: str = ""
    ) -> None:
        """Start an empty graph over a file's weights.

        Args:
            weights: the file's.
            config: the model's.
            depths: the flat depth indices that the layer is used at.
            depth: the value that says which of them; an input of its own by default.
        """
        super().__init__(weights)
        self._config, self._depths, self._depth = config, tuple(depths), depth
        self._place = ""

    def product(self, prefix: str, rows: str, wide_in: int, wide_out: int) -> str:
        """A map without its bias, with what is added to it."""
        mapped = super().product(prefix, rows, wide_in, wide_out)
        part, config = _part_of(prefix), self._config
        if not part:
            return mapped
        if config.depth_lora_rank:
            names = [f"{_RESIDUALS}.{depth}.{part}" for depth in self._depths]
            added = self._narrow(names, rows, wide_in, config.depth_lora_rank, wide_out)
            mapped = self.add("Add", [mapped, added])
        spec = config.adapter
        if spec is None or part not in spec.parts:
            return mapped
        names = [f"{_ADAPTERS}.{spec.number_of(depth)}.{part}" for depth in self._depths]
        if spec.kind == "lora":
            added = self._narrow(names, rows, wide_in, spec.rank, wide_out)
            added = self.add("Mul", [added, self.number("adapter_scale", spec.scale)])
        else:
            whole = self.add("Add", [mapped, self.bias(prefix, wide_out)])
            inside = self._dense([f"{name}.down" for name in names], whole, wide_out, spec.rank)
            inside = self.add("Relu", [inside])
            added = self._dense([f"{name}.up" for name in names], inside, spec.rank, wide_out)
        return self.add("Add", [mapped, added])

    def bias(self, prefix: str, size: int) -> str:
        """The bias of a map, with what its depth adds to it."""
        return self._with_residual(super().bias(prefix, size), f"{prefix}.bias", size)

    def norm(self, prefix: str, width: int) -> list[str]:
        """Weight and bias of a layer norm, with what its depth adds to them."""
        return [
            self._with_residual(shared, f"{prefix}.{name}", width)
            for shared, name in zip(super().norm(prefix, width), ("weight", "bias"), strict=True)
        ]

    def _with_residual(self, shared: str, name: str, size: int) -> str:
        """Add a depth's own vector to a shared one."""
        part = _part_of(name)
        if not (part and self._config.depth_lora_rank):
            return shared
        own = [f"{_RESIDUALS}.{depth}.{part}" for depth in self._depths]
        return self.add("Add", [shared, self._vector(own, size)])

    def _narrow(
        self, names: Sequence[str], rows: str, wide_in: int, rank: int, wide_out: int
    ) -> str:
        """The product of two narrow maps."""
        down = self._matrix([f"{name}.lora_A" for name in names], (rank, wide_in))
        up = self._matrix([f"{name}.lora_B" for name in names], (wide_out, rank))
        inside = self.add("Gemm", [rows, down], transB=1)
        return self.add("Gemm", [inside, up], transB=1)

    def _dense(self, names: Sequence[str], rows: str, wide_in: int, wide_out: int) -> str:
        """A map of the depth's own with its bias."""
        bias = self._vector([f"{name}.bias" for name in names], wide_out)
        return self.add("Gemm", [rows, self._matrix(names, (wide_out, wide_in)), bias], transB=1)

    def _matrix(self, names: Sequence[str], shape: tuple[int, int]) -> str:
        """The depth's matrix among those of all depths."""
        distinct = dict.fromkeys(names)
        return self._picked([self.matrix(name, shape) for name in distinct], shape)

    def _vector(self, names: Sequence[str], size: int) -> str:
        """The depth's vector among those of all depths."""
        return self._picked([self.floats(name, (size,)) for name in dict.fromkeys(names)], (size,))

    def _picked(self, values: Sequence[str], shape: tuple[int, ...]) -> str:
        return values[0] if len(values) == 1 else of_depth(self, values, shape, self._place_of())

    def _place_of(self) -> str:
        """The place of the depth among those that use this layer."""
        if not self._place:
            depth = self._depth or self.input("depth", [])
            order = {depth: place for place, depth in enumerate(self._depths)}
            places = [order.get(depth, 0) for depth in range(self._config.depth)]
            self._place = self.add(
                "Gather", [self.integers(f"place_from_{self._depths[0]}", places), depth]
            )
        return self._place


def of_depth(graph: Graph, values: Sequence[str], shape: tuple[int, ...], place: str) -> str:
    """One of several tensors of a shape, by its place among them."""
    laid = graph.add("Concat", values, axis=0)
    name = "laid_" + "_".join(map(str, (len(values), *shape)))
    laid = graph.add("Reshape", [laid, graph.integers(name, [len(values), *shape])])
    return graph.add("Gather", [laid, place], axis=0)


def _part_of(name: str) -> str:
    """The name of a tensor or a map within its layer; nothing for one that is in no layer.

    >>> _part_of("albert.encoder.albert_layer_groups.0.albert_layers.1.attention.query.bias")
    'attention.query.bias'
    """
    return name.split(".", 6)[6] if name.startswith(f"{LAYER_GROUPS}.") else ""
