import json
import math
import signal
from dataclasses import replace

import numpy as np
import pytest

from albatross.config import variant
from albatross.data.packing import Example
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import TrainingError
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.collapse import CollapseError, CollapseWatch, ignorant_loss, spread_of
from albatross.training.example_batches import ExampleBatches
from albatross.training.finetune import finetune
from albatross.training.head_losses import HeadLosses
from albatross.training.pretrain import pretrain
from albatross.training.run_log import RunLog, read_log
from albatross.training.schedules import Extent
from albatross.training.trainer import Hooks, Optimization, Trainer

STEPS, ENTROPY = 200, math.log(2)
CONFIG = variant(
    "albatross-tiny", vocab_size=20, hidden_size=32, num_hidden_layers=2, intermediate_size=64
)


def watch(spread=0.0, loss: float | None = ENTROPY, warmup=0.1, asked: list[float] | None = None):
    """A watch that is told of such a spread; `asked` holds what it was told."""

    def measured():
        if asked is not None:
            asked.append(spread)
        return spread

    return CollapseWatch(ignorant_loss=loss, steps=STEPS, warmup=warmup, spread=measured)


def told(watching, losses):
    for step, loss in enumerate(losses, start=1):
        watching({"step": step, "loss": loss})


def units(head, labels):
    """One example each, of no text."""
    ids = np.array([2, 3])
    return [[Example(ids, 0 * ids, {head: label})] for label in labels]


@pytest.fixture
def run(finetune_settings, tmp_path):
    """Trains with other settings; returns `run.json`."""

    def go(name="", **changes):
        out = tmp_path / (name or str(len(list(tmp_path.iterdir()))))
        finetune(replace(finetune_settings, out=out, **changes))
        return json.loads((out / "run.json").read_text(encoding="utf-8"))

    return go


@pytest.fixture(scope="module")
def too_fast(pretrain_settings, finetune_settings, tmp_path_factory):
    """A run, of the published width, at a rate from which half and a quarter are not far."""
    out = tmp_path_factory.mktemp("wide") / "out"
    wide = pretrain(replace(pretrain_settings, out=out, shape=()))
    return replace(finetune_settings, model=wide, learning_rate=0.012, epochs=70)


@pytest.fixture(scope="module")
def healed(too_fast, tmp_path_factory):
    """`run.json` of that run, which began anew twice."""
    out = tmp_path_factory.mktemp("healed") / "out"
    finetune(replace(too_fast, out=out))
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


# === From the log ===


def test_a_loss_at_the_entropy_with_equal_answers_is_a_collapse():
    with pytest.raises(CollapseError, match="answers that differ by 1e-07, up to step 60"):
        told(watch(spread=1e-7), [0.70] * 80)


@pytest.mark.parametrize("spread", [math.nan, 0.0, math.inf])
def test_an_interrupted_run_is_judged_by_what_was_measured_then(tmp_path, spread):
    log, asked = RunLog(tmp_path / "log.jsonl"), list[float]()
    lines = [{"step": step, "loss": 0.7} for step in range(1, 41)]
    watching = watch(spread=spread)
    for line in lines:
        watching(line)
        log.append(line)
    again = watch(spread=spread, asked=asked)
    for line in read_log(log.path):
        again(line)
    assert asked == []
    assert again._collapsed == watching._collapsed == (0 if spread == math.inf else 1)


def test_answers_that_differ_are_no_collapse():
    told(watch(spread=0.3), [0.70] * STEPS)


def test_a_falling_loss_is_no_collapse():
    told(watch(), [0.70 - 0.002 * step for step in range(STEPS)])


def test_nothing_is_judged_during_the_warm_up():
    told(watch(warmup=0.3), [0.70] * 60 + [0.5] * 50)


def test_steps_without_a_number_are_a_collapse_of_any_task():
    watching = watch(spread=1.0, loss=None)
    broken = {"loss": math.nan, "skipped": "not a number"}
    for step in range(1, 10):
        watching({"step": step, **broken})
    with pytest.raises(CollapseError, match="10 steps in a row without a number, up to step 10"):
        watching({"step": 10, **broken})


def test_a_skipped_step_now_and_then_is_none():
    watching = watch(spread=1.0)
    for step in range(1, STEPS):
        skipped = {"skipped": "not a number"} if step % 10 else {}
        watching({"step": step, "loss": 0.5, **skipped})


# === The loss of who knows only frequencies ===


@pytest.mark.parametrize(
    ("spec", "labels", "expected"),
    [
        (HeadSpec("sequence", 2), [0, 1, 0, 1], math.log(2)),
        (HeadSpec("sequence", 2), [0, 0, 0, 1], 0.562335),
        (HeadSpec("sequence", 3, {"loss": "ordinal"}), [0, 1, 2, 3], 2 * 0.562335 + math.log(2)),
        (HeadSpec("sequence", 1, {"loss": "squared"}), [-1.0, 1.0], 1.0),
        (HeadSpec("token", 3), [0, 1], None),
    ],
)
def test_it_is_the_entropy_of_the_labels(spec, labels, expected):
    found = ignorant_loss({"head": spec}, units("head", labels))
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-5))


def test_several_labels_at_once_have_the_mean_of_their_entropies():
    labels = [np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])]
    spec = HeadSpec("sequence", 2, {"loss": "binary"})
    assert ignorant_loss({"h": spec}, units("h", labels)) == pytest.approx(math.log(2) / 2)


def test_weights_make_classes_alike():
    heads, made = {"h": HeadSpec("sequence", 2)}, units("h", [0, 0, 0, 1])
    balanced = ignorant_loss(heads, made, class_weights=np.array([2 / 3, 2.0]))
    assert balanced == pytest.approx(math.log(2))


# === Runs ===


def test_a_collapsed_run_begins_anew_and_heals(healed):
    assert [restart["learning_rate"] for restart in healed["restarts"]] == [0.012, 0.006]
    assert "has collapsed" in healed["restarts"][0]["reason"]
    assert healed["metrics"]["accuracy"] > 0.9


def test_a_run_that_never_heals_says_so(run):
    with pytest.raises(TrainingError, match=r"It did so 3 times, last at 2\.5"):
        run(limit=16, learning_rate=10.0, epochs=70)


def test_a_restart_that_is_stopped_goes_on_as_it_was(too_fast, healed, tmp_path, monkeypatch):
    calls, forward = [], HeadLosses.forward

    def interrupting(objective, batch, draw):
        calls.append(1)
        if len(calls) == 60:  # the first start ends after 47 steps
            signal.raise_signal(signal.SIGTERM)
        return forward(objective, batch, draw)

    monkeypatch.setattr(HeadLosses, "forward", interrupting)
    settings = replace(too_fast, out=tmp_path / "stopped")
    with pytest.raises(TrainingError, match="SIGTERM at step 13"):
        finetune(settings)
    found = json.loads((finetune(settings) / "run.json").read_text(encoding="utf-8"))
    assert (found["restarts"], found["sha256"]) == (healed["restarts"], healed["sha256"])


def test_healthy_runs_are_never_stopped(tmp_path):
    steps = [small_run(tmp_path / f"{seed}.jsonl", seed) for seed in range(6)]
    assert steps == [90] * 6


def small_run(path, seed):
    """Teach a small model of which pieces one is that a text begins with; the steps taken."""
    rng = np.random.default_rng(seed)
    ids = [np.array([2, *rng.integers(5, 20, 8), 3]) for _ in range(64)]
    made = [[Example(i, 0 * i, {"classifier": int(i[1] > 12)})] for i in ids]
    heads = {"classifier": HeadSpec("sequence", 2)}
    model = AlbertWithHeads(CONFIG, heads=heads, seed=seed)
    engine = TorchEngine(model)
    watching = CollapseWatch(
        ignorant_loss=ignorant_loss(heads, made),
        steps=90,
        warmup=0.1,
        spread=lambda: spread_of(engine, [unit[0] for unit in made], heads),
    )
    optimization = Optimization(Extent(steps=90), 2e-3, 0.1, 0.01, 0.999, 1.0, seed)
    hooks = Hooks(lambda trainer: None, watch=watching)
    batches = ExampleBatches(made, 16, seed)
    trainer = Trainer(HeadLosses(model), batches, optimization, RunLog(path), hooks, title="small")
    trainer.run()
    return trainer.progression.step


def test_no_knowledge_has_a_finite_loss_though_a_label_is_on_every_record():
    heads = {"labels": HeadSpec("sequence", 2, {"loss": "binary"})}
    flags = [np.array(row, dtype=np.float32) for row in ([0, 1], [1, 1])]
    assert ignorant_loss(heads, units("labels", flags)) == pytest.approx(ENTROPY / 2)


def test_texts_that_are_all_alike_tell_nothing_of_a_collapse():
    heads = {"classifier": HeadSpec("sequence", 2)}
    engine = TorchEngine(AlbertWithHeads(CONFIG, heads=heads))
    same, other = np.array([2, 5, 3]), np.array([2, 6, 3])
    alike = [Example(same, 0 * same)] * 4
    assert spread_of(engine, alike, heads) == math.inf
    assert 0 < spread_of(engine, [*alike, Example(other, 0 * other)], heads) < 1


def test_a_run_that_starts_with_many_equal_texts_is_not_taken_for_collapsed(
    run, train_file, tmp_path
):
    lines = train_file.read_text(encoding="utf-8").splitlines()
    label = lines[1].split("\t")[1]
    path = tmp_path / "first.tsv"
    rows = [lines[0], *[f"n/a\t{label}"] * 40, *lines[1:]]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    learned = run("sorted", train=path, epochs=5, batch_size=8, learning_rate=1e-6)
    assert "restarts" not in learned
