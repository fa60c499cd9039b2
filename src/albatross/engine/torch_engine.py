"""The engine on torch: a model folder's, or during training the live model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from albatross.checkpoints.huggingface import Arrays
from albatross.config import AlbertConfig
from albatross.data.packing import IntArray, PackedBatch
from albatross.engine.engine import Outputs
from albatross.head_spec import HeadSpec
from albatross.modeling.packed import PackedInputs, PackedLayout, like_lengths
from albatross.modeling.with_heads import AlbertWithHeads


class TorchEngine:
    """Runs a model in evaluation mode without gradients."""

    batch_tokens = 4_096

    def __init__(self, model: AlbertWithHeads) -> None:
        """Take a model; `embed` puts it into evaluation mode, where it stays."""
        self.model = model
        self.config = model.config
        self._layout_of: tuple[IntArray, PackedLayout] | None = None

    @classmethod
    def from_arrays(
        cls, config: AlbertConfig, arrays: Arrays, heads: Mapping[str, HeadSpec]
    ) -> TorchEngine:
        """Take a model's arrays; those of 32-bit floats are used where they are."""
        return cls(AlbertWithHeads.from_arrays(config, arrays, heads=heads))

    @classmethod
    def from_folder(
        cls, folder: Path, heads: Mapping[str, HeadSpec], base: str | Path | None = None
    ) -> TorchEngine:
        """Open a model folder with the heads that its tasks need; `base` is a delta folder's."""
        return cls(AlbertWithHeads.from_pretrained(folder, heads=heads, base=base))

    def reads_as(self, other: TorchEngine) -> bool:
        """Whether another model's encoder is this one's own weights, so that one pass does both."""
        mine, theirs = (_encoder_of(engine.model) for engine in (self, other))
        return mine == theirs

    @property
    def exit_names(self) -> tuple[str, ...]:
        """The heads that answer after every depth."""
        return self.model.exit_names

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return the rows `(total_tokens, hidden)` that enter depth 0."""
        with torch.inference_mode():
            self.model.eval()
            inputs = PackedInputs.from_batch(batch, self.model.device)
            embeddings = self.model.albert.embeddings(inputs)
            return self.model.albert.encoder.project(embeddings)

    def layer(self, rows: Tensor, cu_seqlens: IntArray, depth: int) -> Tensor:
        """Apply the layer of a flat depth index."""
        with torch.inference_mode():
            return self.model.albert.encoder.layer(rows, self._layout(cu_seqlens), depth)

    def heads(self, rows: Tensor, batch: PackedBatch, depth: int | None = None) -> Outputs:
        """Return every head's outputs by name."""
        with torch.inference_mode():
            reading = self.model.read(rows, self._layout(batch.cu_seqlens), batch)
            model = self.model
            found = model.answer(reading) if depth is None else model.answer_early(reading, depth)
            return {name: output.float().cpu().numpy() for name, output in found.items()}

    def select(self, rows: Tensor, indices: IntArray) -> Tensor:
        """Return the rows at these token indices."""
        return rows[torch.from_numpy(indices)]

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Lay rows of several batches end to end."""
        return torch.cat(list(parts))

    def _layout(self, cu_seqlens: IntArray) -> PackedLayout:
        """Return the layout of a batch, made once for all its depths."""
        # Read once: another thread may put its own layout there at any time.
        kept = self._layout_of
        if kept is None or not np.array_equal(kept[0], cu_seqlens):
            device = self.model.device
            ranges = like_lengths(cu_seqlens, device)
            layout = PackedLayout.from_cu_seqlens(cu_seqlens, device, ranges)
            self._layout_of = kept = (cu_seqlens.copy(), layout)
        return kept[1]


def _encoder_of(model: AlbertWithHeads) -> tuple[dict[str, Any], list[int]]:
    """Return what an encoder's function follows from: its configuration, and where its weights lie.

    Dropout takes no part in answers, nor do the keys of heads.
    """
    values = model.config.to_dict()
    shape = {
        field.name: values.get(field.name)
        for field in fields(model.config)
        if not field.name.endswith("dropout_prob") and field.name != "extra"
    }
    encoder = (model.albert.embeddings, model.albert.encoder)
    places = [p.data_ptr() for part in encoder for p in part.parameters()]
    return shape, places
