"""Google's names: one table between the variables of their TF1 checkpoints and our tensors.

Names follow google-research/albert: `modeling.py` for the encoder, `run_pretraining.py`,
`classifier_utils.py` and `squad_utils.py` for the heads. A second table serves the first Chinese
models (brightmart/albert_zh), which project words to H before positions are added. Where a hub
module or a frozen graph puts something before all names, that prefix is found and taken off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.huggingface import WORD_EMBEDDINGS, Arrays
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, WeightsError

Layout = Literal["google-research", "albert_zh"]
CONFIG_FILE = "albert_config.json"
PROJECTION = "albert.encoder.embedding_hidden_mapping_in"
# Of which layout a checkpoint is, by a variable that only that one has.
_SIGNS: dict[Layout, str] = {
    "google-research": "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/bias",
    "albert_zh": "bert/encoder/layer_shared/attention/self/query/bias",
}
_BERT_SIGN = "bert/encoder/layer_0/attention/self/query/bias"
# What an optimizer keeps beside the weights, and its counters.
_OPTIMIZER = re.compile(
    r"(.*/)?((adam|lamb)_[mv](_\d+)?|Adam(_\d+)?|global_step|beta[12]_power|loss_scale|good_steps)"
)
# The second matrix of albert_zh's embeddings, E x H; it is multiplied into the first.
_FOLDED = "bert/embeddings/word_embeddings_2"
# Keys that Google's own code reads or writes; it ignores all others.
_CONFIG_KEYS = (
    "attention_probs_dropout_prob",
    "hidden_act",
    "hidden_dropout_prob",
    "embedding_size",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_hidden_groups",
    "inner_group_num",
    "type_vocab_size",
    "vocab_size",
)
_GOOGLE_EPS = 1e-12


@dataclass(frozen=True)
class NamePair:
    """One tensor under both names.

    Attributes:
        google: the variable's name, without a prefix
        ours: the tensor's name, Hugging Face's wherever they have one
        transposed: whether Google stores [in, out] where we store [out, in]
    """

    google: str
    ours: str
    transposed: bool = False


@dataclass(frozen=True)
class Recognized:
    """What the names of a checkpoint tell.

    Attributes:
        layout: whose code wrote it
        prefix: what stands before every name, such as `module/`
        optimizer: variables that only training needs
    """

    layout: Layout
    prefix: str
    optimizer: tuple[str, ...]


def recognize(names: Iterable[str]) -> Recognized:
    """Tell layout and prefix from the names of a checkpoint's variables.

    Raises:
        WeightsError: no ALBERT's names, or those of two models.
    """
    weights = sorted(name for name in names if not _OPTIMIZER.fullmatch(name))
    optimizer = tuple(sorted(name for name in names if _OPTIMIZER.fullmatch(name)))
    for layout, sign in _SIGNS.items():
        prefixes = {name.removesuffix(sign) for name in weights if _ends_in(name, sign)}
        if len(prefixes) == 1:
            return Recognized(layout, prefixes.pop(), optimizer)
        if prefixes:
            raise WeightsError(
                "A checkpoint must hold one model. Received models under"
                f" {', '.join(map(repr, sorted(prefixes)))}. Save the one that is wanted alone."
            )
    if any(_ends_in(name, _BERT_SIGN) for name in weights):
        raise WeightsError(
            "A Google checkpoint must be an ALBERT's. Received a BERT's (`layer_0`). Give BERT as a"
            " folder of transformers; its own converter makes one."
        )
    raise WeightsError(
        "A Google checkpoint must be an ALBERT's, with variables below `bert/encoder/transformer`."
        f" Received {len(weights)} others, such as {', '.join(weights[:3]) or 'none'}."
    )


def name_pairs(config: AlbertConfig, layout: Layout = "google-research") -> tuple[NamePair, ...]:
    """Return the table of names of a configuration: encoder, pre-training heads, task heads."""
    if layout == "albert_zh":
        encoder = [*_embeddings(), *_shared_layer()]
    else:
        encoder = _embeddings()
        if config.embedding_projection:
            encoder += _dense("bert/encoder/embedding_hidden_mapping_in", PROJECTION)
        for group in range(config.num_hidden_groups):
            for inner in range(config.inner_group_num):
                encoder += _layer(group, inner)
    return (*encoder, *_dense("bert/pooler/dense", "albert.pooler"), *_pretraining(), *_heads())


def from_google(
    variables: Mapping[str, NDArray[np.generic]], config: AlbertConfig, layout: Layout
) -> Arrays:
    """Return variables, given without their prefix, under our names; others are left out.

    albert_zh's second embedding matrix is multiplied into the first, exactly as its code does at
    every step, so that E equals H.
    """
    arrays: Arrays = {}
    for pair in name_pairs(config, layout):
        if pair.google in variables:
            array = variables[pair.google]
            arrays[pair.ours] = array.T if pair.transposed else array
    if layout == "albert_zh" and _FOLDED in variables:
        words, projection = (
            np.asarray(array, np.float32) for array in (arrays[WORD_EMBEDDINGS], variables[_FOLDED])
        )
        arrays[WORD_EMBEDDINGS] = words @ projection
    return arrays


def names_used(config: AlbertConfig, layout: Layout) -> set[str]:
    """Return the variables that `from_google` reads."""
    folded = {_FOLDED} if layout == "albert_zh" else set()
    return {pair.google for pair in name_pairs(config, layout)} | folded


def read_google_config(values: Mapping[str, Any], layout: Layout) -> AlbertConfig:
    """Read an `albert_config.json` as Google's code means it.

    Their `gelu` is the tanh form. They make no projection where E equals H.

    Raises:
        ConfigError: values break a rule, or the layers norm before they compute.
    """
    if str(values.get("ln_type") or "postln").lower() != "postln":
        raise ConfigError(
            "A layer must norm after it computes, as ALBERT's does. Received:"
            f" ln_type={values['ln_type']!r}. albert_zh's own xlarge and xxlarge are another model."
        )
    act = values.get("hidden_act", "gelu")
    known = {**values, "hidden_act": "gelu_new" if act == "gelu" else act}
    if layout == "albert_zh":
        known |= {"num_hidden_groups": 1, "inner_group_num": 1}
        known["embedding_size"] = known.get("hidden_size")
    if known.get("embedding_size") == known.get("hidden_size"):
        known["embedding_projection"] = False
    return AlbertConfig.from_dict(known)


def google_config(config: AlbertConfig) -> dict[str, Any]:
    """Return what `albert_config.json` holds.

    Raises:
        ConfigError: Google's code would compute something else from it.
    """
    broken = []
    if config.hidden_act == "gelu":
        broken.append("`hidden_act` gelu, by erf: theirs is the tanh form (gelu_new here)")
    if config.layer_norm_eps != _GOOGLE_EPS:
        broken.append(f"`layer_norm_eps` {config.layer_norm_eps:g}: theirs is {_GOOGLE_EPS:g}")
    if config.embedding_projection and config.embedding_size == config.hidden_size:
        broken.append("a projection where E equals H: they make none")
    if any(_float_group(config, repeat) != config.group_of(repeat) for repeat in _repeats(config)):
        broken.append(
            f"{config.num_hidden_groups} groups of {config.num_hidden_layers} layers: they find the"
            " group in floating point and would skip one"
        )
    if config.depth_lora_rank or config.cross_layer_sharing in ("attention", "ffn"):
        broken.append("sharing that they do not know: give every depth a group with --groups")
    if broken:
        raise ConfigError(
            f"Google's code must compute the same function. Received: {'; '.join(broken)}."
            " Convert to huggingface or albatross instead."
        )
    values = config.to_dict()
    chosen = {key: values[key] for key in _CONFIG_KEYS}
    chosen["hidden_act"] = "gelu" if config.hidden_act == "gelu_new" else config.hidden_act
    inert = ("down_scale_factor", "net_structure_type", "gap_size", "num_memory_blocks")
    return chosen | {key: config.extra[key] for key in inert if key in config.extra}


def to_google(arrays: Mapping[str, NDArray[np.generic]], config: AlbertConfig) -> Arrays:
    """Return arrays under Google's names, [in, out] where they want it; others are left out."""
    return {
        pair.google: arrays[pair.ours].T if pair.transposed else arrays[pair.ours]
        for pair in name_pairs(config)
        if pair.ours in arrays
    }


def _ends_in(name: str, path: str) -> bool:
    """Whether a name is this path, alone or below something."""
    return name == path or name.endswith(f"/{path}")


def _repeats(config: AlbertConfig) -> range:
    """Return the repeats of a configuration."""
    return range(config.num_hidden_layers)


def _float_group(config: AlbertConfig, repeat: int) -> int:
    """Return the group that Google's code computes for a repeat."""
    return int(repeat / config.num_hidden_layers * config.num_hidden_groups)


# === The table ===


def _dense(google: str, ours: str) -> list[NamePair]:
    """Return kernel and bias of a dense layer."""
    return [
        NamePair(f"{google}/kernel", f"{ours}.weight", transposed=True),
        NamePair(f"{google}/bias", f"{ours}.bias"),
    ]


def _norm(google: str, ours: str) -> list[NamePair]:
    """Return gamma and beta of a norm."""
    return [
        NamePair(f"{google}/gamma", f"{ours}.weight"),
        NamePair(f"{google}/beta", f"{ours}.bias"),
    ]


def _rows(google: str, ours: str) -> list[NamePair]:
    """Return a classifier that Google made by hand, stored [out, in] as here."""
    return [
        NamePair(f"{google}output_weights", f"{ours}.weight"),
        NamePair(f"{google}output_bias", f"{ours}.bias"),
    ]


def _embeddings() -> list[NamePair]:
    """Return the three tables and their norm."""
    tables = ("word_embeddings", "token_type_embeddings", "position_embeddings")
    return [
        *(NamePair(f"bert/embeddings/{t}", f"albert.embeddings.{t}.weight") for t in tables),
        *_norm("bert/embeddings/LayerNorm", "albert.embeddings.LayerNorm"),
    ]


def _layer(group: int, inner: int) -> list[NamePair]:
    """Return one layer; note that the second feed-forward map stands inside `intermediate`."""
    google = f"bert/encoder/transformer/group_{group}/inner_group_{inner}"
    ours = f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}"
    pairs: list[NamePair] = []
    for part in ("query", "key", "value"):
        pairs += _dense(f"{google}/attention_1/self/{part}", f"{ours}.attention.{part}")
    return [
        *pairs,
        *_dense(f"{google}/attention_1/output/dense", f"{ours}.attention.dense"),
        *_norm(f"{google}/LayerNorm", f"{ours}.attention.LayerNorm"),
        *_dense(f"{google}/ffn_1/intermediate/dense", f"{ours}.ffn"),
        *_dense(f"{google}/ffn_1/intermediate/output/dense", f"{ours}.ffn_output"),
        *_norm(f"{google}/LayerNorm_1", f"{ours}.full_layer_layer_norm"),
    ]


def _shared_layer() -> list[NamePair]:
    """Return albert_zh's one layer, named as BERT's layers are."""
    google = "bert/encoder/layer_shared"
    ours = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    pairs: list[NamePair] = []
    for part in ("query", "key", "value"):
        pairs += _dense(f"{google}/attention/self/{part}", f"{ours}.attention.{part}")
    return [
        *pairs,
        *_dense(f"{google}/attention/output/dense", f"{ours}.attention.dense"),
        *_norm(f"{google}/attention/output/LayerNorm", f"{ours}.attention.LayerNorm"),
        *_dense(f"{google}/intermediate/dense", f"{ours}.ffn"),
        *_dense(f"{google}/output/dense", f"{ours}.ffn_output"),
        *_norm(f"{google}/output/LayerNorm", f"{ours}.full_layer_layer_norm"),
    ]


def _pretraining() -> list[NamePair]:
    """Return the masked-LM head, whose output matrix is the word table, and sentence order."""
    return [
        *_dense("cls/predictions/transform/dense", "predictions.dense"),
        *_norm("cls/predictions/transform/LayerNorm", "predictions.LayerNorm"),
        NamePair("cls/predictions/output_bias", "predictions.bias"),
        *_rows("cls/seq_relationship/", "sop_classifier.classifier"),
    ]


def _heads() -> list[NamePair]:
    """Return the heads of `run_classifier.py` and `run_race.py`, SQuAD v1, and SQuAD v2's beam."""
    return [
        *_rows("", "classifier"),
        *_rows("cls/squad/", "qa_outputs"),
        *_dense("start_logits/dense", "beam_qa.start"),
        *_dense("end_logits/dense_0", "beam_qa.end_dense"),
        *_norm("end_logits/LayerNorm", "beam_qa.end_LayerNorm"),
        *_dense("end_logits/dense_1", "beam_qa.end_output"),
        *_dense("answer_class/dense_0", "beam_qa.answer_dense"),
        NamePair("answer_class/dense_1/kernel", "beam_qa.answer_output.weight", transposed=True),
    ]
