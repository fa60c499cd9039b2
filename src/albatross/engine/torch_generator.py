"""A model of torch that writes word by word, with what it has read kept at every depth."""

from __future__ import annotations

from pathlib import Path

import torch

from albatross.data.packing import IntArray, PackedBatch
from albatross.engine.generation import NextWords
from albatross.modeling.decoder import DecoderState
from albatross.modeling.generation_model import AlbertForGeneration, Decoded
from albatross.modeling.packed import PackedInputs


class TorchGenerator:
    """The `StepModel` of a model folder, or during training of the live model."""

    batch_tokens = 4_096

    def __init__(self, model: AlbertForGeneration) -> None:
        """Take a model; searching puts it into evaluation mode."""
        self.model = model
        self.config = model.config

    @classmethod
    def from_folder(cls, folder: Path) -> TorchGenerator:
        """Open a fine-tuned model folder."""
        return cls(AlbertForGeneration.from_pretrained(folder))

    def start(self, sources: PackedBatch) -> NextWords:
        """Read sources; a row for each, over its first word."""
        with torch.inference_mode():
            self.model.eval()
            return _next_words(self.model.begin(PackedInputs.from_batch(sources, self._device)))

    def step(self, state: DecoderState, last_ids: IntArray) -> NextWords:
        """Go on by one word a row, (rows,)."""
        with torch.inference_mode():
            ids = torch.from_numpy(last_ids).to(self._device)
            return _next_words(self.model.advance(state, ids))

    def reorder(self, state: DecoderState, indices: IntArray) -> DecoderState:
        """Return the state of these rows in this order."""
        with torch.inference_mode():
            return state.select(torch.from_numpy(indices).to(self._device))

    @property
    def _device(self) -> torch.device:
        """Where the weights are."""
        return self.model.albert.embeddings.word_embeddings.weight.device


def _next_words(decoded: Decoded) -> NextWords:
    """Return log-probabilities on the processor, and the state where it is."""
    log_probs = decoded.logits.float().log_softmax(-1)
    return NextWords(log_probs.cpu().numpy(), decoded.state)
