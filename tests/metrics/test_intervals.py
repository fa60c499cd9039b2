import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from albatross.errors import DataError
from albatross.metrics.intervals import Interval, bootstrap, wilson_interval
from albatross.rng import stream


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Newcombe, 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(hits, count, low, high):
    interval = wilson_interval(hits / count, count)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2_000), st.data())
def test_the_interval_is_scipys(count, data):
    hits = data.draw(st.integers(0, count))
    interval = wilson_interval(hits / count, count)
    wanted = stats.binomtest(hits, count).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_interval_holds_the_share_and_stays_within_zero_and_one(count, share):
    interval = wilson_interval(share, count)
    assert 0 <= interval.low <= share + 1e-12
    assert share - 1e-12 <= interval.high <= 1


def mean(judged):
    return {"mean": float(judged.mean())}


def test_a_bootstrap_interval_is_scipys():
    values = stream(0, "values").exponential(size=80)
    found = bootstrap(mean, values[:, None], stream(1), rounds=4_000)["mean"]
    wanted = stats.bootstrap(
        (values,), np.mean, n_resamples=4_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.03)


def test_a_bootstrap_interval_holds_the_truth_as_often_as_it_says():
    found = []
    for run in range(200):
        rows = stream(run, "sample").normal(size=(60, 1))
        interval = bootstrap(mean, rows, stream(run, "draws"), rounds=200)["mean"]
        found.append(interval.low <= 0 <= interval.high)
    assert 0.89 <= np.mean(found) <= 0.99


def test_equal_streams_draw_equal_intervals():
    rows = np.arange(30.0)[:, None]
    first, again, other = (bootstrap(mean, rows, stream(key)) for key in (0, 0, 1))
    assert first == again != other


def test_records_that_are_all_alike_have_no_interval():
    assert bootstrap(mean, np.ones((9, 1)), stream(0))["mean"] == Interval(1.0, 1.0)


def test_a_figure_of_a_part_has_the_interval_of_the_drawings_that_hold_the_part():
    def metrics(rows):
        return mean(rows) | ({"part": 1.0} if rows.max() > 0 else {})

    found = bootstrap(metrics, np.array([[1.0], [0.0], [0.0]]), stream(0))
    assert found["part"] == Interval(1.0, 1.0)


def test_progress_adds_up_to_one():
    told: list[float] = []
    bootstrap(mean, np.ones((3, 1)), stream(0), rounds=50, advance=told.append)
    assert sum(told) == pytest.approx(1)


def test_a_score_of_nothing_is_refused():
    for score in (
        lambda: bootstrap(mean, np.ones((0, 1)), stream(0)),
        lambda: wilson_interval(0.5, 0),
    ):
        with pytest.raises(DataError, match=r"at least one record\. Received: none"):
            score()
