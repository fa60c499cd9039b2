import numpy as np
import pytest

from albatross.training.charts import Chart, Line, draw, smoothed, thinned


def test_few_points_are_left_as_they_are():
    x, y = np.arange(1.0, 5.0), np.array([4.0, 2.0, 8.0, 1.0])
    for found, wanted in zip(thinned(x, y), (x, y, y, y), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("count", [400, 401, 999, 12_345])
def test_many_points_become_means_and_end_at_the_last_step(count):
    x = np.arange(1.0, count + 1)
    places, means, low, high = thinned(x, 3 * x)
    assert len(places) == len(means) == len(low) == len(high) <= 400
    assert places[-1] == count
    assert (low <= means).all()
    assert (means <= high).all()


def test_a_band_holds_nine_in_ten_and_no_outlier():
    y = np.random.default_rng(0).normal(size=40_000)
    y[::4000] = 1e6
    _, _, low, high = thinned(np.arange(40_000.0), y)
    assert np.median(high) == pytest.approx(1.645, abs=0.2)
    assert np.median(low) == pytest.approx(-1.645, abs=0.2)
    assert high.max() < 10


def test_what_is_no_number_is_left_out():
    places, means, _, _ = thinned(np.arange(4.0), np.array([1.0, np.nan, np.inf, 3.0]))
    assert places.tolist() == [0, 3]
    assert means.tolist() == [1, 3]


@pytest.mark.parametrize("width", [0, 1, 2, 5, 8])
def test_smoothing_keeps_a_constant_and_the_length(width):
    np.testing.assert_allclose(smoothed(np.full(20, 7.0), width), np.full(20, 7.0))


def test_smoothing_takes_noise_away():
    y = np.random.default_rng(0).normal(size=400)
    assert smoothed(y, 8).std() < 0.5 * y.std()


@pytest.mark.parametrize("scale", ["linear", "from zero", "log", "percent"])
def test_every_scale_can_be_drawn(scale):
    pytest.importorskip("matplotlib")
    line = Line("a", np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.5, 0.3]))
    svg = draw(Chart("a title", [line, line], scale, marks=np.array([2.0])))
    assert svg.startswith('<svg role="img" aria-label="a title"')
    assert ("50%" in svg) == (scale == "percent")
    assert "var(--series-2)" in svg
