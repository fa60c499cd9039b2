"""Baselines counted from the pre-training text: neighbours, word vectors, bags of words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, hstack
from scipy.sparse.linalg import svds
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from albatross.data.shards import ShardFolder
from tables.files import ordered_pairs, read_table

# Width of the vectors and of the window that they are counted over.
_WIDTH, _WINDOW = 128, 5
_TRAINED_ORDERS = 20_000


def neighbour_score(shards: Path, gaps: Path) -> float:
    """Return how often the word that stands most between the gap's two neighbours is the right one.

    P(word | left) P(word | right) / P(word), each smoothed by the word's own share.
    """
    folder = ShardFolder(shards)
    tokenizer = folder.tokenizer()
    size = tokenizer.vocab_size
    pairs, counts = np.zeros(size * size, dtype=np.int64), np.zeros(size)
    for shard in folder.train:
        tokens = shard.tokens.astype(np.int64)
        pairs += np.bincount(tokens[:-1] * size + tokens[1:], minlength=size * size)
        counts += np.bincount(tokens, minlength=size)
    table, shares = pairs.reshape(size, size), counts / counts.sum()
    right = 0
    rows = read_table(gaps)
    for row in rows:
        before, after = row["text"].split("[MASK]")
        left, following = tokenizer.encode(before)[-1:], tokenizer.encode(after)[:1]
        logs = -np.log(shares + 1e-9)
        for seen in [table[i] for i in left] + [table[:, i] for i in following]:
            logs += np.log((seen + 10 * shares) / (seen.sum() + 10) + 1e-12)
        logs[~tokenizer.starts_word] = -np.inf
        right += tokenizer.decode([int(logs.argmax())]) == row["label"]
    return right / len(rows)


def order_score(shards: Path, orders: Path) -> float:
    """Return how often words by their side tell the order of two stretches."""
    folder = ShardFolder(shards)
    drawn = [*islice(ordered_pairs(folder, folder.train), _TRAINED_ORDERS)]
    texts, swapped = [pair[:2] for pair in drawn], np.array([pair[2] for pair in drawn])
    rows = read_table(orders)
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=3)
    vectors.fit([text for pair in texts for text in pair])

    def by_side(pairs: Sequence[tuple[str, ...]]) -> NDArray[np.float64]:
        return hstack(
            [vectors.transform([pair[side] for pair in pairs]) for side in (0, 1)]
        ).tocsr()

    model = LogisticRegression(max_iter=1_000).fit(by_side(texts), swapped)
    found = model.predict(by_side([(row["text"], row["text_pair"]) for row in rows]))
    return float(np.mean(found == [row["label"] == "out of order" for row in rows]))


def word_vector_score(shards: Path, pairs: Path) -> float:
    """Return how means of word vectors rank pairs by how alike they are (Spearman)."""
    folder = ShardFolder(shards)
    vectors = word_vectors(folder)
    tokenizer, rows = folder.tokenizer(), read_table(pairs)

    def mean_of(text: str) -> NDArray[np.float64]:
        mean = vectors[tokenizer.encode(text) or [0]].mean(0)
        return mean / max(1e-9, float(np.linalg.norm(mean)))

    cosines = [float(mean_of(row["text"]) @ mean_of(row["text_pair"])) for row in rows]
    return float(spearmanr(cosines, [float(row["label"]) for row in rows]).statistic)


def word_vectors(folder: ShardFolder) -> NDArray[np.float64]:
    """Return a vector for each piece, (vocab, width): positive mutual information, factorised.

    Levy and Goldberg (2014): shifted by nothing, contexts smoothed by a power of 0.75.
    """
    size = folder.tokenizer().vocab_size
    counted = coo_matrix((size, size)).tocsr()
    for shard in folder.train:
        tokens = shard.tokens.astype(np.int64)
        for step in range(1, _WINDOW + 1):
            keys, times = np.unique(tokens[:-step] * size + tokens[step:], return_counts=True)
            one = coo_matrix((times / step, (keys // size, keys % size)), (size, size))
            counted = counted + one + one.T
    counted = counted.tocoo()
    rows = np.asarray(counted.sum(1)).ravel() + 1e-9
    columns = rows**0.75
    information = np.log(counted.data * columns.sum() / (rows[counted.row] * columns[counted.col]))
    positive = coo_matrix((np.maximum(information, 0), (counted.row, counted.col)), (size, size))
    left, values, _ = svds(positive.tocsr(), k=_WIDTH, random_state=0)
    found: NDArray[np.float64] = left * np.sqrt(values)
    return found
