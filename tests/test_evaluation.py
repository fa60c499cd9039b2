import json

import pytest

from albatross import evaluation
from albatross.cli import main
from albatross.errors import DataError, FolderError, LabelError
from albatross.evaluation import evaluate
from albatross.pipelines.pipeline import load
from albatross.settings.answering import EvaluateSettings


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_report_counts_right_answers(exported, train_file, tmp_path):
    text = train_file.read_text(encoding="utf-8")
    half = write(tmp_path / "half.tsv", text.replace("\tnegative", "\tpositive"))
    assert evaluate(EvaluateSettings(exported, train_file)).metrics["accuracy"] == 1.0
    metrics = evaluate(EvaluateSettings(exported, half)).metrics
    assert (metrics["accuracy"], metrics["records"]) == (0.5, 32)
    assert metrics["accuracy_low"] < 0.5 < metrics["accuracy_high"]


def test_what_is_evaluated_is_what_predict_answers(exported, train_file, reviews):
    classify = load(exported)
    right = [classify(text).label == label for text, label in reviews]
    report = evaluate(EvaluateSettings(exported, train_file, engine="torch"))
    assert report.metrics["accuracy"] == sum(right) / len(right)


def test_pairs_and_names_of_labels_are_read(exported, tmp_path):
    rows = [
        {"text": "a", "text_pair": "b", "label": "negative"},
        {"text": "c", "label": "positive"},
    ]
    path = write(tmp_path / "pairs.jsonl", "\n".join(map(json.dumps, rows)))
    assert evaluate(EvaluateSettings(exported, path)).metrics["records"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tlabel\na\tneutral\n", "Received: 'neutral'"),
        ("text\tlabel\na\tpositive\nb\t\n", "Received: 1 of 2 without"),
        ("text\na\n", "Received: 1 of 1 without"),
    ],
)
def test_labels_are_checked_before_anything_is_computed(
    exported, tmp_path, monkeypatch, content, message
):
    monkeypatch.setattr(evaluation, "answer_records", pytest.fail)
    path = write(tmp_path / "records.tsv", content)
    with pytest.raises(LabelError, match=message):
        evaluate(EvaluateSettings(exported, path, report=tmp_path / "report.json"))
    assert not (tmp_path / "report.json").exists()


def test_missing_records_are_one_clear_error(exported, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        evaluate(EvaluateSettings(exported, tmp_path / "none.tsv"))


def test_a_report_is_written_whole_and_printed(exported, train_file, tmp_path, capsys):
    path = write(tmp_path / "report.json", "earlier")
    words = ["evaluate", exported, train_file, "--json", "--report", path]
    assert main(list(map(str, words))) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())
    assert json.loads(path.read_text())["metrics"]["accuracy"] == 1.0
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_for_the_report_is_asked_for_first(exported, tmp_path):
    settings = EvaluateSettings(
        exported, tmp_path / "x.tsv", report=tmp_path / "no" / "report.json"
    )
    with pytest.raises(FolderError, match="must stand in a folder that exists"):
        evaluate(settings)


def test_a_report_is_readable(exported, train_file):
    lines = str(evaluate(EvaluateSettings(exported, train_file))).splitlines()
    assert lines[0] == f"{exported} on {train_file}"
    assert [line.split()[-1] for line in lines[1:]] == ["1.0000", "1.0000", "1.0000", "32"]
