"""The whole model in bfloat16 autocast: it learns, and what needs float32 has it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from albatross.modeling.model import AlbertForPreTraining, AlbertModel

BF16: dict[str, Any] = {"device_type": "cpu", "dtype": torch.bfloat16}


def test_rows_in_bfloat16_are_near_those_in_float32(tiny, packed):
    model = AlbertModel(replace(tiny, initializer_range=0.1)).eval()
    plain = model.encode(packed)
    with torch.autocast(**BF16):
        rows = model.encode(packed)
    assert not torch.equal(rows, plain)
    torch.testing.assert_close(rows.float(), plain, atol=0.1, rtol=0)


def gradients_of(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_float32_and_near(tiny, packed, checkpointing):
    model = AlbertModel(replace(tiny, initializer_range=0.1), add_pooling_layer=False).train()
    model.encode(packed).pow(2)[:, 0].sum().backward()
    plain = gradients_of(model)
    model.zero_grad()
    model.activation_checkpointing(checkpointing)
    with torch.autocast(**BF16):
        loss = model.encode(packed).pow(2)[:, 0].sum()
    loss.backward()
    for name, gradient in gradients_of(model).items():
        assert gradient.dtype == torch.float32
        if not name.endswith("key.bias"):  # without a say: see test_encoder
            error = (gradient - plain[name]).norm() / plain[name].norm()
            assert error < 0.1, name


def test_norms_and_the_skip_connections_stay_in_float32(tiny, packed):
    model, kinds = AlbertModel(tiny), {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.register_forward_hook(
                lambda module, given, made, name=name: kinds.update({name: (given[0], made)})
            )
    with torch.autocast(**BF16):
        model.encode(packed)
    assert len(kinds) == 3
    assert {t.dtype for pair in kinds.values() for t in pair} == {torch.float32}


def test_a_tiny_model_learns_in_bfloat16(tiny):
    model = AlbertForPreTraining(replace(tiny, hidden_size=32, initializer_range=0.1)).train()
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(4, 40, (8, 10), generator=generator)
    masked = torch.arange(80).view(8, 10) % 4 == 1
    inputs = {"input_ids": words.masked_fill(masked, 3), "labels": words.where(masked, -100)}
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        with torch.autocast(**BF16):
            loss = model(**inputs, sentence_order_label=torch.arange(8) % 2).loss
        loss.backward()
        optimizer.step()
    assert loss.dtype == torch.float32
    assert loss < 0.2
