"""Records for `sentiment`: SST-2's, and stretches of its sentences as teachers label them.

Two fine-tuned encoders and what counts words err differently, and know more together than any of
them; what they make of new stretches of text, one model can learn (Bucila et al., 2006; Tang et
al., 2019, section 3.2). A stretch gets a class drawn by the teachers' shares, for a file has room
for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import albatross
from albatross.rng import stream
from tables.baselines import word_counts
from tables.files import sst2_rows, write_table
from tables.table import Place, is_finished

_STRETCHES = 40_000
_TEACHERS = 2
# Shares beyond are taken as these.
_LEAST = 1e-4


def write_taught(place: Place) -> None:
    """Write SST-2's training rows, and with them as many stretches as help."""
    work = place.work / "records"
    taught = work / "sentiment-taught.tsv"
    if taught.is_file():
        return
    work.mkdir(parents=True, exist_ok=True)
    rows = sst2_rows(place.data)
    columns = ("sentence", "label")
    write_table(work / "sentiment.tsv", rows, columns)
    count = _STRETCHES if place.limit is None else place.limit
    texts = _stretches([text for text, _ in rows], count)
    plain = word_counts().fit([text for text, _ in rows], [int(label) for _, label in rows])
    logits = _logits(plain.predict_proba(texts)[:, 1])
    for seed in range(_TEACHERS):
        logits = logits + _logits(_answers(_teacher(place, work / "sentiment.tsv", seed), texts))
    shares = 1 / (1 + np.exp(-logits / _TEACHERS))
    drawn = stream(0, "classes").random(len(texts)) < shares
    new = [(text, str(int(label))) for text, label in zip(texts, drawn, strict=True)]
    write_table(taught, [*rows, *new], columns)


def _teacher(place: Place, rows: Path, seed: int) -> Path:
    """Fine-tune one encoder on the rows."""
    out = place.work / "teachers" / str(seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    words = ["--task", "sst2", "--train", rows, "--hold-out", 0, "--epochs", 2, "--seed", seed]
    words += [] if place.limit is None else ["--limit", place.limit]
    if not is_finished(out):
        place.albatross("finetune", "pretrained", out, *words)
    return out


def _answers(model: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return how probable a model finds it that a text is positive."""
    found = albatross.load(model)(list(texts))
    return np.array([list(answer.probabilities.values())[1] for answer in found])


def _stretches(texts: Sequence[str], count: int) -> list[str]:
    """Draw stretches of 4 to 25 words; to half of them a shorter one of another sentence is put."""
    draw, inside = stream(0, "stretches"), set[str]()
    sentences = []
    for text in sorted(set(texts), key=lambda text: -len(text.split())):
        words = text.split()
        if text not in inside:
            sentences.append(words)
            ends = range(1, len(words) + 1)
            inside.update(" ".join(words[start:end]) for end in ends for start in range(end))
    drawn = []
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


def _logits(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log odds."""
    kept = shares.clip(_LEAST, 1 - _LEAST)
    found: NDArray[np.float64] = np.log(kept / (1 - kept))
    return found
