"""A graph under construction over the weights of a model folder, whole or in 8 bits.

Initialisers are external data that point into `model.safetensors` itself: every byte of weight
exists once. Only the file's header is read here, no tensor is loaded. Whether a matrix is computed
with in floats or in 8 bits follows from what the file holds: `NAME.weight`, or `NAME.weight_int8`
with `NAME.weight_scale` (`quantization.py` writes these).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from albatross.checkpoints.safetensors_file import TensorEntry, read_header, read_header_text
from albatross.engine.onnx_engine import HEADER_DIGEST_KEY
from albatross.errors import WeightsError

# Old enough for ONNX Runtime 1.20, new enough for LayerNormalization.
OPSET, IR_VERSION = 17, 8
CONTRIB = "com.microsoft"
DTYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "I8": TensorProto.INT8}
FLOATS = ("F32", "F16")
INT8, SCALE = "weight_int8", "weight_scale"
"""What stands in place of a matrix's `weight` once it is in 8 bits; both by output."""
# Activations are unsigned around this zero: ONNX Runtime has fast kernels for no others.
_ZERO = 128
# The scale of a row of zeros.
_LEAST_SCALE = 1e-12


class Graph:
    """A graph under construction; methods return the name of the value that they add."""

    def __init__(self, weights: Weights) -> None:
        """Start an empty graph over a file's weights."""
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: dict[str, TensorProto] = {}
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self._quantised: dict[str, tuple[str, str]] = {}

    # === Any graph ===

    def input(self, name: str, shape: Sequence[str | int], dtype: int = TensorProto.INT64) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: Sequence[str | int]) -> None:
        """Declare an output of 32-bit floats, and what it is."""
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def add(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        """Apply an operator with one output."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def integers(self, name: str, values: Sequence[int] | int) -> str:
        """Keep whole numbers, or one, under a name."""
        many = [values] if isinstance(values, int) else list(values)
        shape = [] if isinstance(values, int) else [len(many)]
        return self._keep(helper.make_tensor(name, TensorProto.INT64, shape, many))

    def number(self, name: str, value: float, dtype: int = TensorProto.FLOAT) -> str:
        """Keep a scalar under a name."""
        return self._keep(helper.make_tensor(name, dtype, [], [value]))

    def model(self, name: str) -> ModelProto:
        """Return the graph as a model that remembers its weights' header."""
        initializers = list(self.initializers.values())
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, initializer=initializers
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)
        model.producer_name = "albatross"
        helper.set_model_props(model, {HEADER_DIGEST_KEY: self.weights.digest})
        return model

    # === Weights ===

    def floats(self, name: str, shape: tuple[int, ...]) -> str:
        """A weight in 32-bit floats; ONNX Runtime does the cast once, when it loads the graph."""
        return self._as_floats(self._stored(name, shape, FLOATS), name)

    def bias(self, prefix: str, size: int) -> str:
        """The bias of a map, for an operator that adds it on its way."""
        return self.floats(f"{prefix}.bias", (size,))

    def norm(self, prefix: str, width: int) -> list[str]:
        """Weight and bias of a layer norm."""
        return [self.floats(f"{prefix}.{name}", (width,)) for name in ("weight", "bias")]

    def look_up(self, prefix: str, shape: tuple[int, int], ids: str) -> str:
        """Rows of a table; made floats after the look-up, so that the table stays what it is."""
        if f"{prefix}.{INT8}" in self.weights.tensors:
            table = self._stored(f"{prefix}.{INT8}", shape, ("I8",))
            scales = self.floats(f"{prefix}.{SCALE}", (shape[0], 1))
            rows = self.add("Cast", [self.add("Gather", [table, ids], axis=0)], to=1)
            return self.add("Mul", [rows, self.add("Gather", [scales, ids], axis=0)])
        name = f"{prefix}.weight"
        found = self.add("Gather", [self._stored(name, shape, FLOATS), ids], axis=0)
        return self._as_floats(found, name)

    def dense(self, prefix: str, rows: str, wide_in: int, wide_out: int) -> str:
        """A map with its bias."""
        if self.is_int8(prefix):
            product = self.product(prefix, rows, wide_in, wide_out)
            return self.add("Add", [product, self.bias(prefix, wide_out)])
        weight = self.floats(f"{prefix}.weight", (wide_out, wide_in))
        return self.add("Gemm", [rows, weight, self.bias(prefix, wide_out)], transB=1)

    def product(self, prefix: str, rows: str, wide_in: int, wide_out: int) -> str:
        """A map without its bias, of rows (any, wide_in).

        In 8 bits each row is rounded by a scale of its own, so that no row depends on its
        company, and the sums are whole numbers until they are done.
        """
        if not self.is_int8(prefix):
            weight = self.floats(f"{prefix}.weight", (wide_out, wide_in))
            return self.add("Gemm", [rows, weight], transB=1)
        weight = self._stored(f"{prefix}.{INT8}", (wide_in, wide_out), ("I8",))
        scale = self.floats(f"{prefix}.{SCALE}", (wide_out,))
        rounded, of_row = self._rounded(rows)
        inputs = [rounded, weight, self.number("one", 1.0), scale, self._zero()]
        return self.add("Mul", [self.add("MatMulIntegerToFloat", inputs, domain=CONTRIB), of_row])

    def add_and_norm(
        self, rows: str, skip: str, norm: Sequence[str], epsilon: float, bias: str = ""
    ) -> str:
        """Sum of rows, what was skipped and a bias; normalised."""
        inputs = [rows, skip, *norm, *([bias] if bias else [])]
        return self.add("SkipLayerNormalization", inputs, domain=CONTRIB, epsilon=epsilon)

    def is_int8(self, prefix: str) -> bool:
        """Whether the file holds a matrix in 8 bits."""
        return f"{prefix}.{INT8}" in self.weights.tensors

    def _rounded(self, rows: str) -> tuple[str, str]:
        """Return rows in 8 bits and their scales (rows, 1), made once for several maps of them."""
        if rows not in self._quantised:
            highest = self.add("ReduceMax", [rows], axes=[1], keepdims=0)
            lowest = self.add("Neg", [self.add("ReduceMin", [rows], axes=[1], keepdims=0)])
            largest = self.add("Max", [highest, lowest])
            scales = self.add("Mul", [largest, self.number("per_step", 1 / 127)])
            scales = self.add("Max", [scales, self.number("least_scale", _LEAST_SCALE)])
            zero = helper.make_tensor("zero", TensorProto.UINT8, [1], [_ZERO])
            zeros = self.add("ConstantOfShape", [self.add("Shape", [scales])], value=zero)
            rounded = self.add("QuantizeLinear", [rows, scales, zeros], axis=0)
            of_row = self.add("Unsqueeze", [scales, self.integers("axis_1", [1])])
            self._quantised[rows] = rounded, of_row
        return self._quantised[rows]

    def _zero(self) -> str:
        return self.number("zero_point", _ZERO, TensorProto.UINT8)

    def _stored(self, name: str, shape: tuple[int, ...], dtypes: Sequence[str]) -> str:
        """An initialiser that points into the weights' file, in the file's own precision."""
        return self._keep(self.weights.initializer(name, shape, dtypes))

    def _as_floats(self, value: str, tensor: str) -> str:
        stored = self.weights.tensors[tensor].dtype
        return value if stored == "F32" else self.add("Cast", [value], to=TensorProto.FLOAT)

    def _keep(self, tensor: TensorProto) -> str:
        self.initializers.setdefault(tensor.name, tensor)
        return str(tensor.name)


@dataclass(frozen=True)
class Weights:
    """Where each tensor lies in a safetensors file.

    Attributes:
        path: the file
        tensors: what it holds
        digest: of its header, by which a graph knows it again
    """

    path: Path
    tensors: Mapping[str, TensorEntry]
    digest: str

    @classmethod
    def read(cls, path: Path) -> Weights:
        """Read a file's header.

        Raises:
            FolderError: the file is missing, or its header is not wholly true.
        """
        digest = hashlib.sha256(read_header_text(path)).hexdigest()
        return cls(path, read_header(path), digest)

    def initializer(self, name: str, shape: tuple[int, ...], dtypes: Sequence[str]) -> TensorProto:
        """Return external data: the file's own bytes of one tensor.

        Raises:
            WeightsError: it is not there, or of another shape or type.
        """
        stored = self.tensors.get(name)
        if stored is None or stored.dtype not in dtypes or stored.shape != shape:
            received = f"{stored.dtype} of shape {stored.shape}" if stored else "no such tensor"
            raise WeightsError(
                f"The tensor {name} must be {' or '.join(dtypes)} of shape {shape}. Received:"
                f" {received} in {self.path}. Give a folder whose config.json and weights belong"
                " together."
            )
        tensor = TensorProto(name=name, data_type=DTYPES[stored.dtype], dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=self.path.name)
        tensor.external_data.add(key="offset", value=str(stored.start))
        tensor.external_data.add(key="length", value=str(stored.stop - stored.start))
        return tensor
