"""Pairs of texts, where what stands in both is marked by token types of its own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.model_folder import read_config, read_weights
from albatross.config import MARKED_TYPES, variant
from albatross.engine.open import open_model
from albatross.errors import ConfigError
from albatross.export.folder import export
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings
from albatross.settings.presets import preset_of
from albatross.training.finetune import finetune
from albatross.training.transfer import Adaptation, starting_point, with_marks

WORDS = (
    *("gull", "tern", "storm", "harbour", "film", "story", "lovely", "dull", "night", "river"),
    *("stone", "garden", "winter", "letter", "captain", "window", "music", "silver", "bread"),
    *("market", "horse", "forest", "island", "teacher", "doctor", "summer", "bridge", "paper"),
)
TYPES = "albert.embeddings.token_type_embeddings.weight"


def write_pairs(path, count, seed):
    """Two texts of three words each, and whether they have one in common."""
    draw = np.random.default_rng(seed)
    lines = ["text\ttext_pair\tlabel"]
    for number in range(count):
        words = [WORDS[at] for at in draw.permutation(len(WORDS))[:6]]
        first, second = words[:3], words[3:]
        if number % 2:
            second[draw.integers(3)] = first[draw.integers(3)]
        lines.append(f"{' '.join(first)}\t{' '.join(second)}\t{('apart', 'alike')[number % 2]}")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def settings(finetune_settings, tmp_path):
    return replace(
        finetune_settings,
        out=tmp_path / "out",
        train=write_pairs(tmp_path / "train.tsv", 240, 0),
        dev=write_pairs(tmp_path / "dev.tsv", 100, 1),
        name="pairs",
        epochs=12,
        learning_rate=1e-3,
    )


@pytest.fixture
def short(settings):
    return replace(settings, epochs=0.1)


def metrics_of(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))["metrics"]


def test_a_small_model_learns_what_two_texts_have_in_common(settings):
    out = finetune(settings)
    assert metrics_of(out)["accuracy"] > 0.85
    assert read_config(out).type_vocab_size == len(read_weights(out)[TYPES]) == MARKED_TYPES
    assert open_model(out).task.to_dict()["mark_shared"]
    exported = export(ExportSettings(out, out.with_name("exported")))
    for answering in (load(out), load(exported, engine="onnx")):
        assert answering(("gull river stone", "stone horse bridge")).label == "alike"
        assert answering(("gull river stone", "silver horse bridge")).label == "apart"


def test_new_types_change_nothing_before_they_are_learned(pretrained):
    """Nor do they where no pair is marked."""
    plain = starting_point(pretrained, Adaptation())
    marked = starting_point(pretrained, Adaptation(), config=with_marks(plain.config))
    known = plain.arrays[TYPES]
    np.testing.assert_array_equal(marked.arrays[TYPES], np.concatenate([known, known]))
    assert all(
        np.array_equal(plain.arrays[name], marked.arrays[name])
        for name in plain.arrays.keys() - {TYPES}
    )


def test_pairs_are_not_marked_when_it_is_not_wanted(short):
    out = finetune(replace(short, mark_shared="no"))
    assert read_config(out).type_vocab_size == len(read_weights(out)[TYPES]) == 2
    assert "mark_shared" not in open_model(out).task.to_dict()


def test_texts_without_a_second_one_get_no_types(finetune_settings, tmp_path):
    out = finetune(replace(finetune_settings, out=tmp_path / "out", epochs=1))
    assert read_config(out).type_vocab_size == 2
    assert "mark_shared" not in open_model(out).task.to_dict()


@pytest.mark.parametrize("adapt", ["full", "layers", "lora"])
def test_a_model_that_has_learned_with_marks_goes_on_with_them(short, adapt):
    out = finetune(short)
    after = finetune(replace(short, model=out, out=out.with_name("after"), adapt=adapt))
    assert open_model(after).task.to_dict()["mark_shared"]
    assert len(read_weights(after)[TYPES]) == MARKED_TYPES


@pytest.mark.parametrize(
    ("name", "adapt", "expected"),
    [
        ("albatross-mini", "full", "yes"),
        ("albatross-mini", "layers", "no"),
        ("albatross-mini", "lora", "no"),
        ("albert-base-v2", "full", "no"),
    ],
)
def test_small_models_all_of_whose_weights_learn_have_pairs_marked(name, adapt, expected):
    config = variant(name)
    assert preset_of("mrpc", "classification", config, adapt).mark_shared == expected
    assert preset_of("mrpc", "classification", with_marks(config), adapt).mark_shared == "yes"


def test_marks_that_would_not_be_learned_are_refused(short):
    with pytest.raises(ConfigError, match=r"these must learn\. Received: --adapt layers"):
        finetune(replace(short, mark_shared="yes", adapt="layers"))


def test_marks_for_single_texts_are_refused(finetune_settings, tmp_path):
    with pytest.raises(ConfigError, match="records with two texts"):
        finetune(replace(finetune_settings, out=tmp_path / "out", mark_shared="yes"))


def test_one_of_several_tasks_has_pairs(short, train_file, tmp_path):
    path = tmp_path / "tasks.toml"
    files = {"pairs": short.train, "mood": train_file}
    tables = [f'[[task]]\nname = "{name}"\ntrain = "{files[name]}"\n' for name in files]
    path.write_text("\n".join(tables), encoding="utf-8")
    out = finetune(replace(short, train=None, dev=None, name="", tasks=path))
    tasks = open_model(out).tasks
    assert tasks["pairs"].to_dict()["mark_shared"]
    assert "mark_shared" not in tasks["mood"].to_dict()
