import gzip
import json

import pytest

from albatross.data.formats import read_records
from albatross.data.records import ChoiceRecord
from albatross.errors import DataError, LabelError

PASSAGE = {
    "article": "A bird flew.",
    "questions": ["What flew?", "It _ ."],
    "options": [["A cat", "A bird", "A cow", "None"], ["sat", "ran", "slept", "flew"]],
    "answers": ["B", "D"],
    "id": "high7.txt",
}
WHAT = ChoiceRecord(
    "A bird flew.", "What flew?", ("A cat", "A bird", "A cow", "None"), 1, "high7.txt-0", "high"
)


def choices(write, *rows: dict) -> list[ChoiceRecord]:
    lines = "".join(json.dumps({"question": "Which?", **row}) + "\n" for row in rows)
    return read_records(write("a.jsonl", lines), "choice")


# === RACE ===


def test_a_passage_has_several_questions(write, tmp_path):
    write("train/high/7.txt", json.dumps(PASSAGE))
    first, second = read_records(tmp_path / "train", "race")
    assert first == WHAT
    assert (second.question, second.label, second.id) == ("It _ .", 3, "high7.txt-1")
    assert first.place.endswith("high/7.txt'")


def test_passages_are_in_the_order_of_their_numbers(write, tmp_path):
    for name in ("middle/10.txt", "high/10.txt", "middle/9.txt"):
        passage = PASSAGE | {"id": name, "questions": ["Q"], "options": [["a", "b"]]}
        write(name, json.dumps(passage | {"answers": ["A"]}))
    records = read_records(tmp_path, "race")
    assert [record.id for record in records] == [
        "high/10.txt-0",
        "middle/9.txt-0",
        "middle/10.txt-0",
    ]
    assert [record.subset for record in records] == ["high", "middle", "middle"]


def test_passages_may_be_packed_and_other_files_stand_beside_them(write, tmp_path):
    write("high/7.txt.gz", gzip.compress(json.dumps(PASSAGE).encode()))
    write("high/7.txt~", "an editor's copy")
    write("README.md", "What this is.")
    assert len(read_records(tmp_path, "race")) == 2


def test_one_file_may_hold_a_passage_a_line(write):
    other = PASSAGE | {"id": "middle3.txt"}
    path = write("train.jsonl", f"{json.dumps(PASSAGE)}\n{json.dumps(other)}\n")
    records = read_records(path, "race")
    assert [record.subset for record in records] == ["high", "high", "middle", "middle"]
    assert records[0] == WHAT


def test_a_file_of_all_passages_is_read_only_where_it_is_alone(write, tmp_path):
    write("both/high/all.txt", f"{json.dumps(PASSAGE)}\n" * 2)
    write("both/high/7.txt", json.dumps(PASSAGE))
    write("alone/high/all.txt", f"{json.dumps(PASSAGE)}\n" * 2)
    assert len(read_records(tmp_path / "both", "race")) == 2
    assert len(read_records(tmp_path / "alone", "race")) == 4


def test_a_passage_without_answers_has_no_labels(write):
    passage = {key: value for key, value in PASSAGE.items() if key != "answers"}
    records = read_records(write("7.txt", json.dumps(passage)), "race")
    assert [record.label for record in records] == [None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": ["B"]}, "line 1 of .*: 2 questions, 2 options, 1 answers"),
        ({"answers": ["B", "E"]}, "4 choices. Received: 'E' in line 1"),
        ({"answers": ["B", "BC"]}, "Received: 'BC' in line 1"),
        ({"questions": ["One?"]}, "1 questions, 2 options, 2 answers"),
        ({"options": None}, "must be a JSON object with id, article"),
        ({"article": 3}, "article must be a string. Received: 3"),
    ],
)
def test_a_passage_that_breaks_a_rule_is_named(write, change, message):
    path = write("7.txt", json.dumps(PASSAGE | change))
    with pytest.raises(DataError, match=message) as caught:
        read_records(path, "race")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["[1]", "{", "3"])
def test_a_file_that_is_no_passage_is_named(write, content):
    with pytest.raises(DataError, match=r"file of RACE must be .*line 1 of '.*7\.txt'"):
        read_records(write("7.txt", content), "race")


def test_a_folder_without_passages_and_no_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="at least one record"):
        read_records(tmp_path, "race")
    with pytest.raises(DataError, match="no such place"):
        read_records(tmp_path / "train", "race")


# === DREAM and SWAG ===


def test_dream_answers_questions_on_a_dialogue_by_their_text(write):
    asked = {"question": "Who?", "choice": ["Ann.", "0", "Al."], "answer": "Al."}
    path = write("dev.json", json.dumps([[["W: Hi.", "M: Oh."], [asked, asked], "1-2"]]))
    first, second = read_records(path, "dream")
    assert first == ChoiceRecord("W: Hi.\nM: Oh.", "Who?", ("Ann.", "0", "Al."), 2, "1-2-0")
    assert second.id == "1-2-1"
    assert first.place == f"question 1 of '1-2' in {str(path)!r}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2]]", "list of .turns, questions, id."),
        ('[[["Hi."], [{"question": "Who?"}], "1"]]', "no 'choice'"),
        ('[[["Hi."], [{"question": "Q", "choice": ["a", "b"], "answer": "0"}], "1"]]', "none of"),
        ("3", "list of"),
    ],
)
def test_another_layout_than_dreams_is_refused(write, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read_records(write("dev.json", content), "dream")
    assert "dev.json" in str(caught.value)


def test_swag_ends_the_start_of_a_sentence(write):
    header = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source"
    header = f"{header},ending0,ending1,ending2,ending3"
    row = '7,v1,9,He sits. He,He sits.,He,gold,"stands, slowly.",flies.,sings.,sleeps.'
    endings = ("stands, slowly.", "flies.", "sings.", "sleeps.")
    train = write("train.csv", f"{header},label\n{row},2\n")
    test = write("test.csv", f"{header}\n{row}\n")
    assert read_records(train, "swag") == [ChoiceRecord("He sits.", "He", endings, 2, "7")]
    assert read_records(test, "swag") == [ChoiceRecord("He sits.", "He", endings, None, "7")]


@pytest.mark.parametrize("value", ["-1", -1])
def test_a_label_that_is_kept_back_is_none(write, value):
    row = {"question": "q", "choices": ["a", "b"], "label": value}
    (record,) = read_records(write("test.jsonl", json.dumps(row)), "choice")
    assert record.label is None
    (record,) = read_records(
        write("signs.jsonl", json.dumps({**row, "choices": ["1", "-1"]})), "choice"
    )
    assert record.label == 1


def test_columns_of_choices_are_in_the_order_of_their_numbers(write):
    names = ",".join(f"choice{n}" for n in range(12))
    cells = ",".join(f"c{n}" for n in range(12))
    (record,) = read_records(write("a.csv", f"question,{names},label\nq,{cells},11\n"), "choice")
    assert record.choices == tuple(f"c{n}" for n in range(12))
    assert record.label == 11


def test_a_question_may_have_fewer_choices_than_columns(write):
    header = "question,choice0,choice1,choice2,label\n"
    (record,) = read_records(write("a.csv", f"{header}Flies?,yes,no,,0\n"), "choice")
    assert (record.choices, record.label) == (("yes", "no"), 0)
    with pytest.raises(DataError, match="an empty one before others in line 2"):
        read_records(write("b.csv", f"{header}Flies?,yes,,no,0\n"), "choice")


# === Tables ===


@pytest.mark.parametrize(
    "row",
    [
        {"choices": ["x", "y", "z"], "label": 1},
        {"options": '["x", "y", "z"]', "answer": "B"},
        {"choice0": "x", "choice1": "y", "choice2": "z", "label": "y"},
        {"answer_a": "x", "answer_b": "y", "answer_c": "z", "label": "1"},
        {"sol1": "x", "sol2": "y", "sol3": "z", "label": 1.0},
        {"A. x": None, "choices": ["x", "y", "z"], "answerKey": "B"},
    ],
)
def test_choices_and_labels_are_spelled_in_many_ways(write, row):
    assert choices(write, row) == [ChoiceRecord("", "Which?", ("x", "y", "z"), 1)]


def test_a_choice_may_have_no_label_and_a_context_alone(write):
    path = write("a.tsv", "premise\tchoice1\tchoice2\tid\nIt rained.\tWet.\tDry.\t4\n")
    assert read_records(path, "choice") == [
        ChoiceRecord("It rained.", "", ("Wet.", "Dry."), id="4")
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"choices": ["x", "y"], "label": 2}, "2 choices: .* Received: '2' in line 1 .* none of"),
        ({"choices": ["x", "y"], "label": "C"}, "Received: 'C' in line 1"),
        ({"choices": ["1", "0"], "label": "1"}, r"could be each of \[0, 1\]"),
        ({"choices": ["x", "x"], "label": "x"}, r"could be each of \[0, 1\]"),
    ],
)
def test_a_label_of_none_or_of_two_choices_is_refused(write, row, message):
    with pytest.raises(LabelError, match=message):
        choices(write, row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"choices": ["x"]}, r"line 1 of .*1 choices\. Name"),
        ({}, "with the columns question, 0 choices"),
        ({"choices": [1, 2]}, "choice must be a string. Received: 1 in line 1"),
        ({"question": None, "choices": ["x", "y"]}, "needs a column `context` or `question`"),
        ({"question": 3, "choices": ["x", "y"]}, "question must be a string. Received: 3"),
    ],
)
def test_a_row_of_choices_that_breaks_a_rule_is_named(write, row, message):
    with pytest.raises(DataError, match=message):
        choices(write, row)
