import numpy as np
import pytest
import torch

from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.modeling.packed import PackedInputs


@pytest.fixture
def tiny():
    """A configuration of four repeats in which every weight matters."""
    return AlbertConfig(
        vocab_size=40,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=12,
        initializer_range=0.3,
        classifier_dropout_prob=0.0,
    )


@pytest.fixture
def shaken():
    """A model whose norms and biases have left their starting values, too."""

    def shake(model, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
        return model.eval()

    return shake


@pytest.fixture
def examples():
    """Four sequences of 5, 1, 12 and 8 tokens."""
    rng = np.random.default_rng(3)
    return [Example(rng.integers(1, 40, n), rng.integers(0, 2, n)) for n in (5, 1, 12, 8)]


@pytest.fixture
def padded():
    """Examples as Hugging Face's padded tensors: ids, mask, token types."""

    def pad(examples):
        shape = len(examples), max(len(example.input_ids) for example in examples)
        ids, mask, types = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        for row, example in enumerate(examples):
            length = len(example.input_ids)
            ids[row, :length] = torch.from_numpy(example.input_ids)
            types[row, :length] = torch.from_numpy(example.token_type_ids)
            mask[row, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    return pad


@pytest.fixture
def packed(examples):
    """The examples as the model reads them."""
    return PackedInputs.from_batch(pack(examples))
