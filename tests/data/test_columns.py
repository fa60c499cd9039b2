import pytest

from albatross.data.columns import Columns, Part, columns_of, refuse_columns
from albatross.data.tables import Row
from albatross.errors import ConfigError, DataError

PARTS = {
    "text": Part(("text", "sentence", "review"), is_needed=True),
    "label": Part(("label", "class"), may_lack=True),
    "id": Part(("id", "index", "idx"), in_order=True),
}


def found(given: dict[str, str], *names: str) -> dict[str, object]:
    """What each part is taken to be, where every cell holds its column's name."""
    return Columns(PARTS, given).parts(Row("line 2 of 'a.csv'", {name: name for name in names}))


def complaint(given: dict[str, str], *names: str) -> str:
    with pytest.raises(DataError) as caught:
        found(given, *names)
    return str(caught.value)


def test_usual_names_are_found_in_any_case():
    assert found({}, "Review", "CLASS") == {"text": "Review", "label": "CLASS"}


def test_a_parts_own_name_goes_before_other_names():
    assert found({}, "review", "text", "sentence") == {"text": "text"}


def test_two_columns_that_could_be_meant_are_refused_by_name():
    message = complaint({}, "review", "sentence")
    assert "line 2 of 'a.csv' with sentence and review" in message
    assert "text=sentence" in message


def test_spellings_of_one_name_in_two_cases_are_ambiguous():
    assert "Text and text" in complaint({}, "text", "Text")


def test_an_id_is_the_first_that_there_is():
    assert found({}, "text", "idx", "index")["id"] == "index"


def test_a_given_column_wins_and_is_taken_only_once():
    assert found({"text": "class"}, "class", "text", "label") == {"text": "class", "label": "label"}
    assert found({"label": "review"}, "sentence", "review") == {
        "text": "sentence",
        "label": "review",
    }


def test_a_given_column_must_be_there_unless_it_holds_labels():
    assert "needs a column stars. Received: line 2" in complaint({"text": "stars"}, "text")
    assert found({"label": "stars"}, "text") == {"text": "text"}


def test_a_lacking_column_names_those_that_there_are_and_the_remedy():
    message = complaint({}, "a", "", *(f"c{n}" for n in range(30)))
    assert "text or sentence or review" in message
    assert " or the like" not in message
    assert "the columns a, (one without a name), c0" in message
    assert "and 12 more" in message
    assert "text=1" in message


def test_all_columns_are_given_by_name_or_all_by_number():
    assert not Columns(PARTS, {"text": "2", "label": "1"}).has_header
    assert Columns(PARTS, {"text": "b"}).has_header
    assert Columns(PARTS).has_header
    with pytest.raises(DataError, match=r"text=2, label=b\. Correct one of them"):
        Columns(PARTS, {"text": "2", "label": "b"})


def test_a_column_of_no_part_is_refused():
    with pytest.raises(DataError, match=r"given for text, label, id.*txt=b. Correct txt"):
        Columns(PARTS, {"txt": "b"})


def test_rows_differ_in_their_columns(write):
    path = write("a.jsonl", '{"text": "a"}\n{"sentence": "b", "label": 1}\n{"label": 2}\n')
    rows = Columns(PARTS).read(path)
    assert dict(next(rows).cells) == {"text": "a", "label": None, "id": None}
    assert next(rows).cells["text"] == "b"
    with pytest.raises(DataError, match="line 3"):
        next(rows)


def test_published_layouts_take_no_columns():
    refuse_columns("cola", {})
    with pytest.raises(DataError, match="text=a for the format cola"):
        refuse_columns("cola", {"text": "a"})


def test_columns_are_written_as_part_and_column():
    assert columns_of(["text=review", "label=stars"]) == {"text": "review", "label": "stars"}
    with pytest.raises(ConfigError, match="Received: 'review'"):
        columns_of(["review"])
