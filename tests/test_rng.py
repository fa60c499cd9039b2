import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from albatross.rng import fractions, hashed_fraction, row_keys, stream


def test_a_stream_is_the_same_on_every_machine():
    # Written down once: a change of these numbers changes every sample of every run.
    assert stream(0, "sample", 3, 7).integers(1_000, size=4).tolist() == [116, 587, 282, 507]


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    first, other = stream(0, "sample", 3), stream(0, "sample", 4)
    other.random(1_000)
    again = stream(0, "sample", 3)
    assert first.random(5).tolist() == again.random(5).tolist()
    assert first.random(5).tolist() == again.random(5).tolist()


def test_numpy_integers_are_the_same_keys_as_pythons():
    drawn = stream(np.int64(4), "order", np.int32(2)).random(3)
    assert (drawn == stream(4, "order", 2).random(3)).all()


def test_different_keys_give_different_streams():
    keys = [
        (0,),
        (1,),
        (0, 0),
        (0, 1),
        (1, 0),
        ("0",),
        (0, "order"),
        (0, "plan"),
        (10, 1),
        (1, 101),
    ]
    assert len({stream(*key).integers(2**62) for key in keys}) == len(keys)


@given(st.binary(max_size=40))
def test_a_hashed_fraction_is_below_one_and_a_function_of_the_bytes(value):
    assert 0 <= hashed_fraction(value) < 1
    assert hashed_fraction(value) == hashed_fraction(bytes(value))


def test_hashed_fractions_are_spread_evenly_and_salted():
    found = np.array([hashed_fraction(str(n).encode()) for n in range(4_000)])
    salted = np.array([hashed_fraction(str(n).encode(), salt=1) for n in range(4_000)])
    assert np.abs(np.histogram(found, bins=10, range=(0, 1))[0] - 400).max() < 80
    assert abs(np.corrcoef(found, salted)[0, 1]) < 0.05


# === Draws by the million ===


def test_draws_are_the_same_on_every_machine():
    # Written down once: a change of these numbers changes every sample of every run.
    keys = row_keys(0, "sample", rows=np.array([0, 1, 2**40]))
    found = (fractions(keys, np.array([0, 1, 2**33])) * 1_000).astype(int).tolist()
    assert found == [85, 22, 203]


def test_draws_are_splitmix64s():
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]  # the first two of the seed 0
    found = fractions(np.zeros(2, dtype=np.uint64), np.arange(2))
    assert found.tolist() == [(number >> 11) * 2.0**-53 for number in published]


def test_draws_are_even_and_independent_of_their_neighbours():
    keys = row_keys(3, rows=np.arange(300))
    found = np.stack([fractions(keys, counter) for counter in range(300)])
    assert abs(found.mean() - 0.5) < 0.004
    counts, _ = np.histogram(found, 20, (0, 1))
    assert abs(counts / 4_500 - 1).max() < 0.06
    for shifted in (found[1:] - found[:-1], found[:, 1:] - found[:, :-1]):
        assert abs(shifted.std() - (1 / 6) ** 0.5) < 0.004  # of a difference of two such draws


def test_draws_of_other_keys_differ():
    keys = row_keys(0, "a", rows=np.arange(1_000))
    others = row_keys(0, "b", rows=np.arange(1_000))
    assert len(np.unique(np.concatenate([keys, others]))) == 2_000
    assert 0 <= fractions(keys, 2**62).min() <= fractions(keys, 2**62).max() < 1
