"""How well a model does on held-out text: masked words, also by how common they are, and pairs.

Always with the paper's masking, 15 % in n-grams of up to 3 words, whatever a run trains with: so
the figures of runs with other rates can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.data.sampling import one_pass
from albatross.data.segments import SampleSource
from albatross.data.shards import Shard
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.training.distributed import World
from albatross.training.objectives import Objective, ReplacedTokens, masked_words, read_masked

FloatArray = NDArray[np.float64]
BANDS = ("common", "middle", "rare")
# Shares of all text that the commonest pieces, and those down to the rare ones, make up.
_BAND_ENDS = (0.5, 0.9)
# Enough text to rank the pieces by.
_COUNTED_TOKENS = 20_000_000


class HeldOutText:
    """Held-out samples, and the bands of pieces by frequency in the training text."""

    def __init__(
        self, source: SampleSource, bands: IntArray, *, batch_tokens: int, most_tokens: int
    ) -> None:
        """Keep where samples come from.

        Args:
            source: of held-out samples.
            bands: (vocab,), the index in `BANDS` of each piece, from `frequency_bands`.
            batch_tokens: tokens computed together.
            most_tokens: text that suffices; there may be less.
        """
        self._source, self._bands = source, torch.from_numpy(bands)
        self._batch_tokens, self._most_batches = batch_tokens, max(1, most_tokens // batch_tokens)

    def measure(self, objective: Objective, world: World) -> dict[str, float]:
        """Return the figures of a model; every process measures its share and calls this."""
        hits = np.zeros((len(BANDS), 2))
        loss = order_hits = orders = 0.0
        detected = np.zeros(2)
        batches = one_pass(self._source, self._batch_tokens)
        for index, batch in enumerate(islice(batches, self._most_batches)):
            if index % world.size != world.rank:
                continue
            model = objective.model
            assert isinstance(model, AlbertForPreTraining)
            if isinstance(objective, ReplacedTokens):
                inputs = PackedInputs.from_batch(batch, world.device)
                masked, targets = masked_words(batch, world.device)
                found = objective.detector(inputs, masked, targets, index)
                pooled, logits = (
                    model.albert.pool(found.rows, inputs.layout),
                    found.generator_logits,
                )
                right = (found.detector_logits > 0) == found.replaced.bool()
                detected += [float(right.sum()), len(right)]
            else:
                read = read_masked(model, batch, world.device)
                pooled, logits, targets = read.pooled, model.predict_words(read.rows), read.targets
            loss += float(_summed_loss(logits, targets))
            hits += self._hits_by_band(logits, targets)
            pairs = torch.from_numpy(batch.labels["sentence_order_label"]).to(world.device)
            known = pairs != IGNORED_LABEL
            guesses = model.sop_classifier(pooled).argmax(-1)
            order_hits += float((guesses == pairs)[known].sum())
            orders += float(known.sum())
        figures = [loss, order_hits, orders, *detected, *hits.flatten()]
        return _named(np.array(world.sum([float(figure) for figure in figures])))

    def _hits_by_band(self, logits: Tensor, targets: Tensor) -> FloatArray:
        """Count the words predicted right and all words in each band: (bands, 2)."""
        right = (logits.argmax(-1) == targets).cpu()
        band = self._bands[targets.cpu()]
        pairs = [(int(right[band == i].sum()), int((band == i).sum())) for i in range(len(BANDS))]
        return np.array(pairs, dtype=np.float64)


def frequency_bands(shards: Sequence[Shard], vocab_size: int) -> IntArray:
    """Return the band of every piece, (vocab,), by its frequency in training text.

    The commonest pieces that make up half of the text are `common`, those beyond nine tenths of it
    `rare`; pieces that never occur are rare too.
    """
    counts, left = np.zeros(vocab_size, dtype=np.int64), _COUNTED_TOKENS
    for shard in shards:
        tokens = shard.tokens[: max(0, left)]
        counts += np.bincount(tokens, minlength=vocab_size)[:vocab_size]
        left -= len(tokens)
    order = np.argsort(-counts, kind="stable")
    before = (np.cumsum(counts[order]) - counts[order]) / max(1, counts.sum())
    bands = np.empty(vocab_size, dtype=np.int64)
    bands[order] = np.searchsorted(_BAND_ENDS, before, side="right")
    return bands


def _summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy of masked words, summed."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def _named(sums: FloatArray) -> dict[str, float]:
    """Return the figures by name; those of which nothing was seen are left out."""
    loss, order_hits, orders, detected, tokens, *flat = sums.tolist()
    hits = np.array(flat).reshape(-1, 2)
    right, words = hits.sum(0).tolist()
    figures = {}
    if words:
        figures = {"masked_lm_loss": loss / words, "masked_lm_accuracy": right / words}
    for band, (band_right, band_words) in zip(BANDS, hits.tolist(), strict=True):
        if band_words:
            figures[f"masked_lm_accuracy_{band}"] = band_right / band_words
    if orders:
        figures["sentence_order_accuracy"] = order_hits / orders
    if tokens:
        figures["replaced_token_accuracy"] = detected / tokens
    return figures
