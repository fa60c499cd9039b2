"""The verb tune: what it chooses, what it leaves as it was, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import read_weights
from albatross.cli import main
from albatross.errors import AlbatrossWarning, ConfigError, DataError, FolderError
from albatross.evaluation.evaluate import evaluate
from albatross.evaluation.tune import tune
from albatross.pipelines.pipeline import load
from albatross.settings.answering import EvaluateSettings, TuneSettings
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.spans import SpansTask
from albatross.training.finetune import finetune
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


def write_rows(path, rows):
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


KNOWN = [
    *(f"wake me at {hour} tomorrow\talarm" for hour in ("six", "seven", "eight")),
    *(f"is it going to rain on {day}\tweather" for day in ("monday", "friday")),
]
UNKNOWN = [f"my {thing} is blue and old\toos" for thing in ("dog", "car", "house")]


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
    path = write_rows(tmp_path / "intents.tsv", (KNOWN + UNKNOWN) * 7)
    found = tune(TuneSettings(Path("intent"), tmp_path / "out", path, task="intent"))
    assert found.before["threshold"] != found.after["threshold"]
    assert 0 < found.after["threshold"] < 1
    told = read_json(tmp_path / "out" / "task.json")["intent"]
    assert told["threshold"] == found.after["threshold"]


def test_several_labels_get_a_threshold_each(untrained, reviews, tmp_path):
    labels = ("good", "bad", "long")
    folder = untrained(lambda inputs: MultiLabelTask("tags", labels, (0.5,) * 3, inputs))
    rows = [
        {"text": text, "labels": ["good" if label == "positive" else "bad", *["long"][: i % 2]]}
        for i, (text, label) in enumerate(reviews * 2)
    ]
    path = tmp_path / "tags.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = tune(TuneSettings(folder, tmp_path / "out", path))
    assert task_in(tmp_path / "out")["thresholds"] == list(found.after["thresholds"])
    assert found.after["thresholds"] != found.before["thresholds"]
    assert found.after[found_figure(found)] >= found.before[found_figure(found)]
    assert "3 chosen" in str(found)


def test_spans_get_the_threshold_of_there_being_none(untrained, tmp_path):
    folder = untrained(lambda i: SpansTask("ask", True, False, replace(i, format="squad")))
    context = "The gull flew over the harbour and the tern sat on a post."
    qas = [
        {
            "id": str(i),
            "question": f"Who {verb}?",
            "answers": [{"text": "tern", "answer_start": 39}] if i % 3 == 0 else [],
            "is_impossible": i % 3 != 0,
        }
        for i, verb in enumerate(["sat", "swam", "sang"] * 20)
    ]
    article = {"title": "t", "paragraphs": [{"context": context, "qas": qas}]}
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"version": "2", "data": [article]}), encoding="utf-8")
    found = tune(TuneSettings(folder, tmp_path / "out", path))
    assert found.after["f1"] >= found.before["f1"]
    assert found.after["f1"] > 0.5  # most questions have no answer, which a threshold can say
    assert task_in(tmp_path / "out")["threshold"] == found.after["threshold"]


def found_figure(found):
    """The name of the task's main figure, which stands first."""
    return next(iter(found.after))


# === What stays ===


def test_weights_graphs_and_other_files_stay(exported, doubtful, tmp_path):
    tune(TuneSettings(exported, tmp_path / "out", doubtful))
    changed = {
        path.name
        for path in exported.iterdir()
        if path.read_bytes() != (tmp_path / "out" / path.name).read_bytes()
    }
    assert changed == {"task.json", "run.json", "README.md"}
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


def test_of_several_tasks_one_is_tuned_and_the_others_stay(finetune_settings, doubtful, tmp_path):
    file, path = json.dumps(doubtful.as_posix()), tmp_path / "tasks.toml"
    tables = [f'[[task]]\nname = "{name}"\ntrain = {file}\n' for name in ("mood", "other")]
    path.write_text("\n".join(tables), encoding="utf-8")
    given = {"train": None, "dev": None, "labels": (), "name": "", "tasks": path}
    folder = finetune(replace(finetune_settings, out=tmp_path / "both", epochs=1, **given))
    found = tune(TuneSettings(folder, tmp_path / "out", doubtful, task="mood"))
    assert found.task == "mood"
    kept, tasks = (read_json(each / "task.json") for each in (folder, tmp_path / "out"))
    assert tasks["other"] == kept["other"]
    assert tasks["mood"] != kept["mood"]


@pytest.mark.filterwarnings("ignore:A temperature is chosen")
def test_what_records_cannot_tell_stays(tmp_path):
    path = write_rows(tmp_path / "intents.tsv", KNOWN * 12)
    with pytest.warns(AlbatrossWarning, match="by records of 'oos' and of other labels"):
        found = tune(TuneSettings(Path("intent"), tmp_path / "out", path, task="intent"))
    assert found.after["threshold"] == found.before["threshold"] > 0


def test_the_card_tells_what_was_chosen(exported, doubtful, tmp_path):
    found = tune(TuneSettings(exported, tmp_path / "out", doubtful))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith((exported / "README.md").read_text(encoding="utf-8"))
    assert f"| temperature | 1.0000 | {found.after['temperature']:.4f} |" in card


# === Refusals ===


def test_it_is_not_done_onto_the_model(exported, doubtful):
    with pytest.raises(FolderError, match="must not write over what it reads"):
        tune(TuneSettings(exported, exported, doubtful))


def test_neither_the_base_nor_what_another_verb_wrote_is_replaced(
    delta_of, pretrained, finetuned, copy_of, doubtful
):
    base, run = copy_of(pretrained), copy_of(finetuned)
    folder = delta_of(base, "delta", Adaptation("frozen"), labels=("negative", "positive"))
    before = (base / "model.safetensors").read_bytes()
    with pytest.raises(FolderError, match="must not write over what it reads"):
        tune(TuneSettings(folder, base, doubtful))
    assert (base / "model.safetensors").read_bytes() == before
    with pytest.raises(FolderError, match="what another command wrote"):
        tune(TuneSettings(folder, run, doubtful))


def test_what_was_tuned_before_is_replaced_and_folders_stay_out(exported, copy_of, doubtful):
    model = copy_of(exported)
    for _ in range(2):
        tune(TuneSettings(model, model / "tuned", doubtful))
    assert (model / "tuned" / "task.json").is_file()
    assert not (model / "tuned" / "tuned").exists()


def test_a_few_records_choose_nothing(exported, doubtful, tmp_path):
    few = tmp_path / "few.tsv"
    few.write_text("\n".join(doubtful.read_text(encoding="utf-8").splitlines()[:50]) + "\n")
    with pytest.raises(DataError, match=r"at least 50 labelled records\. Received: 49 in"):
        tune(TuneSettings(exported, tmp_path / "out", few))
    assert not (tmp_path / "out").exists()


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
