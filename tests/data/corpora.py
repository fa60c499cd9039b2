"""Corpora in which every token has an id of its own, so that a sample tells where it is from."""

from dataclasses import dataclass

import numpy as np

from albatross.data.masking import PieceTable
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import Shard
from albatross.rng import stream

CLS, SEP, MASK, FIRST_ID = 2, 3, 4, 5


@dataclass
class Corpus:
    """Shards, and the document that each token is of."""

    shards: list[Shard]
    document_of: np.ndarray

    def source(self, part_tokens: int = 2**28, **rule) -> SampleSource:
        pieces = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        pieces += [f"▁w{n}" for n in range(len(self.document_of) - FIRST_ID)]
        begins_word = np.array([piece.startswith("▁") for piece in pieces])
        table = PieceTable.from_pieces(pieces, begins_word, range(5), MASK)
        made = SampleRule(**rule)
        return SampleSource(self.shards, table, made, CLS, SEP, part_tokens=part_tokens)


def corpus(lengths: list[list[int]], num_shards: int = 1) -> Corpus:
    """A corpus of documents with sentences of these lengths."""
    shards, document_of, next_id = [], [-1] * FIRST_ID, FIRST_ID
    for part in np.array_split(np.arange(len(lengths)), num_shards):
        sentences = [length for d in part for length in lengths[d]]
        tokens = np.arange(next_id, next_id + sum(sentences), dtype=np.uint32)
        breaks = np.concatenate([[0], np.cumsum(sentences)]).astype(np.int64)
        documents = np.cumsum([0, *(len(lengths[d]) for d in part)]).astype(np.int64)
        shards.append(Shard(tokens, breaks, documents))
        document_of += [int(d) for d in part for _ in range(sum(lengths[d]))]
        next_id += len(tokens)
    return Corpus(shards, np.array(document_of))


def varied(num_documents: int = 60, num_shards: int = 3) -> Corpus:
    """A corpus of ordinary documents."""
    rng = stream(7, "lengths")
    lengths = [rng.integers(1, 30, rng.integers(1, 40)).tolist() for _ in range(num_documents)]
    return corpus(lengths, num_shards)
