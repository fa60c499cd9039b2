"""Where a new model's embeddings start: word vectors counted from far more text than it will see.

The files are those of GloVe, word2vec and fastText as text: a word and its numbers a line, frequent
words first. A piece that is a word takes its vector; any other piece takes the mean of the words
that it is a part of, rarer ones counting less.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from albatross.data.text_files import read_lines
from albatross.errors import DataError
from albatross.progress import Progress
from albatross.rng import stream
from albatross.tokenizer.folder import AnyTokenizer

if TYPE_CHECKING:
    import torch

# Words whose pieces are found at once.
_WORDS = 4_096
# Words of natural text come by 1 / (rank + 2.7) (Mandelbrot, 1953); more evens out the first few.
_RANK_OFFSET = 10


@dataclass(frozen=True)
class PieceVectors:
    """What word vectors say of the pieces of a vocabulary.

    Attributes:
        vectors: (pieces, numbers of a vector), of mean 0 over the pieces that have one
        is_whole: (pieces,) whether the piece is a word of the file
        is_found: (pieces,) whether the piece is a word, or a part of one
    """

    vectors: NDArray[np.float64]
    is_whole: NDArray[np.bool_]
    is_found: NDArray[np.bool_]


def read_piece_vectors(file: str | os.PathLike[str], tokenizer: AnyTokenizer) -> PieceVectors:
    """Read word vectors, plain or packed, into vectors of pieces; one block of words at a time.

    Raises:
        DataError: the file cannot be read, a line is no word with numbers, its numbers are more or
            fewer than those of the lines before, or no piece is among the words.
    """
    sums: _Sums | None = None
    words_read = 0
    with Progress("word vectors", None) as progress:
        for words, numbers in _blocks(os.fspath(file)):
            sums = sums or _Sums(tokenizer.vocab_size, numbers.shape[1])
            sums.add(tokenizer.encode_batch(words), numbers, words_read, tokenizer.unk_id)
            words_read += len(words)
            progress.advance(len(words))
    if sums is None or not sums.is_whole.any():
        raise DataError(
            "Word vectors must have words of the vocabulary. Received:"
            f" {os.fspath(file)!r} with {words_read:,} words, none a piece of {tokenizer!r}. Give"
            " vectors of the text's language."
        )
    return sums.means()


class _Sums:
    """Vectors of the words that each piece is a part of, added up."""

    def __init__(self, pieces: int, numbers: int) -> None:
        """Start at nothing."""
        self.total = np.zeros((pieces, numbers))
        self.weight = np.zeros(pieces)
        self.is_whole = np.zeros(pieces, bool)

    def add(
        self,
        encoded: Sequence[Sequence[int]],
        vectors: NDArray[np.float64],
        first: int,
        unknown: int,
    ) -> None:
        """Add words as pieces, of which the first has this rank in the file."""
        for rank, (ids, vector) in enumerate(zip(encoded, vectors, strict=True), start=first):
            if unknown in ids:
                continue
            if len(ids) == 1 and not self.is_whole[ids[0]]:  # the first of THE and the counts
                self.total[ids[0]] = vector
                self.weight[ids[0]], self.is_whole[ids[0]] = 1, True
            elif len(ids) > 1:
                parts = [number for number in set(ids) if not self.is_whole[number]]
                self.total[parts] += vector / (rank + _RANK_OFFSET)
                self.weight[parts] += 1 / (rank + _RANK_OFFSET)

    def means(self) -> PieceVectors:
        """Return the mean of each piece's words, less the mean of all pieces."""
        is_found = self.weight > 0
        vectors = np.zeros_like(self.total)
        vectors[is_found] = self.total[is_found] / self.weight[is_found, None]
        vectors[is_found] -= vectors[is_found].mean(0)
        return PieceVectors(vectors, self.is_whole, is_found)


def start_embeddings(
    weight: torch.Tensor, pieces: PieceVectors, *, spread: float, seed: int
) -> None:
    """Give the rows of an embedding table the vectors of their pieces, at the table's own scale.

    Vectors of fewer numbers than the table has columns are turned into its space by a random
    rotation, and what is left of the space stays random; of longer ones the principal components
    are taken. Rows without a vector stay as they are.

    Args:
        weight: (pieces, columns), changed in place
        pieces: a vector for each row
        spread: standard deviation of the numbers to write
        seed: of the rotation
    """
    import torch

    found = pieces.vectors[pieces.is_found]
    columns, numbers = weight.shape[1], found.shape[1]
    if numbers > columns:
        _, _, directions = np.linalg.svd(found, full_matrices=False)
        found = found @ directions[:columns].T
    draw = stream(seed, "word vectors").normal(size=(columns, found.shape[1]))
    basis, _ = np.linalg.qr(draw)  # (columns, numbers), orthonormal
    rows = torch.from_numpy(pieces.is_found).to(weight.device)
    start = weight.detach()[rows].double().cpu().numpy()
    start += (found * (spread / found.std()) - start @ basis) @ basis.T
    weight.data[rows] = torch.from_numpy(start).to(weight)


def _blocks(file: str) -> Iterator[tuple[list[str], NDArray[np.float64]]]:
    """Yield words and their numbers, some thousand at a time."""
    words: list[str] = []
    lines: list[list[str]] = []
    width, first = 0, 0
    for number, line in enumerate(chain(read_lines(file), [None]), start=1):
        fields = [] if line is None else line.rstrip().split(" ")
        if number == 1 and len(fields) == 2:  # word2vec's heading: how many words and numbers
            continue
        if line is not None and line.strip():
            width = width or len(fields) - 1
            if width < 1 or len(fields) <= width:
                raise _wrong_line(file, number, f"{len(fields) - 1} numbers", width)
            words.append(" ".join(fields[:-width]))  # GloVe has words with blanks
            lines.append(fields[-width:])
            first = first or number
        if words and (line is None or len(words) == _WORDS):
            yield words, _numbers(file, lines, first)
            words, lines, first = [], [], 0


def _numbers(file: str, lines: list[list[str]], first: int) -> NDArray[np.float64]:
    """Return the numbers of lines, (lines, numbers)."""
    try:
        numbers = np.array(lines, dtype=np.float64)
    except ValueError:
        numbers = np.full((1, 1), np.nan)
    if np.isfinite(numbers).all():
        return numbers
    for offset, fields in enumerate(lines):
        for field in fields:
            if not _is_finite(field):
                raise _wrong_line(file, first + offset, repr(field[:40]), len(fields))
    return numbers


def _is_finite(field: str) -> bool:
    try:
        return bool(np.isfinite(float(field)))
    except ValueError:
        return False


def _wrong_line(file: str, number: int, received: str, width: int) -> DataError:
    wanted = f"{width} numbers" if width > 0 else "its numbers"
    return DataError(
        f"Word vectors must have a word and {wanted} on each line. Received: line {number} of"
        f" {file!r} with {received}. Give a file of GloVe, word2vec or fastText as text."
    )
