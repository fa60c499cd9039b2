import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from albatross.data.conll import to_bio
from albatross.data.formats import read_records
from albatross.data.records import WordsRecord
from albatross.errors import DataError, LabelError

ANN = WordsRecord(("Ann", "slept"), ("B-PER", "O"))


def conll(write, content: str) -> list[WordsRecord]:
    return read_records(write("a.conll", content), "conll")


# === Schemes ===


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("I-A I-A O I-A", "B-A I-A O B-A"),  # IOB1
        ("I-A B-A I-A", "B-A B-A I-A"),
        ("I-A I-B B-B", "B-A B-B B-B"),
        ("B-A I-A O B-A", "B-A I-A O B-A"),  # BIO
        ("B-A I-A E-A S-A S-B O", "B-A I-A I-A B-A B-B O"),  # BIOES
        ("B-A L-A U-A I-A", "B-A I-A B-A B-A"),  # BILOU
        ("B-creative-work I-creative-work", "B-creative-work I-creative-work"),
        ("O I-O", "O B-O"),
    ],
)
def test_every_scheme_becomes_bio(tags, bio):
    assert to_bio(tags.split(), [""] * len(tags.split())) == bio.split()


@given(st.lists(st.sampled_from(["O", *(f"{p}-{k}" for p in "BIES" for k in "XY")]), max_size=9))
def test_the_entities_stay_those_that_conlls_scorer_sees(tags):
    found = to_bio(tags, [""] * len(tags))
    assert get_entities(found) == get_entities(tags)
    assert to_bio(found, [""] * len(tags)) == found


# === CoNLL ===


@pytest.mark.parametrize("space", ["\t", " ", "  ", " \t "])
def test_columns_stand_between_tabs_or_spaces(write, space):
    content = "Ann NNP x I-PER\nslept VBD y O\n".replace(" ", space)
    assert conll(write, content) == [ANN]


def test_blank_lines_and_starts_of_documents_part_sentences(write):
    content = "-DOCSTART- -X- O\n\nAnn B-PER\nslept O\n-DOCSTART- O\nAnn B-PER\nslept O\n \n\n"
    records = conll(write, content)
    assert records == [ANN, ANN]
    assert [record.place.split(" of ")[0] for record in records] == ["line 3", "line 6"]


def test_a_word_may_hold_a_space_where_columns_have_tabs(write):
    assert conll(write, "New York\tB-LOC\n") == [WordsRecord(("New York",), ("B-LOC",))]


def test_a_file_without_tags_has_none(write):
    assert conll(write, "Ann\nslept\n\nShe\n") == [
        WordsRecord(("Ann", "slept")),
        WordsRecord(("She",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ann B-PER\nslept\n", "line 2 of .* without one, after lines with one"),
        ("Ann\nslept O\n", "line 2 of .* with one, after lines without"),
        ("Ann B-PER\n\nslept VBD\n", "'VBD' in line 3 of"),
        ("Ann PER\n", "'PER' in line 1 of"),
        ("Ann B-\n", "'B-' in line 1 of"),
        ("Ann o\n", "'o' in line 1 of"),
        ("\n\n", "at least one record"),
        ("", "at least one record"),
    ],
)
def test_a_line_that_breaks_a_rule_is_named(write, content, message):
    with pytest.raises(DataError, match=message) as caught:
        conll(write, content)
    assert "a.conll" in str(caught.value)


def test_a_wrong_tag_is_an_error_of_labels(write):
    with pytest.raises(LabelError):
        conll(write, "Ann PER\n")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / "a.conll", "conll")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"tokens": ["Ann", "slept"], "tags": ["B-PER", "O"]}\n'),
        ("a.csv", "words,tags\nAnn slept,B-PER O\n"),
        ("a.CSV.gz", gzip.compress(b"words,tags\nAnn slept,B-PER O\n", mtime=0)),
    ],
)
def test_a_table_among_files_of_columns_is_read_as_a_table(write, name, content):
    assert read_records(write(name, content), "conll") == [ANN]


def test_json_is_no_file_of_columns(write):
    with pytest.raises(DataError, match=r"a\.json': another ending"):
        read_records(write("a.json", '{"words": "Ann slept"}\n'), "conll")


# === Slots ===


def test_a_folder_of_slots_has_words_tags_and_the_intent_as_subset(write, tmp_path):
    write("seq.in", "play it \nstop\n")
    write("seq.out", "O B-song \nO\n")
    write("label", "Play\nStop\n")
    assert read_records(tmp_path, "slots") == [
        WordsRecord(("play", "it"), ("O", "B-song"), subset="Play"),
        WordsRecord(("stop",), ("O",), subset="Stop"),
    ]


def test_words_alone_may_be_packed_and_have_no_tags(write, tmp_path):
    path = write("seq.in.gz", gzip.compress(b"play it\n", mtime=0))
    assert read_records(tmp_path, "slots") == [WordsRecord(("play", "it"))]
    assert read_records(path, "slots") == [WordsRecord(("play", "it"))]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("O O\n", r"line 2 of '.*seq\.in' and no such line of `seq\.out`"),
        ("O O\nO\nO\n", r"line 3 of '.*seq\.in' and no such line of `seq\.in`"),
        ("O O\nO O\n", r"1 words and 2 tags in line 2 of '.*seq\.in'"),
        ("O O\nX\n", r"'X' in line 2 of"),
    ],
)
def test_files_of_slots_that_differ_are_refused(write, tmp_path, tags, message):
    write("seq.in", "play it\nstop\n")
    write("seq.out", tags)
    with pytest.raises(DataError, match=message):
        read_records(tmp_path, "slots")


def test_a_folder_without_words_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must hold `seq\.in`"):
        read_records(tmp_path, "slots")


# === Tables ===


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"tokens": ["Ann", "slept"], "tags": ["B-PER", "O"]}\n'),
        ("a.jsonl", '{"words": "Ann slept", "ner_tags": "I-PER O"}\n'),
        ("a.tsv", "words\ttags\nAnn slept\tB-PER O\n"),
        ("a.tsv", 'words\ttags\n["Ann", "slept"]\t["B-PER", "O"]\n'),
    ],
)
def test_words_and_tags_are_lists_or_parted_by_spaces(write, name, content):
    assert read_records(write(name, content), "words") == [ANN]


def test_a_table_of_words_may_have_no_tags(write):
    path = write("a.tsv", "words\ttags\tid\nAnn slept\t\t7\n")
    assert read_records(path, "words") == [WordsRecord(("Ann", "slept"), id="7")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"words": ["a"], "tags": ["O", "O"]}', "1 words and 2 tags in line 1"),
        ('{"words": []}', "0 words and none tags in line 1"),
        ('{"words": ["a"], "tags": [3]}', "tag must be a string. Received: 3 in line 1"),
        ('{"words": ["a"], "tags": ["NN"]}', "'NN' in line 1"),
    ],
)
def test_a_row_of_words_that_breaks_a_rule_is_named(write, row, message):
    with pytest.raises(DataError, match=message):
        read_records(write("a.jsonl", row + "\n"), "words")
