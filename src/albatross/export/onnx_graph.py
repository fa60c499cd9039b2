"""A model folder's step graphs: embed, one for each distinct layer, heads; over one set of weights.

A graph's initialisers are external data that point into `model.safetensors` itself: every byte of
weight exists once, and the folder stays one that torch and `transformers` open. Only the file's
header is read here, no tensor is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from albatross.atomic import write_file
from albatross.checkpoints.safetensors_file import TensorEntry, read_header, read_header_text
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import (
    EMBED_FILE,
    HEADER_DIGEST_KEY,
    HEADS_FILE,
    WEIGHTS_FILE,
    LayerWeights,
    layer_files,
    layer_weights,
)
from albatross.errors import ConfigError, WeightsError
from albatross.head_spec import HeadSpec

# Old enough for ONNX Runtime 1.20, new enough for LayerNormalization.
OPSET, IR_VERSION = 17, 8
CONTRIB = "com.microsoft"
DTYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16}
# Operator and domain of each `hidden_act`; FastGelu is the tanh form, Hugging Face's gelu_new.
ACTIVATIONS = {
    "gelu_new": ("FastGelu", CONTRIB),
    "gelu": ("Gelu", CONTRIB),
    "relu": ("Relu", ""),
    "tanh": ("Tanh", ""),
}


def write_step_graphs(folder: Path, config: AlbertConfig, heads: Mapping[str, HeadSpec]) -> None:
    """Write the step graphs of a model folder beside its `model.safetensors`.

    Args:
        folder: holds `model.safetensors` with Hugging Face's tensor names, in 32- or 16-bit floats.
        config: the folder's configuration.
        heads: by tensor prefix, which becomes the output's name: `classifier`, `heads.topic`.

    Raises:
        WeightsError: a tensor is missing, of another shape, or neither F32 nor F16.
        ConfigError: there is no head, or one of a kind that has no graph; or depths have residuals.
    """
    if config.depth_lora_rank:
        raise ConfigError(
            "Graphs hold layers, and nothing that a depth adds to them: `depth_lora_rank` must be"
            f" 0. Received: {config.depth_lora_rank}. `albatross convert MODEL OUT --groups"
            f" {config.num_hidden_layers}` gives every depth its own layer first."
        )
    weights = _Weights.read(folder / WEIGHTS_FILE)
    graphs = {
        EMBED_FILE: _embed_graph(weights, config),
        HEADS_FILE: _heads_graph(weights, config, heads),
    }
    for depth, name in enumerate(layer_files(config)):
        if name not in graphs:
            graphs[name] = _layer_graph(weights, config, layer_weights(config, depth))
    for name, model in graphs.items():
        write_file(folder / name, model.SerializeToString())


# === Graphs ===


def _embed_graph(weights: _Weights, config: AlbertConfig) -> ModelProto:
    """Three tables, layer norm on E, projection to H."""
    graph = _Graph(weights)
    width = config.embedding_size
    rows = ""
    for table, ids, count in (
        ("word_embeddings", "input_ids", config.vocab_size),
        ("token_type_embeddings", "token_type_ids", config.type_vocab_size),
        ("position_embeddings", "position_ids", config.max_position_embeddings),
    ):
        prefix = f"albert.embeddings.{table}"
        found = graph.look_up(prefix, (count, width), graph.input(ids, ["total_tokens"]))
        rows = graph.add("Add", [rows, found]) if rows else found
    norm = graph.norm("albert.embeddings.LayerNorm", width)
    rows = graph.add("LayerNormalization", [rows, *norm], epsilon=config.layer_norm_eps, axis=-1)
    if config.embedding_projection:
        prefix = "albert.encoder.embedding_hidden_mapping_in"
        rows = graph.dense(prefix, rows, width, config.hidden_size)
    graph.output("rows", rows, ["total_tokens", config.hidden_size])
    return graph.model("embed")


def _layer_graph(weights: _Weights, config: AlbertConfig, used: LayerWeights) -> ModelProto:
    """One layer over packed rows; attention alone sees a block (sequences, max_seqlen, hidden)."""
    graph = _Graph(weights)
    hidden, wide = config.hidden_size, config.intermediate_size
    groups = "albert.encoder.albert_layer_groups"
    attention = f"{groups}.{used.attention_group}.albert_layers.{used.inner}.attention"
    ffn = f"{groups}.{used.ffn_group}.albert_layers.{used.inner}"
    rows = graph.input("rows", ["total_tokens", hidden], TensorProto.FLOAT)

    attended = _attend(graph, config, attention, rows)
    attended = graph.dense(f"{attention}.dense", attended, hidden, hidden)
    norm = graph.norm(f"{attention}.LayerNorm", hidden)
    rows = graph.add_and_norm(attended, rows, norm, config.layer_norm_eps)

    operator, domain = ACTIVATIONS[config.hidden_act]
    inside = graph.dense(f"{ffn}.ffn", rows, hidden, wide)
    inside = graph.add(operator, [inside], domain=domain)
    inside = graph.dense(f"{ffn}.ffn_output", inside, wide, hidden)
    norm = graph.norm(f"{ffn}.full_layer_layer_norm", hidden)
    rows = graph.add_and_norm(inside, rows, norm, config.layer_norm_eps)
    graph.output("rows_out", rows, ["total_tokens", hidden])
    return graph.model("layer")


def _attend(graph: _Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """Self-attention between the rows of one sequence, before its output product."""
    hidden = config.hidden_size
    rows_to_block = graph.input("rows_to_block", ["sequences", "max_seqlen"])
    block_to_rows = graph.input("block_to_rows", ["total_tokens"])
    key_lengths = graph.input("key_lengths", ["sequences"], TensorProto.INT32)
    blocks = []
    for name in ("query", "key", "value"):
        product = graph.dense(f"{prefix}.{name}", rows, hidden, hidden)
        blocks.append(graph.add("Gather", [product, rows_to_block], axis=0))
    block = graph.add(
        "MultiHeadAttention",
        [*blocks, "", key_lengths],
        domain=CONTRIB,
        num_heads=config.num_attention_heads,
    )
    flat = graph.add("Reshape", [block, graph.constant("flat_shape", [-1, hidden])])
    return graph.add("Gather", [flat, block_to_rows], axis=0)


def _heads_graph(
    weights: _Weights, config: AlbertConfig, heads: Mapping[str, HeadSpec]
) -> ModelProto:
    """Pooler over each sequence's first row, then one product for every head."""
    unknown = {name: spec.kind for name, spec in heads.items() if spec.kind != "sequence"}
    if unknown or not heads:
        raise ConfigError(
            "An exported folder needs at least one head, and every head of kind sequence."
            f" Received: {unknown or 'no head'}. Export a model with a classification task."
        )
    graph = _Graph(weights)
    hidden = config.hidden_size
    rows = graph.input("rows", ["total_tokens", hidden], TensorProto.FLOAT)
    first = graph.input("first", ["sequences"])
    pooled = graph.add("Gather", [rows, first], axis=0)
    pooled = graph.add("Tanh", [graph.dense("albert.pooler", pooled, hidden, hidden)])
    for name, spec in heads.items():
        logits = graph.dense(name, pooled, hidden, spec.size)
        graph.output(name, logits, ["sequences", spec.size])
    return graph.model("heads")


class _Graph:
    """A graph under construction; methods return the name of the value that they add."""

    def __init__(self, weights: _Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[str | int], dtype: int = TensorProto.INT64) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, value: str, shape: Sequence[str | int]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def add(self, operator: str, inputs: Sequence[str], domain: str = "", **attributes: Any) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, name: str, values: Sequence[int]) -> str:
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def stored(self, name: str, shape: tuple[int, ...]) -> str:
        """An initialiser that points into the weights' file, in the file's own precision."""
        self.initializers.append(self.weights.initializer(name, shape))
        return name

    def floats(self, name: str, shape: tuple[int, ...]) -> str:
        """A weight in 32-bit floats; ONNX Runtime does the cast once, when it loads the graph."""
        return self._as_floats(self.stored(name, shape), name)

    def look_up(self, prefix: str, shape: tuple[int, int], ids: str) -> str:
        """Rows of a table; cast after the look-up, so that a 16-bit table stays one."""
        name = f"{prefix}.weight"
        found = self.add("Gather", [self.stored(name, shape), ids], axis=0)
        return self._as_floats(found, name)

    def dense(self, prefix: str, rows: str, wide_in: int, wide_out: int) -> str:
        weight = self.floats(f"{prefix}.weight", (wide_out, wide_in))
        bias = self.floats(f"{prefix}.bias", (wide_out,))
        return self.add("Gemm", [rows, weight, bias], transB=1)

    def norm(self, prefix: str, width: int) -> list[str]:
        return [self.floats(f"{prefix}.{name}", (width,)) for name in ("weight", "bias")]

    def add_and_norm(self, rows: str, skip: str, norm: Sequence[str], epsilon: float) -> str:
        inputs = [rows, skip, *norm]
        return self.add("SkipLayerNormalization", inputs, domain=CONTRIB, epsilon=epsilon)

    def model(self, name: str) -> ModelProto:
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, initializer=self.initializers
        )
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)
        model.producer_name = "albatross"
        helper.set_model_props(model, {HEADER_DIGEST_KEY: self.weights.digest})
        return model

    def _as_floats(self, value: str, tensor: str) -> str:
        stored = self.weights.tensors[tensor].dtype
        return value if stored == "F32" else self.add("Cast", [value], to=TensorProto.FLOAT)


# === Weights ===


@dataclass(frozen=True)
class _Weights:
    """Where each tensor lies in a safetensors file."""

    path: Path
    tensors: Mapping[str, TensorEntry]
    digest: str

    @classmethod
    def read(cls, path: Path) -> _Weights:
        digest = hashlib.sha256(read_header_text(path)).hexdigest()
        return cls(path, read_header(path), digest)

    def initializer(self, name: str, shape: tuple[int, ...]) -> TensorProto:
        """Return external data: the file's own bytes of one tensor."""
        stored = self.tensors.get(name)
        if stored is None or stored.dtype not in DTYPES or stored.shape != shape:
            received = f"{stored.dtype} of shape {stored.shape}" if stored else "no such tensor"
            raise WeightsError(
                f"The tensor {name} must be F32 or F16 of shape {shape}. Received: {received} in"
                f" {self.path}. Give a folder whose config.json and weights belong together."
            )
        tensor = TensorProto(name=name, data_type=DTYPES[stored.dtype], dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=self.path.name)
        tensor.external_data.add(key="offset", value=str(stored.start))
        tensor.external_data.add(key="length", value=str(stored.stop - stored.start))
        return tensor
