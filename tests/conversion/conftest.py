"""Small models whose weights all matter, as named arrays, and what they compute."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from albatross.checkpoints.model_folder import write_model
from albatross.config import AlbertConfig
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.task_models import (
    AlbertForBeamQuestionAnswering,
    AlbertForSequenceClassification,
)

TINY = AlbertConfig(
    vocab_size=40,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=12,
    initializer_range=0.3,
)
IDS = torch.arange(1, 13).view(2, 6)


def shaken(model, seed=0):
    """Move norms, biases and residuals away from their starting values, too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval()


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def arrays_of():
    """The named arrays of a random model with the pre-training heads and those asked for."""

    def make(config, *kinds):
        arrays = shaken(AlbertForPreTraining(config)).to_arrays()
        for kind in kinds:
            arrays |= {
                name: array
                for name, array in shaken(kind(config), seed=1).to_arrays().items()
                if not name.startswith("albert.")
            }
        return arrays

    return make


@pytest.fixture
def outputs():
    """The last hidden rows and the logits that named arrays compute."""

    def compute(config, arrays):
        model = AlbertForPreTraining(config)
        state = {name: torch.from_numpy(np.asarray(arrays[name])) for name in model.state_dict()}
        model.load_state_dict(state)
        with torch.inference_mode():
            return model.eval()(IDS).prediction_logits.numpy()

    return compute


@pytest.fixture
def classifier():
    return AlbertForSequenceClassification


@pytest.fixture
def beam():
    return AlbertForBeamQuestionAnswering


@pytest.fixture
def folder(tmp_path, tiny, arrays_of, classifier, beam):
    """A model folder with every head that Google's scripts know."""
    path = tmp_path / "ours"
    path.mkdir()
    values = {"architectures": ["AlbertForPreTraining"], "my_key": [1, 2]}
    write_model(path, replace(tiny, extra=values), arrays_of(tiny, classifier, beam), {"verb": "x"})
    return path
