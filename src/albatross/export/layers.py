"""The encoder's parts over packed rows, for any graph: embeddings, and one layer.

Biases are left to the operators that come after a product and can add them on their way.
"""

from __future__ import annotations

from dataclasses import dataclass

from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import LayerWeights
from albatross.export.graph import CONTRIB, Graph

LAYER_GROUPS = "albert.encoder.albert_layer_groups"


@dataclass(frozen=True)
class Places:
    """The values of a graph that say where the sequences lie.

    Attributes:
        rows_to_block: (sequences, max_seqlen), the row of each cell; any row for a pad
        block_to_rows: (total_tokens,), the cell of each row
        key_lengths: (sequences,), in 32 bits
    """

    rows_to_block: str
    block_to_rows: str
    key_lengths: str


def embed(
    graph: Graph, config: AlbertConfig, input_ids: str, token_type_ids: str, position_ids: str
) -> str:
    """Three tables, layer norm on E, projection to H: (total_tokens,) to (total_tokens, hidden)."""
    width = config.embedding_size
    rows = ""
    for table, ids, count in (
        ("word_embeddings", input_ids, config.vocab_size),
        ("token_type_embeddings", token_type_ids, config.type_vocab_size),
        ("position_embeddings", position_ids, config.max_position_embeddings),
    ):
        found = graph.look_up(f"albert.embeddings.{table}", (count, width), ids)
        rows = graph.add("Add", [rows, found]) if rows else found
    norm = graph.norm("albert.embeddings.LayerNorm", width)
    rows = graph.add("LayerNormalization", [rows, *norm], epsilon=config.layer_norm_eps, axis=-1)
    if not config.embedding_projection:
        return rows
    prefix = "albert.encoder.embedding_hidden_mapping_in"
    return graph.dense(prefix, rows, width, config.hidden_size)


def layer(graph: Graph, config: AlbertConfig, used: LayerWeights, rows: str, places: Places) -> str:
    """One layer: (total_tokens, hidden) to the same."""
    attention, feeding = layer_prefixes(LAYER_GROUPS, used)
    attended = attend(graph, config, attention, rows, places)
    return feed_forward(graph, config, feeding, join(graph, config, attention, attended, rows))


def layer_prefixes(groups: str, used: LayerWeights) -> tuple[str, str]:
    """Where a layer's attention and its feed-forward block stand in an encoder or a decoder."""
    return (
        f"{groups}.{used.attention_group}.albert_layers.{used.inner}.attention",
        f"{groups}.{used.ffn_group}.albert_layers.{used.inner}",
    )


def join(graph: Graph, config: AlbertConfig, prefix: str, attended: str, rows: str) -> str:
    """Project what an attention block has attended to, add it to the rows, and normalise."""
    hidden = config.hidden_size
    projected = graph.product(f"{prefix}.dense", attended, hidden, hidden)
    norm, bias = graph.norm(f"{prefix}.LayerNorm", hidden), graph.bias(f"{prefix}.dense", hidden)
    return graph.add_and_norm(projected, bias, rows, norm, config.layer_norm_eps)


def feed_forward(graph: Graph, config: AlbertConfig, prefix: str, rows: str) -> str:
    """A feed-forward block: (total_tokens, hidden) to the same."""
    hidden, wide = config.hidden_size, config.intermediate_size
    inside = graph.product(f"{prefix}.ffn", rows, hidden, wide)
    inside = activate(graph, config.hidden_act, inside, graph.bias(f"{prefix}.ffn", wide))
    inside = graph.product(f"{prefix}.ffn_output", inside, wide, hidden)
    norm = graph.norm(f"{prefix}.full_layer_layer_norm", hidden)
    bias = graph.bias(f"{prefix}.ffn_output", hidden)
    return graph.add_and_norm(inside, bias, rows, norm, config.layer_norm_eps)


def attend(graph: Graph, config: AlbertConfig, prefix: str, rows: str, places: Places) -> str:
    """Self-attention within each sequence, before its output product.

    It alone sees a block (sequences, max_seqlen, hidden).
    """
    hidden = config.hidden_size
    blocks, biases = [], []
    for name in ("query", "key", "value"):
        product = graph.product(f"{prefix}.{name}", rows, hidden, hidden)
        blocks.append(graph.add("Gather", [product, places.rows_to_block], axis=0))
        biases.append(graph.bias(f"{prefix}.{name}", hidden))
    block = graph.add(
        "MultiHeadAttention",
        [*blocks, graph.add("Concat", biases, axis=0), places.key_lengths],
        domain=CONTRIB,
        num_heads=config.num_attention_heads,
    )
    flat = graph.add("Reshape", [block, graph.integers("flat_shape", [-1, hidden])])
    return graph.add("Gather", [flat, places.block_to_rows], axis=0)


def activate(graph: Graph, hidden_act: str, rows: str, bias: str) -> str:
    """The activation of rows and a bias; FastGelu is the tanh form, Hugging Face's gelu_new."""
    fused = {"gelu_new": "FastGelu", "gelu": "BiasGelu"}.get(hidden_act)
    if fused is not None:
        return graph.add(fused, [rows, bias], domain=CONTRIB)
    return graph.add({"relu": "Relu", "tanh": "Tanh"}[hidden_act], [graph.add("Add", [rows, bias])])
