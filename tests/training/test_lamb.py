"""LAMB against the paper's formula in numpy, and against torch's AdamW where both are one."""

import numpy as np
import pytest
import torch

from albatross.training.lamb import Lamb

RATE, BETA1, BETA2, EPS, DECAY = 0.1, 0.9, 0.99, 1e-6, 0.01


def gradients(steps=5, shape=(3, 4)):
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for _ in range(steps)]


def lamb_by_hand(weights, steps, *, corrected):
    """Algorithm 2 of the paper, line by line, in double precision."""
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for count, gradient in enumerate(steps, start=1):
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient**2
        scale = (1 - BETA1**count, 1 - BETA2**count) if corrected else (1, 1)
        direction = (first / scale[0]) / (np.sqrt(second / scale[1]) + EPS) + DECAY * weights
        trust = np.linalg.norm(weights) / np.linalg.norm(direction)
        weights = weights - RATE * trust * direction
    return weights


def moved(optimizer_of, weights, steps):
    parameter = torch.nn.Parameter(torch.tensor(weights))
    optimizer = optimizer_of([parameter])
    for gradient in steps:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy()


@pytest.mark.parametrize("corrected", [True, False], ids=["paper", "google"])
def test_steps_are_those_of_the_formula(corrected):
    start = np.random.default_rng(0).normal(size=(3, 4))
    found = moved(
        lambda ps: Lamb(ps, RATE, (BETA1, BETA2), EPS, DECAY, bias_correction=corrected),
        start,
        gradients(),
    )
    np.testing.assert_allclose(
        found, lamb_by_hand(start, gradients(), corrected=corrected), rtol=1e-12
    )


def test_without_adaptation_and_decay_it_is_adamw():
    start = np.random.default_rng(0).normal(size=(3, 4))

    def plain(parameters):
        groups = [{"params": parameters, "layer_adaptation": False}]
        return Lamb(groups, RATE, (BETA1, BETA2), EPS, 0.0)

    def adamw(parameters):
        return torch.optim.AdamW(parameters, RATE, (BETA1, BETA2), EPS, 0.0)

    found, wanted = (moved(each, start, gradients()) for each in (plain, adamw))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_tensor_moves_by_the_rate_times_its_own_norm():
    start = np.random.default_rng(0).normal(size=(3, 4))
    for size in (1e-3, 1.0, 1e3):
        found = moved(
            lambda ps: Lamb(ps, RATE), start, [gradient * size for gradient in gradients(1)]
        )
        assert np.linalg.norm(found - start) == pytest.approx(RATE * np.linalg.norm(start))


def test_a_tensor_of_zeros_leaves_zero():
    found = moved(lambda ps: Lamb(ps, RATE), np.zeros((3, 4)), gradients(1))
    np.testing.assert_allclose(np.abs(found), RATE, rtol=1e-4)


def test_a_gradient_of_zeros_makes_no_nan():
    start = np.ones((3, 4))
    found = moved(lambda ps: Lamb(ps, RATE, weight_decay=0.0), start, [np.zeros((3, 4))])
    np.testing.assert_array_equal(found, start)


def test_a_closure_is_called_with_gradients():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = Lamb([parameter], RATE)

    def closure():
        loss = parameter.pow(2).sum()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert not torch.equal(parameter.detach(), torch.ones(2))
