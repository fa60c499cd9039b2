"""Rounding with error feedback: outputs keep, whatever the moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.checkpoints.eight_bits import LARGEST_WEIGHT, rounded
from albatross.export import error_feedback as module
from albatross.export.error_feedback import compensated
from albatross.export.quantization import quantise


def drawn(seed, wide_in=60, wide_out=24, rows=400):
    """Weights, and inputs that go together, as those of a model do."""
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(rows, 8)) @ draw.normal(size=(8, wide_in))
    inputs += 0.1 * draw.normal(size=inputs.shape)
    return draw.normal(size=(wide_out, wide_in)).astype(np.float32), inputs


def error(values, whole, scales, inputs):
    return np.square(inputs @ (whole * scales[:, None] - values).T).sum()


@pytest.mark.parametrize("seed", range(4))
def test_outputs_keep_better_than_by_plain_rounding(seed):
    values, inputs = drawn(seed)
    plain, scales = rounded(values, LARGEST_WEIGHT)
    whole = compensated(values, scales, inputs.T @ inputs, LARGEST_WEIGHT)
    assert error(values, whole, scales, inputs) < 0.3 * error(values, plain, scales, inputs)


def test_inputs_that_do_not_go_together_are_rounded_plainly():
    values, _ = drawn(0)
    plain, scales = rounded(values, LARGEST_WEIGHT)
    whole = compensated(values, scales, np.eye(60), LARGEST_WEIGHT)
    np.testing.assert_array_equal(whole, plain)


@pytest.mark.parametrize("block", [1, 7, 60])
def test_blocks_change_nothing(block, monkeypatch):
    values, inputs = drawn(0)
    scales = rounded(values, LARGEST_WEIGHT)[1]
    expected = compensated(values, scales, inputs.T @ inputs, LARGEST_WEIGHT)
    monkeypatch.setattr(module, "_BLOCK", block)
    found = compensated(values, scales, inputs.T @ inputs, LARGEST_WEIGHT)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 3), largest=st.sampled_from([1, 63]))
def test_no_weight_leaves_its_bits_however_few_the_inputs(seed, rows, largest):
    values, inputs = drawn(seed, rows=rows)
    scales = rounded(values, largest)[1]
    whole = compensated(values, scales, inputs.T @ inputs, largest)
    assert np.abs(whole.astype(int)).max() <= largest


def test_matrices_with_moments_are_rounded_by_them_and_others_as_before():
    draw = np.random.default_rng(0)
    arrays = {f"{n}.weight": draw.normal(size=(128, 128)).astype(np.float32) for n in "ab"}
    inputs = draw.normal(size=(50, 128))
    plain = quantise(arrays)
    found = quantise(arrays, {"a.weight": inputs.T @ inputs})
    assert (found["a.weight_int8"] != plain["a.weight_int8"]).any()
    np.testing.assert_array_equal(found["b.weight_int8"], plain["b.weight_int8"])
    np.testing.assert_array_equal(found["a.weight_scale"], plain["a.weight_scale"])
