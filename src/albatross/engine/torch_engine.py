"""The engine on torch: a model folder's, or during training the live model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from albatross.config import HeadSpec
from albatross.data.packing import IntArray, PackedBatch
from albatross.engine.engine import Outputs
from albatross.modeling.model import AlbertWithHeads
from albatross.modeling.packed import PackedInputs, PackedLayout


class TorchEngine:
    """Runs a model in evaluation mode without gradients."""

    def __init__(self, model: AlbertWithHeads) -> None:
        """Take a model; its mode is set back after every call."""
        self.model = model
        self.config = model.config
        self._layout_of: tuple[IntArray, PackedLayout] | None = None

    @classmethod
    def from_folder(cls, folder: Path, heads: Mapping[str, HeadSpec]) -> TorchEngine:
        """Open a model folder with the heads that its tasks need."""
        return cls(AlbertWithHeads.from_pretrained(folder, heads=heads))

    def embed(self, batch: PackedBatch) -> Tensor:
        """Return the rows `(total_tokens, hidden)` that enter depth 0."""
        with torch.inference_mode():
            self.model.eval()
            inputs = PackedInputs.from_batch(batch, self._device)
            embeddings = self.model.albert.embeddings(inputs)
            return self.model.albert.encoder.project(embeddings)

    def layer(self, rows: Tensor, cu_seqlens: IntArray, depth: int) -> Tensor:
        """Apply the layer of a flat depth index."""
        with torch.inference_mode():
            return self.model.albert.encoder.layer(rows, self._layout(cu_seqlens), depth)

    def heads(self, rows: Tensor, cu_seqlens: IntArray) -> Outputs:
        """Return every head's logits by name."""
        with torch.inference_mode():
            layout = self._layout(cu_seqlens)
            answers = self.model.answer(rows, layout)
            return {name: logits.cpu().numpy() for name, logits in answers.items()}

    def select(self, rows: Tensor, indices: IntArray) -> Tensor:
        """Return the rows at these token indices."""
        return rows[torch.from_numpy(indices)]

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Lay rows of several batches end to end."""
        return torch.cat(list(parts))

    def _layout(self, cu_seqlens: IntArray) -> PackedLayout:
        """Return the layout of a batch, made once for all its depths."""
        if self._layout_of is None or not np.array_equal(self._layout_of[0], cu_seqlens):
            layout = PackedLayout.from_cu_seqlens(cu_seqlens, self._device)
            self._layout_of = (cu_seqlens.copy(), layout)
        return self._layout_of[1]

    @property
    def _device(self) -> torch.device:
        """Where the weights are."""
        return self.model.albert.embeddings.word_embeddings.weight.device
