import math
import signal

import pytest
import torch
from torch import nn

from albatross.data.packing import Example, pack
from albatross.data.sampling import StepBatch
from albatross.errors import FolderError, TrainingError
from albatross.training.gradients import Gradients
from albatross.training.objectives import Objective
from albatross.training.run_log import RunLog, read_log
from albatross.training.schedules import Extent
from albatross.training.state import gather_state, read_state, write_state
from albatross.training.trainer import Hooks, Optimization, Trainer

OPTIMIZATION = {
    "extent": Extent(steps=6),
    "learning_rate": 0.1,
    "warmup": 1 / 3,
    "weight_decay": 0.01,
    "beta2": 0.99,
    "clip_norm": 1.0,
    "seed": 0,
}


class Squares(Objective):
    """A linear map with dropout that is to say how many tokens there are; no text."""

    def __init__(self, change=lambda batch, loss: loss):
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 1))
        self.weights = {"square_loss": 1.0}
        self.change = change

    def counts(self, batch):
        return {"square_loss": len(batch.input_ids)}

    def forward(self, batch, draw):
        found = self.map(torch.ones(len(batch.input_ids), 4))
        return {"square_loss": self.change(batch, (found - len(batch.input_ids)).pow(2).sum())}

    @property
    def encoder(self):
        return self.map


class Counting:
    """Steps of one sequence whose first id is the step's index, cut into micro-batches or not."""

    start = (0,)

    def __init__(self, micro_batches=1):
        self.micro_batches = micro_batches

    def step(self, position, fraction):
        (index,) = position
        ids = torch.full((4,), index).numpy()
        batches = [pack([Example(ids, 0 * ids)])]
        return StepBatch(batches * self.micro_batches, (index + 1,), 4 * self.micro_batches, 1)


@pytest.fixture
def make(tmp_path):
    """Makes trainers, each with a log of its own."""
    made: list[Trainer] = []

    def trainer(change=lambda batch, loss: loss, *, source=None, hooks=None, **options):
        log = RunLog(tmp_path / f"{len(made)}.jsonl")
        hooks = hooks or Hooks(lambda one: None)
        optimization = Optimization(**{**OPTIMIZATION, **options})
        source = source or Counting()
        made.append(Trainer(Squares(change), source, optimization, log, hooks, title="test"))
        return made[-1]

    return trainer


def weights(one):
    return torch.cat([p.detach().flatten() for p in one.objective.parameters()])


def lines(one):
    return [
        {k: v for k, v in line.items() if k != "seconds"}
        for line in read_log(one._log.path)
        if "loss" in line
    ]


# === Steps ===


def test_rates_are_those_of_the_schedule(make):
    rates: list[float] = []
    one = make()
    (optimizer,) = one.optimizers
    optimizer.register_step_pre_hook(
        lambda *_: rates.extend({group["lr"] for group in optimizer.param_groups})
    )
    one.run()
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])
    assert [line["learning_rate"] for line in lines(one)] == pytest.approx(rates)


def test_gradients_are_clipped_before_the_step(make):
    norms = []
    one = make(lambda batch, loss: 1e4 * loss, clip_norm=0.5)
    one.optimizers[0].register_step_pre_hook(
        lambda *_: norms.append(
            math.hypot(*(float(p.grad.norm()) for p in one.parameters.values()))
        )
    )
    one.run()
    assert norms == pytest.approx([0.5] * 6, rel=1e-4)
    assert min(line["norm"] for line in lines(one)) > 100


def test_every_step_is_taken_once_and_in_order(make):
    seen: list[int] = []

    def watching(batch, loss):
        seen.append(int(batch.input_ids[0]))
        return loss

    one = make(watching)
    one.run()
    assert seen == list(range(6))
    assert one.progression.tokens == 24


def test_dropout_is_drawn_from_seed_and_step_alone(make):
    ends = []
    for global_seed in (1, 2):
        one = make()
        torch.manual_seed(global_seed)
        one.run()
        ends.append(weights(one))
    assert torch.equal(*ends)
    other = make(seed=1)
    other.run()
    assert not torch.equal(weights(other), ends[0])


def test_every_micro_batch_of_every_step_has_draws_of_its_own(make):
    draws: list[float] = []

    def drawing(batch, loss):
        draws.append(float(torch.rand(())))
        return loss

    make(drawing, source=Counting(micro_batches=2)).run()
    assert len(set(draws)) == 12


def test_global_random_state_is_left_alone(make):
    one = make()
    before = torch.random.get_rng_state()
    one.run()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_in_tokens_ends_with_its_last_one(make):
    one = make(extent=Extent(tokens=13))
    one.run()
    assert (one.progression.step, one.progression.tokens) == (4, 16)


def test_a_run_in_time_ends_when_it_is_up_with_a_rate_near_zero(make):
    one = make(extent=Extent(seconds=0.3), warmup=0.1)
    one.run()
    assert 0.3 < one.progression.seconds < 2
    assert lines(one)[-1]["learning_rate"] < 0.02


def test_depths_go_to_the_objective_and_into_the_log(make):
    one = make(depths_at=lambda step, fraction: (0,) if fraction < 0.5 else None)
    one.run()
    assert [line.get("depth") for line in lines(one)] == [1, 1, 1, None, None, None]


# === What is not learned from ===


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_no_number_is_skipped_and_logged(make, value):
    before = {}
    one = make(lambda batch, loss: loss * (value if batch.input_ids[0] == 3 else 1))
    for _ in range(3):
        one.step()
    before = weights(one)
    one.step()
    assert torch.equal(weights(one), before)
    assert [line.get("skipped") for line in lines(one)] == [None] * 3 + ["not a number"]
    one.run()
    assert torch.isfinite(weights(one)).all()
    assert one.progression.skipped == 1


def test_a_spike_is_skipped_once_there_are_norms_to_tell_it_by(make):
    spikes = {3, 50}
    one = make(
        lambda batch, loss: loss * (1e4 if int(batch.input_ids[0]) in spikes else 1),
        extent=Extent(steps=60),
        learning_rate=1e-4,
        spike_factor=50.0,
    )
    one.run()
    assert [line["step"] for line in lines(one) if "skipped" in line] == [51]


def test_a_run_that_has_diverged_stops_and_saves_nothing(make):
    saves: list[Trainer] = []
    hooks = Hooks(saves.append)
    one = make(lambda batch, loss: loss * math.nan, hooks=hooks, extent=Extent(steps=1000))
    with pytest.raises(TrainingError, match=r"100 in a row .* step 100 "):
        one.run()
    assert saves == []


def test_broken_weights_are_never_saved(make):
    saves: list[Trainer] = []
    one = make(hooks=Hooks(saves.append))
    next(iter(one.parameters.values())).data[0, 0] = math.nan
    with pytest.raises(TrainingError, match=r"must be numbers to be saved.* in map\.0\.weight"):
        one.save()
    assert saves == []


# === Precision ===


def test_float16_scales_losses_up_and_finds_its_scale(make):
    one = make(precision="float16", extent=Extent(steps=40), clip_norm=1e9)
    one.run()
    skipped = [line for line in lines(one) if "skipped" in line]
    assert one.gradients.loss_scale == 2.0 ** (16 - len(skipped))
    other = make(extent=Extent(steps=40), clip_norm=1e9)
    other.run()
    mean = sum(line["norm"] for line in lines(one)[-10:]) / 10
    assert mean == pytest.approx(sum(line["norm"] for line in lines(other)[-10:]) / 10, rel=0.5)


def test_an_overflow_halves_the_scale_and_many_good_steps_double_it(make, monkeypatch):
    gradients: Gradients = make(precision="float16").gradients
    gradients.rescale(overflowed=True)
    assert gradients.loss_scale == 2.0**15
    for _ in range(2_000):
        gradients.rescale(overflowed=False)
    assert gradients.loss_scale == 2.0**16


# === Averages ===


def test_averages_follow_the_weights_and_change_places_with_them(make):
    one = make(ema=0.5, extent=Extent(steps=30))
    one.run()
    last = weights(one)
    with one.averages.in_place():
        inside = weights(one)
    assert 0 < (inside - last).norm() < 0.2 * last.norm()
    assert torch.equal(weights(one), last)


# === Stops ===


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_step_and_saves(make, number):
    saves: list[Trainer] = []

    def interrupting(batch, loss):
        if int(batch.input_ids[0]) == 2:
            signal.raise_signal(number)
        return loss

    one = make(interrupting, hooks=Hooks(saves.append))
    with pytest.raises(TrainingError, match=rf"{number.name} at step 3; the state is saved"):
        one.run()
    assert saves == [one]


def test_signals_are_answered_as_before_when_the_run_ends(make):
    before = signal.getsignal(signal.SIGTERM)
    make().run()
    assert signal.getsignal(signal.SIGTERM) == before


def test_state_is_saved_by_the_clock(make):
    often: list[Trainer] = []
    never: list[Trainer] = []
    make(hooks=Hooks(often.append), save_every_seconds=0.0).run()
    make(hooks=Hooks(never.append), save_every_seconds=60.0).run()
    assert (len(often), len(never)) == (6, 0)


def test_a_save_that_fails_says_that_the_one_before_is_whole(make):
    def full(one):
        raise FolderError("No space.")

    with pytest.raises(FolderError, match=r"No space\. What was saved before is whole"):
        make(hooks=Hooks(full), save_every_seconds=0.0).run()


def test_evaluations_are_spread_over_the_run(make):
    one = make(hooks=Hooks(lambda one: None, lambda one: {"accuracy": 0.5}), evaluations=3)
    one.run()
    found = [line["step"] for line in read_log(one._log.path) if "evaluation" in line]
    assert found == [3, 5]
    assert one.measure() == {"accuracy": 0.5}
    one.measure()  # nothing has been learned since
    assert [line["step"] for line in read_log(one._log.path) if "evaluation" in line] == [3, 5, 6]


# === State ===


def save(one, folder):
    write_state(folder, one, gather_state(one))


@pytest.mark.parametrize("optimizer", ["adamw", "stable-adamw", "lamb", "lamb-google"])
@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"precision": "float16", "extent": Extent(steps=30)}]
)
def test_a_resumed_run_ends_with_the_same_bits(make, tmp_path, optimizer, options):
    whole = make(optimizer=optimizer, **options)
    whole.run()
    first = make(optimizer=optimizer, **options)
    for _ in range(4):
        first.step()
    save(first, tmp_path / "state")
    second = make(optimizer=optimizer, **options)
    read_state(tmp_path / "state", second)
    second.run()
    assert torch.equal(weights(second), weights(whole))
    assert not torch.equal(weights(whole), weights(make()))
    assert lines(first) + lines(second) == lines(whole)
    with second.averages.in_place(), whole.averages.in_place():
        assert torch.equal(weights(second), weights(whole))


def test_steps_after_the_last_save_are_taken_again_as_they_were(make, tmp_path):
    whole = make(extent=Extent(seconds=0.2), warmup=0.5)
    save(whole, tmp_path / "state")
    whole.run()
    again = make(extent=Extent(seconds=0.2), warmup=0.5)
    read_state(tmp_path / "state", again)
    again.replayed = {line["step"] - 1: line["fraction"] for line in lines(whole)}
    again.progression.seconds = 100.0  # the clock says that the time is up
    again.run()
    assert torch.equal(weights(again), weights(whole))
    assert lines(again) == lines(whole)


def test_a_budget_never_runs_backwards(make):
    one = make(extent=Extent(seconds=100.0))
    one.progression.seconds = 60.0
    before = one.step()["fraction"]
    one.progression.seconds = 59.0  # as a save has it that took a second itself
    assert one.step()["fraction"] == before == pytest.approx(0.6)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()])
def test_a_damaged_state_is_refused_in_one_line(make, tmp_path, name, damage):
    one = make()
    one.step()
    save(one, tmp_path / "state")
    damage(tmp_path / "state" / name)
    with pytest.raises(FolderError, match=r"must hold the state of this run") as caught:
        read_state(tmp_path / "state", make())
    assert "\n" not in str(caught.value)


def test_the_state_of_another_model_is_refused(make, tmp_path):
    one = make()
    save(one, tmp_path)
    other = make()
    other.objective.map.append(nn.Linear(1, 1))
    with pytest.raises(FolderError, match=r"parameter:map\.3\.weight"):
        read_state(tmp_path, other)
