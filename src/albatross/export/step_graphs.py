"""A model folder's step graphs: embed, one for each distinct layer, heads; over one set of weights.

The initialisers point into the folder's `model.safetensors`, so that, where it holds floats, it
stays one that torch and `transformers` open.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnx import ModelProto, TensorProto

from albatross.atomic import write_file
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import (
    EMBED_FILE,
    HEADS_FILE,
    WEIGHTS_FILE,
    LayerWeights,
    layer_files,
    layer_weights,
)
from albatross.errors import ConfigError
from albatross.export.graph import Graph, Weights
from albatross.export.layers import Places, embed, layer
from albatross.head_spec import HeadSpec


def write_step_graphs(folder: Path, config: AlbertConfig, heads: Mapping[str, HeadSpec]) -> None:
    """Write the step graphs of a model folder beside its `model.safetensors`.

    Args:
        folder: holds `model.safetensors` with Hugging Face's tensor names, in 32- or 16-bit floats,
            or as `quantization.py` writes it.
        config: the folder's configuration.
        heads: by tensor prefix, which becomes the output's name: `classifier`, `heads.topic`.

    Raises:
        WeightsError: a tensor is missing, of another shape, or of another type.
        ConfigError: there is no head, or one of a kind that has no graph; or depths have residuals.
    """
    if config.depth_lora_rank:
        raise ConfigError(
            "Graphs hold layers, and nothing that a depth adds to them: `depth_lora_rank` must be"
            f" 0. Received: {config.depth_lora_rank}. `albatross convert MODEL OUT --groups"
            f" {config.num_hidden_layers}` gives every depth its own layer first."
        )
    weights = Weights.read(folder / WEIGHTS_FILE)
    graphs = {
        EMBED_FILE: _embed_graph(weights, config),
        HEADS_FILE: _heads_graph(weights, config, heads),
    }
    for depth, name in enumerate(layer_files(config)):
        if name not in graphs:
            graphs[name] = _layer_graph(weights, config, layer_weights(config, depth))
    for name, model in graphs.items():
        write_file(folder / name, model.SerializeToString())


def _embed_graph(weights: Weights, config: AlbertConfig) -> ModelProto:
    """From ids to the rows that enter depth 0."""
    graph = Graph(weights)
    names = ("input_ids", "token_type_ids", "position_ids")
    rows = embed(graph, config, *(graph.input(name, ["total_tokens"]) for name in names))
    graph.output("rows", rows, ["total_tokens", config.hidden_size])
    return graph.model("embed")


def _layer_graph(weights: Weights, config: AlbertConfig, used: LayerWeights) -> ModelProto:
    """From the rows before a depth to those after it."""
    graph = Graph(weights)
    rows = graph.input("rows", ["total_tokens", config.hidden_size], TensorProto.FLOAT)
    places = Places(
        graph.input("rows_to_block", ["sequences", "max_seqlen"]),
        graph.input("block_to_rows", ["total_tokens"]),
        graph.input("key_lengths", ["sequences"], TensorProto.INT32),
    )
    after = layer(graph, config, used, rows, places)
    graph.output("rows_out", after, ["total_tokens", config.hidden_size])
    return graph.model("layer")


def _heads_graph(
    weights: Weights, config: AlbertConfig, heads: Mapping[str, HeadSpec]
) -> ModelProto:
    """Pooler over each sequence's first row, then one product for every head."""
    unknown = {name: spec.kind for name, spec in heads.items() if spec.kind != "sequence"}
    if unknown or not heads:
        raise ConfigError(
            "An exported folder needs at least one head, and every head of kind sequence."
            f" Received: {unknown or 'no head'}. Export a model with a classification task."
        )
    graph = Graph(weights)
    hidden = config.hidden_size
    rows = graph.input("rows", ["total_tokens", hidden], TensorProto.FLOAT)
    first = graph.input("first", ["sequences"])
    pooled = graph.add("Gather", [rows, first], axis=0)
    pooled = graph.add("Tanh", [graph.dense("albert.pooler", pooled, hidden, hidden)])
    for name, spec in heads.items():
        logits = graph.dense(name, pooled, hidden, spec.size)
        graph.output(name, logits, ["sequences", spec.size])
    return graph.model("heads")
