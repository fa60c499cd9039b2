import math
import signal

import pytest
import torch
from torch import nn

from albatross.config import variant
from albatross.data.packing import Example, pack
from albatross.errors import FolderError, TrainingError
from albatross.modeling.model import AlbertForPreTraining
from albatross.training.trainer import Optimization, Trainer, parameter_groups

OPTIMIZATION = Optimization(
    total_steps=6,
    learning_rate=0.1,
    warmup_steps=2,
    weight_decay=0.01,
    beta2=0.99,
    clip_norm=1.0,
    seed=0,
)


class Counting:
    """Batches of one sequence whose first id is the batch's index."""

    def batch(self, position):
        epoch, index = position
        ids = torch.full((index + 1,), index).numpy()
        return pack([Example(ids, 0 * ids)]), (epoch, index + 1)


def trainer(losses=None, saves=None, **options):
    """A trainer of a linear map with dropout, and no text."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 1))

    def squares(batch):
        return {"loss": (model(torch.ones(2, 4)) - len(batch.input_ids)).pow(2).mean()}

    def wrapped(batch):
        return losses(batch, squares(batch)) if losses else squares(batch)

    save = (lambda one: None) if saves is None else saves.append
    optimization = Optimization(**{**vars(OPTIMIZATION), **options})
    return Trainer(model, wrapped, Counting(), optimization, title="test", save=save)


def weights(one):
    return torch.cat([p.detach().flatten() for p in one.model.parameters()])


# === Steps ===


def test_biases_and_norms_are_not_decayed():
    model = AlbertForPreTraining(variant("albatross-tiny", vocab_size=50))
    decayed, plain = parameter_groups(model, 0.3)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert all(parameter.dim() == 2 for parameter in decayed["params"])
    assert all(parameter.dim() == 1 for parameter in plain["params"])
    both = {id(p) for p in decayed["params"] + plain["params"]}
    assert both == {id(p) for p in model.parameters()}


def test_rates_are_those_of_the_schedule():
    rates: list[float] = []
    one = trainer()
    one.optimizer.register_step_pre_hook(
        lambda *_: rates.extend({group["lr"] for group in one.optimizer.param_groups})
    )
    one.run()
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])
    assert [entry["learning_rate"] for entry in one.progression.log] == pytest.approx(rates)


def test_gradients_are_clipped_before_the_step():
    norms = []
    one = trainer(lambda batch, loss: {"loss": 1e4 * loss["loss"]}, clip_norm=0.5)
    one.optimizer.register_step_pre_hook(
        lambda *_: norms.append(math.hypot(*(float(p.grad.norm()) for p in one.model.parameters())))
    )
    one.run()
    assert norms == pytest.approx([0.5] * 6, rel=1e-4)
    assert min(entry["norm"] for entry in one.progression.log) > 100


def test_every_batch_is_taken_once_and_in_order():
    seen: list[int] = []

    def watching(batch, loss):
        seen.append(int(batch.input_ids[0]))
        return loss

    one = trainer(watching)
    one.run()
    assert seen == list(range(6))
    assert one.progression.tokens == sum(range(1, 7))


def test_dropout_is_drawn_from_seed_and_step_alone():
    ends = []
    for global_seed in (1, 2):
        one = trainer()
        torch.manual_seed(global_seed)
        one.run()
        ends.append(weights(one))
    assert torch.equal(*ends)
    other = trainer(seed=1)
    other.run()
    assert not torch.equal(weights(other), ends[0])


def test_every_step_has_draws_of_its_own():
    draws: list[float] = []

    def drawing(batch, loss):
        draws.append(float(torch.rand(())))
        return loss

    trainer(drawing).run()
    assert len(set(draws)) == 6


def test_global_random_state_is_left_alone():
    one = trainer()
    before = torch.random.get_rng_state()
    one.run()
    assert torch.equal(torch.random.get_rng_state(), before)


# === Stops ===


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run_and_saves_nothing(value):
    saves: list[Trainer] = []
    broken = {3: value}
    one = trainer(
        lambda batch, loss: {"loss": loss["loss"] * broken.get(int(batch.input_ids[0]), 1)}, saves
    )
    with pytest.raises(TrainingError, match=r"must be a number\. Received: (nan|inf) .* at step 3"):
        one.run()
    assert saves == []
    assert torch.isfinite(weights(one)).all()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_step_and_saves(number):
    saves: list[Trainer] = []

    def interrupting(batch, loss):
        if int(batch.input_ids[0]) == 2:
            signal.raise_signal(number)
        return loss

    one = trainer(interrupting, saves)
    with pytest.raises(TrainingError, match=rf"{number.name} at step 3 of 6; the state is saved"):
        one.run()
    assert saves == [one]


def test_signals_are_answered_as_before_when_the_run_ends():
    before = signal.getsignal(signal.SIGTERM)
    trainer().run()
    assert signal.getsignal(signal.SIGTERM) == before


def test_state_is_saved_by_the_clock():
    often: list[Trainer] = []
    never: list[Trainer] = []
    trainer(saves=often, save_every_seconds=0.0).run()
    trainer(saves=never, save_every_seconds=60.0).run()
    assert (len(often), len(never)) == (6, 0)


# === State ===


@pytest.mark.parametrize("optimizer", ["adamw", "lamb", "lamb-google"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, optimizer):
    whole = trainer(optimizer=optimizer)
    whole.run()
    first = trainer(optimizer=optimizer)
    for _ in range(4):
        first.step()
    first.save_state(tmp_path / "state")
    second = trainer(optimizer=optimizer)
    second.load_state(tmp_path / "state")
    second.run()
    assert torch.equal(weights(second), weights(whole))
    assert second.progression.log == whole.progression.log


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
def test_a_damaged_state_is_refused_in_one_line(tmp_path, name, damage):
    one = trainer()
    one.step()
    one.save_state(tmp_path / "state")
    damage(tmp_path / "state" / name)
    with pytest.raises(FolderError, match=r"must hold the state of this run") as caught:
        trainer().load_state(tmp_path / "state")
    assert "\n" not in str(caught.value)


def test_the_state_of_another_model_is_refused(tmp_path):
    one = trainer()
    one.save_state(tmp_path)
    other = trainer()
    other.model.append(nn.Linear(1, 1))
    with pytest.raises(FolderError, match=r"parameter:3\.weight"):
        other.load_state(tmp_path)
