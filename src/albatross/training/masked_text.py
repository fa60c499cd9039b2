"""Texts with some of their words masked: for a loss beside another, and for filling in anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from albatross.data.masking import MaskingRule, PieceTable, mask_tokens
from albatross.data.packing import IGNORED_LABEL, Example
from albatross.rng import row_keys
from albatross.tokenizer.folder import AnyTokenizer

LABEL = "labels"
"""Name of the masked words among an example's labels."""


def masked_examples(
    texts: Sequence[Sequence[int]],
    tokenizer: AnyTokenizer,
    table: PieceTable,
    rule: MaskingRule,
    key: tuple[int | str, ...],
) -> list[Example]:
    """Return [CLS] text [SEP] of each text's ids, with words masked by the draws of a key.

    Args:
        texts: ids without specials, at least one each.
        tokenizer: gives the specials.
        table: what masking knows of the vocabulary.
        rule: how much is masked and with what.
        key: of the draws; equal keys mask equally.
    """
    lengths = [len(text) for text in texts]
    ends = np.cumsum(lengths)
    bounds = np.concatenate([[0], np.repeat(ends, 2)]).astype(np.int64)
    ids = np.concatenate([np.asarray(text, dtype=np.int64) for text in texts])
    keys = row_keys(*key, rows=np.arange(len(texts)))
    masked = mask_tokens(ids, bounds, keys, table, rule)
    examples = []
    for end, length in zip(ends.tolist(), lengths, strict=True):
        own = slice(end - length, end)
        inside = masked.input_ids[own].tolist()
        sequence = np.array([tokenizer.cls_id, *inside, tokenizer.sep_id], dtype=np.int64)
        wanted = np.pad(masked.labels[own], 1, constant_values=IGNORED_LABEL)
        examples.append(Example(sequence, np.zeros_like(sequence), {LABEL: wanted}))
    return examples
