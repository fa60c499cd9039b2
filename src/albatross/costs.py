"""What a configuration costs: parameters, bytes, FLOPs and training memory, without any tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from albatross.config import AlbertConfig

BYTES_PER_VALUE = {"float32": 4, "float16": 2, "int8": 1}


@dataclass(frozen=True)
class ModelCost:
    """What a configuration costs, counted part by part.

    `parameters` is keyed by part: embeddings, projection, attention, feed_forward, pooler, heads;
    and depth_residuals, where there are any.
    """

    parameters: Mapping[str, int]
    flops_per_token: int
    """Multiplications and additions of one forward pass, divided by the tokens of one sequence."""
    training_flops_per_token: int
    """Likewise of a training step: three times the forward pass, with the masked-word head on the
    masked tokens alone, and in the last depth only what these ask for."""
    training_bytes: int
    """Weights, gradients, two Adam moments and what the backward pass needs kept, in fp32."""

    @property
    def encoder_parameters(self) -> int:
        """All parameters but the pre-training heads: what `AlbertModel` with its pooler holds."""
        return sum(self.parameters.values()) - self.parameters["heads"]

    def file_bytes(self, dtype: str) -> int:
        """Return the bytes of the encoder's weights in float32, float16 or int8."""
        return self.encoder_parameters * BYTES_PER_VALUE[dtype]


def model_cost(
    config: AlbertConfig,
    *,
    sequence_length: int = 128,
    batch_size: int = 32,
    activation_checkpointing: bool = False,
    masking_rate: float = 0.15,
) -> ModelCost:
    """Count parameters, FLOPs and training memory of a configuration."""
    hidden, embedding = config.hidden_size, config.embedding_size
    tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    inner = config.inner_group_num
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    feed_forward = 2 * hidden * config.intermediate_size + config.intermediate_size + 3 * hidden
    mlm_head = hidden * embedding + 3 * embedding + config.vocab_size
    parameters = {
        "embeddings": tables * embedding + 2 * embedding,
        "projection": (embedding * hidden + hidden) if config.embedding_projection else 0,
        "attention": config.num_attention_groups * inner * attention,
        "feed_forward": config.num_ffn_groups * inner * feed_forward,
        "pooler": hidden * hidden + hidden,
        "heads": mlm_head + 2 * hidden + 2,
    }
    added = config.depth_lora_rank * (10 * hidden + 2 * config.intermediate_size)
    if config.depth_lora_rank:
        vectors = 9 * hidden + config.intermediate_size
        parameters["depth_residuals"] = config.depth * (added + vectors)
    if config.adapter is not None:
        each = adapter_parameters(config)
        parameters["adapters"] = each * (config.depth if config.adapter.per_depth else 1)
        added += each
    per_layer = added + 4 * hidden * hidden + 2 * hidden * config.intermediate_size
    per_layer += 2 * sequence_length * hidden
    flops = 2 * (config.depth * per_layer + (parameters["projection"] and embedding * hidden))
    head = 2 * masking_rate * embedding * (hidden + config.vocab_size)
    unasked = per_layer - 2 * hidden * hidden  # of the last depth: all but keys and values
    training_flops = 3 * (flops + head - 2 * (1 - masking_rate) * unasked)
    tokens = sequence_length * batch_size
    activations = _activation_values(config, activation_checkpointing) * tokens
    training_bytes = 4 * (4 * sum(parameters.values()) + activations)
    return ModelCost(parameters, flops, round(training_flops), training_bytes)


def adapter_parameters(config: AlbertConfig) -> int:
    """Return the parameters of the adapter of one layer."""
    spec, hidden, wide = config.adapter, config.hidden_size, config.intermediate_size
    if spec is None:
        return 0
    if spec.kind == "bottleneck":
        return len(spec.parts) * (2 * hidden * spec.rank + spec.rank + hidden)
    sides = [hidden + (wide if part.startswith("ffn") else hidden) for part in spec.parts]
    return spec.rank * sum(sides)


def _activation_values(config: AlbertConfig, checkpointing: bool) -> int:
    """Return the values per token that are alive at the peak of a step, weights left out.

    They, not the weights, fill the memory. A layer keeps its input, query, key, value, attended
    values, the two normalised sums with their inputs, and the feed-forward block before and after
    its activation; each residual of a depth keeps its rows of low rank; SDPA keeps no attention
    matrix. The peak lies where the backward pass begins, either in the head, with the logits of
    15 % of the tokens, their softmax and a gradient, or in the last layer, with a gradient as wide
    as its feed-forward block and, with checkpointing, all that it keeps.
    `benchmarks/training_memory.py` compares.
    """
    layer = 8 * config.hidden_size + 2 * config.intermediate_size + 6 * config.depth_lora_rank
    ends = 3 * config.embedding_size + config.hidden_size
    in_head = 3 * config.vocab_size * 15 // 100
    in_layer = config.intermediate_size + (layer if checkpointing else 0)
    kept = config.depth * (config.hidden_size if checkpointing else layer)
    return kept + ends + max(in_head, in_layer)
