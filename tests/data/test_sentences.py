import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.data.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It flew. It sank.", 2),
        ("Is it? It is! Good.", 3),
        ("Dr. Gray and Mrs. Finch met at 5 p.m. on Monday.", 1),
        ("It cost 3.50 in all. It was worth it.", 2),
        ("J. K. Gull wrote it. We read it.", 2),
        ("It waited... then it flew.", 1),
        ("It waited... Then it flew.", 2),
        ('"It flew." "It sank!" They argued.', 3),
        ("(It flew.) [It sank.] Good.", 3),
        ("遠い。近い！そう？", 3),  # noqa: RUF001 (full-width marks)
        ("Gulls, terns, etc. Were there skuas?", 1),
        ("no mark at all", 1),
        ("", 0),
        (" \t\u2028 ", 0),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, number):
    assert len(split_sentences(text)) == number


@settings(deadline=None)
@given(st.text(alphabet="aB .!?…。\"')\u2028\f1", max_size=60))
def test_no_character_but_space_is_lost_and_no_sentence_is_empty(text):
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.parametrize(
    "text",
    ["It flew over the sea. " * 45_000, "." * 10**6 + "x", "?" * 10**6, '.a"' * 333_333, ". " * 5],
)
def test_a_line_of_a_million_characters_is_split_whole(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
