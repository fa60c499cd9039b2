import numpy as np

from albatross.training.self_training import balanced, certainty_of, grown

SURE = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.95, 0.05], [0.7, 0.3]], dtype=np.float32)


def test_the_surest_texts_of_each_class_are_taken():
    assert balanced(SURE, 2, 0.0) == [(3, 0), (0, 0), (2, 1)]


def test_unsure_texts_are_left_out():
    assert balanced(SURE, 9, 0.75) == [(3, 0), (0, 0), (2, 1)]
    assert balanced(SURE, 9, 0.99) == []


def test_a_class_has_at_most_thrice_the_texts_of_the_rarest():
    shares = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]], dtype=np.float32)
    chosen = balanced(shares, 9, 0.0)
    assert [c for _, c in chosen] == [0, 0, 0, 1]


def test_rounds_take_more_and_more_texts():
    shares = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32), (100, 1))
    assert [len(grown(shares, 4, number)) for number in (1, 2)] == [16, 96]


def test_a_single_round_asks_for_the_least_certainty():
    assert certainty_of(0, 1, 2) == certainty_of(0, 5, 2) < certainty_of(4, 5, 2) < 1
