import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.rng import hashed_fraction, stream


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


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_a_hashed_fraction_is_below_one_and_a_function_of_the_bytes(value):
    assert 0 <= hashed_fraction(value) < 1
    assert hashed_fraction(value) == hashed_fraction(bytes(value))


def test_hashed_fractions_are_spread_evenly_and_salted():
    found = np.array([hashed_fraction(str(n).encode()) for n in range(4_000)])
    salted = np.array([hashed_fraction(str(n).encode(), salt=1) for n in range(4_000)])
    assert np.abs(np.histogram(found, bins=10, range=(0, 1))[0] - 400).max() < 80
    assert abs(np.corrcoef(found, salted)[0, 1]) < 0.05
