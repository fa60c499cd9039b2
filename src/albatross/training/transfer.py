"""What of a model learns a task: all of it, its layers, its head alone, or an adapter with it.

And what a run takes over from the model that it starts from, which may have learned another task,
perhaps by an adapter. Only the files' side of it is in `checkpoints/delta.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.delta import root_of
from albatross.checkpoints.huggingface import EMBEDDINGS, Arrays
from albatross.checkpoints.model_folder import read_config, read_weights
from albatross.config import MARKED_TYPES, AlbertConfig
from albatross.conversion.adapter import is_mergeable, merge_adapter
from albatross.data.packing import SHARED_TYPE
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.settings.training import FinetuneSettings

Adapt = Literal["full", "layers", "frozen", "lora", "adapter"]
_TYPES = "albert.embeddings.token_type_embeddings.weight"
ADAPTERS = "albert.encoder.adapters."
_TASK_HEADS = ("classifier.", "qa_outputs.", "beam_qa.", "heads.", "exits.")
# Of a configuration with an earlier head; transformers would believe it before the new labels.
_HEAD_KEYS = ("num_labels", "id2label", "label2id", "problem_type", "architectures")


@dataclass(frozen=True)
class Adaptation:
    """How a model is fitted to a task.

    Attributes:
        adapt: `full` trains all weights; `layers` all but what a piece is looked up in before the
            first of them; `frozen` the heads and the pooler; `lora` and `adapter` an adapter of
            that kind beside these
        rank: width of the adapter
        per_depth: whether every depth has an adapter of its own
        keep_pooler: whether the pooler, too, stays as it is where not all weights learn; of a wide
            model it is most of a delta folder
    """

    adapt: Adapt = "full"
    rank: int = 8
    per_depth: bool = False
    keep_pooler: bool = False

    @property
    def spec(self) -> AdapterSpec | None:
        """The adapter that is trained, if any."""
        if self.adapt in ("full", "layers", "frozen"):
            return None
        kind: Literal["lora", "bottleneck"] = "lora" if self.adapt == "lora" else "bottleneck"
        return AdapterSpec(kind, self.rank, self.per_depth)


@dataclass(frozen=True)
class StartingPoint:
    """What a run starts from.

    Attributes:
        config: of the model that is trained
        arrays: of the model as it is
        base: the whole model that the run's folder will stand over; None where it keeps all
        new: prefixes of the tensors that start anew, beside the heads
    """

    config: AlbertConfig
    arrays: Arrays
    base: Path | None
    new: tuple[str, ...] = ()

    def model(
        self, heads: Mapping[str, HeadSpec], *, initialize: Sequence[str] = (), seed: int = 0
    ) -> AlbertWithHeads:
        """Return the model with new heads, and with an adapter that does nothing yet.

        Args:
            heads: of the tasks.
            initialize: prefixes of what else starts anew, such as a pooler that is not there.
            seed: for what starts anew.
        """
        anew = (*heads, *(f"exits.{name}" for name in heads), *self.new, *initialize)
        return AlbertWithHeads.from_arrays(
            self.config, self.arrays, initialize=anew, seed=seed, heads=heads
        )


def adaptation_of(settings: FinetuneSettings) -> Adaptation:
    """Return how a model is fitted, as the settings say."""
    return Adaptation(settings.adapt, settings.rank, settings.per_depth, settings.keep_pooler)


def starting_point(
    source: Path,
    adaptation: Adaptation,
    *,
    config: AlbertConfig | None = None,
    keep_heads: bool = False,
) -> StartingPoint:
    """Read a model that is to learn a task, whatever it has learned before.

    An adapter that it has stays where it is frozen with the rest, and goes on learning where the
    same one is asked for. Else it is merged into the weights, if that can be (see
    `conversion/adapter.py`); where all weights are trained, one that cannot stays beside them.

    Args:
        source: a model folder, whole or a delta.
        adaptation: how it will learn.
        config: takes the place of the folder's own, for instance with another dropout.
        keep_heads: keep heads that earlier tasks left, for one of their labels to go on with; by
            default a new head starts anew even where it has the same shape.

    Raises:
        FolderError: no model folder, or a damaged one.
        ConfigError: another adapter is asked for, and the one that is there cannot be merged.
    """
    config = read_config(source) if config is None else config
    arrays = read_weights(source)
    arrays = _with_types(arrays, config)
    if not keep_heads:
        arrays = {n: a for n, a in arrays.items() if not n.startswith(_TASK_HEADS)}
    extra = {key: value for key, value in config.extra.items() if key not in _HEAD_KEYS}
    config = replace(config, extra=extra)
    wanted, found = adaptation.spec, config.adapter
    goes_on = adaptation.adapt == "frozen" or wanted == found
    if found is not None and not goes_on and (wanted is not None or is_mergeable(config)):
        if not is_mergeable(config):
            raise ConfigError(
                "A model has one adapter at a time. Received:"
                f" {_told(wanted)} for {str(source)!r}, whose {_told(found)} cannot be merged into"
                " its weights. Ask for the same one, or start from its base."
            )
        merged = merge_adapter(config, arrays)
        config, arrays = merged.config, merged.arrays
    is_new = wanted is not None and config.adapter is None
    config = replace(config, adapter=wanted) if is_new else config
    new = (ADAPTERS,) if is_new else ()
    return StartingPoint(config, arrays, base_of_run(source, adaptation), new)


def with_marks(config: AlbertConfig) -> AlbertConfig:
    """Return the configuration with types for what stands in both texts of a pair."""
    return config if config.marks_shared else replace(config, type_vocab_size=MARKED_TYPES)


def base_of_run(source: Path, adaptation: Adaptation) -> Path | None:
    """Return the whole model that a run's folder will stand over; None where it keeps all."""
    return None if adaptation.adapt == "full" else root_of(source)


def freeze(model: AlbertPreTrainedModel, adaptation: Adaptation) -> None:
    """Leave only those weights to training that the adaptation names."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_trained(name, adaptation))


def is_trained(name: str, adaptation: Adaptation) -> bool:
    """Whether a tensor learns.

    >>> is_trained("albert.pooler.weight", Adaptation("frozen"))
    True
    >>> is_trained("albert.embeddings.word_embeddings.weight", Adaptation("layers"))
    False
    """
    if adaptation.adapt == "full" or not name.startswith("albert."):
        return True
    if name.startswith("albert.pooler."):
        return not adaptation.keep_pooler
    if adaptation.adapt == "layers":
        return not name.startswith(EMBEDDINGS)
    return name.startswith(ADAPTERS) and adaptation.spec is not None


def _with_types(arrays: Arrays, config: AlbertConfig) -> Arrays:
    """Return weights with as many token types as the configuration has.

    New ones start as what they are in a model that has not seen them: the type of their text.
    """
    known = arrays.get(_TYPES)
    if known is None or not config.marks_shared:
        return arrays
    new = np.arange(len(known), config.type_vocab_size) % SHARED_TYPE % len(known)
    return {**arrays, _TYPES: np.concatenate([known, known[new]])}


def _told(spec: AdapterSpec | None) -> str:
    """Say what an adapter is, in the words of the options."""
    if spec is None:
        return "none"
    depths = "one per depth" if spec.per_depth else "shared"
    return f"{spec.kind} of rank {spec.rank}, {depths}"
