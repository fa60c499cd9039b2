"""Files for the benchmarks' servers."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from albatross.data.records import SpanRecord, TextRecord
from albatross.errors import DataError, LabelError
from albatross.pipelines.submission import (
    GLUE_FILES,
    benchmark_of_test,
    pack_glue_answers,
    submission_file,
    write_glue_answers,
    write_squad_answers,
)
from albatross.tasks.answers import Answer, SpanAnswer, ValueAnswer
from albatross.tasks.benchmarks import BENCHMARKS

# The list that the server prints.
OFFICIAL = "AX CoLA MNLI-m MNLI-mm MRPC QNLI QQP RTE SST-2 STS-B WNLI"
RECORDS = [TextRecord("a", id="7"), TextRecord("b", id="9")]
QUESTIONS = [SpanRecord("Who?", "Ann.", id="é1"), SpanRecord("Why?", "Ann.", id="q2")]


def labelled(*labels: str) -> list[Answer]:
    return [Answer(label, 1.0, {label: 1.0}) for label in labels]


SPANS = [SpanAnswer("Ann — é", 0, 7, 0.9, -2.5), SpanAnswer("", 0, 0, 0.9, 3.75)]

# === GLUE ===


def test_the_names_are_those_of_the_server():
    assert sorted(GLUE_FILES) == [f"{name}.tsv" for name in OFFICIAL.split()]


def test_a_table_has_the_numbers_of_the_records_and_labels_as_published(tmp_path):
    answers = labelled("not_entailment", "entailment")
    path = write_glue_answers(BENCHMARKS["rte"], RECORDS, answers, tmp_path / "new")
    assert path == tmp_path / "new" / "RTE.tsv"
    expected = "index\tprediction\n7\tnot_entailment\n9\tentailment\n"
    assert path.read_bytes() == expected.encode()


def test_records_without_numbers_are_counted_from_zero(tmp_path):
    records = [TextRecord("a"), TextRecord("b")]
    path = write_glue_answers(BENCHMARKS["sst2"], records, labelled("1", "0"), tmp_path)
    assert path.read_text() == "index\tprediction\n0\t1\n1\t0\n"


def test_names_of_labels_are_written_as_their_numbers(tmp_path):
    answers = labelled("positive", "negative")
    path = write_glue_answers(BENCHMARKS["sst2"], RECORDS, answers, tmp_path)
    assert path.read_text() == "index\tprediction\n7\t1\n9\t0\n"


def test_a_model_of_mnli_answers_ax():
    task: Any = SimpleNamespace(name="mnli", inputs=SimpleNamespace(format="mnli"))
    assert benchmark_of_test(task, Path("AX.tsv"))[0].name == "ax"
    assert benchmark_of_test(task, Path("test_matched.tsv.gz")) == (
        BENCHMARKS["mnli"],
        "test_matched",
    )
    with pytest.raises(DataError, match="one of the test sets test_matched"):
        benchmark_of_test(task, Path("dev.tsv"))


def test_similarity_is_a_number(tmp_path):
    answers = [ValueAnswer(3.14159265), ValueAnswer(5.0)]
    path = write_glue_answers(BENCHMARKS["stsb"], RECORDS, answers, tmp_path)
    assert path.read_text() == "index\tprediction\n7\t3.14159\n9\t5.00000\n"


def test_each_test_set_of_mnli_has_its_file():
    mnli = BENCHMARKS["mnli"]
    assert submission_file(mnli, "test_matched") == "MNLI-m.tsv"
    assert submission_file(mnli, "test_mismatched") == "MNLI-mm.tsv"
    assert submission_file(BENCHMARKS["ax"]) == "AX.tsv"
    with pytest.raises(DataError, match=r"test_matched, test_mismatched. Received: '' of `mnli`"):
        submission_file(mnli)


@pytest.mark.parametrize("name", ["snli", "race", "squad2"])
def test_other_benchmarks_have_no_table(name):
    with pytest.raises(DataError, match=f"for a benchmark of GLUE. Received: .* of `{name}`"):
        submission_file(BENCHMARKS[name])


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("rte", labelled("yes")[0], "one of entailment, not_entailment. Received: 'yes'"),
        ("rte", ValueAnswer(1.0), "Received: None"),
        ("stsb", labelled("1")[0], "a number. Received: None"),
        ("stsb", ValueAnswer(float("nan")), "a number. Received: nan"),
    ],
)
def test_an_answer_that_the_server_would_refuse_is_refused(tmp_path, name, answer, message):
    with pytest.raises(LabelError, match=message):
        write_glue_answers(BENCHMARKS[name], RECORDS[:1], [answer], tmp_path)
    assert not list(tmp_path.iterdir())


def test_answers_that_lack_or_collide_are_refused(tmp_path):
    rte = BENCHMARKS["rte"]
    with pytest.raises(DataError, match="2 records and 1 answers"):
        write_glue_answers(rte, RECORDS, labelled("entailment"), tmp_path)
    with pytest.raises(DataError, match="0 records and 0 answers"):
        write_glue_answers(rte, [], [], tmp_path)
    with pytest.raises(DataError, match="Received: '7' twice"):
        write_glue_answers(rte, RECORDS[:1] * 2, labelled("entailment") * 2, tmp_path)


def test_the_archive_holds_the_tables_alone_and_says_what_lacks(tmp_path):
    for name in ("RTE.tsv", "CoLA.tsv", "notes.txt"):
        (tmp_path / name).write_text(name)
    missing = pack_glue_answers(tmp_path, tmp_path / "out" / "glue.zip")
    assert set(missing) == set(GLUE_FILES) - {"RTE.tsv", "CoLA.tsv"}
    with zipfile.ZipFile(tmp_path / "out" / "glue.zip") as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            "CoLA.tsv": "CoLA.tsv",
            "RTE.tsv": "RTE.tsv",
        }


def test_equal_answers_make_equal_archives(tmp_path):
    for part in ("a", "b"):
        write_glue_answers(BENCHMARKS["cola"], RECORDS, labelled("1", "0"), tmp_path / part)
        pack_glue_answers(tmp_path / part, tmp_path / f"{part}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_folder_without_tables_makes_no_archive(tmp_path):
    with pytest.raises(DataError, match=r"such as CoLA\.tsv"):
        pack_glue_answers(tmp_path, tmp_path / "glue.zip")
    assert not list(tmp_path.iterdir())


# === SQuAD ===


def test_squad_2_has_texts_and_scores_of_no_answer(tmp_path):
    paths = write_squad_answers(BENCHMARKS["squad2"], QUESTIONS, SPANS, tmp_path)
    assert [path.name for path in paths] == ["predictions.json", "na_prob.json"]
    texts, scores = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    assert texts == {"é1": "Ann — é", "q2": ""}
    # Log odds of -2.5 and 3.75; the official script says "no answer" above 1.
    assert scores == pytest.approx({"é1": 0.0758582, "q2": 0.9770226}, abs=1e-7)


def test_squad_1_has_texts_alone(tmp_path):
    (path,) = write_squad_answers(BENCHMARKS["squad1"], QUESTIONS, SPANS, tmp_path)
    assert path.name == "predictions.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"é1": "Ann — é", "q2": ""}


def test_questions_of_one_id_and_other_benchmarks_are_refused(tmp_path):
    with pytest.raises(DataError, match="Received: 'é1' twice"):
        write_squad_answers(BENCHMARKS["squad2"], QUESTIONS[:1] * 2, SPANS, tmp_path)
    with pytest.raises(DataError, match="`race`"):
        write_squad_answers(BENCHMARKS["race"], QUESTIONS, SPANS, tmp_path)
