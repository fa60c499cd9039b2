"""The verb predict, where it answers a benchmark's test set."""

import json

import pytest

from albatross.cli import main
from albatross.errors import ConfigError, DataError
from albatross.pipelines.predict import predict
from albatross.settings.answering import PredictSettings


@pytest.fixture
def of_sst2(finetuned, copy_of):
    """A model of reviews that says it learned from SST-2's files."""
    folder = copy_of(finetuned)
    tasks = json.loads((folder / "task.json").read_text())
    (task,) = tasks.values()
    task |= {"format": "sst2", "values": ["0", "1"]}
    (folder / "task.json").write_text(json.dumps(tasks))
    return folder


@pytest.fixture
def test_set(tmp_path, reviews):
    path = tmp_path / "test.tsv"
    rows = [f"{number}\t{text}" for number, (text, _) in enumerate(reviews)]
    path.write_text("\n".join(["index\tsentence", *rows]))
    return path


def test_a_test_set_is_answered_as_its_server_takes_it(
    of_sst2, test_set, reviews, tmp_path, capsys
):
    out = tmp_path / "submission"
    words = ["predict", str(of_sst2), "--file", str(test_set), "--submission", str(out)]
    assert main(words) == 0
    assert "32 answers" in capsys.readouterr().out
    header, *rows = (out / "SST-2.tsv").read_text().splitlines()
    expected = ["1" if label == "positive" else "0" for _, label in reviews]
    assert header == "index\tprediction"
    assert rows == [f"{number}\t{label}" for number, label in enumerate(expected)]
    assert (out / "submission.zip").is_file()


def test_a_model_of_no_benchmark_makes_no_submission(finetuned, test_set, tmp_path):
    out = tmp_path / "submission"
    with pytest.raises(DataError, match="of the format 'text'"):
        predict(PredictSettings(finetuned, file=test_set, submission=out))
    assert not out.exists()


def test_a_submission_is_of_a_file(finetuned, tmp_path):
    with pytest.raises(ConfigError, match="Received: --file None"):
        PredictSettings(finetuned, ("a",), submission=tmp_path)
