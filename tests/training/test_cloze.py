from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albatross.config import variant
from albatross.data.records import TextRecord
from albatross.modeling.model import AlbertForPreTraining
from albatross.tasks.cloze import Cloze, Pattern
from albatross.tasks.verbalizer import Verbalizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.cloze import ClozeTraining
from albatross.training.distributed import World
from albatross.training.schedules import Extent
from albatross.training.short_run import ShortRun
from albatross.training.trainer import Optimization

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
CONFIG = variant("albatross-tiny", vocab_size=TOKENIZER.vocab_size)
WORDS = Verbalizer.from_words({"sea": ("the",), "land": ("it",)}, TOKENIZER)
CLOZES = [
    Cloze(Pattern(source), WORDS, TOKENIZER, 24) for source in ("{text} [MASK].", "[MASK]: {text}")
]
RECORDS = [TextRecord(t) for t in ("gull", "gull wave", "wave", "sheep", "sheep barn", "barn")]
CLASSES = [0, 0, 0, 1, 1, 1]
TEXTS = [TextRecord(t) for t in ("wave gull", "barn sheep", "gull gull", "sheep sheep")]


def training(steps=40, **changes) -> ClozeTraining:
    run = ShortRun(World(), Optimization(Extent(steps=1), 3e-3, 0.1, 0.01, 0.98, 1.0, 0))
    values: dict[str, Any] = {"mlm_weight": 0.0, "weighting": "accuracy", "seed": 0} | changes
    return ClozeTraining(
        lambda seed: AlbertForPreTraining(CONFIG, add_pooling_layer=False, seed=0),
        TOKENIZER,
        ("sea", "land"),
        24,
        run,
        steps,
        6,
        **values,
    )


def shares(of: ClozeTraining, rounds=1, models=1):
    return of.shares(CLOZES, RECORDS, CLASSES, TEXTS, models=models, rounds=rounds)


def test_patterns_learn_their_records_and_label_other_texts():
    found = shares(training())
    assert found.shape == (4, 2)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert found.argmax(1).tolist() == [0, 1, 0, 1]


def test_a_pattern_weighs_what_it_knows_before_training():
    before = training(steps=1)
    scores = [before.scores(before.losses(c, 0), c, RECORDS) for c in CLOZES]
    right = [np.mean(s.argmax(1) == CLASSES) for s in scores]
    assert [before.weight(c, RECORDS, CLASSES) for c in CLOZES] == pytest.approx(
        [max(r, 1e-3) for r in right]
    )
    equal = training(weighting="equal")
    assert [equal.weight(c, RECORDS, CLASSES) for c in CLOZES] == [1.0, 1.0]


def test_every_model_has_draws_of_its_own():
    def scores(key):
        return training(steps=5).train(CLOZES[0], RECORDS, CLASSES, TEXTS, key)

    np.testing.assert_array_equal(scores((0, 0)), scores((0, 0)))
    assert not np.array_equal(scores((0, 0)), scores((0, 1)))


def test_later_rounds_learn_from_more_texts(monkeypatch):
    learned, train = [], ClozeTraining.train

    def watched(self, cloze, records, classes, unlabeled, key):
        learned.append((key, len(records), len(classes)))
        return train(self, cloze, records, classes, unlabeled, key)

    monkeypatch.setattr(ClozeTraining, "train", watched)
    shares(training(steps=15), rounds=2)
    assert [key for key, _, _ in learned] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [count for _, count, _ in learned[:2]] == [6, 6]
    assert all(6 < count == classes <= 10 for _, count, classes in learned[2:])


def test_masked_words_of_the_texts_are_learned_where_they_weigh_something():
    def scores(weight, text):
        texts = [*TEXTS, TextRecord(text)]
        of = training(steps=5, mlm_weight=weight)
        return of.train(CLOZES[0], RECORDS, CLASSES, texts, (0, 0))[:4]

    np.testing.assert_allclose(scores(0.0, "wave"), scores(0.0, "storm"), atol=1e-5)
    assert np.abs(scores(0.5, "wave " * 9) - scores(0.5, "storm " * 9)).max() > 1e-3
