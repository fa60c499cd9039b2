"""The loss in chunks of rows against that of all rows at once: its value and every gradient."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from albatross.modeling.vocabulary_loss import vocabulary_loss


def made(rows, words=500, size=16):
    """What goes into the loss, the same every time."""
    draw = torch.Generator().manual_seed(rows)
    hidden = torch.randn(rows, size, generator=draw).requires_grad_()
    table = (0.3 * torch.randn(words, size, generator=draw)).requires_grad_()
    bias = torch.randn(words, generator=draw).requires_grad_()
    return hidden, table, bias, torch.randint(0, words, (rows,), generator=draw)


def plain(hidden, table, bias, targets):
    """The loss as it is written."""
    logits = functional.linear(hidden, table, bias).float()
    return functional.cross_entropy(logits, targets, reduction="sum")


def learned(loss, rows, precision):
    """The value of a loss and its gradients, three times itself."""
    *weights, targets = made(rows)
    context = nullcontext() if precision is None else torch.autocast("cpu", precision)
    with context:
        value = loss(*weights, targets)
    (3 * value).backward()
    return value.detach(), *(weight.grad for weight in weights)


@pytest.mark.parametrize("rows", [1, 127, 128, 129, 300])
@pytest.mark.parametrize(
    ("precision", "near"), [(None, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 4e-3)]
)
def test_chunks_learn_what_all_rows_at_once_do(rows, precision, near):
    wanted, found = (learned(loss, rows, precision) for loss in (plain, vocabulary_loss))
    assert found[0].dtype == torch.float32
    for right, got in zip(wanted, found, strict=True):
        assert (got - right).norm() <= near * right.norm()


def test_chunks_in_bfloat16_are_no_further_from_the_truth_than_all_rows_at_once():
    truth = learned(plain, 300, None)
    errors = [
        [float((got - right).norm()) for got, right in zip(found, truth, strict=True)]
        for found in (learned(loss, 300, torch.bfloat16) for loss in (plain, vocabulary_loss))
    ]
    for wide, chunked in zip(*errors, strict=True):
        assert chunked <= 1.2 * wide + 1e-3


def test_no_rows_are_no_loss_with_a_gradient_of_zero():
    hidden, table, bias, targets = made(0)
    loss = vocabulary_loss(hidden, table, bias, targets)
    loss.backward()
    assert loss.item() == 0
    for weight in (hidden, table, bias):
        assert weight.grad is not None
        assert not weight.grad.any()


def test_the_gradients_are_those_of_the_value():
    *weights, targets = made(5, words=7, size=3)
    inputs = [each.detach().double().requires_grad_() for each in weights]
    # The sums are in float32, whatever comes in.
    assert torch.autograd.gradcheck(
        lambda h, t, b: vocabulary_loss(h, t, b, targets), inputs, eps=1e-2, atol=1e-2, rtol=1e-2
    )
