import signal

import numpy as np
import pytest
import torch

from albatross.config import variant
from albatross.data.packing import Example
from albatross.errors import TrainingError
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.distributed import World
from albatross.training.example_batches import ExampleBatches
from albatross.training.head_losses import HeadLosses
from albatross.training.schedules import Extent
from albatross.training.short_run import ShortRun
from albatross.training.trainer import Optimization

UNITS = [[Example(np.array([2, 5 + i, 3]), np.zeros(3, int), {"c": i % 2})] for i in range(4)]
RUN = ShortRun(World(), Optimization(Extent(steps=1), 1e-3, 0.1, 0.01, 0.98, 1.0, 0))


@pytest.fixture
def losses():
    config = variant("albatross-tiny", vocab_size=40)
    return HeadLosses(AlbertWithHeads(config, heads={"c": HeadSpec("sequence", 2)}, seed=0))


def train(losses, steps=3):
    RUN.train(losses, ExampleBatches(UNITS, 4, 0), steps, title="teacher", seed=1)
    return losses.model.get_submodule("c").weight.detach().clone()


def test_a_model_learns_in_place_and_nothing_is_left(losses, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = losses.model.get_submodule("c").weight.detach().clone()
    assert not torch.equal(train(losses), before)
    assert not losses.training
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_says_that_nothing_is_kept(losses, monkeypatch):
    forward = HeadLosses.forward

    def interrupting(objective, batch, draw):
        signal.raise_signal(signal.SIGTERM)
        return forward(objective, batch, draw)

    monkeypatch.setattr(HeadLosses, "forward", interrupting)
    with pytest.raises(TrainingError, match="'teacher', step 1, of which nothing is kept"):
        train(losses)
