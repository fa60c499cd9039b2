import numpy as np
import pytest

from albatross.rng import stream
from albatross.tasks.word_part import word_part


def texts(count, length, seed=0):
    return stream(seed, "texts").integers(3, 16_000, (count, length))


def test_order_does_not_matter_and_length_is_one():
    ids = texts(1, 9)[0]
    vector = word_part(ids, 192)
    assert word_part(ids[::-1], 192) == pytest.approx(vector)
    assert np.linalg.norm(vector) == pytest.approx(1)


@pytest.mark.parametrize("width", [2, 63, 64, 65, 192])
def test_any_width_will_do(width):
    assert word_part(np.array([3, 4, 5]), width).shape == (width,)
    assert np.linalg.norm(word_part(np.array([], dtype=np.int64), width)) == pytest.approx(1)


def test_cosines_are_those_of_weighted_counts():
    width, size = 4_096, 16_000
    weights = np.arange(1, size + 1) / (np.arange(1, size + 1) + 100)
    for one, other in zip(texts(20, 12), texts(20, 12, seed=1), strict=True):
        shared = np.concatenate([one[:6], other[6:]])
        counts = [np.bincount(ids, minlength=size)[:size] * weights for ids in (one, shared)]
        exact = counts[0] @ counts[1] / np.prod([np.linalg.norm(each) for each in counts])
        found = word_part(one, width) @ word_part(shared, width)
        assert found == pytest.approx(exact, abs=5 / width**0.5)


def test_frequent_pieces_count_less():
    frequent, rare = np.array([5, 9_000]), np.array([6, 9_000])
    assert word_part(frequent, 1_024) @ word_part(rare, 1_024) > 0.9
    assert word_part(np.array([5, 9_000]), 1_024) @ word_part(np.array([5, 9_001]), 1_024) < 0.2


def test_a_piece_has_the_same_signs_on_every_machine():
    signs = np.sign(word_part(np.array([2_024]), 16)).astype(int).tolist()
    assert signs == [-1, -1, 1, 1, -1, -1, 1, 1, 1, -1, -1, 1, -1, -1, 1, -1]
