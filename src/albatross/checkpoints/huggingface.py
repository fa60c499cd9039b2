"""Hugging Face's tensor names: which tensors a model has, with shapes, and older spellings of them.

Our modules carry these very names, so a file needs no mapping; it only needs its variations
removed: the optional `albert.` prefix, wrappers' prefixes, `gamma` and `beta`, buffers, and tied
tensors stored twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from albatross.config import VARIANTS, AlbertConfig, variant
from albatross.errors import WeightsError
from albatross.head_spec import HeadSpec

Arrays = dict[str, NDArray[np.generic]]
Shapes = dict[str, tuple[int, ...]]

WORD_EMBEDDINGS = "albert.embeddings.word_embeddings.weight"
EMBEDDINGS = ("albert.embeddings.", "albert.encoder.embedding_hidden_mapping_in.")
"""Prefixes of what makes the rows that enter depth 0."""
_TIED = {
    "predictions.decoder.weight": WORD_EMBEDDINGS,
    "predictions.decoder.bias": "predictions.bias",
}
_BUFFERS = {"albert.embeddings.position_ids", "albert.embeddings.token_type_ids"}
KNOWN_PREFIXES = (
    "albert.",
    "predictions.",
    "sop_classifier.",
    "classifier.",
    "qa_outputs.",
    "beam_qa.",
    "heads.",
    "exits.",
    "decoder.",
)
# What torch puts before every name of a model it has wrapped, for several devices or compiled.
_WRAPPERS = ("module.", "_orig_mod.", "module.")
ENGLISH = tuple(name for name in VARIANTS if name.endswith(("-v1", "-v2")))
"""The eight English models that Google published, by the names they have everywhere."""
_SIZES = (
    *("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups"),
    *("num_attention_heads", "intermediate_size", "inner_group_num"),
)
_OLD_SPELLINGS = {".gamma": ".weight", ".beta": ".bias"}


def encoder_shapes(config: AlbertConfig, *, pooler: bool = True) -> Shapes:
    """Return the name and shape of every tensor of the encoder, with its `albert.` prefix."""
    hidden, size = config.hidden_size, config.embedding_size
    shapes: Shapes = {
        WORD_EMBEDDINGS: (config.vocab_size, size),
        "albert.embeddings.position_embeddings.weight": (config.max_position_embeddings, size),
        "albert.embeddings.token_type_embeddings.weight": (config.type_vocab_size, size),
        **_norm("albert.embeddings.LayerNorm", size),
    }
    if config.embedding_projection:
        shapes |= _linear("albert.encoder.embedding_hidden_mapping_in", size, hidden)
    for group in range(max(config.num_attention_groups, config.num_ffn_groups)):
        for inner in range(config.inner_group_num):
            layer = f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}"
            if group < config.num_attention_groups:
                shapes |= _attention_shapes(f"{layer}.attention", hidden)
            if group < config.num_ffn_groups:
                shapes |= _linear(f"{layer}.ffn", hidden, config.intermediate_size)
                shapes |= _linear(f"{layer}.ffn_output", config.intermediate_size, hidden)
                shapes |= _norm(f"{layer}.full_layer_layer_norm", hidden)
    shapes |= _residual_shapes(config) | _adapter_shapes(config)
    return shapes | (_linear("albert.pooler", hidden, hidden) if pooler else {})


def masked_lm_shapes(config: AlbertConfig) -> Shapes:
    """Return the tensors of the masked-LM head; its output matrix is the word embeddings."""
    return {
        **_linear("predictions.dense", config.hidden_size, config.embedding_size),
        **_norm("predictions.LayerNorm", config.embedding_size),
        "predictions.bias": (config.vocab_size,),
    }


def sentence_order_shapes(config: AlbertConfig) -> Shapes:
    """Return the tensors of the sentence-order head."""
    return _linear("sop_classifier.classifier", config.hidden_size, 2)


def head_shapes(config: AlbertConfig, heads: Mapping[str, HeadSpec]) -> Shapes:
    """Return the tensors of task heads; a head's name is the prefix of its tensors."""
    shapes: Shapes = {}
    for name, spec in heads.items():
        if spec.kind == "beam_span":
            shapes |= beam_qa_shapes(config, name)
        elif spec.kind == "words":
            shapes |= masked_lm_shapes(config)
        elif spec.kind != "embedding":
            shapes |= _linear(name, config.hidden_size, spec.size)
        if spec.options.get("exits"):
            for depth in range(config.depth - 1):
                shapes |= _linear(f"exits.{name}.{depth}", config.hidden_size, spec.size)
    return shapes


def beam_qa_shapes(config: AlbertConfig, name: str = "beam_qa") -> Shapes:
    """Return the tensors of the SQuAD 2.0 beam head, which Hugging Face has no class for."""
    hidden = config.hidden_size
    return {
        **_linear(f"{name}.start", hidden, 1),
        **_linear(f"{name}.end_dense", 2 * hidden, hidden),
        **_norm(f"{name}.end_LayerNorm", hidden),
        **_linear(f"{name}.end_output", hidden, 1),
        **_linear(f"{name}.answer_dense", 2 * hidden, hidden),
        f"{name}.answer_output.weight": (1, hidden),
    }


def published_gelu(config: AlbertConfig) -> bool:
    """Whether a configuration has a published English size and the exact form of GELU.

    Google trained all eight with the tanh form; the version-1 configurations on the hub say `gelu`.
    """
    sizes = {tuple(getattr(one, name) for name in _SIZES) for one in map(variant, ENGLISH)}
    own = tuple(getattr(config, name) for name in _SIZES)
    return config.hidden_act == "gelu" and own in sizes


def canonical(arrays: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Return the arrays under their present names, tied ones once, buffers left out.

    Raises:
        WeightsError: a tensor stands there under two names, or one that should be tied has been
            trained apart; it would be lost.
    """
    for wrapper in _WRAPPERS:
        if arrays and all(name.startswith(wrapper) for name in arrays):
            arrays = {name.removeprefix(wrapper): array for name, array in arrays.items()}
    renamed: Arrays = {}
    for name, array in arrays.items():
        present = _present_name(name)
        if present in renamed:
            raise WeightsError(
                f"A tensor must stand in a file once. Received `{_shorten([present])}` under two"
                f" spellings, one of them `{_shorten([name])}`. Remove the one that the model was"
                " not trained with."
            )
        renamed[present] = array
    for tied, original in _TIED.items():
        if tied in renamed:
            twin = renamed.pop(tied)
            renamed[original] = _tied(renamed.get(original, twin), twin, original, tied)
    return {name: array for name, array in renamed.items() if name not in _BUFFERS}


def fit(
    arrays: Mapping[str, NDArray[np.generic]],
    expected: Shapes,
    *,
    source: str = "the file",
) -> list[str]:
    """Check arrays against the tensors that a model needs.

    Args:
        arrays: canonical ones.
        expected: what the model needs.
        source: where the arrays came from, for the message.

    Returns:
        The names of heads' tensors in the file that this model does not use.

    Raises:
        WeightsError: a list of what is missing, unexpected, of another shape, or no real numbers.
    """
    missing = sorted(set(expected) - set(arrays))
    other = set(arrays) - set(expected)
    unused = sorted(name for name in other if not _is_encoder_layer(name))
    unexpected = sorted(other - set(unused))
    wrong = [
        f"{name} {tuple(array.shape)} for {expected[name]}"
        for name, array in arrays.items()
        if name in expected and tuple(array.shape) != expected[name]
    ]
    whole = [
        f"{name} {array.dtype}"
        for name, array in arrays.items()
        if name in expected and not np.issubdtype(array.dtype, np.floating)
    ]
    found = {"missing": missing, "unexpected": unexpected, "shape": wrong, "not real": whole}
    problems = [f"{title}: {_shorten(names)}" for title, names in found.items() if names]
    if problems:
        raise WeightsError(
            f"The tensors of {source} must be those that its config.json describes."
            f" Received {'; '.join(problems)}. Open it with the configuration of its training;"
            " `initialize` names parts that shall start anew."
        )
    return unused


def _tied(
    first: NDArray[np.generic], second: NDArray[np.generic], original: str, tied: str
) -> NDArray[np.generic]:
    """Return the one array that two tied tensors are.

    Early transformers had two biases and added both, so that one of them may have stayed zero.
    """
    if np.array_equal(first, second):
        return first
    is_bias = original.endswith(".bias") and first.shape == second.shape
    if is_bias and not (first.any() and second.any()):
        return first if first.any() else second
    raise WeightsError(
        f"`{tied}` must equal `{original}`: ALBERT ties them. Received two that differ."
        " Tie them, or open the folder with the program that wrote it."
    )


def _is_encoder_layer(name: str) -> bool:
    """Whether a tensor cannot be some head's: it is the encoder's, or of no kind we know."""
    if name.startswith("albert.pooler."):
        return False
    return name.startswith("albert.") or not name.startswith(KNOWN_PREFIXES)


def _present_name(name: str) -> str:
    """Return a tensor's name with the `albert.` prefix and without old spellings."""
    for old, new in _OLD_SPELLINGS.items():
        if name.endswith(old):
            name = name.removesuffix(old) + new
    if name.startswith(("embeddings.", "encoder.", "pooler.")):
        name = f"albert.{name}"
    return name


def _shorten(names: list[str], most: int = 6) -> str:
    """Join names for a message of one line; a file may name its tensors in any way."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    shown = [name if name.isprintable() else ascii(name) for name in names[:most]]
    return ", ".join(name[:200] for name in shown) + rest


def _attention_shapes(prefix: str, hidden: int) -> Shapes:
    """Return the four projections and the norm of an attention block."""
    shapes: Shapes = {}
    for part in ("query", "key", "value", "dense"):
        shapes |= _linear(f"{prefix}.{part}", hidden, hidden)
    return shapes | _norm(f"{prefix}.LayerNorm", hidden)


def _residual_shapes(config: AlbertConfig) -> Shapes:
    """Return what every depth adds to the layers that it shares; nothing at rank zero."""
    hidden, wide, rank = config.hidden_size, config.intermediate_size, config.depth_lora_rank
    maps = {f"attention.{part}": (hidden, hidden) for part in ("query", "key", "value", "dense")}
    maps |= {"ffn": (hidden, wide), "ffn_output": (wide, hidden)}
    shapes: Shapes = {}
    for depth in range(config.depth if rank else 0):
        prefix = f"albert.encoder.depth_residuals.{depth}"
        for part, (inputs, outputs) in maps.items():
            shapes[f"{prefix}.{part}.lora_A.weight"] = (rank, inputs)
            shapes[f"{prefix}.{part}.lora_B.weight"] = (outputs, rank)
            shapes[f"{prefix}.{part}.bias"] = (outputs,)
        for norm in ("attention.LayerNorm", "full_layer_layer_norm"):
            shapes |= _norm(f"{prefix}.{norm}", hidden)
    return shapes


def _adapter_shapes(config: AlbertConfig) -> Shapes:
    """Return the tensors of the adapters: one for all depths, or one for each."""
    shapes: Shapes = {}
    spec = config.adapter
    if spec is None:
        return shapes
    hidden, wide, rank = config.hidden_size, config.intermediate_size, spec.rank
    for number in range(config.depth if spec.per_depth else 1):
        for part in spec.parts:
            prefix = f"albert.encoder.adapters.{number}.{part}"
            if spec.kind == "lora":
                shapes[f"{prefix}.lora_A.weight"] = (rank, wide if part == "ffn_output" else hidden)
                shapes[f"{prefix}.lora_B.weight"] = (wide if part == "ffn" else hidden, rank)
            else:
                shapes |= _linear(f"{prefix}.down", hidden, rank)
                shapes |= _linear(f"{prefix}.up", rank, hidden)
    return shapes


def _linear(prefix: str, inputs: int, outputs: int) -> Shapes:
    """Return weight and bias of a linear map, stored [out, in]."""
    return {f"{prefix}.weight": (outputs, inputs), f"{prefix}.bias": (outputs,)}


def _norm(prefix: str, size: int) -> Shapes:
    """Return weight and bias of a layer norm."""
    return {f"{prefix}.weight": (size,), f"{prefix}.bias": (size,)}
