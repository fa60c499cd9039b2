"""GLUE's layouts, on rows written for the test in the columns as published."""

import pytest

from albatross.data.formats import read_records
from albatross.data.glue import GLUE
from albatross.data.records import TextRecord
from albatross.errors import AlbatrossWarning, DataError, LabelError

MNLI = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse"
MNLI = f"{MNLI} sentence1_parse sentence2_parse sentence1 sentence2 label1 gold_label"
STSB = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
# One row of each data set, and what it says.
PUBLISHED = {
    "sst2": ("sentence label", "a fine day \t1", TextRecord("a fine day ", None, "1")),
    "mrpc": (
        "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '1\t7\t8\tHe said "no .\tShe said no .',
        TextRecord('He said "no .', "She said no .", "1"),
    ),
    "stsb": (
        STSB,
        "3\tnews\tf\t2012\t1\tnone\tnone\tA.\tB.\t3.800",
        TextRecord("A.", "B.", "3.800", id="3", subset="news"),
    ),
    "qqp": (
        "id qid1 qid2 question1 question2 is_duplicate",
        "5\t1\t2\tWhy?\tHow?\t0",
        TextRecord("Why?", "How?", "0", id="5"),
    ),
    "mnli": (
        MNLI,
        "4\t1\t1e\tfiction\t(\t(\t(\t(\tA.\tB.\tneutral\tneutral",
        TextRecord("A.", "B.", "neutral", id="4", subset="fiction"),
    ),
    "qnli": (
        "index question sentence label",
        "0\tWho?\tI.\tnot_entailment",
        TextRecord("Who?", "I.", "not_entailment", id="0"),
    ),
    "rte": (
        "index sentence1 sentence2 label",
        "0\tA.\tB.\tentailment",
        TextRecord("A.", "B.", "entailment", id="0"),
    ),
    "wnli": (
        "index sentence1 sentence2 label",
        "0\tIt is it.\tB is it.\t1",
        TextRecord("It is it.", "B is it.", "1", id="0"),
    ),
    "ax": (
        "index sentence1 sentence2",
        "9\tA.\tB.",
        TextRecord("A.", "B.", id="9"),
    ),
    "snli": (
        "sentence1 sentence2 gold_label",
        "A.\tB.\tcontradiction",
        TextRecord("A.", "B.", "contradiction"),
    ),
}


def table(header: str, *rows: str) -> str:
    names = header if "\t" in header else header.replace(" ", "\t")
    return "\n".join([names, *rows]) + "\n"


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte-order mark"])
def test_a_row_as_published_is_read(write, name, mark):
    header, row, record = PUBLISHED[name]
    path = write("a.tsv", mark + table(header, row).encode())
    assert read_records(path, name) == [record]


def test_every_layout_but_colas_is_tried_here():
    assert PUBLISHED.keys() | {"cola"} == GLUE.keys()


def test_cola_has_no_names_of_columns_but_in_its_test_file(write):
    train = write("train.tsv", "gj04\t0\t*\tHim went.\ngj04\t1\t\tHe went.\n")
    test = write("test.tsv", "index\tsentence\n0\tWent he.\n")
    assert read_records(train, "cola") == [
        TextRecord("Him went.", None, "0"),
        TextRecord("He went.", None, "1"),
    ]
    assert read_records(test, "cola") == [TextRecord("Went he.", id="0")]


def test_a_test_file_has_no_labels(write):
    path = write("test.tsv", table("index sentence1 sentence2", "0\tA.\tB."))
    assert read_records(path, "rte") == [TextRecord("A.", "B.", None, id="0")]


def test_torn_rows_of_qqp_are_passed_over_and_told_once(write):
    torn = ["6\t1\t2\tIs this", "torn?\tYes?\t1", "7\t1\t2\tA\ttab?\tB?\t1"]
    header, row, record = PUBLISHED["qqp"]
    path = write("train.tsv", table(header, *torn, row))
    with pytest.warns(AlbatrossWarning, match=r"3 with another number.*line 2 of '.*train") as told:
        assert read_records(path, "qqp") == [record]
    assert len(told) == 1


def test_a_torn_row_of_another_data_set_is_an_error(write):
    path = write("a.tsv", table("index sentence1 sentence2 label", "0\tA.\tB."))
    with pytest.raises(DataError, match=r"line 2 of .* with 3"):
        read_records(path, "rte")


@pytest.mark.parametrize("name", ["snli", "mnli"])
def test_pairs_without_agreement_are_passed_over_and_counted(write, name):
    header = "sentence1 sentence2 gold_label"
    path = write("a.tsv", table(header, "A.\tB.\t-", "C.\tD.\tneutral", "E.\tF.\t-"))
    with pytest.warns(AlbatrossWarning, match=r"2 with the label '-', the first at line 2"):
        assert read_records(path, name) == [TextRecord("C.", "D.", "neutral")]


def test_the_original_files_of_snli_are_read_too(write):
    rows = table("gold_label sentence1_parse sentence1 sentence2 pairID", "neutral\t(\tA.\tB.\t3x")
    line = '{"gold_label": "neutral", "sentence1": "A.", "sentence2": "B.", "pairID": "3x"}\n'
    for path in (write("snli_1.0_dev.txt", rows), write("snli_1.0_dev.jsonl", line)):
        assert read_records(path, "snli") == [TextRecord("A.", "B.", "neutral", id="3x")]


def test_a_genre_that_is_not_known_is_no_subset(write):
    header, row, _ = PUBLISHED["mnli"]
    path = write("a.tsv", table(header, row.replace("fiction", "n/a")))
    assert read_records(path, "mnli")[0].subset == ""


@pytest.mark.parametrize(
    ("name", "header", "row", "message"),
    [
        ("rte", "index sentence1 sentence2 label", "0\tA.\tB.\tneutral", "entailment, not_ent"),
        ("stsb", "sentence1 sentence2 score", "A.\tB.\tmuch", "`stsb` must be a number"),
        ("stsb", "sentence1 sentence2 score", "A.\tB.\tnan", "Received: 'nan' in line 2"),
        ("cola", "gj04", "1", "needs a column 4"),
        ("qnli", "sentence1 sentence2", "A.\tB.", "column question"),
        ("rte", "sentence1 label", "A.\tentailment", "column sentence2"),
    ],
)
def test_a_file_of_another_benchmark_is_refused(write, name, header, row, message):
    path = write("a.tsv", table(header, row))
    with pytest.raises((LabelError, DataError), match=message):
        read_records(path, name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.tsv': no such file"):
        read_records(tmp_path / "train.tsv", "cola")
