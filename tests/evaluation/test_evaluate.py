import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from albatross.cli import main
from albatross.config import AlbertConfig
from albatross.engine.open import open_model
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import DataError, FolderError, LabelError
from albatross.evaluation import evaluate as home
from albatross.evaluation.evaluate import answers_by_depth, evaluate, score_records
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import answer_records, load
from albatross.settings.answering import EvaluateSettings
from albatross.tasks.choice import ChoiceTask

MODEL = Path("sentiment")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_evaluated_is_what_predict_answers(report, review_file):
    rows = [line.split("\t") for line in review_file.read_text("utf-8").splitlines()[1:]]
    answers = load("sentiment")([row[0] for row in rows])
    right = [answer.label == row[1] for answer, row in zip(answers, rows, strict=True)]
    assert report.records == len(rows) == 80
    assert report.metrics["accuracy"] == pytest.approx(np.mean(right))
    assert len(report.mistakes) == min(20, right.count(False))


def test_every_figure_lies_in_its_interval(report):
    assert set(report.intervals) == set(report.metrics) - {"records"} == set(report.figures)
    for name, interval in report.intervals.items():
        assert interval.low <= report.metrics[name] <= interval.high


def test_equal_runs_give_equal_reports(report, review_file):
    again = evaluate(EvaluateSettings(MODEL, review_file, bootstrap=200))
    assert replace(again, run={}) == replace(report, run={})


def test_a_table_of_other_columns_is_told_which_is_which(report, review_file, tmp_path):
    rows = review_file.read_text("utf-8").splitlines()[1:]
    other = write(tmp_path / "tickets.tsv", "\n".join(["ticket\tqueue\tsubset", *rows]))
    columns = ("text=ticket", "label=queue")
    with pytest.raises(DataError, match="needs a column text"):
        evaluate(EvaluateSettings(MODEL, other))
    found = evaluate(EvaluateSettings(MODEL, other, columns=columns, bootstrap=0))
    assert found.metrics == report.metrics


def test_without_drawings_there_are_figures_and_no_intervals(report, review_file):
    plain = evaluate(EvaluateSettings(MODEL, review_file, bootstrap=0))
    assert (plain.metrics, plain.intervals) == (report.metrics, {})


def test_a_folder_of_records_is_told_by_all_its_files(untrained, tmp_path):
    """RACE lies in a folder, a file for each passage."""
    race = tmp_path / "dev" / "middle"
    race.mkdir(parents=True)
    for number in (1, 2):
        passage = {
            "article": "A gull flew over the harbour.",
            "questions": ["What flew?"],
            "options": [["a gull", "a tern", "a swan", "a crow"]],
            "answers": ["A"],
            "id": f"middle{number}.txt",
        }
        write(race / f"{number}.txt", json.dumps(passage))
    model = untrained(lambda inputs: ChoiceTask("race", (), replace(inputs, format="race")))
    found = evaluate(EvaluateSettings(model, tmp_path / "dev", bootstrap=0))
    data = found.run["data"]
    assert (data["records"], data["file"]) == (2, "dev")
    write(race / "2.txt", (race / "1.txt").read_text())
    changed = evaluate(EvaluateSettings(model, tmp_path / "dev", bootstrap=0)).run["data"]
    assert changed["sha256"] != data["sha256"]


def test_subsets_named_low_and_high_have_figures_of_their_own(untrained, tmp_path):
    names = ("low", "high")
    rows = [
        {"question": "Who?", "choices": ["a", "b"], "label": n % 2, "subset": names[n // 4]}
        for n in range(8)
    ]
    file = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    model = untrained(lambda inputs: ChoiceTask("quiz", names, replace(inputs, format="choice")))
    report = evaluate(EvaluateSettings(model, file, bootstrap=20))
    assert set(report.intervals) == {"accuracy", "accuracy_low", "accuracy_high"}
    assert set(report.metrics) >= set(report.intervals)


def test_the_trainer_gets_the_same_figures(report, review_file):
    opened = open_model("sentiment")
    records = opened.task.read(review_file)
    found = score_records(opened.engine, opened.task, records, 512)
    assert found == report.metrics


def test_subsets_and_bands_of_length_hold_every_record(report):
    assert [part.name for part in report.subsets] == ["even", "odd"]
    for parts in (report.subsets, report.lengths):
        assert sum(part.records for part in parts) == 80
        mean = sum(part.score * part.records for part in parts) / 80
        assert mean == pytest.approx(report.metrics["accuracy"])


def test_what_was_run_is_told(report, review_file):
    assert report.run["verb"] == "evaluate"
    assert report.run["data"]["file"] == review_file.name
    assert len(report.run["data"]["sha256"]) == 64
    assert report.run["settings"]["model"] == "sentiment"


# === Files ===


def test_the_report_is_a_folder_with_a_page_and_the_same_in_json(review_file, tmp_path, capsys):
    folder = tmp_path / "new" / "report"
    words = ["evaluate", "sentiment", str(review_file), "--json", "--report", str(folder)]
    assert main([*words, "--bootstrap", "20"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((folder / "report.json").read_text("utf-8"))
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]
    assert f"open {folder}/report.html" in said.err


def test_other_files_of_the_folder_stay_and_an_old_report_goes(review_file, tmp_path):
    write(tmp_path / "notes.txt", "mine")
    write(tmp_path / "report.json", "earlier")
    evaluate(EvaluateSettings(MODEL, review_file, report=tmp_path, bootstrap=20))
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["records"] == 80
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["report.json", "report.html", "a-file", "a-file/below"])
def test_a_report_that_is_no_folder_is_refused_before_anything_is_computed(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr(home, "open_model", pytest.fail)
    write(tmp_path / "a-file", "")
    settings = EvaluateSettings(MODEL, tmp_path / "x.tsv", report=tmp_path / name)
    with pytest.raises(FolderError, match=r"`--report` must .* Received: .* Name a"):
        evaluate(settings)


def test_a_table_is_printed_and_the_next_command_named(review_file, capsys):
    assert main(["evaluate", "sentiment", str(review_file), "--bootstrap", "20"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == f"sentiment on {review_file}: 80 records"
    assert lines[1].split() == ["metric", "value", "95", "%", "interval"]
    assert lines[2].split()[0] == "accuracy"
    assert f"Next: albatross evaluate sentiment {review_file} --report runs/report" in said.err


# === Bad input ===


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\na\tneutral\n", r"Received: 'neutral'.*line 2 of"),
        ("text\tlabel\na\tpositive\nb\t\n", "Received.*without|none"),
        ("text\na\n", "albatross predict"),
    ],
)
def test_labels_are_checked_before_anything_is_computed(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(home, "answer_records", pytest.fail)
    path = write(tmp_path / "records.tsv", content)
    with pytest.raises(LabelError, match=message):
        evaluate(EvaluateSettings(MODEL, path, report=tmp_path / "report"))
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("content", ["", "text\tlabel\n"])
def test_an_empty_file_is_one_clear_error(tmp_path, content):
    with pytest.raises(DataError, match="must"):
        evaluate(EvaluateSettings(MODEL, write(tmp_path / "empty.tsv", content)))


def test_missing_records_are_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        evaluate(EvaluateSettings(MODEL, tmp_path / "none.tsv"))


# === Depths ===


@pytest.fixture
def with_exits(review_file):
    """A small model of random weights that answers after each of three depths."""
    opened = open_model("sentiment")
    config = AlbertConfig(
        vocab_size=opened.config.vocab_size,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    heads = {next(iter(opened.task.heads)): HeadSpec("sequence", 2, {"exits": True})}
    engine = TorchEngine(AlbertWithHeads(config, heads=heads).eval())
    return engine, opened.task, opened.task.read(review_file)


def test_all_depths_answer_in_one_pass_and_the_last_as_without_exits(with_exits):
    engine, task, records = with_exits
    found = answers_by_depth(engine, task, records, 512)
    assert len(found) == 3
    plain = answer_records(engine, task, records, 512)
    for ours, theirs in zip(found[-1], plain, strict=True):
        assert ours.label == theirs.label
        assert ours.score == pytest.approx(theirs.score, abs=1e-5)
    assert len({tuple(answer.score for answer in answers) for answers in found}) == 3


def test_a_report_has_the_figure_of_each_depth(with_exits, review_file, monkeypatch):
    engine, task, records = with_exits
    opened = replace(open_model("sentiment"), engine=engine)
    monkeypatch.setattr(home, "open_model", lambda *_, **__: opened)
    report = evaluate(EvaluateSettings(MODEL, review_file, bootstrap=20))
    assert [depth.name for depth in report.depths] == ["1", "2", "3"]
    assert report.depths[-1].score == report.metrics["accuracy"]
    by_depth = answers_by_depth(engine, task, records, 512)
    wanted = [task.metrics(task.judge(answers, records))["accuracy"] for answers in by_depth]
    assert [depth.score for depth in report.depths] == pytest.approx(wanted)
    rows = [line for line in str(report).splitlines() if "after depth" in line]
    assert [float(row.split()[4]) for row in rows] == pytest.approx(wanted, abs=1e-4)
