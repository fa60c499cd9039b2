"""The verb where not all weights learn, or several tasks do; and thresholds that it tunes."""

import json
import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.base_file import BASE
from albatross.checkpoints.huggingface import EMBEDDINGS
from albatross.checkpoints.model_folder import read_own_weights, read_weights
from albatross.cli import main
from albatross.conversion.convert import convert
from albatross.engine.open import open_model
from albatross.errors import ConfigError, LabelError, TrainingError
from albatross.pipelines.pipeline import load
from albatross.settings.conversion import ConvertSettings
from albatross.training.finetune import finetune
from albatross.training.run_log import read_log
from albatross.training.stopping import Stopping

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
    out = finetune(replace(short, adapt=adapt, **({} if adapt == "frozen" else {"rank": 2})))
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


def with_second(tasks_file, line):
    """Give the second task one more setting."""
    text = tasks_file.read_text(encoding="utf-8")
    tasks_file.write_text(text.replace('name = "other"', f'name = "other"\n{line}'), "utf-8")


def test_an_interrupted_run_does_not_go_on_with_other_settings_of_a_task(
    several, tasks_file, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(Stopping, "see", lambda *_: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(TrainingError, match="SIGTERM"):
            finetune(replace(several, evaluations=4))
    with_second(tasks_file, "max_length = 16")
    with pytest.raises(ConfigError, match="the data's other settings="):
        finetune(replace(several, evaluations=4))


def test_depths_of_several_tasks_are_those_that_are_measured(several, tasks_file):
    text = tasks_file.read_text(encoding="utf-8")
    first, second = text.split('name = "other"')
    unmeasured = "\n".join(line for line in first.splitlines() if not line.startswith("dev"))
    hold_out = unmeasured.replace('name = "mood"', 'name = "mood"\nhold_out = 0.0')
    tasks_file.write_text(f'{hold_out}\nname = "other"{second}', encoding="utf-8")
    metrics = read(finetune(replace(several, early_exit=True)) / "run.json")["metrics"]
    last = max(name for name in metrics if name.startswith("mean_depth_"))
    assert metrics[last] == pytest.approx(metrics["other_accuracy"])


def test_of_several_tasks_errors_count_below_zero(several, tmp_path):
    rows = [f"gull {n}\t{n % 3}" for n in range(30)]
    (tmp_path / "stars.tsv").write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    tables = [
        f'[[task]]\nname = "{name}"\ntask = "ordinal"\nmetric = "mae"\n'
        f"train = {json.dumps((tmp_path / 'stars.tsv').as_posix())}\n"
        for name in "ab"
    ]
    several.tasks.write_text("".join(tables), encoding="utf-8")
    metrics = read(finetune(several) / "run.json")["metrics"]
    assert metrics["mean"] == pytest.approx(-(metrics["a_mae"] + metrics["b_mae"]) / 2)
    assert metrics["mean"] < 0


def test_what_is_told_of_tasks_is_what_the_run_learns_with(several, tasks_file, capsys):
    """Few records alone would be learned without dropout."""
    out = finetune(replace(several, dropout=None))
    learned = read(out / "config.json")["hidden_dropout_prob"]
    assert capsys.readouterr().err.count(f"dropout {learned:g},") == 2


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


def test_thresholds_that_are_asked_for_need_records(short):
    with pytest.raises(ConfigError, match=r"are held out. Received: none, of \d+ and a --hold-out"):
        finetune(replace(short, calibrate=True, hold_out=0.0))


# === A head of a depth's own ===


def test_exits_of_other_labels_start_anew_with_their_head(short, tmp_path, reviews):
    first = finetune(replace(short, early_exit=True))
    path = tmp_path / "other.tsv"
    rows = [f"{text}\t{'ham' if label == 'positive' else 'spam'}" for text, label in reviews]
    path.write_text("\n".join(["text\tlabel", *rows]), encoding="utf-8")
    changes = {"model": first, "out": tmp_path / "second", "train": path, "dev": path}
    second = finetune(replace(short, early_exit=True, learning_rate=1e-9, labels=(), **changes))
    before, now = read_weights(first), read_weights(second)
    drawn = [name for name in before if name.endswith("weight") and "classifier" in name]
    assert len(drawn) > 1
    assert not any(np.allclose(before[name], now[name], atol=1e-4) for name in drawn)


@pytest.mark.parametrize("adapt", ["frozen", "lora"])
def test_layer_decay_leaves_what_is_frozen_alone(short, pretrained, tmp_path, adapt):
    grown = tmp_path / "grown"
    convert(ConvertSettings(pretrained, grown, depth_lora_rank=2))
    out = finetune(replace(short, model=grown, adapt=adapt, layer_decay=0.9))
    assert load(out)("A lovely film.").score > 0


@pytest.fixture
def writing(short, tmp_path):
    """Settings of a model that writes."""
    path = tmp_path / "pairs.jsonl"
    lines = [json.dumps({"source": f"gull {n}", "target": f"{n} gulls"}) for n in range(20)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return replace(short, task="generation", train=path, dev=None, labels=())


@pytest.mark.parametrize("changes", [{"layer_decay": 0.9}, {"fresh_pooler": True}])
def test_what_a_model_that_writes_has_no_use_for_is_refused(writing, changes):
    (option,) = changes
    with pytest.raises(ConfigError, match=f"Received: --{option.replace('_', '-')}"):
        finetune(replace(writing, **changes))


@pytest.mark.parametrize(
    "changes", [{"decoder": "prefix"}, {"target_length": 32}, {"fresh_decoder": True}]
)
def test_what_only_a_model_that_writes_looks_at_is_refused(short, changes):
    (option,) = changes
    with pytest.raises(ConfigError, match=f"`--{option.replace('_', '-')}` goes with"):
        finetune(replace(short, **changes))


def test_a_fresh_decoder_is_one_beside_the_encoder(writing):
    with pytest.raises(ConfigError, match="goes with `--decoder cross`"):
        finetune(replace(writing, decoder="prefix", fresh_decoder=True))
    out = finetune(replace(writing, fresh_decoder=True))
    assert load(out)("gull 3")


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
