"""Documents cut into stretches, the text of one sample each: whole sentences up to a length.

All documents of a shard are walked side by side, a stretch of each at a time, so that numpy does
the work: millions of stretches a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray
from albatross.data.shards import Shard
from albatross.rng import fractions, row_keys

MIN_TOKENS = 4
"""A stretch shorter than this teaches nothing and is left out."""
# A document of more stretches than this is walked in parts, or it would be walked alone at last.
_STRETCHES_PER_WALK = 1_024
# A shard may hold 2**32 tokens; half the memory of int64.
Offsets = NDArray[np.uint32]


@dataclass(frozen=True)
class Stretches:
    """Stretches of a shard's text.

    Arrays of shape (stretches,): `document`, and `begin`, `middle` and `end` as tokens of the
    shard. A sentence starts at `middle`; it equals `end` where none starts inside, and where the
    stretch begins within a sentence.
    """

    document: Offsets
    begin: Offsets
    middle: Offsets
    end: Offsets


def cut_documents(shard: Shard, longest: int, short_fraction: float, *key: int | str) -> Stretches:
    """Cut the documents of a shard into stretches.

    A stretch takes whole sentences up to its target length; a sentence longer than that is cut.

    Args:
        shard: what to cut.
        longest: target length of most stretches.
        short_fraction: share of the stretches whose target is drawn evenly below that.
        key: of the random draws.
    """
    starts = np.asarray(shard.sentences)
    document, begin, stop = _walks(starts, np.asarray(shard.documents), longest)
    keys = row_keys(*key, rows=begin)
    found: list[list[Offsets]] = []
    for turn in count():
        if not len(begin):
            break
        is_short = fractions(keys, 3 * turn) < short_fraction
        shorter = 2 * MIN_TOKENS + fractions(keys, 3 * turn + 1) * (longest + 1 - 2 * MIN_TOKENS)
        limit = np.minimum(begin + np.where(is_short, shorter.astype(np.int64), longest), stop)
        end = last_break(starts, begin, limit)
        first = np.searchsorted(starts, begin, side="right")
        # The rest of a sentence that was cut is no segment: by it alone one could tell the order.
        is_whole = starts[first - 1] == begin
        breaks = np.where(is_whole, np.searchsorted(starts, end, side="left") - first, 0)
        drawn = (fractions(keys, 3 * turn + 2) * breaks).astype(np.int64)
        middle = np.where(breaks > 0, starts[first + drawn], end)
        is_kept = end - begin >= MIN_TOKENS
        found.append([a[is_kept].astype(np.uint32) for a in (document, begin, middle, end)])
        goes_on = end < stop
        document, begin, stop = document[goes_on], end[goes_on], stop[goes_on]
        keys = keys[goes_on]
    none: Offsets = np.zeros(0, dtype=np.uint32)
    return Stretches(*(np.concatenate([none, *(part[n] for part in found)]) for n in range(4)))


def last_break(starts: IntArray, begin: IntArray, limit: IntArray) -> IntArray:
    """Return the last sentence start after `begin` up to `limit`, or `limit` where there is none.

    All of shape (stretches,) but `starts` (sentences + 1,).
    """
    found = starts[np.searchsorted(starts, limit, side="right") - 1]
    return np.where(found > begin, found, limit)


def _walks(
    starts: IntArray, documents: IntArray, longest: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return document, begin and end of every document, long ones in several parts."""
    bounds = starts[documents]
    size = _STRETCHES_PER_WALK * longest
    parts = -(-np.diff(bounds) // size)
    document = np.repeat(np.arange(len(parts)), parts)
    number = np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)
    begin = bounds[document] + number * size
    sentence = starts[np.searchsorted(starts, begin, side="right") - 1]
    begin = np.where(sentence > begin - size, sentence, begin)
    is_last = np.append(document[1:] != document[:-1], True)
    stop = np.where(is_last, bounds[document + 1], np.append(begin[1:], 0))
    return document, begin, stop
