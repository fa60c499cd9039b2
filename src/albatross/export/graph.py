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
from typing import Any, Self

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from albatross.checkpoints.eight_bits import INT8, LARGEST_ACTIVATION, LEAST, SCALE
from albatross.checkpoints.safetensors_file import TensorEntry, read_header, read_header_text
from albatross.checkpoints.word_rows import WHOLE, holds_rows
from albatross.engine.step_graph import HEADER_DIGEST_KEY
from albatross.errors import WeightsError

# Old enough for ONNX Runtime 1.20, new enough for LayerNormalization.
OPSET, IR_VERSION = 17, 8
CONTRIB = "com.microsoft"
DTYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "I8": TensorProto.INT8}
FLOATS = ("F32", "F16")
# Activations are unsigned around this zero: ONNX Runtime has fast kernels for no others.
_ZERO = 128


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
        self.scope = ""

    # === Any graph ===

    def input(self, name: str, shape: Sequence[str | int], dtype: int = TensorProto.INT64) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(
        self, name: str, value: str, shape: Sequence[str | int], dtype: int = TensorProto.FLOAT
    ) -> None:
        """Declare an output, and what it is."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def add(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        """Apply an operator with one output."""
        name = f"{self.scope}{operator}_{len(self.nodes)}"
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

    def within(self, outer: Graph, name: str) -> Self:
        """Become the body of a loop or a branch: it sees the values of the graph around it.

        What it keeps is kept there, once for all bodies. Its inputs need names of their own.
        """
        self.initializers = outer.initializers
        self.scope = f"{outer.scope}{name}."
        return self

    def body(self) -> GraphProto:
        """Return the graph for the operator that runs it as a body."""
        return helper.make_graph(self.nodes, self.scope, self.inputs, self.outputs)

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

    def matrix(self, prefix: str, shape: tuple[int, int]) -> str:
        """A map's weight (out, in), or a table, in floats, also where the file has it in 8 bits."""
        if not self.is_int8(prefix):
            return self.floats(f"{prefix}.weight", shape)
        # The scales of a table stand by its rows, those of a map beside what is turned already.
        is_table = self._is_table(prefix)
        stored, scales = (shape, (shape[0], 1)) if is_table else (shape[::-1], shape[:1])
        whole = self._stored(f"{prefix}.{INT8}", stored, ("I8",))
        whole = self.add("Cast", [whole], to=TensorProto.FLOAT)
        whole = self.add("Mul", [whole, self.floats(f"{prefix}.{SCALE}", scales)])
        return whole if is_table else self.add("Transpose", [whole], perm=[1, 0])

    def bias(self, prefix: str, size: int) -> str:
        """The bias of a map, for an operator that adds it on its way."""
        return self.floats(f"{prefix}.bias", (size,))

    def norm(self, prefix: str, width: int) -> list[str]:
        """Weight and bias of a layer norm."""
        return [self.floats(f"{prefix}.{name}", (width,)) for name in ("weight", "bias")]

    def look_up(self, prefix: str, shape: tuple[int, int], ids: str) -> str:
        """Rows of a table; made floats after the look-up, so that the table stays what it is.

        A table of which the file has some rows alone is an input: it is joined where it is opened.
        """
        whole, scale, column = f"{prefix}.{INT8}", f"{prefix}.{SCALE}", (shape[0], 1)
        if whole == WHOLE and holds_rows(self.weights.tensors):
            table = self.input(whole, shape, TensorProto.INT8)
            scales = self.input(scale, column, TensorProto.FLOAT)
        elif whole in self.weights.tensors:
            table, scales = self._stored(whole, shape, ("I8",)), self.floats(scale, column)
        else:
            name = f"{prefix}.weight"
            found = self.add("Gather", [self._stored(name, shape, FLOATS), ids], axis=0)
            return self._as_floats(found, name)
        rows = self.add("Cast", [self.add("Gather", [table, ids], axis=0)], to=TensorProto.FLOAT)
        return self.add("Mul", [rows, self.add("Gather", [scales, ids], axis=0)])

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
        weight, scale = self._whole_numbers(prefix, wide_in, wide_out)
        rounded, largest = self._rounded(rows)
        inputs = [rounded, weight, self._step(), scale, self._zero()]
        return self.add("Mul", [self.add("MatMulIntegerToFloat", inputs, domain=CONTRIB), largest])

    def add_and_norm(
        self, rows: str, bias: str, skip: str, norm: Sequence[str], epsilon: float
    ) -> str:
        """Sum of rows, a bias and what was skipped; normalised.

        Three operators, for ONNX Runtime's SkipLayerNormalization, which is all of them in one,
        sums a row's numbers one by one and takes longer than these together.
        """
        summed = self.add("Add", [self.add("Add", [rows, bias]), skip])
        return self.add("LayerNormalization", [summed, *norm], epsilon=epsilon, axis=-1)

    def is_int8(self, prefix: str) -> bool:
        """Whether the file holds a matrix in 8 bits."""
        return f"{prefix}.{INT8}" in self.weights.tensors

    def _whole_numbers(self, prefix: str, wide_in: int, wide_out: int) -> tuple[str, str]:
        """Return a matrix in 8 bits (in, out) and its scales (out,); a table is turned for it."""
        if not self._is_table(prefix):
            weight = self._stored(f"{prefix}.{INT8}", (wide_in, wide_out), ("I8",))
            return weight, self.floats(f"{prefix}.{SCALE}", (wide_out,))
        table = self._stored(f"{prefix}.{INT8}", (wide_out, wide_in), ("I8",))
        scales = self.floats(f"{prefix}.{SCALE}", (wide_out, 1))
        flat = self.add("Reshape", [scales, self.integers("flat", [-1])])
        return self.add("Transpose", [table], perm=[1, 0]), flat

    def _is_table(self, prefix: str) -> bool:
        """Whether what is in 8 bits has its scales by row, as what rows are looked up in."""
        return len(self.weights.tensors[f"{prefix}.{SCALE}"].shape) == 2

    def _rounded(self, rows: str) -> tuple[str, str]:
        """Return rows in 8 bits, in steps of 127ths of their largest numbers, and these (rows, 1).

        Made once for several maps of the same rows.
        """
        if rows not in self._quantised:
            largest = self.add("ReduceMax", [self.add("Abs", [rows])], axes=[1], keepdims=1)
            largest = self.add("Max", [largest, self.number("least", LEAST)])
            shares = self.add("Div", [rows, largest])
            rounded = self.add("QuantizeLinear", [shares, self._step(), self._zero()])
            self._quantised[rows] = rounded, largest
        return self._quantised[rows]

    def _step(self) -> str:
        return self.number("step", 1 / LARGEST_ACTIVATION)

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
