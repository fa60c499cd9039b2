"""The verb where not all weights learn, or several tasks do; and thresholds that it tunes."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.base_file import BASE
from albatross.checkpoints.huggingface import EMBEDDINGS
from albatross.checkpoints.model_folder import read_own_weights, read_weights
from albatross.cli import main
from albatross.engine.open import open_model
from albatross.errors import ConfigError, LabelError
from albatross.pipelines.pipeline import load
from albatross.training.finetune import finetune
from albatross.training.run_log import read_log

ENCODER = "albert.encoder.albert_layer_groups."


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def short(finetune_settings, tmp_path):
    return replace(finetune_settings, out=tmp_path / "out", epochs=1, batch_size=16)


@pytest.fixture
def tasks_file(train_file, tmp_path):
    """The reviews twice: their labels, and the same ones under other names."""
    path = tmp_path / "tasks.toml"
    file = json.dumps(train_file.as_posix())
    tables = [
        f'[[task]]\nname = "{name}"\ntrain = {file}\ndev = {file}\nlabels = {labels}\n'
        for name, labels in (("mood", '["bad", "good"]'), ("other", '["low", "high"]'))
    ]
    path.write_text("\n".join(tables), encoding="utf-8")
    return path


@pytest.fixture
def several(short, tasks_file):
    return replace(short, train=None, dev=None, labels=(), name="", tasks=tasks_file)


# === Not all weights ===


@pytest.mark.parametrize("adapt", ["frozen", "lora", "adapter"])
def test_what_is_not_adapted_stays_as_it_was(short, pretrained, adapt):
    out = finetune(replace(short, adapt=adapt, rank=2))
    before, after = read_weights(pretrained), read_weights(out)
    layers = [name for name in before if name.startswith(ENCODER)]
    assert all(np.array_equal(before[name], after[name]) for name in layers)
    assert not any(name.startswith(ENCODER) for name in read_own_weights(out))
    assert (out / BASE).is_file()
    assert not (out / "spiece.model").exists()


def test_layers_learn_while_the_embeddings_stay_in_the_base(short, pretrained):
    out = finetune(replace(short, adapt="layers"))
    before, own = read_weights(pretrained), read_own_weights(out)
    layers = {name for name in before if name.startswith(ENCODER)}
    assert {name for name in own if name.startswith("albert.encoder.")} == {
        name for name in layers if ".albert_layer_groups." in name
    }
    assert not any(name.startswith(EMBEDDINGS) for name in own)
    assert not any(np.array_equal(own[name], before[name]) for name in own if name in layers)


def test_an_adapted_folder_answers_over_its_base(short):
    out = finetune(replace(short, adapt="lora", rank=2, per_depth=True))
    assert load(out)("A lovely film.").label in ("negative", "positive")


def test_seeds_of_adapted_runs_leave_a_folder_that_finds_its_base(short, pretrained, train_file):
    out = finetune(replace(short, adapt="frozen", seeds=2, dev=train_file))
    path = read(out / BASE)["path"]
    assert (out / path).resolve() == pretrained.resolve()
    assert load(out)("A lovely film.").label in ("negative", "positive")


def test_an_adapted_run_goes_on_where_it_was(short):
    settings = replace(short, adapt="lora", rank=2, dropout=0.1)
    whole = read_weights(finetune(settings))
    again = read_weights(finetune(replace(settings, out=short.out.with_name("again"))))
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("option", ["from_scratch", "quantization_aware"])
def test_what_needs_all_weights_to_learn_is_refused_where_some_are_frozen(short, option):
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')}` needs all weights"):
        replace(short, adapt="frozen", **{option: True})


# === Several tasks ===


def test_several_tasks_get_a_head_each_on_one_encoder(several):
    out = finetune(several)
    opened = open_model(out)
    assert list(opened.tasks) == ["mood", "other"]
    assert {"heads.mood.weight", "heads.other.weight"} <= set(read_weights(out))
    pipeline = load(out)
    assert pipeline("A lovely film.").label in ("bad", "good")
    assert pipeline("A lovely film.", task="other").label in ("low", "high")


def test_several_tasks_are_measured_each_and_in_the_mean(several):
    metrics = read(finetune(several) / "run.json")["metrics"]
    figures = metrics["mood_accuracy"], metrics["other_accuracy"]
    assert metrics["mean"] == pytest.approx(sum(figures) / 2)


def test_several_tasks_learn(several):
    out = finetune(replace(several, epochs=30, batch_size=32))
    assert read(out / "run.json")["metrics"]["mean"] > 0.9


def test_a_task_of_more_epochs_is_drawn_more_often(several, tasks_file):
    text = tasks_file.read_text(encoding="utf-8")
    more = text.replace('name = "other"', 'name = "other"\nepochs = 9')
    tasks_file.write_text(more, encoding="utf-8")
    log = read_log(finetune(replace(several, temperature=1.0)) / "log.jsonl")
    drawn = Counter(name for line in log for name in line if name.startswith("heads."))
    assert drawn.total() == drawn["heads.mood_loss"] + drawn["heads.other_loss"]
    assert drawn["heads.other_loss"] > 3 * drawn["heads.mood_loss"]


def test_a_file_of_tasks_stands_alone(several, train_file, capsys):
    words = ["finetune", str(several.model), str(several.out), "--tasks", str(several.tasks)]
    assert main([*words, "--train", str(train_file)]) == 2
    assert "With `--tasks` the file names" in capsys.readouterr().err


# === Thresholds ===


@pytest.fixture
def labelled_twice(tmp_path, reviews):
    """Reviews with none, one or two labels at once."""
    path = tmp_path / "several.jsonl"
    lines = [
        json.dumps({"text": text, "labels": [label] * (i % 3 > 0) + ["film"] * (i % 2)})
        for i, (text, label) in enumerate(reviews)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_thresholds_are_tuned_on_records_that_are_not_learned(short, labelled_twice, capsys):
    settings = replace(short, task="multi-label", train=labelled_twice, dev=None, labels=())
    out = finetune(settings)
    (task,) = read(out / "task.json").values()
    assert task["thresholds"] != [0.5] * 3
    told = capsys.readouterr().err
    assert "thresholds tuned on" in told


def test_no_threshold_is_tuned_when_nothing_is_held_out(short, labelled_twice):
    settings = replace(short, task="multi-label", train=labelled_twice, labels=(), hold_out=0.0)
    (task,) = read(finetune(replace(settings, dev=None)) / "task.json").values()
    assert task["thresholds"] == [0.5] * 3


# === What is told ===


def test_uneven_labels_are_told_with_what_helps(short, tmp_path, reviews, capsys):
    path = tmp_path / "uneven.tsv"
    rows = [f"{text}\t{label}\n" for text, label in reviews[13:]]
    path.write_text("sentence\tlabel\n" + "".join(rows), encoding="utf-8")
    finetune(replace(short, train=path, dev=path))
    told = capsys.readouterr().err
    assert "Labels are uneven: positive 16, negative 3. `--metric macro_f1` counts" in told
    helped = replace(short, train=path, dev=path, metric="macro_f1", class_weights="balanced")
    finetune(replace(helped, out=tmp_path / "helped"))
    assert "Labels are uneven: positive 16, negative 3.\n" in capsys.readouterr().err


def test_smoothing_is_refused_where_words_are_not_written(short):
    with pytest.raises(ConfigError, match="for generation"):
        finetune(replace(short, label_smoothing=0.1))


def test_a_label_that_only_the_dev_part_has_is_named_with_its_line(short, tmp_path):
    dev = tmp_path / "dev.tsv"
    dev.write_text("sentence\tlabel\nA film.\tpositive\nA book.\tdull\n", encoding="utf-8")
    with pytest.raises(LabelError, match=r"'dull' in line 3 of .*dev\.tsv"):
        finetune(replace(short, dev=dev))
    assert not short.out.exists()
