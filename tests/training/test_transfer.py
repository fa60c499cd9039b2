"""What learns, and what a run takes over from a model that has learned before."""

import pytest
import torch

from albatross.adapter_spec import AdapterSpec
from albatross.checkpoints.model_folder import read_config, read_own_weights, read_weights
from albatross.data.records import TextRecord
from albatross.engine.open import open_tokenizer
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.modeling.packed import PackedInputs
from albatross.pipelines.pipeline import load
from albatross.settings.training import FinetuneSettings
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.options import TaskOptions
from albatross.training.example_batches import ExampleBatches
from albatross.training.head_losses import HeadLosses
from albatross.training.schedules import Extent
from albatross.training.trainer import Optimization
from albatross.training.transfer import (
    ADAPTERS,
    Adaptation,
    freeze,
    is_trained,
    starting_point,
)
from albatross.training.workspace import Workspace

FULL, FROZEN = Adaptation("full"), Adaptation("frozen")
LORA, DEPTHS = Adaptation("lora", 4), Adaptation("adapter", 4, per_depth=True)
HEADS = {"classifier": HeadSpec("sequence", 2)}
LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"


@pytest.fixture
def learn(pretrained, tmp_path):
    """Trains on short reviews and returns the folder."""

    def train(adaptation, reviews, source=pretrained, name="learned", steps=60):
        start = starting_point(source, adaptation)
        tokenizer = open_tokenizer(source, start.config)
        records = [TextRecord(text, label=label) for text, label in reviews]
        options = TaskOptions(max_length=48)
        task = ClassificationTask.from_records(name, records, tokenizer, options)
        model = start.model(task.heads)
        freeze(model, adaptation)
        settings = FinetuneSettings(source, tmp_path / name, train=tmp_path, name=name)
        optimization = Optimization(
            extent=Extent(steps=steps),
            learning_rate=5e-3,
            warmup=0.1,
            weight_decay=0.01,
            beta2=0.98,
            clip_norm=1.0,
            seed=0,
        )
        keys = task.transformers_keys()
        workspace = Workspace("finetune", settings, {}, tokenizer, keys, [task], base=start.base)
        units = [[example] for record in records for example in task.features(record)]
        trainer = workspace.train(HeadLosses(model), ExampleBatches(units, 32, 0), optimization)
        return workspace.finish(trainer, {})

    return train


# === What learns ===


def test_everything_learns_in_full_fine_tuning():
    assert all(is_trained(name, FULL) for name in ("albert.pooler.bias", LAYER, ADAPTERS + "0.x"))


@pytest.mark.parametrize(
    ("adaptation", "expected"), [(FROZEN, False), (LORA, True), (DEPTHS, True)]
)
def test_else_heads_and_pooler_learn_and_the_adapter_that_is_asked_for(adaptation, expected):
    names = ("classifier.bias", "heads.topic.weight", "albert.pooler.weight")
    assert all(is_trained(name, adaptation) for name in names)
    assert is_trained(ADAPTERS + "0.ffn.lora_A.weight", adaptation) is expected
    assert not is_trained(LAYER, adaptation)


def test_frozen_training_changes_the_pooler_and_adds_a_head(learn, reviews, pretrained):
    held = read_own_weights(learn(FROZEN, reviews[:4] + reviews[-4:], steps=3))
    assert {name.rpartition(".")[0] for name in held} == {"albert.pooler", "classifier"}
    before = read_weights(pretrained)["albert.pooler.weight"]
    assert (held["albert.pooler.weight"] != before).any()


@pytest.mark.parametrize(
    "adaptation", [Adaptation("lora", 8), Adaptation("adapter", 16, per_depth=True)]
)
def test_an_adapter_learns_and_leaves_the_base_as_it_is(learn, reviews, pretrained, adaptation):
    few = [*reviews[:4], *reviews[-4:]]
    folder = learn(adaptation, few, steps=150)
    whole, base = read_weights(folder), read_weights(pretrained)
    for name in {n for n in base if n.startswith("albert.e")}:
        assert (whole[name] == base[name]).all(), name
    assert all(is_trained(name, adaptation) for name in read_own_weights(folder))
    classify = load(folder)
    assert [classify(text).label for text, _ in few] == [label for _, label in few]


def test_a_run_over_a_base_goes_on_exactly(learn, reviews, monkeypatch):
    from albatross.errors import TrainingError
    from albatross.training.trainer import Trainer

    whole = learn(DEPTHS, reviews, name="whole", steps=6)
    step = Trainer.step

    def stopping(trainer):
        if trainer.progression.step == 3:
            trainer.save()
            raise TrainingError("stopped")
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", stopping)
    with pytest.raises(TrainingError, match="stopped"):
        learn(DEPTHS, reviews, name="parts", steps=6)
    monkeypatch.undo()
    parts = learn(DEPTHS, reviews, name="parts", steps=6)
    found, expected = read_own_weights(parts), read_own_weights(whole)
    assert all((found[name] == expected[name]).all() for name in expected)


# === What a run starts from ===


def test_a_head_starts_anew_even_where_it_has_the_same_shape(finetuned):
    model = starting_point(finetuned, FULL).model(HEADS)
    before = read_weights(finetuned)
    assert not (
        model.get_parameter("classifier.weight").detach().numpy() == before["classifier.weight"]
    ).all()
    assert (model.get_parameter(LAYER).detach().numpy() == before[LAYER]).all()
    assert "id2label" not in model.config.extra


def test_a_head_can_be_kept_where_its_task_goes_on(finetuned):
    model = starting_point(finetuned, FULL, keep_heads=True).model(HEADS)
    before = read_weights(finetuned)["classifier.weight"]
    assert (model.get_parameter("classifier.weight").detach().numpy() == before).all()


def test_the_pooler_can_be_kept_as_it_is_and_out_of_the_folder(delta_of, pretrained):
    folder = delta_of(pretrained, "a", Adaptation("frozen", keep_pooler=True))
    assert set(read_own_weights(folder)) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("adaptation", [LORA, DEPTHS])
def test_a_new_adapter_does_nothing_at_first(pretrained, adaptation, batch):
    models = [starting_point(pretrained, a).model(HEADS).albert for a in (FROZEN, adaptation)]
    plain, adapted = (model.encode(PackedInputs.from_batch(batch)) for model in models)
    assert hasattr(models[1].encoder, "adapters")
    assert torch.equal(adapted, plain)


def test_the_same_adapter_goes_on_learning_over_the_same_base(delta_of, pretrained):
    folder = delta_of(pretrained, "first", DEPTHS)
    start = starting_point(folder, DEPTHS)
    assert start.base is not None
    assert start.base.resolve() == pretrained.resolve()
    assert start.new == ()
    name = f"{ADAPTERS}3.ffn_output.up.weight"
    assert (start.arrays[name] == read_own_weights(folder)[name]).all()


def test_frozen_over_an_adapter_keeps_it_in_a_small_folder(delta_of, pretrained):
    first = delta_of(pretrained, "first", DEPTHS)
    second = delta_of(first, "second", FROZEN)
    held, before = read_own_weights(second), read_own_weights(first)
    adapters = {name for name in before if name.startswith(ADAPTERS)}
    assert adapters
    assert all((held[name] == before[name]).all() for name in adapters)
    assert (second / "base.json").read_text() == (first / "base.json").read_text()


def test_shared_lora_is_merged_before_all_weights_learn(delta_of, pretrained, batch):
    folder = delta_of(pretrained, "first", LORA)
    start = starting_point(folder, FULL)
    assert (start.config.adapter, start.base) == (None, None)
    merged, kept = (
        point.model({"other": HEADS["classifier"]})
        for point in (start, starting_point(folder, LORA))
    )
    torch.testing.assert_close(merged(batch)["other"], kept(batch)["other"], atol=1e-5, rtol=0)
    assert not (start.arrays[LAYER] == read_weights(pretrained)[LAYER]).all()


def test_an_adapter_that_cannot_be_merged_stays_where_all_weights_learn(delta_of, pretrained):
    start = starting_point(delta_of(pretrained, "first", DEPTHS), FULL)
    assert start.config.adapter == AdapterSpec("bottleneck", 4, per_depth=True)
    model = start.model(HEADS)
    freeze(model, FULL)
    assert all(p.requires_grad for p in model.parameters())


def test_another_adapter_over_one_that_cannot_be_merged_is_refused(delta_of, pretrained):
    folder = delta_of(pretrained, "first", DEPTHS)
    with pytest.raises(ConfigError, match=r"one adapter at a time.*bottleneck of rank 4, one per"):
        starting_point(folder, LORA)


def test_another_adapter_over_merged_lora_keeps_the_merged_weights(delta_of, pretrained):
    first = delta_of(pretrained, "first", LORA)
    second = delta_of(first, "second", DEPTHS)
    assert read_config(second).adapter == DEPTHS.spec
    merged = starting_point(first, FULL).arrays
    assert (read_own_weights(second)[LAYER] == merged[LAYER]).all()


@pytest.fixture
def batch():
    import numpy as np

    from albatross.data.packing import Example, pack

    rng = np.random.default_rng(0)
    return pack([Example(rng.integers(5, 50, n), np.zeros(n, np.int64)) for n in (5, 9, 3)])
