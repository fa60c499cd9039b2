"""What `sentiment` learns from and is scored on, both made of SST-2.

It is scored on the published half of the development part and 1,500 whole sentences of the training
part together: on the 436 rows alone, one standard error is 1.8 points. No phrase of the 1,500 is
learned from; of the 436 some are, as everywhere (`it 's too long`). 500 more such sentences choose
its temperature. It learns from the other rows, and from stretches of them that teachers label.

Two fine-tuned encoders and what counts words err differently, and know more together than any of
them. What they make of new stretches of text one model can learn (Bucila et al., 2006; Tang et al.,
2019, section 3.2), as shares of the two classes. The rows themselves get half of their label, and
half of what is counted in the phrases of other sentences than the one that they are part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import albatross
from albatross.rng import stream
from tables.baselines import word_counts
from tables.files import (
    one_at_a_time,
    phrases_of,
    read_table,
    write_json_lines,
    write_sentences,
    write_table,
)
from tables.table import Place

TAUGHT = "{work}/records/sentiment-taught-{encoder}.jsonl"
"""What is learned from: the teachers are made of the encoder."""
Shares = NDArray[np.float64]
_STRETCHES, _TUNING = 40_000, 500
_TEACHERS, _FOLDS = 2, 5
# Shares beyond are taken as these.
_LEAST = 1e-4


@one_at_a_time
def write_taught(place: Place) -> None:
    """Write what is learned from, with shares, what is tuned by, and what is scored on."""
    (taught,) = map(Path, place.filled(TAUGHT))
    if taught.is_file():
        return
    taught.parent.mkdir(parents=True, exist_ok=True)
    write_sentences(place)
    parts = (place.work / "sst2" / "dev.tsv", place.data / "glue" / "SST-2" / "dev.tsv")
    whole = [(row["sentence"], row["label"]) for part in parts for row in read_table(part)]
    for name, kept in (("tune", whole[:_TUNING]), ("test", whole[_TUNING:])):
        write_table(taught.with_name(f"sentiment-{name}.tsv"), kept, ("sentence", "label"))
    rows = read_table(place.work / "sst2" / "train.tsv")
    texts, labels = [row["sentence"] for row in rows], np.array([int(row["label"]) for row in rows])
    owners = _owners(texts)
    kept = (labels + _counted_elsewhere(texts, labels, owners)) / 2
    sentences = [text.split() for text in dict.fromkeys(owners.values())]
    count = _STRETCHES if place.limit is None else place.limit
    stretches = _stretches(sentences, count)
    logits = _logits(word_counts().fit(texts, labels).predict_proba(stretches)[:, 1])
    for seed in range(_TEACHERS):
        logits = logits + _logits(_answers(_teacher(place, seed), stretches))
    shares = np.concatenate([kept, 1 / (1 + np.exp(-logits / _TEACHERS))])
    write_json_lines(
        taught,
        (
            {"sentence": text, "label": {"0": round(1 - share, 4), "1": round(share, 4)}}
            for text, share in zip([*texts, *stretches], shares.tolist(), strict=True)
        ),
    )


def _owners(texts: Sequence[str]) -> dict[str, str]:
    """Return the sentence that each text is a run of words of: the first of the longest."""
    inside: dict[str, str] = {}
    for text in sorted(set(texts), key=lambda text: -len(text.split())):
        if text not in inside:
            for phrase in phrases_of(text):
                inside.setdefault(phrase, text)
    return {text: inside[text] for text in texts}


def _counted_elsewhere(
    texts: Sequence[str], labels: NDArray[np.int64], owners: dict[str, str]
) -> Shares:
    """Return how positive each text is by words counted in other sentences than its own: (texts,).

    The sentences are parted into folds.
    """
    number = {sentence: i for i, sentence in enumerate(dict.fromkeys(owners.values()))}
    fold = np.array([number[owners[text]] for text in texts]) % _FOLDS
    found = np.zeros(len(texts))
    for one in range(_FOLDS):
        learned, asked = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        counts = word_counts().fit([texts[i] for i in learned], labels[learned])
        found[asked] = counts.predict_proba([texts[i] for i in asked])[:, 1]
    return found


def _teacher(place: Place, seed: int) -> Path:
    """Fine-tune one encoder on the rows."""
    out = place.work / "teachers" / str(seed)
    words = ["--task", "sst2", "--train", place.work / "sst2" / "train.tsv", "--hold-out", 0]
    words += ["--epochs", 2, "--seed", seed]
    words += [] if place.limit is None else ["--limit", place.limit]
    return place.make("finetune", "pretrained", out, *words)


def _answers(model: Path, texts: Sequence[str]) -> Shares:
    """Return how probable a model finds it that a text is positive."""
    found = albatross.load(model)(list(texts))
    return np.array([list(answer.probabilities.values())[1] for answer in found])


def _stretches(sentences: Sequence[list[str]], count: int) -> list[str]:
    """Draw stretches of 4 to 25 words; to half of them a shorter one of another sentence is put."""
    draw, drawn = stream(0, "stretches"), []
    for _ in range(count):
        words = _stretch(sentences, 4, 26, draw)
        if draw.random() < 0.5:
            words = words[:13] + _stretch(sentences, 3, 13, draw)
        drawn.append(" ".join(words))
    return drawn


def _stretch(
    sentences: Sequence[list[str]], least: int, most: int, draw: np.random.Generator
) -> list[str]:
    """Draw a sentence, and of it a stretch of at least so many words and below so many."""
    words = sentences[draw.integers(len(sentences))]
    length = min(len(words), int(draw.integers(least, most)))
    start = int(draw.integers(len(words) - length + 1))
    return words[start : start + length]


def _logits(shares: Shares) -> Shares:
    """Return log odds."""
    kept = shares.clip(_LEAST, 1 - _LEAST)
    found: Shares = np.log(kept / (1 - kept))
    return found
