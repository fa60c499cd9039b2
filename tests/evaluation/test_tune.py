"""The verb tune: what it chooses, what it leaves as it was, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from albatross.atomic import read_json
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_weights
from albatross.cli import main
from albatross.errors import ConfigError, DataError, FolderError
from albatross.evaluation.evaluate import evaluate
from albatross.evaluation.tune import tune
from albatross.pipelines.pipeline import load
from albatross.settings.answering import EvaluateSettings, TuneSettings
from albatross.training.transfer import Adaptation


@pytest.fixture
def doubtful(tmp_path, reviews):
    """Labelled reviews of which every third has the other label."""
    other = {"negative": "positive", "positive": "negative"}
    rows = [
        f"{text}\t{other[label] if i % 3 == 0 else label}"
        for i, (text, label) in enumerate(reviews * 2)
    ]
    path = tmp_path / "doubtful.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


def task_in(folder):
    (task,) = read_json(folder / "task.json").values()
    return task


# === What it chooses ===


def test_a_sure_model_becomes_as_unsure_as_records_say(exported, doubtful, tmp_path):
    found = tune(TuneSettings(exported, tmp_path / "out", doubtful))
    assert found.before["calibration error"] > 0.25
    assert found.after["calibration error"] < 0.1
    assert found.after["temperature"] > 2
    assert found.after["accuracy"] == found.before["accuracy"]
    report = evaluate(EvaluateSettings(tmp_path / "out", doubtful, bootstrap=0))
    assert report.calibration is not None
    assert report.calibration.error == pytest.approx(found.after["calibration error"])


def test_what_has_been_tuned_is_tuned_no_further_by_the_same_records(exported, doubtful, tmp_path):
    first = tune(TuneSettings(exported, tmp_path / "one", doubtful))
    second = tune(TuneSettings(tmp_path / "one", tmp_path / "two", doubtful))
    assert second.after["temperature"] == pytest.approx(first.after["temperature"], rel=0.01)
    assert second.before["temperature"] == first.after["temperature"]


def test_the_label_of_no_class_gets_its_threshold(tmp_path):
    rows = [
        *(f"wake me at {hour} tomorrow\talarm" for hour in ("six", "seven", "eight")),
        *(f"is it going to rain on {day}\tweather" for day in ("monday", "friday")),
        *(f"my {thing} is blue and old\toos" for thing in ("dog", "car", "house")),
    ]
    path = tmp_path / "intents.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    found = tune(TuneSettings(Path("intent"), tmp_path / "out", path, task="intent"))
    assert found.before["threshold"] != found.after["threshold"]
    assert 0 < found.after["threshold"] < 1
    told = read_json(tmp_path / "out" / "task.json")["intent"]
    assert told["threshold"] == found.after["threshold"]


# === What stays ===


def test_weights_graphs_and_other_files_stay(exported, doubtful, tmp_path):
    tune(TuneSettings(exported, tmp_path / "out", doubtful))
    changed = {
        path.name
        for path in exported.iterdir()
        if path.read_bytes() != (tmp_path / "out" / path.name).read_bytes()
    }
    assert changed == {"task.json", "run.json"}
    run, before = (read_json(f / "run.json") for f in (tmp_path / "out", exported))
    assert {k: v for k, v in run.items() if k != "tuned"} == before
    assert run["tuned"]["file"] == doubtful.name
    assert run["tuned"]["records"] > 0


def test_a_model_without_an_export_is_tuned_too(finetuned, doubtful, tmp_path):
    tune(TuneSettings(finetuned, tmp_path / "out", doubtful))
    before, after = (read_weights(folder) for folder in (finetuned, tmp_path / "out"))
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert task_in(tmp_path / "out")["temperature"] > 1


def test_a_folder_over_a_base_still_finds_it(delta_of, pretrained, doubtful, tmp_path):
    labels = ("negative", "positive")
    folder = delta_of(pretrained, "delta", Adaptation("frozen"), labels=labels)
    out = tmp_path / "elsewhere" / "out"
    tune(TuneSettings(folder, out, doubtful))
    assert load(out)("A lovely film.").label in labels


def test_of_several_tasks_one_is_tuned_and_the_others_stay(tmp_path):
    texts = ("Lovely.", "Dull.", "A fine cast.", "Far too long.")
    rows = [f"{text}\t{i % 2}" for i, text in enumerate(texts * 4)]
    path = tmp_path / "few.tsv"
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    found = tune(TuneSettings(Path("sentiment"), tmp_path / "out", path))
    assert found.task == "sentiment"
    kept, tasks = (read_json(f / "task.json") for f in (find_model("sentiment"), tmp_path / "out"))
    assert tasks["intent"] == kept["intent"]
    assert tasks["sentiment"] != kept["sentiment"]


# === Refusals ===


def test_it_is_not_done_onto_the_model(exported, doubtful):
    with pytest.raises(FolderError, match="must not be tuned onto itself"):
        tune(TuneSettings(exported, exported, doubtful))


def test_a_task_without_anything_to_choose_is_refused(doubtful, tmp_path):
    with pytest.raises(ConfigError, match=r"'entities' of kind tagging, which has none"):
        tune(TuneSettings(Path("entities"), tmp_path / "out", doubtful))
    assert not (tmp_path / "out").exists()


def test_a_missing_file_leaves_nothing(exported, tmp_path):
    with pytest.raises(DataError):
        tune(TuneSettings(exported, tmp_path / "out", tmp_path / "none.tsv"))
    assert not (tmp_path / "out").exists()


def test_the_command_prints_a_table_or_json(exported, doubtful, tmp_path, capsys):
    words = ["tune", str(exported), str(tmp_path / "out"), str(doubtful)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "temperature" in printed
    assert f"Wrote {tmp_path / 'out'}" in printed
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"before", "after", "records", "task"} <= told.keys()
