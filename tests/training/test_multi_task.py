"""Several tasks on one encoder: whose turn it is, gone on with exactly, and all of them learn."""

import math
from collections import Counter

import numpy as np
import pytest

from albatross.atomic import writing
from albatross.checkpoints.model_folder import write_model
from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.engine.open import open_tokenizer
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import ConfigError
from albatross.evaluation.evaluate import score_records
from albatross.pipelines.pipeline import load
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.task_file import write_tasks
from albatross.training.example_batches import ExampleBatches
from albatross.training.head_losses import HeadLosses
from albatross.training.multi_task import (
    MixedBatches,
    heads_of,
    score_tasks,
    shares,
    with_own_heads,
)
from albatross.training.run_log import RunLog
from albatross.training.schedules import Extent
from albatross.training.trainer import Hooks, Optimization, Trainer
from albatross.training.transfer import Adaptation, starting_point


def source(first, count):
    """Batches of two examples whose ids count from a number."""
    made = [Example(np.array([first + i]), np.array([0])) for i in range(count)]
    return ExampleBatches([[example] for example in made], 2, seed=0)


@pytest.fixture
def mixed():
    return MixedBatches([source(0, 5), source(100, 20)], [3, 10], seed=0)


def steps_of(batches, position, count):
    """The ids of so many steps, and where the next one starts."""
    found = []
    for _ in range(count):
        step = batches.step(position, 0.0)
        position = step.position
        found.append(step.batches[0].input_ids.tolist())
    return found, position


# === Whose turn it is ===


def test_a_step_learns_one_task(mixed):
    found, _ = steps_of(mixed, mixed.start, 40)
    kinds = Counter(len({i // 100 for i in ids}) for ids in found)
    assert kinds == {1: 40}
    assert {ids[0] // 100 for ids in found} == {0, 1}


def test_every_source_goes_through_its_own_epochs(mixed):
    found, _ = steps_of(mixed, mixed.start, 60)
    for first, count in ((0, 5), (100, 20)):
        ids = [i for step in found for i in step if i // 100 == first // 100]
        epochs = [ids[at : at + count] for at in range(0, len(ids) - count + 1, count)]
        assert len(epochs) > 1
        assert all(sorted(epoch) == list(range(first, first + count)) for epoch in epochs)


def test_any_position_can_be_gone_on_from(mixed):
    whole, _ = steps_of(mixed, mixed.start, 30)
    _, middle = steps_of(mixed, mixed.start, 17)
    again = MixedBatches([source(0, 5), source(100, 20)], [3, 10], seed=0)
    assert len(middle) == 5
    assert steps_of(again, middle, 13)[0] == whole[17:]


def test_another_seed_draws_other_turns(mixed):
    other = MixedBatches([source(0, 5), source(100, 20)], [3, 10], seed=1)
    assert [mixed.source_of(i) for i in range(30)] != [other.source_of(i) for i in range(30)]


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.01), (2.0, 1 / 11), (math.inf, 0.5)])
def test_the_temperature_says_how_much_size_counts(temperature, expected):
    assert shares([1, 99], 1.0)[0] == pytest.approx(0.01)
    assert shares([100, 9_900 if temperature == 1.0 else 10_000], temperature)[0] == pytest.approx(
        expected
    )


def test_sources_are_drawn_by_their_shares():
    mixed = MixedBatches([source(0, 5), source(100, 20)], [1, 16], seed=3)
    drawn = Counter(mixed.source_of(step) for step in range(2_000))
    assert drawn[0] / 2_000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ConfigError, match="temperature of a mixture must be above 0"):
        shares([1, 2], temperature)


# === Heads and figures ===


@pytest.fixture
def tasks(pretrained):
    """Two tasks about the same texts: what they think, and how long they are."""
    tokenizer = open_tokenizer(pretrained, starting_point(pretrained, Adaptation()).config)

    def make(name, labels):
        records = [TextRecord("", label=label) for label in labels]
        options = TaskOptions(max_length=48)
        return ClassificationTask.from_records(name, records, tokenizer, options)

    return [make("review", ("negative", "positive")), make("first", ("a", "m", "z"))]


def test_each_of_several_tasks_has_a_head_of_its_own(tasks):
    assert [list(task.heads) for task in with_own_heads(tasks)] == [
        ["heads.review"],
        ["heads.first"],
    ]
    sizes = {name: spec.size for name, spec in heads_of(with_own_heads(tasks)).items()}
    assert sizes == {"heads.review": 2, "heads.first": 3}


def test_one_task_alone_keeps_the_name_that_others_know(tasks):
    assert list(with_own_heads(tasks[:1])[0].heads) == ["classifier"]


def test_tasks_of_one_name_are_refused(tasks):
    with pytest.raises(ConfigError, match="Received: review, review"):
        with_own_heads([tasks[0], tasks[0]])


def test_figures_stand_by_the_name_of_their_task(tasks, pretrained):
    engine = TorchEngine(starting_point(pretrained, Adaptation()).model(heads_of(tasks)))

    def score(engine, task, records):
        return {"accuracy": len(records) / 4, "records": len(records)}

    found = score_tasks(engine, tasks, {"review": [1, 2], "first": [1]}, score)
    assert found["mean"] == pytest.approx((0.5 + 0.25) / 2)
    assert (found["review.accuracy"], found["first.records"]) == (0.5, 1)
    assert score_tasks(engine, tasks, {}, score) == {}


# === Learning ===


def bucket(text):
    return "a" if text[0].lower() < "i" else "m" if text[0].lower() < "t" else "z"


def test_both_tasks_learn_and_the_folder_answers_both(tasks, reviews, pretrained, tmp_path):
    few = [*reviews[:4], *reviews[-4:]]
    records = {
        "review": [TextRecord(text, label=label) for text, label in few],
        "first": [TextRecord(text, label=bucket(text)) for text, _ in few],
    }
    own = with_own_heads(tasks)
    model = starting_point(pretrained, Adaptation()).model(heads_of(own))
    sources = [
        ExampleBatches([task.features(r) for r in records[task.name]], 8, seed=0) for task in own
    ]
    optimization = Optimization(
        extent=Extent(steps=240),
        learning_rate=1e-3,
        warmup=0.1,
        weight_decay=0.01,
        beta2=0.98,
        clip_norm=1.0,
        seed=0,
    )
    log, hooks = RunLog(tmp_path / "log.jsonl"), Hooks(lambda trainer: None)
    mixed = MixedBatches(sources, [8, 8], seed=0)
    trainer = Trainer(HeadLosses(model), mixed, optimization, log, hooks, title="both")
    losses = [set(trainer.step()) & {f"{head}_loss" for head in model.head_names} for _ in range(9)]
    assert {len(names) for names in losses} == {1}
    assert set.union(*losses) == {"heads.review_loss", "heads.first_loss"}
    trainer.run()

    def score(engine, task, given):
        return score_records(engine, task, given, 1_024)

    figures = score_tasks(TorchEngine(model), own, records, score)
    assert figures["mean"] == 1.0
    out = tmp_path / "both"
    with writing(out) as folder:
        write_model(folder, model.config, model.to_arrays(), {"verb": "finetune"})
        open_tokenizer(pretrained, model.config).save(folder)
        write_tasks(folder, own)
    answer = load(out, task="first")(few[0][0])
    assert answer.label == bucket(few[0][0])
    assert load(out, task="review")(few[0][0]).label == few[0][1]
