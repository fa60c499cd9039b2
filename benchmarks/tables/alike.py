"""What `embed` learns from: pairs of sentences, and how alike three teachers find them.

A model that learned from entailed pairs tells less of how alike sentences are than the words and
letters that they share (TF-IDF's cosines), and all together tell more than any of them. What they
make of many pairs one model can learn (Bucila et al., 2006; Hinton et al., 2015): the label is the
mean of the three cosines. Nobody labels anything, and no pair of the benchmark is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

import albatross
from albatross.data.shards import ShardFolder
from albatross.rng import stream
from tables.files import (
    documents_of,
    inferences_of,
    one_at_a_time,
    write_builtin_records,
    write_json_lines,
    write_shards,
)
from tables.table import Place

ALIKE = "{work}/records/alike-{encoder}.jsonl"
"""What is learned from: one of the teachers is made of the encoder."""
LINES = 200_000
"""Sentences of the pre-training text that words are counted in."""
Pair = tuple[str, str]
# Letters are counted in fewer, and in so many runs of three to five.
_LETTER_LINES, _LETTER_RUNS = 60_000, 300_000
# Words of the sentences that pairs are made of; how many are drawn; how many pairs of each kind.
_SHORTEST, _LONGEST, _DRAWN = 5, 32, 60_000
_NEAR, _PARTS, _MIXED, _STRANGE = 24_000, 10_000, 5_000, 5_000
# One of so many nearest ones is taken.
_NEAREST = 6


@one_at_a_time
def write_alike(place: Place) -> None:
    """Write pairs of sentences with the mean of the teachers' cosines."""
    (alike,) = map(Path, place.filled(ALIKE))
    if alike.is_file():
        return
    write_builtin_records(place)
    lines = counted_lines(ShardFolder(write_shards(place)))
    words, letters = words_of(lines), letters_of(lines)
    pairs = _pairs(place, lines, words)
    sides = [list(side) for side in zip(*pairs, strict=True)]
    found = [cosines(words, *sides), cosines(letters, *sides), _taught_cosines(place, *sides)]
    write_json_lines(
        alike,
        (
            {"text": one, "text_pair": other, "label": round(label, 4)}
            for (one, other), label in zip(pairs, np.mean(found, axis=0).tolist(), strict=True)
        ),
    )


def counted_lines(shards: ShardFolder) -> list[str]:
    """Return sentences of the pre-training text, as the tokenizer spells them."""
    tokenizer = shards.tokenizer()
    documents = (document for shard in shards.train for document in documents_of([shard]))
    sentences = (sentence for document in documents for sentence in document)
    return [tokenizer.decode(sentence.tolist()) for sentence in islice(sentences, LINES)]


def words_of(lines: Sequence[str]) -> TfidfVectorizer:
    """Count words."""
    return TfidfVectorizer(sublinear_tf=True).fit(lines)


def letters_of(lines: Sequence[str]) -> TfidfVectorizer:
    """Count runs of three to five letters within words."""
    return TfidfVectorizer(
        sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5), max_features=_LETTER_RUNS
    ).fit(lines[:_LETTER_LINES])


def cosines(
    counts: TfidfVectorizer, ones: Sequence[str], others: Sequence[str]
) -> NDArray[np.float64]:
    """Return the cosine of each pair of texts: (pairs,)."""
    products = counts.transform(ones).multiply(counts.transform(others))
    return np.asarray(products.sum(axis=1)).ravel()


def _taught_cosines(
    place: Place, ones: Sequence[str], others: Sequence[str]
) -> NDArray[np.float64]:
    """Return the cosines of a model that learned from entailed pairs: (pairs,)."""
    words = ["--task", "similarity", "--train", place.work / "records" / "entailed.jsonl"]
    words += ["--epochs", 4] if place.limit is None else ["--epochs", 1, "--limit", place.limit]
    teacher = place.make("finetune", "pretrained", place.work / "teachers" / "embed", *words)
    texts = list(dict.fromkeys([*ones, *others]))
    pipeline = albatross.load(teacher)
    vectors = np.array([answer.vector for _, answer in pipeline.stream(texts)], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = {text: row for row, text in enumerate(texts)}
    sides = [vectors[[rows[text] for text in side]] for side in (ones, others)]
    found: NDArray[np.float64] = np.multiply(*sides).sum(1).astype(np.float64)
    return found


# === Pairs ===


def _pairs(place: Place, lines: Sequence[str], words: TfidfVectorizer) -> list[Pair]:
    """Draw pairs of every likeness, in a drawn order."""
    draw = stream(0, "alike")
    fitting = [line for line in lines if _SHORTEST <= len(line.split()) <= _LONGEST]
    drawn = [fitting[i] for i in draw.permutation(len(fitting))[:_DRAWN]]
    counts = [_NEAR, _PARTS, _MIXED, _MIXED, _STRANGE, _STRANGE]
    ends = np.cumsum(counts)
    near, parts, mixed, mixed_in, strange, strangers = (
        drawn[end - count : end] for count, end in zip(counts, ends, strict=True)
    )
    told = [(premise, follows) for premise, follows, _ in inferences_of(place.data)]
    pairs = [
        *_neighbours(near, drawn, words, draw),
        *((line, _part_of(line, draw)) for line in parts),
        *((line, _mixed(line, other, draw)) for line, other in zip(mixed, mixed_in, strict=True)),
        *zip(strange, strangers, strict=True),
        *told,
        *_neighbours(
            [follows for _, follows in told], [follows for _, follows in told], words, draw
        ),
    ]
    unlike = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    kept = [unlike[i] for i in draw.permutation(len(unlike))]
    return kept if place.limit is None else kept[: place.limit]


def _neighbours(
    asked: Sequence[str], among: Sequence[str], words: TfidfVectorizer, draw: Generator
) -> Iterator[Pair]:
    """Yield each text with one of those that share most words with it."""
    found = words.transform(among).T.tocsr()
    for at in range(0, len(asked), 1_000):
        batch = asked[at : at + 1_000]
        likeness = (words.transform(batch) @ found).tocsr()
        for row, text in enumerate(batch):
            part = slice(likeness.indptr[row], likeness.indptr[row + 1])
            best = likeness.indices[part][np.argsort(-likeness.data[part])[: 2 * _NEAREST]]
            others = [among[i] for i in best if among[i] != text][:_NEAREST]
            if others:
                yield text, others[int(draw.integers(len(others)))]


def _part_of(line: str, draw: Generator) -> str:
    """Leave some words of a text out; the others are sometimes shuffled."""
    words, dropped = line.split(), draw.uniform(0.1, 0.6)
    kept = [word for word in words if draw.random() > dropped] or words
    if draw.random() < 0.3:
        draw.shuffle(kept)
    return " ".join(kept)


def _mixed(line: str, other: str, draw: Generator) -> str:
    """Put words of another text in the place of some."""
    words, share = other.split(), draw.uniform(0.2, 0.8)
    return " ".join(
        word if draw.random() > share else words[int(draw.integers(len(words)))]
        for word in line.split()
    )
