"""Hugging Face's BERT: its names and configuration, as an un-shared model of ours and back.

A BERT is `cross_layer_sharing: none` with E = H and no projection; the functions are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.checkpoints.huggingface import Arrays
from albatross.config import AlbertConfig
from albatross.errors import ConfigError, WeightsError

_CONFIG_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)
# transformers' own defaults, where ours differ.
_BERT_DEFAULTS = {
    "vocab_size": 30_522,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
_NOT_KEPT = {"model_type", "is_decoder", "add_cross_attention", "classifier_dropout", "use_cache"}
_LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.dense",
    "attention.output.LayerNorm": "attention.LayerNorm",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
}
_HEADS = {
    "cls.predictions.transform.dense": "predictions.dense",
    "cls.predictions.transform.LayerNorm": "predictions.LayerNorm",
    "cls.seq_relationship": "sop_classifier.classifier",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
}
_WORDS = "bert.embeddings.word_embeddings.weight"
_TIED = {
    "cls.predictions.decoder.weight": _WORDS,
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
ARCHITECTURES = {
    "AlbertModel": "BertModel",
    "AlbertForPreTraining": "BertForPreTraining",
    "AlbertForMaskedLM": "BertForMaskedLM",
    "AlbertForSequenceClassification": "BertForSequenceClassification",
    "AlbertForTokenClassification": "BertForTokenClassification",
    "AlbertForQuestionAnswering": "BertForQuestionAnswering",
    "AlbertForMultipleChoice": "BertForMultipleChoice",
}
"""Our classes and transformers' of the same heads."""


def is_bert(config: AlbertConfig) -> bool:
    """Whether transformers' BERT computes the same function."""
    return (
        config.cross_layer_sharing == "none"
        and not config.embedding_projection
        and config.inner_group_num == 1
        and not config.depth_lora_rank
    )


def read_bert_config(values: Mapping[str, Any]) -> AlbertConfig:
    """Read the `config.json` of a BERT.

    Raises:
        ConfigError: values break a rule, or the model is a decoder.
    """
    if values.get("is_decoder") or values.get("add_cross_attention"):
        raise ConfigError(
            "A BERT must be an encoder. Received: is_decoder or add_cross_attention."
            " Only encoders can be converted."
        )
    known = {**_BERT_DEFAULTS, **{k: v for k, v in values.items() if k not in _NOT_KEPT}}
    hidden, layers = known.get("hidden_size", 768), known.get("num_hidden_layers", 12)
    known |= {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": known.get("num_attention_heads", 12),
        "intermediate_size": known.get("intermediate_size", 3_072),
        "embedding_size": hidden,
        "embedding_projection": False,
        "cross_layer_sharing": "none",
        "num_hidden_groups": layers,
        "classifier_dropout_prob": values.get("classifier_dropout"),
    }
    ours = {theirs: name for name, theirs in ARCHITECTURES.items()}
    if isinstance(known.get("architectures"), list):
        known["architectures"] = [ours.get(name, name) for name in known["architectures"]]
    return AlbertConfig.from_dict(known)


def bert_config(config: AlbertConfig) -> dict[str, Any]:
    """Return the `config.json` of a BERT for an un-shared model."""
    values = config.to_dict()
    architectures = [ARCHITECTURES.get(n, n) for n in config.extra.get("architectures") or ()]
    return {
        "model_type": "bert",
        **{key: values[key] for key in _CONFIG_KEYS},
        "classifier_dropout": config.classifier_dropout_prob,
        **config.extra,
        **({"architectures": architectures} if architectures else {}),
    }


def from_bert(arrays: Mapping[str, NDArray[np.generic]], config: AlbertConfig) -> Arrays:
    """Return a BERT's tensors under our names; unknown ones keep theirs.

    Raises:
        WeightsError: the output matrix or its bias is not tied, which an ALBERT cannot hold.
    """
    known = {_with_prefix(name): array for name, array in arrays.items()}
    for tied, original in _TIED.items():
        if tied in known:
            if not np.array_equal(known[tied], known.get(original, known[tied])):
                raise WeightsError(
                    f"`{tied}` must equal `{original}`. Received two that differ: ALBERT ties its"
                    " output matrix, so that one would be lost. Tie them first."
                )
            known.setdefault(original, known[tied])
            del known[tied]
    names = _names(config)
    return {names.get(n, n): a for n, a in known.items() if not n.endswith("position_ids")}


def to_bert(arrays: Mapping[str, NDArray[np.generic]], config: AlbertConfig) -> Arrays:
    """Return an un-shared model's tensors under BERT's names; unknown ones keep theirs."""
    names = {ours: bert for bert, ours in _names(config).items()}
    return {names.get(name, name): array for name, array in arrays.items()}


def _with_prefix(name: str) -> str:
    """Return a name with the `bert.` that bare models lack, or that our reader took for ours."""
    bare = name.removeprefix("albert.")
    if bare.startswith(("embeddings.", "encoder.", "pooler.")):
        return f"bert.{bare}"
    return name


def _names(config: AlbertConfig) -> dict[str, str]:
    """Return BERT's name of every tensor to ours."""
    modules = {
        "bert.embeddings.LayerNorm": "albert.embeddings.LayerNorm",
        "bert.pooler.dense": "albert.pooler",
        **_HEADS,
    }
    for layer in range(config.num_hidden_layers):
        ours = f"albert.encoder.albert_layer_groups.{layer}.albert_layers.0"
        bert = f"bert.encoder.layer.{layer}"
        modules |= {f"{bert}.{theirs}": f"{ours}.{name}" for theirs, name in _LAYER.items()}
    names = {
        f"{t}.{kind}": f"{o}.{kind}" for t, o in modules.items() for kind in ("weight", "bias")
    }
    for table in ("word", "position", "token_type"):
        tensor = f"embeddings.{table}_embeddings.weight"
        names[f"bert.{tensor}"] = f"albert.{tensor}"
    return names | {"cls.predictions.bias": "predictions.bias"}
