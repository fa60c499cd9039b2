from itertools import pairwise

import pytest

from albatross.training.schedules import linear_schedule


def factors(warmup_steps, total_steps):
    return [
        linear_schedule(step, warmup_steps=warmup_steps, total_steps=total_steps)
        for step in range(total_steps + 1)
    ]


@pytest.mark.parametrize(("warmup", "total"), [(1, 1), (1, 10), (4, 10), (10, 10), (60, 1000)])
def test_rate_rises_to_its_peak_and_falls_to_zero(warmup, total):
    found = factors(warmup, total)
    assert max(found[:total]) == found[warmup - 1] == 1
    assert found[:warmup] == sorted(found[:warmup])
    assert found[warmup - 1 :] == sorted(found[warmup - 1 :], reverse=True)
    assert found[total] == 0


def test_no_step_has_a_rate_of_zero():
    assert min(factors(6, 100)[:100]) > 0


def test_rate_never_jumps():
    found = factors(10, 40)
    assert max(abs(b - a) for a, b in pairwise(found)) <= 0.1 + 1e-12
