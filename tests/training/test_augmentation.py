from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from albatross.config import variant
from albatross.data.records import TextRecord
from albatross.modeling.model import AlbertForPreTraining
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.augmentation import kept, varied

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
RECORDS = [
    TextRecord("the gull flew over the harbour in a storm", label="sea"),
    TextRecord("it was a barn with sheep and the dog", "not so", label="land"),
    TextRecord("", label="land"),
]


@pytest.fixture(scope="module")
def model():
    config = variant("albatross-tiny", vocab_size=TOKENIZER.vocab_size)
    return AlbertForPreTraining(config, add_pooling_layer=False, seed=0)


def copies(model, records=RECORDS, count=3, seed=0):
    return varied(model, TOKENIZER, records, count, max_length=64, seed=seed)


def test_copies_keep_labels_and_second_texts_and_follow_each_other(model):
    found = copies(model)
    assert [copy.label for copy in found] == ["sea"] * 3 + ["land"] * 3
    assert [copy.text_pair for copy in found] == [None] * 3 + ["not so"] * 3


def test_about_a_fifth_of_a_text_is_drawn_anew(model):
    for copy in copies(model)[:3]:
        before, after = (Counter(TOKENIZER.encode(text)) for text in (RECORDS[0].text, copy.text))
        assert copy.text != RECORDS[0].text
        assert (before & after).total() >= 0.6 * before.total()
    assert len({copy.text for copy in copies(model)}) == 6


def test_a_copy_is_a_function_of_seed_record_and_number(model):
    assert copies(model) == copies(model) != copies(model, seed=1)
    assert copies(model, count=2) == [*copies(model)[:2], *copies(model)[3:5]]


def test_copies_that_are_taken_for_another_class_go():
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], dtype=np.float32)
    assert kept([0, 0, 1], shares) == [0, 2]
