"""Source and result side by side on random inputs; the one file of this room with torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from albatross.config import AlbertConfig
from albatross.modeling.model import AlbertForMaskedLM, AlbertForPreTraining, AlbertModel
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.modeling.task_models import (
    AlbertForBeamQuestionAnswering,
    AlbertForMultipleChoice,
    AlbertForQuestionAnswering,
    AlbertForSequenceClassification,
    AlbertForTokenClassification,
)

_LONGEST = 24
_SEQUENCES = 3
_CLASSIFIERS: dict[str, type[AlbertPreTrainedModel]] = {
    "AlbertForTokenClassification": AlbertForTokenClassification,
    "AlbertForMultipleChoice": AlbertForMultipleChoice,
}
Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class _Comparison:
    """A class to compute with, how to make it, and which of its outputs to compare."""

    kind: type[AlbertPreTrainedModel]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def forward_difference(
    config: AlbertConfig, arrays: Tensors, other_config: AlbertConfig, other: Tensors, seed: int = 0
) -> dict[str, float]:
    """Return the greatest absolute difference of two models on the same inputs.

    By name: the rows after the last depth, the pooler, and every head that both have.
    """
    differences: dict[str, float] = {}
    for name, compared in _comparisons(config, arrays).items():
        if name in _heads(arrays) - _heads(other):
            continue
        inputs = _inputs(config, seed, choices=compared.kind is AlbertForMultipleChoice)
        results = []
        for each_config, tensors in ((config, arrays), (other_config, other)):
            model = compared.kind.from_arrays(each_config, tensors, **compared.options)
            with torch.inference_mode():
                results.append(model(**inputs))
        pairs = [[getattr(result, output) for result in results] for output in compared.outputs]
        differences[name] = max(float((first - second).abs().max()) for first, second in pairs)
    return differences


def _comparisons(config: AlbertConfig, arrays: Tensors) -> dict[str, _Comparison]:
    """Return what is compared, by the names that the report shows."""
    found = {"last_hidden_state": _Comparison(AlbertModel, ("last_hidden_state",))}
    heads = _heads(arrays)
    if "albert.pooler.weight" in arrays:
        found["pooler"] = _Comparison(AlbertModel, ("pooler_output",))
    if "predictions" in heads:
        found["predictions"] = _Comparison(AlbertForMaskedLM, ("logits",))
    if {"predictions", "sop_classifier"} <= heads and "pooler" in found:
        found["sop_classifier"] = _Comparison(AlbertForPreTraining, ("sop_logits",))
    if "classifier" in heads:
        found["classifier"] = _classifier(config, arrays)
    if "qa_outputs" in heads:
        outputs = ("start_logits", "end_logits")
        found["qa_outputs"] = _Comparison(
            AlbertForQuestionAnswering, outputs, {"num_labels": len(arrays["qa_outputs.weight"])}
        )
    if "beam_qa" in heads:
        found["beam_qa"] = _Comparison(
            AlbertForBeamQuestionAnswering,
            ("start_top_log_probs", "end_top_log_probs", "cls_logits"),
        )
    return found


def _classifier(config: AlbertConfig, arrays: Tensors) -> _Comparison:
    """Return the comparison of a `classifier`, whose class the configuration names."""
    named = (_CLASSIFIERS.get(name) for name in config.extra.get("architectures") or ())
    kind = next(filter(None, named), AlbertForSequenceClassification)
    if kind is AlbertForMultipleChoice:
        return _Comparison(kind, ("logits",))
    return _Comparison(kind, ("logits",), {"num_labels": len(arrays["classifier.weight"])})


def _heads(arrays: Tensors) -> set[str]:
    """Return the heads whose tensors are there."""
    return {name.split(".")[0] for name in arrays}


def _inputs(config: AlbertConfig, seed: int, *, choices: bool) -> dict[str, torch.Tensor]:
    """Return a padded batch of random tokens and types."""
    generator = torch.Generator().manual_seed(seed)
    length = min(_LONGEST, config.max_position_embeddings)
    shape = (_SEQUENCES, 2, length) if choices else (_SEQUENCES, length)
    mask = torch.ones(shape, dtype=torch.long)
    mask[0, ..., length // 2 :] = 0
    return {
        "input_ids": torch.randint(0, config.vocab_size, shape, generator=generator),
        "token_type_ids": torch.randint(0, config.type_vocab_size, shape, generator=generator),
        "attention_mask": mask,
    }
