from itertools import pairwise

import pytest

from albatross.training.schedules import linear_schedule, schedule_factor


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


# === Warm-up, stable, decay ===


def wsd(warmup_steps, total_steps, decay):
    options = {"warmup_steps": warmup_steps, "total_steps": total_steps, "decay": decay}
    return [schedule_factor("wsd", step, **options) for step in range(total_steps + 1)]


def test_wsd_stays_at_its_peak_and_falls_to_zero_at_the_end():
    found = wsd(10, 100, 0.2)
    assert found[9:81] == [1.0] * 72
    assert found[:10] == sorted(found[:10])
    assert found[80:] == sorted(found[80:], reverse=True)
    assert found[100] == 0


@pytest.mark.parametrize(("warmup", "total", "decay"), [(1, 1, 1), (10, 10, 1), (60, 100, 0.9)])
def test_wsd_is_never_above_its_peak_nor_zero_before_the_end(warmup, total, decay):
    found = wsd(warmup, total, decay)
    assert 0 < min(found[:total]) <= max(found) <= 1


def test_wsd_never_jumps():
    assert max(abs(b - a) for a, b in pairwise(wsd(10, 40, 0.25))) <= 0.1 + 1e-12


def test_wsd_does_not_know_the_end_before_it_falls():
    assert wsd(10, 100, 0.2)[:80] == wsd(10, 400, 0.2)[:80]


def test_linear_is_the_linear_schedule():
    options = {"warmup_steps": 3, "total_steps": 9}
    found = [schedule_factor("linear", step, decay=0.5, **options) for step in range(10)]
    assert found == factors(3, 9)
