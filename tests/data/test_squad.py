import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from albatross.data.formats import read_records
from albatross.data.records import SpanRecord, SpanText
from albatross.errors import AlbatrossWarning, DataError

CONTEXT = "The albatross flew to the far south in May."


def answer(text: str, start: object) -> dict:
    return {"text": text, "answer_start": start}


def squad(*questions: dict) -> str:
    """A file of one article in SQuAD's layout."""
    asked = [{"id": f"q{n}", "question": "When?", **each} for n, each in enumerate(questions)]
    paragraphs = [{"context": CONTEXT, "qas": asked}]
    return json.dumps({"version": "v2.0", "data": [{"title": "Birds", "paragraphs": paragraphs}]})


def span_table(*rows: dict) -> str:
    return "".join(
        json.dumps({"question": "When?", "context": CONTEXT, **row}) + "\n" for row in rows
    )


def spans(write, *rows: dict) -> list[SpanRecord]:
    return read_records(write("a.jsonl", span_table(*rows)), "span")


# === SQuAD's layout ===


def test_a_question_holds_its_answers_and_title(write):
    path = write("dev.json", squad({"answers": [answer("May", 39), answer("in May", 36)]}))
    (record,) = read_records(path, "squad")
    answers = (SpanText("May", 39), SpanText("in May", 36))
    assert record == SpanRecord("When?", CONTEXT, answers, False, True, "q0", "Birds")
    assert record.place == f"question 'q0' of {str(path)!r}"


@pytest.mark.parametrize(
    ("question", "is_impossible", "is_labelled"),
    [
        ({"answers": [], "is_impossible": True}, True, True),
        ({"answers": [], "is_impossible": True, "plausible_answers": []}, True, True),
        ({"answers": []}, True, True),
        ({"answers": [], "is_impossible": False}, False, False),
        ({}, False, False),
        ({"answers": [answer("May", 39)], "is_impossible": False}, False, True),
    ],
)
def test_no_answer_and_no_label_are_told_apart(write, question, is_impossible, is_labelled):
    (record,) = read_records(write("a.json", squad(question)), "squad")
    assert (record.is_impossible, record.is_labelled) == (is_impossible, is_labelled)


def test_an_answer_beside_its_place_is_moved_and_told(write):
    path = write(
        "a.json", squad({"answers": [answer("May", 36)]}, {"answers": [answer("May", 39)]})
    )
    with pytest.warns(AlbatrossWarning, match=r"1 that do not, .*question 'q0'.*1 that stand"):
        records = read_records(path, "squad")
    assert [record.answers for record in records] == [(SpanText("May", 39),)] * 2


def test_the_nearest_place_beside_is_taken(write):
    path = write("a.json", squad({"answers": [answer("the", 20)]}, {"answers": [answer("t", 31)]}))
    with pytest.warns(AlbatrossWarning, match="2 that do not"):
        records = read_records(path, "squad")
    assert [record.answers[0].start for record in records] == [22, 33]


def test_an_answer_that_stands_nowhere_is_dropped_and_its_question_passed_over(write):
    wrong, right = answer("June", 39), answer("May", 39)
    path = write("a.json", squad({"answers": [wrong, right]}, {"answers": [wrong]}))
    with pytest.warns(AlbatrossWarning, match="2 are dropped, and 1 questions") as told:
        (record,) = read_records(path, "squad")
    assert record.answers == (SpanText("May", 39),)
    assert len(told) == 1


def test_an_answer_far_from_its_place_is_dropped(write):
    path = write("a.json", squad({"answers": [answer("May", 0)]}, {}))
    with pytest.warns(AlbatrossWarning, match="1 are dropped"):
        assert [record.id for record in read_records(path, "squad")] == ["q1"]


@pytest.mark.parametrize(("text", "start"), [("May.", -4), ("May.", 10**9), ("", 4)])
def test_an_answer_outside_its_context_or_of_no_text_is_dropped(write, text, start):
    path = write("a.json", squad({"answers": [answer(text, start)]}, {}))
    with pytest.warns(AlbatrossWarning, match="1 are dropped"):
        assert [record.id for record in read_records(path, "squad")] == ["q1"]


def test_an_id_may_be_a_number(write):
    assert read_records(write("a.json", squad({"id": 262})), "squad")[0].id == "262"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "SQuAD's layout must have data"),
        ('{"data": [{"title": "a"}]}', "no 'paragraphs'"),
        ('{"data": 3}', "not iterable"),
        (squad({"question": 3}), "question must be a string. Received: 3 in question 'q0'"),
        (squad({"answers": [{"text": "May"}]}), "question 'q0' of .*no 'answer_start'"),
        (squad({"answers": [{"text": 3, "answer_start": 1}]}), "answer must be a string.*'q0'"),
        (squad({"answers": [answer("May", "x")]}), "question 'q0'"),
        (squad({"answers": "May"}), "question 'q0'"),
        ('{"data": []}', "at least one record"),
    ],
)
def test_another_layout_is_refused_by_name(write, content, message):
    path = write("a.json", content)
    with pytest.raises(DataError, match=message) as caught:
        read_records(path, "squad")
    assert str(path) in str(caught.value)


# === Tables ===


@pytest.mark.parametrize(
    "row",
    [
        {"answers": [{"text": "May", "start": 39}]},
        {"answers": [{"text": "May", "answer_start": 39}]},
        {"answers": {"text": ["May"], "answer_start": [39]}},
        {"answers": '[{"text": "May", "start": 39}]'},
        {"answers": ["May"]},
        {"answer": "May"},
        {"answer": "May", "start": 39},
        {"answer": "May", "answer_start": 39.0},
        {"answers": ["May"], "start": [39]},
    ],
)
def test_an_answer_may_be_spelled_in_many_ways(write, row):
    assert spans(write, row) == [SpanRecord("When?", CONTEXT, (SpanText("May", 39),), False, True)]


@pytest.mark.parametrize(
    ("row", "is_impossible", "is_labelled"),
    [
        ({"answers": []}, True, True),
        ({"answers": {"text": [], "answer_start": []}}, True, True),
        ({"is_impossible": True}, True, True),
        ({"answer": "", "is_impossible": "true"}, True, True),
        ({"answers": [], "is_impossible": False}, False, False),
        ({"is_impossible": False}, False, False),
        ({"answers": None}, False, False),
        ({}, False, False),
    ],
)
def test_tables_tell_no_answer_from_no_label(write, row, is_impossible, is_labelled):
    (record,) = spans(write, row)
    assert (record.is_impossible, record.is_labelled) == (is_impossible, is_labelled)


def test_an_answer_in_brackets_is_an_answer(write):
    path = write("a.tsv", "question\tcontext\tanswer\nWhich?\tSee [1] there.\t[1]\n")
    assert read_records(path, "span")[0].answers == (SpanText("[1]", 4),)


def test_parquet_holds_the_usual_struct_of_answers(tmp_path):
    row = {"question": "When?", "context": CONTEXT, "answers": {"text": ["May"], "start": [39]}}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert read_records(tmp_path / "a.parquet", "span")[0].answers == (SpanText("May", 39),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "May", "start": 38}, "its start. Received: 'May' at 38 in line 1"),
        ({"answer": "May", "start": "-1"}, "its start. Received: 'May' at -1 in line 1"),
        ({"answer": "June"}, "Received: 'June', no part of it, in line 1"),
        ({"answer": "t"}, "'t', which stands in the context more than once, in line 1"),
        ({"answers": ["May", "south"], "start": [39]}, "2 answers and 1 starts in line 1"),
        ({"answers": [3]}, "answer must be a string. Received: 3 in line 1"),
        ({"answer": "May", "is_impossible": True}, "'May' and is_impossible"),
        ({"is_impossible": "perhaps"}, "Received: 'perhaps' in line 1"),
        ({"context": None}, "context must be a string"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named(write, row, message):
    with pytest.raises(DataError, match=message):
        spans(write, row)
