"""Signatures of documents: 128 bytes that agree about as often as two documents' texts do.

MinHash by one permutation (Li, Owen and Zhang, 2012): every run of five words is hashed once, the
hash's first bits choose one of 128 bins, and the least hash of a bin is its value, of which one
byte is kept (Li and König, 2010). A bin that no run falls into takes the value of another, found
by a fixed order of the bins (Shrivastava, 2017). Words are what the tokenizer makes of them, so
that upper case and accents count only if the model sees them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray
from albatross.data.shards import EncodedDocuments
from albatross.rng import stream

SIZE = 128
_RUN = 5
_BIN_BITS = 57  # the seven above choose the bin
_EMPTY = np.uint64(2**64 - 1)
# More pieces than this to a word, on average, and the script has no spaces: pieces are the words.
_PIECES_PER_WORD = 8
# Words of more pieces repeat the factors; they differ by their pieces all the same.
_LONGEST_WORD = 64

Hashes = NDArray[np.uint64]


class Signer:
    """Makes signatures; the same for the same tokens, wherever and whenever they are made."""

    def __init__(self, starts_word: NDArray[np.bool_]) -> None:
        """Draw the numbers that hash.

        Args:
            starts_word: (vocab_size,), whether a piece begins a word.
        """
        rng = stream("signatures", 1)
        self._starts_word = starts_word
        self._factors = _odd(rng, _LONGEST_WORD)
        self._run_factors = _odd(rng, _RUN)
        self._orders = np.stack([rng.permutation(SIZE) for _ in range(SIZE)])
        self._piece_hashes = rng.integers(2**64, size=len(starts_word), dtype=np.uint64)

    def sign(self, documents: EncodedDocuments) -> NDArray[np.uint8]:
        """Return the signatures of documents that each hold a token: (documents, 128)."""
        words, words_of = self._words(documents)
        runs, owners = self._runs(words, words_of)
        table = np.full(len(words_of) * SIZE, _EMPTY, dtype=np.uint64)
        bins = (runs >> np.uint64(_BIN_BITS)).astype(np.int64)
        np.minimum.at(table, owners * SIZE + bins, runs & np.uint64(2**_BIN_BITS - 1))
        least = table.reshape(-1, SIZE)
        return self._filled((least & np.uint64(255)).astype(np.uint8), least != _EMPTY)

    def _words(self, documents: EncodedDocuments) -> tuple[Hashes, IntArray]:
        """Return a hash for every word, and the number of words of each document."""
        tokens, tokens_of = documents.tokens, documents.tokens_of
        begins = self._starts_word[tokens]
        begins[np.cumsum(documents.sentences) - documents.sentences] = True
        ends = np.cumsum(tokens_of)
        words_of = np.diff(np.concatenate([[0], np.cumsum(begins)])[ends], prepend=0)
        begins |= np.repeat(tokens_of > _PIECES_PER_WORD * words_of, tokens_of)
        words_of = np.diff(np.concatenate([[0], np.cumsum(begins)])[ends], prepend=0)
        starts = np.flatnonzero(begins)
        place = np.arange(len(tokens)) - np.repeat(starts, np.diff(starts, append=len(tokens)))
        hashes = self._piece_hashes[tokens] * self._factors[place % _LONGEST_WORD]
        return np.add.reduceat(hashes, starts), words_of

    def _runs(self, words: Hashes, words_of: IntArray) -> tuple[Hashes, IntArray]:
        """Return a hash for every run of words, and whose it is; a short document is one run."""
        ends = np.cumsum(words_of)
        room = np.repeat(ends, words_of) - np.arange(len(words))
        padded = np.concatenate([words, np.zeros(_RUN, dtype=np.uint64)])
        runs = words * self._run_factors[0]
        for step in range(1, _RUN):
            following = padded[step : step + len(words)]
            runs += np.where(room > step, following * self._run_factors[step], np.uint64(0))
        is_run = room >= _RUN
        is_run[ends - words_of] = True
        owners = np.repeat(np.arange(len(words_of)), words_of)
        return _mixed(runs[is_run]), owners[is_run]

    def _filled(self, values: NDArray[np.uint8], has_value: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Give every empty bin the value of the first bin in its order that has one."""
        filled = values.copy()
        rows, bins = np.nonzero(~has_value)
        for attempt in range(SIZE):
            others = self._orders[bins, attempt]
            found = has_value[rows, others]
            filled[rows[found], bins[found]] = values[rows[found], others[found]]
            rows, bins = rows[~found], bins[~found]
            if not len(rows):
                break
        return filled


def _odd(rng: np.random.Generator, count: int) -> Hashes:
    """Return odd factors, by which nothing is lost."""
    return rng.integers(2**64, size=count, dtype=np.uint64) | np.uint64(1)


def _mixed(hashes: Hashes) -> Hashes:
    """Spread every bit over all of the number (the finaliser of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
