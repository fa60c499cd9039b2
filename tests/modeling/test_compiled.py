"""The one layer through torch's compiler: equal to eager, and compiled once for all shapes."""

import shutil

import numpy as np
import pytest
import torch

from albatross.data.packing import Example, pack
from albatross.modeling.model import AlbertForPreTraining, AlbertModel
from albatross.modeling.packed import PackedInputs

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")),
    reason="needs a C++ compiler, as torch.compile does on a processor",
)


def inputs_of(*lengths):
    rng = np.random.default_rng(sum(lengths))
    return PackedInputs.from_batch(
        pack([Example(rng.integers(1, 40, n), np.zeros(n, dtype=np.int64)) for n in lengths])
    )


def gradients(model, inputs):
    model.zero_grad()
    model.encode(inputs).pow(3).sum().backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.filterwarnings("ignore")  # the compiler's own, of which each torch has others
def test_the_compiled_layer_equals_eager_and_is_compiled_once(tiny, shaken):
    torch._dynamo.reset()
    model = shaken(AlbertModel(tiny, add_pooling_layer=False)).train()
    batches = [inputs_of(5, 1, 12, 8), inputs_of(3, 9), inputs_of(7, 2, 4)]
    plain = [gradients(model, inputs) for inputs in batches]
    model.compile_layer()
    for inputs, expected in zip(batches, plain, strict=True):
        for checkpointing in (False, True):
            model.activation_checkpointing(checkpointing)
            for one, other in zip(gradients(model, inputs), expected, strict=True):
                torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_model_is_told_to_compile_and_not_to(tiny):
    model = AlbertForPreTraining(tiny)
    model.compile_layer()
    assert model.albert.encoder.compiled
    model.compile_layer(False)
    assert not model.albert.encoder.compiled
