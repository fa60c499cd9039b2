"""Source and result side by side on random inputs; the one file of this room with torch."""

from __future__ import annotations

from collections.abc import Mapping

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
# What a comparison looks at, in the order of the table.
_OUTPUTS = (
    "last_hidden_state",
    "pooler_output",
    "prediction_logits",
    "sop_logits",
    "logits",
    "start_logits",
    "end_logits",
    "cls_logits",
)
_CLASSES: dict[str, type[AlbertPreTrainedModel]] = {
    kind.__name__: kind
    for kind in (
        AlbertModel,
        AlbertForPreTraining,
        AlbertForMaskedLM,
        AlbertForSequenceClassification,
        AlbertForTokenClassification,
        AlbertForQuestionAnswering,
        AlbertForMultipleChoice,
        AlbertForBeamQuestionAnswering,
    )
}
Tensors = Mapping[str, NDArray[np.generic]]


def forward_difference(
    config: AlbertConfig, arrays: Tensors, other_config: AlbertConfig, other: Tensors, seed: int = 0
) -> dict[str, float]:
    """Return the greatest absolute difference of each output of two models on the same inputs.

    The encoder is always compared, and the heads by the class that `architectures` names.
    """
    kinds: list[type[AlbertPreTrainedModel]] = [AlbertModel]
    kinds.append(_CLASSES.get(_architecture(config), AlbertModel))
    differences: dict[str, float] = {}
    for kind in dict.fromkeys(kinds):
        inputs = _inputs(config, seed, choices=kind is AlbertForMultipleChoice)
        results = []
        for each_config, tensors in ((config, arrays), (other_config, other)):
            model = kind.from_arrays(each_config, tensors)
            with torch.inference_mode():
                results.append(model(**inputs))
        for name in _OUTPUTS:
            first, second = (getattr(result, name, None) for result in results)
            if first is not None and second is not None:
                differences[name] = float((first - second).abs().max())
    return differences


def _architecture(config: AlbertConfig) -> str:
    """Return the class that a configuration names first."""
    return str(next(iter(config.extra.get("architectures") or ["AlbertModel"])))


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
