"""One packed encoder with the heads that tasks ask for; training and the torch engine run it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from albatross.config import AlbertConfig
from albatross.data.packing import PackedBatch
from albatross.errors import ConfigError
from albatross.head_spec import POOLED, HeadSpec
from albatross.modeling.model import AlbertModel
from albatross.modeling.packed import PackedInputs, PackedLayout
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.modeling.task_heads import HEADS, Reading, TaskHead


class AlbertWithHeads(AlbertPreTrainedModel):
    """An encoder with a head for every name."""

    def __init__(
        self, config: AlbertConfig, *, heads: Mapping[str, HeadSpec], seed: int = 0
    ) -> None:
        """Make a head for each name; the name is the prefix of its tensors.

        A head with `exits` has a classifier of its own below the last depth, too, in
        `exits.NAME.DEPTH`.
        """
        super().__init__()
        self.config = config
        self.specs = dict(heads)
        self.head_names = tuple(heads)
        self.exit_names = tuple(name for name, spec in heads.items() if spec.options.get("exits"))
        pools = any(spec.kind in POOLED for spec in heads.values())
        self.albert = AlbertModel(config, add_pooling_layer=pools, seed=None)
        for name, spec in heads.items():
            self._add(name, HEADS[spec.kind](config, spec))
            if name in self.exit_names:
                for depth in range(config.depth - 1):
                    self._add(f"exits.{name}.{depth}", HEADS[spec.kind](config, spec))
        self.initialize(seed)

    def forward(self, batch: PackedBatch) -> dict[str, Tensor]:
        """Return every head's outputs for packed sequences; `HeadSpec` has their shapes."""
        inputs = PackedInputs.from_batch(batch, self.device)
        return self.answer(self.read(self.albert.encode(inputs), inputs.layout, batch))

    def read(self, rows: Tensor, layout: PackedLayout, batch: PackedBatch) -> Reading:
        """Return what heads look at, for rows `(total_tokens, hidden)` of any depth."""
        has_pooler = hasattr(self.albert, "pooler")
        pooled = self.albert.pool(rows, layout) if has_pooler else rows[:0]
        return Reading(rows, pooled, layout, batch, self.albert.embeddings.word_embeddings.weight)

    def answer(self, reading: Reading) -> dict[str, Tensor]:
        """Return every head's outputs by name."""
        found = {name: self.head(name).outputs(reading) for name in self.head_names}
        return {name + part: rows for name, parts in found.items() for part, rows in parts.items()}

    def answer_early(self, reading: Reading, depth: int) -> dict[str, Tensor]:
        """Return the outputs of the heads with exits, for rows after a flat depth index.

        Raises:
            ConfigError: no head has exits.
        """
        if not self.exit_names:
            raise ConfigError(
                "Answers before the last depth need exits. Received: a model without. Fine-tune it"
                " with `--early-exit`."
            )
        if depth == self.config.depth - 1:
            return self.answer(reading)
        return {
            name: self.head(f"exits.{name}.{depth}").outputs(reading)[""]
            for name in self.exit_names
        }

    def head(self, name: str) -> TaskHead:
        """Return a head by its name."""
        return cast(TaskHead, self.get_submodule(name))

    def _add(self, name: str, head: nn.Module) -> None:
        """Put a head where its name says; `heads.topic` is the head topic below heads."""
        *above, last = name.split(".")
        owner: nn.Module = self
        for part in above:
            if not hasattr(owner, part):
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        if not re.fullmatch(r"\w+", last, re.ASCII) or hasattr(owner, last):
            raise ConfigError(
                "A head needs a name of its own, of letters, digits and underscores."
                f" Received: {name!r}. Name another."
            )
        owner.add_module(last, head)
