import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from albatross.errors import DataError
from albatross.metrics.calibration import (
    brier,
    calibration_bins,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    tempered,
)
from albatross.rng import stream


def answers(seed, labels=3, count=400, sharpness=1.0):
    """Probabilities, and classes drawn by them: a model that is right as often as it says."""
    rng = stream(seed, "answers")
    logits = rng.normal(size=(count, labels)) * 2
    truth = special.softmax(logits, axis=1)
    expected = (truth.cumsum(1) > rng.random((count, 1))).argmax(1)
    return special.softmax(logits * sharpness, axis=1), expected


@given(st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([1 / 15, 0.2, 1.0]), st.booleans())))
def test_bins_are_scikit_learns_and_hold_every_answer(pairs):
    confidence, right = (np.array([pair[i] for pair in pairs], dtype=float) for i in (0, 1))
    bins = calibration_bins(confidence, right)
    filled = bins.counts > 0
    assert bins.counts.sum() == len(pairs)
    if {0.0, 1.0} <= set(right):  # scikit-learn asks for both
        accuracy, mean = calibration_curve(right, confidence, n_bins=15)
        np.testing.assert_allclose(bins.accuracy[filled], accuracy, rtol=0, atol=1e-12)
        np.testing.assert_allclose(bins.confidence[filled], mean, rtol=0, atol=1e-12)


def test_the_error_is_the_mean_distance_over_the_bins():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    right = np.array([1, 1, 1, 0, 1, 0])
    wanted = (4 * 0.2 + 2 * 0.0) / 6
    assert expected_calibration_error(confidence, right) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_brier_is_scikit_learns(labels):
    probabilities, expected = answers(0, labels)
    wanted = oracle.brier_score_loss(
        expected,
        probabilities if labels > 2 else probabilities[:, 1],
        scale_by_half=False,
        labels=list(range(labels)),
    )
    assert brier(probabilities, expected) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_one_that_scipy_finds(sharpness):
    probabilities, expected = answers(1, sharpness=sharpness)

    def loss(log_temperature):
        found = tempered(probabilities, np.exp(log_temperature))
        return negative_log_likelihood(found, expected)

    wanted = optimize.minimize_scalar(loss, bounds=(-4, 4), options={"xatol": 1e-10})
    assert fit_temperature(probabilities, expected) == pytest.approx(np.exp(wanted.x), rel=1e-5)


def test_an_overconfident_model_is_mended_by_its_temperature():
    probabilities, expected = answers(2, count=4_000, sharpness=3.0)
    temperature = fit_temperature(probabilities, expected)
    before, after = (
        expected_calibration_error(p.max(1), p.argmax(1) == expected)
        for p in (probabilities, tempered(probabilities, temperature))
    )
    assert temperature == pytest.approx(3, rel=0.1)
    assert after < 0.03 < 0.1 < before


def test_the_likelihood_is_scikit_learns_log_loss():
    probabilities, expected = answers(3)
    wanted = oracle.log_loss(expected, probabilities)
    assert negative_log_likelihood(probabilities, expected) == pytest.approx(wanted, abs=1e-9)


def test_certain_answers_give_finite_figures():
    probabilities, expected = np.eye(3), np.array([0, 1, 0])
    temperature = fit_temperature(probabilities, expected)
    assert np.isfinite(tempered(probabilities, temperature)).all()
    assert np.isfinite(negative_log_likelihood(probabilities, expected))


def test_records_of_fewer_labels_do_not_change_the_temperature():
    probabilities, expected = answers(4, count=500, sharpness=3.0)
    wanted = fit_temperature(probabilities, expected)
    padded = np.pad(probabilities, ((0, 0), (0, 3)))
    assert fit_temperature(padded, expected) == pytest.approx(wanted, rel=1e-9)
    colder = tempered(padded, wanted)
    assert (colder[:, -3:] == 0).all()
    assert colder[:, :-3] == pytest.approx(tempered(probabilities, wanted))


def test_a_score_of_nothing_is_refused():
    nothing = np.ones((0, 2)), np.ones(0, dtype=np.int64)
    for score in (brier, fit_temperature, expected_calibration_error, negative_log_likelihood):
        with pytest.raises(DataError, match=r"at least one record\. Received: none"):
            score(*nothing)
