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
    EXITS_FILE,
    HEADS_FILE,
    PREDICTIONS_FILE,
    WORDS,
    layer_files,
    layer_weights,
)
from albatross.engine.step_graph import WEIGHTS_FILE
from albatross.errors import ConfigError
from albatross.export.depth_graph import DepthGraph
from albatross.export.graph import Graph, Weights
from albatross.export.heads import add_exits, add_heads, add_words
from albatross.export.layers import Places, embed, layer
from albatross.export.seen import Seen
from albatross.head_spec import HeadSpec


def write_step_graphs(
    folder: Path, config: AlbertConfig, heads: Mapping[str, HeadSpec], *, embeddings: bool = True
) -> None:
    """Write the step graphs of a model folder beside its `model.safetensors`.

    Where it holds the masked-word head, that has a graph, too.

    Args:
        folder: holds `model.safetensors` with Hugging Face's tensor names, in 32- or 16-bit floats,
            or as `quantization.py` writes it.
        config: the folder's configuration.
        heads: by tensor prefix, which becomes the output's name: `classifier`, `heads.topic`; those
            with the option `exits` have a graph for the depths before the last.
        embeddings: whether they are here; else another folder has them with their graph.

    Raises:
        WeightsError: a tensor is missing, of another shape, or of another type.
        ConfigError: there is neither a head nor the masked-word head.
    """
    weights = Weights.read(folder / WEIGHTS_FILE)
    has_words = f"{WORDS}.bias" in weights.tensors
    if not heads and not has_words:
        raise ConfigError(
            "An exported folder needs at least one head. Received: no head. Export a fine-tuned"
            " model, or a pre-trained one with its masked-word head."
        )
    graphs = {EMBED_FILE: _embed_graph(weights, config)} if embeddings else {}
    graphs |= _layer_graphs(weights, config)
    exits = {name: spec for name, spec in heads.items() if spec.options.get("exits")}
    # The words have a graph of their own, which a decoder asks about other rows.
    heads = {name: spec for name, spec in heads.items() if spec.kind != "words"}
    if heads:
        graphs[HEADS_FILE] = _heads_graph(weights, config, heads)
    if exits:
        graphs[EXITS_FILE] = _exits_graph(weights, config, exits)
    if has_words:
        graphs[PREDICTIONS_FILE] = _predictions_graph(weights, config)
    for name, model in graphs.items():
        write_file(folder / name, model.SerializeToString())


def _layer_graphs(weights: Weights, config: AlbertConfig) -> dict[str, ModelProto]:
    """Return the graphs of the distinct layers, by the name of their file."""
    graphs, files = {}, layer_files(config)
    for name in dict.fromkeys(files):
        depths = [depth for depth, file in enumerate(files) if file == name]
        graphs[name] = _layer_graph(weights, config, depths)
    return graphs


def _embed_graph(weights: Weights, config: AlbertConfig) -> ModelProto:
    """From ids to the rows that enter depth 0."""
    graph = Graph(weights)
    names = ("input_ids", "token_type_ids", "position_ids")
    rows = embed(graph, config, *(graph.input(name, ["total_tokens"]) for name in names))
    graph.output("rows", rows, ["total_tokens", config.hidden_size])
    return graph.model("embed")


def _layer_graph(weights: Weights, config: AlbertConfig, depths: list[int]) -> ModelProto:
    """From the rows before one of these depths, which share a layer, to those after it."""
    graph = DepthGraph(weights, config, depths)
    rows = graph.input("rows", ["total_tokens", config.hidden_size], TensorProto.FLOAT)
    places = Places(
        graph.input("rows_to_block", ["sequences", "max_seqlen"]),
        graph.input("block_to_rows", ["total_tokens"]),
        graph.input("key_lengths", ["sequences"], TensorProto.INT32),
    )
    after = layer(graph, config, layer_weights(config, depths[0]), rows, places)
    graph.output("rows_out", after, ["total_tokens", config.hidden_size])
    return graph.model("layer")


def _heads_graph(
    weights: Weights, config: AlbertConfig, heads: Mapping[str, HeadSpec]
) -> ModelProto:
    """From the rows after the last depth to every head's outputs."""
    graph = Graph(weights)
    add_heads(graph, config, heads, Seen(graph, config))
    return graph.model("heads")


def _exits_graph(
    weights: Weights, config: AlbertConfig, heads: Mapping[str, HeadSpec]
) -> ModelProto:
    """From the rows after an earlier depth to what its exits say."""
    graph = Graph(weights)
    add_exits(graph, config, heads, Seen(graph, config))
    return graph.model("exits")


def _predictions_graph(weights: Weights, config: AlbertConfig) -> ModelProto:
    """From some rows after the last depth to the words that may stand there."""
    graph = Graph(weights)
    rows = graph.input("rows", ["asked", config.hidden_size], TensorProto.FLOAT)
    add_words(graph, config, rows)
    return graph.model("predictions")
