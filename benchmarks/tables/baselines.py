"""What knows no language, beside which every figure stands: words counted, a CRF over tags.

Each takes a task, the training records and the dev records, and returns the dev records' answers.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from albatross.checkpoints.model_folder import read_config
from albatross.data.sentences import split_sentences
from albatross.engine.open import open_tokenizer
from albatross.settings.training import FinetuneSettings
from albatross.tasks.answers import (
    Answer,
    ChoiceAnswer,
    EntitiesAnswer,
    SimilarityAnswer,
    SpanAnswer,
    SpanCandidate,
    TextAnswer,
    ValueAnswer,
)
from albatross.tasks.task import score
from albatross.training.task_data import read_task_data


def baseline_score(
    baseline: str, out: Path, run: dict[str, Any], dev: Path | None = None
) -> dict[str, float]:
    """Return the figures of a baseline that learned from what a fine-tuned folder learned from.

    Args:
        baseline: a key of BASELINES
        out: the folder
        run: its `run.json`
        dev: the records to score; those of the run by default
    """
    return score(*baseline_answers(baseline, out, run, dev))


def baseline_answers(
    baseline: str, out: Path, run: dict[str, Any], dev: Path | None = None
) -> tuple[Any, list[Any], list[Any]]:
    """Return the task, what the baseline answers, and the records, likewise."""
    settings = FinetuneSettings(**{**run["settings"], "recipe": None})
    data = read_task_data(settings, open_tokenizer(out, read_config(out)))
    records = next(iter(data.dev.values())) if dev is None else data.task.read(dev)
    train = [*data.train, *data.tuning]
    return data.task, BASELINES[baseline](data.task, train, records), records


def word_counts() -> Pipeline:
    """Return TF-IDF of words and pairs of words under a logistic regression, to be fitted."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1_000),
    )


def _words(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with TF-IDF of words and pairs of words, and logistic regression."""
    texts = [[f"{r.text} {r.text_pair or ''}" for r in records] for records in (train, dev)]
    labels = [task.labels[task.class_of(record.label)] for record in train]
    predicted = word_counts().fit(texts[0], labels).predict(texts[1])
    return [Answer(str(label), 1.0, {str(label): 1.0}) for label in predicted]


def _overlap(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the cosine of TF-IDF vectors."""
    vectors = TfidfVectorizer(sublinear_tf=True)
    vectors.fit([text for record in train for text in (record.text, record.text_pair)])
    cosines = _cosines(vectors, [r.text for r in dev], [r.text_pair for r in dev])
    kind = SimilarityAnswer if task.kind == "similarity" else ValueAnswer
    return [kind(value) for value in cosines]


def _choice(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the choice that, with its question, is most like the passage (TF-IDF)."""
    vectors = TfidfVectorizer(sublinear_tf=True)
    vectors.fit({record.context for record in train})
    answers = []
    for record in dev:
        asked = [f"{record.question} {choice}" for choice in record.choices]
        cosines = _cosines(vectors, [record.context] * len(asked), asked)
        best = cosines.index(max(cosines))
        answers.append(ChoiceAnswer(best, record.choices[best], cosines[best], tuple(cosines)))
    return answers


def _sentence(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the sentence that has most words in common with the question."""
    answers = []
    for record in dev:
        asked = _bag(record.question)
        sentences = split_sentences(record.context) or [record.context]
        answers.append(_span(max(sentences, key=lambda each: len(asked & _bag(each))), 0.0))
    return answers


def _none(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer no question."""
    return [_span("", math.inf) for _ in dev]


def _copy(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the source itself."""
    return [TextAnswer(record.source, 0.0, {record.source: 0.0}) for record in dev]


def _crf(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with a conditional random field over words, their shapes and their neighbours."""
    import pycrfsuite  # of `albatross[bench]` alone

    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.1, "c2": 0.01, "max_iterations": 150})
    for record in train:
        trainer.append(_seen(record.words), list(record.tags))
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/crf")
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/crf")
        return [EntitiesAnswer((), tuple(tagger.tag(_seen(record.words)))) for record in dev]


def _seen(words: Sequence[str]) -> list[dict[str, float]]:
    """Return what is to be seen at each word: itself, its ends and shape, and the words beside."""
    found = []
    for at, word in enumerate(words):
        seen = {"bias": 1.0}
        for step in (-2, -1, 0, 1, 2):
            near = words[at + step] if 0 <= at + step < len(words) else ""
            seen |= {f"{step}:{near.lower()}": 1.0, f"{step}s:{_shape(near)}": 1.0}
        ends = {f"-{n}:{word.lower()[-n:]}": 1.0 for n in (1, 2, 3)}
        starts = {f"+{n}:{word.lower()[:n]}": 1.0 for n in (1, 2, 3)}
        found.append(seen | ends | starts)
    return found


def _shape(word: str) -> str:
    """Return capitals, small letters, digits and marks of a word, runs of them once: Xx, X-d.

    >>> _shape("McDonald's"), _shape("2nd")
    ("XxXx'x", 'dx')
    """
    kinds = "".join(
        "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word
    )
    return re.sub(r"(.)\1+", r"\1", kinds)


def _cosines(vectors: Any, first: Sequence[str], second: Sequence[str]) -> list[float]:
    products = vectors.transform(first).multiply(vectors.transform(second)).sum(axis=1)
    return [float(value) for value in np.asarray(products).ravel()]


def _bag(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _span(text: str, no_answer: float) -> SpanAnswer:
    candidate = SpanCandidate(text, 0, len(text), 1.0)
    return SpanAnswer(text, 0, len(text), 1.0, no_answer, (candidate,))


BASELINES: dict[str, Callable[..., list[Any]]] = {
    "words": _words,
    "overlap": _overlap,
    "choice": _choice,
    "copy": _copy,
    "sentence": _sentence,
    "none": _none,
    "crf": _crf,
}
