"""Which documents of a whole corpus repeat an earlier one: to the letter, or nearly.

A document goes when any earlier one equals or resembles it, kept or not; so nothing that is kept
resembles anything else that is kept, and neither do the held-out part and the rest. What is known
of the documents lies in files that are mapped, and is looked at a bucket of hashes at a time, so
memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from albatross.corpus.parts import read_arrays
from albatross.corpus.signatures import SIZE
from albatross.data.packing import IntArray

Duplicates = Literal["keep", "exact", "near"]
Flags = NDArray[np.uint8]
"""(documents,): one of the three below."""
KEPT, EQUAL, ALIKE = 0, 1, 2
# Documents that are sorted at a time: about 100 MB.
_BUCKET = 2_000_000
_PAIRS = 100_000
# Of those with the same band, how many earlier ones a document is compared with, beside the first.
_NEIGHBOURS = 4
# Bands of 8 bytes find 95 of 100 pairs at a resemblance of 0.8, and more above; below that, bands
# of 4 do.
_WIDE_BANDS_FROM = 0.8


def find_duplicates(
    parts: Sequence[Path], how: Duplicates, threshold: float, scratch: Path
) -> Flags:
    """Say of every document whether it is kept.

    Args:
        parts: files in the order of the corpus.
        how: `keep` all, drop `exact` repeats, or `near` ones too.
        threshold: the resemblance (Jaccard, of runs of five words) from which on a document goes.
        scratch: a folder for the files in between.
    """
    counts = [len(read_arrays(path, "fractions")["fractions"]) for path in parts]
    if not sum(counts):  # an empty file cannot be mapped
        return np.zeros(0, dtype=np.uint8)
    flags = open_memmap(scratch / "flags.npy", "w+", np.uint8, (sum(counts),))
    if how == "keep":
        return flags
    digests, bands = _gathered(parts, counts, how, threshold, scratch)
    for documents in _buckets(digests[:, 0]):
        flags[documents[_repeats(digests[documents])]] = EQUAL
    if how == "near":
        for band in bands:
            for documents in _buckets(band):
                distinct = documents[flags[documents] != EQUAL]
                for early, late in _pairs(band[distinct]):
                    _flag_alike(bands, distinct[early], distinct[late], threshold, flags)
    return flags


def _gathered(
    parts: Sequence[Path], counts: Sequence[int], how: Duplicates, threshold: float, scratch: Path
) -> tuple[NDArray[np.uint64], NDArray[np.unsignedinteger[Any]]]:
    """Map the digests (documents, 2) and the bands of the signatures (bands, documents)."""
    width = np.uint64 if threshold >= _WIDE_BANDS_FROM else np.uint32
    total = sum(counts)
    num_bands = SIZE // np.dtype(width).itemsize if how == "near" else 0
    digests = open_memmap(scratch / "digests.npy", "w+", np.uint64, (total, 2))
    bands = open_memmap(scratch / "bands.npy", "w+", width, (max(num_bands, 1), total))
    at = 0
    for path, count in zip(parts, counts, strict=True):
        digests[at : at + count] = read_arrays(path, "digests")["digests"]
        if how == "near":
            signatures = read_arrays(path, "signatures")["signatures"]
            bands[:, at : at + count] = signatures.view(width).T
        at += count
    return digests, bands


def _buckets(keys: NDArray[np.unsignedinteger[Any]]) -> Iterator[IntArray]:
    """Yield the documents, in order, a share of the keys at a time; equal keys come together."""
    num_buckets = -(-len(keys) // _BUCKET)
    for bucket in range(num_buckets):
        found = [
            at + np.flatnonzero(keys[at : at + _BUCKET] % keys.dtype.type(num_buckets) == bucket)
            for at in range(0, len(keys), _BUCKET)
        ]
        yield np.concatenate(found)


def _repeats(digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which rows have stood there before: (documents,)."""
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    repeats = np.zeros(len(digests), dtype=np.bool_)
    repeats[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeats


def _pairs(keys: NDArray[np.unsignedinteger[Any]]) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield pairs (earlier, later) of places with one key: with the first, and near neighbours.

    All pairs would be quadratic for a page that stands there a million times.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(keys)]
    run_start = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    offset = np.arange(len(keys)) - run_start
    for step in range(1, _NEIGHBOURS + 1):
        late = np.flatnonzero(offset >= step)
        yield order[late - step], order[late]
    late = np.flatnonzero(offset > _NEIGHBOURS)
    yield order[run_start[late]], order[late]


def _flag_alike(
    bands: NDArray[np.unsignedinteger[Any]],
    early: IntArray,
    late: IntArray,
    threshold: float,
    flags: Flags,
) -> None:
    """Flag the later documents of the pairs whose signatures agree often enough."""
    undecided = flags[late] == KEPT
    early, late = early[undecided], late[undecided]
    for at in range(0, len(late), _PAIRS):
        one, other = early[at : at + _PAIRS], late[at : at + _PAIRS]
        agreeing = _signatures(bands, one) == _signatures(bands, other)
        # Bytes of different documents agree once in 256 by chance.
        resemblance = (agreeing.mean(axis=1) - 1 / 256) / (1 - 1 / 256)
        flags[other[resemblance >= threshold]] = ALIKE


def _signatures(bands: NDArray[np.unsignedinteger[Any]], documents: IntArray) -> NDArray[np.uint8]:
    """Return the signatures of some documents: (documents, 128)."""
    return np.ascontiguousarray(bands[:, documents].T).view(np.uint8)
