import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.errors import ConfigError
from albatross.tasks.verbalizer import Verbalizer, parse_verbalizer


def test_a_class_scores_the_mean_of_its_words_and_a_word_that_of_its_pieces():
    words = Verbalizer.from_words({"yes": ("the", "bad"), "no": ("it",)}, TOKENIZER)
    assert words.mask_counts == (1, 3)
    log_probs = np.random.default_rng(0).normal(size=(4, TOKENIZER.vocab_size))
    the, bad, it = (TOKENIZER.encode(word) for word in ("the", "bad", "it"))
    long = np.mean([log_probs[1 + place, piece] for place, piece in enumerate(bad)])
    expected = [(log_probs[0, the[0]] + long) / 2, log_probs[0, it[0]]]
    table = words.table
    assert log_probs[table.columns, table.pieces] @ table.weights == pytest.approx(expected)


def test_labels_that_are_words_stand_for_themselves():
    words = Verbalizer.from_labels(("the", "it"), TOKENIZER)
    assert words.words == (("the",), ("it",))


def test_labels_that_are_no_words_need_a_verbalizer():
    with pytest.raises(ConfigError, match=r"Received: '1', 'bad'.*--verbalizer 1=WORD"):
        Verbalizer.from_labels(("1", "bad", "the"), TOKENIZER)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"yes": ("the",), "no": ("\U0001f600",)}, "must be in the vocabulary"),
        ({"yes": ("the",), "no": ("terrible",)}, "Received: 'terrible' for 'no'"),
        ({"yes": ("the",), "no": ("the",)}, "must stand for one label"),
        ({"yes": ("the",), "no": ()}, "Received: none for 'no'"),
    ],
)
def test_words_that_cannot_stand_for_a_label_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        Verbalizer.from_words(words, TOKENIZER)


@pytest.mark.parametrize("given", ["a:x", "c=x", "a="])
def test_words_are_given_as_label_and_words(given):
    with pytest.raises(ConfigError, match="`--verbalizer` must"):
        parse_verbalizer([given, "b=y"], ["a", "b"])
