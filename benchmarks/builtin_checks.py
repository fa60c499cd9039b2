"""What the figures of three built-in models rest on, beside what the table of them says.

    python benchmarks/builtin_checks.py --data DATA --work WORK

Needs data: what the rows `builtins` of `benchmarks/reproduce.py` read below `--data`.

`embed` beside the cosine of TF-IDF, which reads no order and learns from no pair, and as a search
for the documents of a question. `spam` without
the messages that are nearly those it learned from. And how many words `fill-mask` is asked for.
"""

from __future__ import annotations

import argparse
import gzip
import re
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from tables.baselines import word_counts
from tables.files import documents_of, read_table, write_builtin_records, write_shards
from tables.table import Place

import albatross
from albatross.data.shards import ShardFolder

LINES, LETTER_LINES = 200_000, 60_000
"""Sentences of the pre-training text that words, and runs of letters, are counted in."""
RANKS = 10
"""Documents that are looked at."""
ALIKE = 0.6
"""Share of the runs of three words that near copies have in common."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/results"))
    arguments = parser.parse_args()
    place = Place(arguments.data, arguments.work)
    shards = ShardFolder(write_shards(place))
    write_builtin_records(place)
    records = place.work / "records"
    likeness(records / "similarity.tsv", shards)
    search(place.data / "cranfield")
    near_copies(read_table(records / "spam-train.tsv"), read_table(records / "spam-test.tsv"))
    print(f"words that fill-mask is asked for: {asked_share(shards):.3f} of all")


def likeness(pairs: Path, shards: ShardFolder) -> None:
    """Print how embed and counted words rank pairs by how alike they are (Spearman)."""
    rows = read_table(pairs)
    sides = [[row[name] for row in rows] for name in ("text", "text_pair")]
    labels = [float(row["label"]) for row in rows]
    own = albatross.evaluate("embed", pairs, bootstrap=0).metrics["spearman"]
    print(f"embed: Spearman {own:.3f} on {len(rows):,} pairs")
    documents = (document for shard in shards.train for document in documents_of([shard]))
    sentences = (sentence.tolist() for document in documents for sentence in document)
    tokenizer = shards.tokenizer()
    lines = [tokenizer.decode(ids) for ids in islice(sentences, LINES)]
    words, letters = TfidfVectorizer(sublinear_tf=True), _letters()
    for name, counts, texts in (
        ("words", words, lines),
        ("words, none unknown", words, [*lines, " ".join(sides[0] + sides[1])]),
        ("letters", letters, lines[:LETTER_LINES]),
    ):
        one, other = (counts.fit(texts).transform(side) for side in sides)
        cosines = np.asarray(one.multiply(other).sum(axis=1)).ravel()
        print(f"TF-IDF of {name}: Spearman {spearmanr(cosines, labels).statistic:.3f}")


def search(folder: Path) -> None:
    """Print how high embed and counted words put the documents of a question (nDCG at 10)."""
    with gzip.open(folder / "cran.all.1400.gz", "rt", encoding="latin-1") as file:
        parts = re.split(r"^\.I ", file.read(), flags=re.MULTILINE)[1:]
    found = [(part.split(maxsplit=1)[0], part.partition("\n.W\n")[2]) for part in parts]
    documents = {number: " ".join(text.split()) for number, text in found if text.strip()}
    lines = (folder / "queries.tsv").read_text(encoding="utf-8").splitlines()
    questions = dict(line.split("\t") for line in lines)
    wanted: dict[str, set[str]] = {number: set() for number in questions}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        question, document, grade = line.split()
        if int(grade) >= 1 and document in documents:
            wanted[question].add(document)
    sides = [list(questions.values()), list(documents.values())]
    vectors = [np.array([one.vector for one in albatross.load("embed")(side)]) for side in sides]
    counts = TfidfVectorizer(sublinear_tf=True).fit(sides[1])
    words = [counts.transform(side).toarray() for side in sides]
    for name, (asked, texts) in {"embed": vectors, "TF-IDF": words}.items():
        best = np.argsort(-(asked @ texts.T), axis=1)[:, :RANKS]
        numbers = np.array(list(documents))[best]
        gains = [
            _gain([one in wanted[question] for one in row]) / _gain([True] * len(wanted[question]))
            for question, row in zip(questions, numbers, strict=True)
            if wanted[question]
        ]
        print(f"{name}: nDCG at {RANKS} of {len(gains)} questions {np.mean(gains):.3f}")


def near_copies(train: list[dict[str, str]], test: list[dict[str, str]]) -> None:
    """Print macro F1 of spam and of counted words on all messages, and without near copies."""
    learned = [_runs(row["text"]) for row in train]
    is_copy = np.array(
        [max(_likeness(_runs(row["text"]), other) for other in learned) >= ALIKE for row in test]
    )
    labels = np.array([row["label"] for row in test])
    counts = word_counts().fit([row["text"] for row in train], [row["label"] for row in train])
    texts = [row["text"] for row in test]
    answers = {
        "spam": np.array([answer.label for answer in albatross.load("spam")(texts)]),
        "counted words": counts.predict(texts),
    }
    spam = labels == "spam"
    print(f"near copies: {is_copy.sum()} of {len(test)} messages")
    print(f"near copies: {(is_copy & spam).sum()} of {spam.sum()} that are spam")
    for name, found in answers.items():
        whole, rest = (
            f1_score(labels[part], found[part], average="macro")
            for part in (np.ones_like(is_copy), ~is_copy)
        )
        print(f"{name}: macro F1 {whole:.3f}, without near copies {rest:.3f}")


def asked_share(shards: ShardFolder) -> float:
    """Return how many words of held-out text are letters alone, and one piece."""
    tokenizer, words, whole = shards.tokenizer(), 0, 0
    starts = tokenizer.starts_word
    pieces = range(tokenizer.vocab_size)
    is_letters = np.array([tokenizer.decode([piece]).isalpha() for piece in pieces])
    for shard in shards.held_out:
        ids = shard.tokens.astype(np.int64)
        begins = starts[ids]
        alone = begins & np.append(begins[1:], True)
        words += int(begins.sum())
        whole += int((alone & is_letters[ids]).sum())
    return whole / words


def _gain(hits: list[bool]) -> float:
    """Return the sum of hits, the lower the rank the less."""
    return float(sum(hit / np.log2(rank + 2) for rank, hit in enumerate(hits[:RANKS])))


def _letters() -> TfidfVectorizer:
    """Count runs of three to five letters within words."""
    return TfidfVectorizer(
        sublinear_tf=True, analyzer="char_wb", ngram_range=(3, 5), max_features=300_000
    )


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return the runs of three words of a message, without marks and words that hold a digit."""
    words = [word for word in re.findall(r"\w+", text.lower()) if not re.search(r"\d", word)]
    return {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))}


def _likeness(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


if __name__ == "__main__":
    main()
