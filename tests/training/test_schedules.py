from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albatross.errors import ConfigError
from albatross.training.schedules import Extent, parse_budget, schedule_factor

SCHEDULES = ["linear", "wsd", "cosine"]
LENGTHS = [(1, 1), (1, 10), (4, 10), (10, 10), (60, 1000)]
shares = st.floats(0, 1)


def factors(schedule, warmup_steps, total_steps, decay=0.25):
    shape = {"warmup": warmup_steps / total_steps, "decay": decay}
    return [
        schedule_factor(schedule, step / total_steps, 1 / total_steps, **shape)
        for step in range(total_steps + 1)
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("warmup", "total"), LENGTHS)
def test_rate_rises_to_its_peak_and_falls_to_zero(schedule, warmup, total):
    found = factors(schedule, warmup, total)
    top = found.index(max(found))
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[total] == 0


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("warmup", "total"), LENGTHS)
def test_no_step_has_a_rate_of_zero_and_none_is_above_the_peak(schedule, warmup, total):
    found = factors(schedule, warmup, total)
    assert min(found[:total]) > 0
    assert max(found) <= 1


@pytest.mark.parametrize(("warmup", "total"), LENGTHS)
def test_linear_is_straight_up_and_straight_down(warmup, total):
    rise = [(step + 1) / warmup for step in range(warmup)]
    fall = [(total - step) / max(1, total - warmup) for step in range(warmup, total + 1)]
    assert factors("linear", warmup, total) == pytest.approx(rise + fall)


def test_wsd_stays_at_its_peak_before_it_falls():
    found = factors("wsd", 10, 100, decay=0.2)
    assert found[9:81] == pytest.approx([1.0] * 72)
    assert found[80:] == pytest.approx([step / 20 for step in range(20, -1, -1)])


def test_cosine_is_at_half_its_height_halfway_down():
    found = factors("cosine", 20, 100)
    assert found[60] == pytest.approx(0.5)
    assert 1 - found[30] < 10 / 80 < found[70] - found[80]


def test_a_warmup_shorter_than_a_step_is_none():
    assert factors("linear", 0, 10)[0] == factors("linear", 1e-9, 10)[0] == 1


@given(st.sampled_from(SCHEDULES), shares, shares, st.floats(0.01, 1), st.floats(1e-6, 0.5), shares)
def test_rate_never_jumps(schedule, warmup, fraction, decay, unit, distance):
    shape = {"warmup": max(0.01, warmup), "decay": decay}
    other = fraction + (1 - fraction) * distance * 1e-6
    before, after = (schedule_factor(schedule, f, unit, **shape) for f in (fraction, other))
    steepest = 2 * max(100, 1 / unit if warmup > 0.99 else 100)
    assert abs(after - before) <= steepest * (other - fraction) + 1e-12


@given(st.sampled_from(SCHEDULES), shares, st.floats(0, 3), st.floats(0.001, 1), st.floats(1e-6, 1))
def test_rate_is_never_negative_and_nothing_after_the_end(schedule, warmup, fraction, decay, unit):
    found = schedule_factor(schedule, fraction, unit, warmup=warmup, decay=decay)
    assert 0 <= found <= 1
    assert found == 0 or fraction < 1


# === How long a run is ===


def spans_of(extent, seconds_of):
    """Take a run to its end; how far it was before each step, and the rates."""
    done = {"step": 0, "tokens": 0, "seconds": 0.0}
    fractions, rates = [], []
    while extent.fraction(**done) < 1:
        fractions.append(extent.fraction(**done))
        unit = extent.unit(fractions[-1], done["step"], 100)
        rates.append(schedule_factor("linear", fractions[-1], unit, warmup=0.1, decay=0.2))
        seconds = done["seconds"] + seconds_of(done["step"])
        done = {"step": done["step"] + 1, "tokens": done["tokens"] + 100, "seconds": seconds}
    return fractions, rates


@pytest.mark.parametrize(
    "extent", [Extent(steps=20), Extent(tokens=2000), Extent(seconds=10.0)], ids=str
)
def test_each_extent_ends_where_it_says(extent):
    fractions, _ = spans_of(extent, lambda step: 0.5)
    assert fractions == pytest.approx([step / 20 for step in range(20)])


def test_steps_and_tokens_of_one_length_have_the_same_rates():
    rates = [spans_of(extent, float)[1] for extent in (Extent(steps=20), Extent(tokens=2000))]
    assert rates[0] == pytest.approx(rates[1])


@given(st.lists(st.floats(0.05, 0.2), min_size=1, max_size=20))
def test_the_last_step_within_a_budget_has_almost_no_rate(durations):
    _, rates = spans_of(Extent(seconds=20.0), lambda step: durations[step % len(durations)])
    assert 0 < rates[-1] <= 0.2 / 20 / 0.9 + 1e-6
    assert max(rates) == pytest.approx(1, abs=0.02)


def test_fractions_of_a_budget_survive_six_digits():
    found = Extent(seconds=2700.0).fraction(step=7, tokens=70, seconds=1234.56789012)
    assert float(f"{found:.6g}") == found == pytest.approx(1234.56789012 / 2700)


def test_the_first_step_within_a_budget_moves():
    extent = Extent(seconds=60.0)
    unit = extent.unit(extent.fraction(0, 0, 0.0), 0, 100)
    assert schedule_factor("linear", 0.0, unit, warmup=0.1, decay=0.2) > 0


@pytest.mark.parametrize("given", [{}, {"steps": 1, "tokens": 2}, {"steps": 0}], ids=str)
def test_a_run_has_one_length(given):
    with pytest.raises(ConfigError, match="one of steps, tokens and seconds"):
        Extent(**given)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45m", 2700), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), ("1d 2H", 93600), ("1h5s", 3605)],
)
def test_budgets_are_spans_of_time(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "0m", "5m3h", "-5m", "1.2.3h", ".s", "nan", "5 weeks"])
def test_what_is_no_span_of_time_is_refused(text):
    with pytest.raises(ConfigError, match=r"45m, 1h30m or 90s"):
        parse_budget(text)


def test_an_extent_never_goes_back():
    fractions, _ = spans_of(Extent(seconds=3.0), lambda step: 0.01 * (step % 5))
    assert all(before <= after for before, after in pairwise(fractions))
