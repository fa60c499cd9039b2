"""StableAdamW against the paper's formula in numpy, and against torch's AdamW."""

import numpy as np
import pytest
import torch

from albatross.training.stable_adamw import StableAdamW

RATE, BETA1, BETA2, EPS, DECAY = 0.1, 0.9, 0.95, 1e-6, 0.01
START = np.random.default_rng(0).normal(size=(3, 4))


def gradients(sizes):
    rng = np.random.default_rng(1)
    return [size * rng.normal(size=START.shape) for size in sizes]


def stable_adamw_by_hand(weights, steps):
    """Algorithm 2 of the paper, line by line, in double precision; it debiases the decays."""
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for count, gradient in enumerate(steps, start=1):
        beta1 = BETA1 * (1 - BETA1 ** (count - 1)) / (1 - BETA1**count)
        beta2 = BETA2 * (1 - BETA2 ** (count - 1)) / (1 - BETA2**count)
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        surprise = np.sqrt(np.mean(gradient**2 / np.maximum(second, EPS**2)))
        rate = RATE / max(1, surprise)
        weights = weights - rate * DECAY * weights - rate * first / (np.sqrt(second) + EPS)
    return weights


def moved(kind, steps, decay=DECAY):
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer = kind([parameter], lr=RATE, betas=(BETA1, BETA2), eps=EPS, weight_decay=decay)
    for gradient in steps:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("sizes", [[1, 1, 30, 2, 0.1, 5], [1e-9, 1e-9, 1e-7, 1e-6]], ids=str)
def test_steps_are_those_of_the_formula(sizes):
    steps = gradients(sizes)
    np.testing.assert_allclose(
        moved(StableAdamW, steps), stable_adamw_by_hand(START, steps), rtol=1e-12
    )


def test_where_nothing_is_shortened_it_is_adamw():
    steps = gradients([1, 0.5, 0.2, 0.1])
    found, wanted = (moved(kind, steps) for kind in (StableAdamW, torch.optim.AdamW))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_sudden_gradient_moves_less_than_in_adamw():
    steps = gradients([1e-3] * 50 + [1])
    jumps = [
        np.abs(moved(kind, steps, 0.0) - moved(kind, steps[:-1], 0.0)).max()
        for kind in (StableAdamW, torch.optim.AdamW)
    ]
    assert jumps[0] < jumps[1] / 4


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e20])
def test_gradients_of_any_size_make_no_nan(size):
    assert np.isfinite(moved(StableAdamW, gradients([size, 0.0, size]))).all()


def test_a_closure_is_called_with_gradients():
    parameter = torch.nn.Parameter(torch.ones(2))

    def closure():
        loss = parameter.pow(2).sum()
        loss.backward()
        return float(loss.detach())

    assert StableAdamW([parameter], RATE).step(closure) == 2.0
    assert not torch.equal(parameter.detach(), torch.ones(2))
