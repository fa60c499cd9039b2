"""More texts of a class by the model's own head for masked words: some words are drawn anew.

A label is kept, so what a classifier no longer takes for its class is left out (as in Kumar et al.,
2020, who condition on the label instead). A copy is a function of the seed, the text's number and
its own number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import IGNORED_LABEL, PackedBatch, batches_by_tokens, pack
from albatross.data.records import TextRecord
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.rng import stream
from albatross.tokenizer.folder import AnyTokenizer
from albatross.training.masked_text import LABEL, masked_examples
from albatross.training.soft_labels import Shares

# Of a text's tokens; all of them become masks.
_RULE = MaskingRule(rate=0.2, max_ngram=1, mask_fraction=1.0, random_fraction=0.0)
# Pieces that a gap is filled from: the most likely ones, as often as they are likely.
_LIKELIEST = 20
_FILLING_TOKENS = 8_192


def varied(
    model: AlbertForPreTraining,
    tokenizer: AnyTokenizer,
    records: Sequence[TextRecord],
    copies: int,
    *,
    max_length: int,
    seed: int,
) -> list[TextRecord]:
    """Return copies of each record, those of one after those of the other; labels are kept.

    Of a pair the first text is varied. A record without words has no copies.

    Args:
        model: fills the gaps.
        tokenizer: its own.
        records: what is varied.
        copies: of each.
        max_length: tokens of a text that are kept, specials included.
        seed: of the draws.
    """
    table = PieceTable.from_tokenizer(tokenizer)
    examples, places = [], []
    for number, record in enumerate(records):
        ids = tokenizer.encode(record.text)[: max_length - 2]
        if ids:
            key = (seed, "augmentation", number)
            examples += masked_examples([ids] * copies, tokenizer, table, _RULE, key)
            places += [(number, copy) for copy in range(copies)]
    texts = [example.input_ids.copy() for example in examples]
    lengths = [len(text) for text in texts]
    for indices in batches_by_tokens(lengths, _FILLING_TOKENS):
        batch = pack([examples[i] for i in indices])
        at = 0
        likely, shares = _fillings(model, batch)
        for i in indices:
            gaps = np.flatnonzero(examples[i].labels[LABEL] != np.int64(IGNORED_LABEL))
            rng = stream(seed, "filling", *places[i])
            for gap in gaps:
                texts[i][gap] = rng.choice(likely[at], p=shares[at])
                at += 1
    return [
        replace(records[number], text=tokenizer.decode(text[1:-1]))
        for (number, _), text in zip(places, texts, strict=True)
    ]


def kept(classes: Sequence[int], shares: Shares) -> list[int]:
    """Return the places of the copies that a classifier still takes for their class.

    Args:
        classes: of the copies.
        shares: (copies, classes), the classifier's.
    """
    return [i for i, best in enumerate(shares.argmax(1)) if best == classes[i]]


def _fillings(
    model: AlbertForPreTraining, batch: PackedBatch
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the likeliest pieces of every gap, and their shares: (gaps, pieces)."""
    masked = np.flatnonzero(batch.labels[LABEL] != IGNORED_LABEL)
    with torch.inference_mode():
        model.eval()
        inputs = PackedInputs.from_batch(batch, model.device, masked)
        assert inputs.wanted is not None
        logits = model.predict_words(model.albert.encode(inputs)[inputs.wanted.asked]).float()
        best = logits.topk(_LIKELIEST, dim=-1)
        shares = best.values.double().softmax(-1).cpu().numpy()
    return best.indices.cpu().numpy(), shares / shares.sum(1, keepdims=True)
