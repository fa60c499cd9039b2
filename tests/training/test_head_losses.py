from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from albatross.config import variant
from albatross.data.packing import Example, pack
from albatross.engine.engine import run, run_depths
from albatross.engine.torch_engine import TorchEngine
from albatross.head_spec import HeadSpec
from albatross.modeling.losses import LossOptions
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.distributed import World
from albatross.training.example_batches import ExampleBatches
from albatross.training.gradients import Gradients
from albatross.training.head_losses import HeadLosses
from albatross.training.objectives import Draw

CONFIG = variant("albatross-tiny", vocab_size=50, hidden_size=32, intermediate_size=64)


def batch(count=6):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 50, 4 + n % 5) for n in range(count)]
    return pack([Example(i, 0 * i, {"classifier": n % 2}) for n, i in enumerate(ids)])


def model(*, exits, classes=2):
    spec = HeadSpec("sequence", classes, {"exits": True} if exits else {})
    return AlbertWithHeads(CONFIG, heads={"classifier": spec}, seed=0)


def loss_of(objective, made):
    return objective(made, Draw())["classifier_loss"]


def test_exits_learn_by_the_mean_of_all_depths_that_weighs_deeper_ones_more():
    one, made = model(exits=True).eval(), batch()
    expected = []
    for depth, outputs in enumerate(run_depths(TorchEngine(one), made)):
        logits = torch.from_numpy(outputs["classifier"])
        labels = torch.from_numpy(made.labels["classifier"])
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        expected.append((depth + 1) / 10 * loss)
    found = loss_of(HeadLosses(one), made)
    torch.testing.assert_close(found, torch.stack(expected).sum())


def test_the_last_exit_answers_as_the_whole_model():
    engine = TorchEngine(model(exits=True))
    last = run_depths(engine, batch())[-1]
    np.testing.assert_array_equal(last["classifier"], run(engine, batch())["classifier"])


def test_every_exit_learns():
    one, made = model(exits=True), batch()
    optimizer = torch.optim.Adam(one.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(HeadLosses(one), made).backward()
        optimizer.step()
    for outputs in run_depths(TorchEngine(one), made):
        assert (outputs["classifier"].argmax(1) == made.labels["classifier"]).all()


def test_without_exits_the_last_depth_gives_first_rows_alone(monkeypatch):
    one, shapes = model(exits=False), []
    pool = one.albert.pool

    def noted(rows, layout):
        shapes.append(len(rows))
        return pool(rows, layout)

    monkeypatch.setattr(one.albert, "pool", noted)
    loss_of(HeadLosses(one), batch())
    assert shapes == [batch().num_sequences]


@pytest.mark.parametrize("exits", [False, True])
def test_classes_are_weighed_and_counted_so(exits):
    weights = torch.tensor([0.5, 3.0])
    one = model(exits=exits).eval()
    objective = HeadLosses(one, {"classifier": LossOptions(weights)})
    made = batch()
    assert objective.counts(made) == {"classifier_loss": 3 * 0.5 + 3 * 3.0}
    plain = HeadLosses(one)
    ones = HeadLosses(one, {"classifier": LossOptions(torch.ones(2))})
    torch.testing.assert_close(loss_of(plain, made), loss_of(ones, made))
    assert float(loss_of(objective, made).detach()) > float(loss_of(plain, made).detach())


@pytest.mark.parametrize("together", [False, True])
def test_a_step_in_parts_has_the_gradients_of_the_whole(together):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 50, 4 + n % 5) for n in range(24)]
    made = [Example(i, 0 * i, {"classifier": n % 2}) for n, i in enumerate(ids)]
    units = [made[at : at + 3] for at in range(0, 24, 3)] if together else [[one] for one in made]
    found = []
    for micro_tokens in (None, 40):
        spec = HeadSpec("sequence", 2)
        config = replace(CONFIG, classifier_dropout_prob=0.0)
        objective = HeadLosses(AlbertWithHeads(config, heads={"classifier": spec}, seed=0))
        step = ExampleBatches(units, 24, 0, micro_tokens=micro_tokens).step((0, 0), 0.0)
        records = [set(part.example_to_record.tolist()) for part in step.batches]
        assert sum(map(len, records)) == len(set().union(*records)) == len(units)
        options: dict[str, Any] = {"precision": "float32", "clip_norm": 1e9, "seed": 0}
        Gradients(objective, objective, World(), **options).compute(step, 0, None)
        found.append(
            torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])
        )
        assert (len(step.batches) > 1) == (micro_tokens is not None)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
