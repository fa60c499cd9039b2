# ruff: noqa: RUF001 (marks of other scripts)
import time

import pytest
from hypothesis import given
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
        ("遠い。近い！そう？", 3),
        ("Gulls, terns, etc. Were there skuas?", 1),
        ("Gulls, terns, etc. The skuas came later.", 2),
        ('"Is it here?" he asked. "It is!" she said.', 2),
        ("It lives in the U.S. Virgin Islands.", 1),
        ("It lives in the U.S. The tern does not.", 2),
        ("See vol. 3 and fig. 12 of No. 7, p. 4.", 1),
        ("There was no. The gull said it.", 2),
        ("1. Catch a fish. 2. Eat it.", 2),
        ("They met in 1999. Gulls came.", 2),
        ("So did I. Gulls do.", 2),
        ("Inc.. Then...? They left!! Good.", 4),
        ("« C’est bien. » Il part. »Gut.« Er geht. „Gut.“ Sie geht.", 6),
        ("z.B. Möwen und d.h. Vögel usw. Nester.", 1),
        ("no mark at all", 1),
        ("", 0),
        (" \t\u2028 ", 0),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, number):
    assert len(split_sentences(text)) == number


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "海鸥飞了。真的？真的！他走了……后来。",
            ["海鸥飞了。", "真的？", "真的！", "他走了……后来。"],
        ),
        ("他说：“好。”然后走了。", ["他说：“好。”", "然后走了。"]),
        ("「行く。」と言った。帰った。", ["「行く。」と言った。", "帰った。"]),
        ("वह गया। क्या वह आया? हाँ।", ["वह गया।", "क्या वह आया?", "हाँ।"]),
        ("هل طار؟ نعم. عاد۔", ["هل طار؟", "نعم.", "عاد۔"]),
        ("ሄደ። መጣ።", ["ሄደ።", "መጣ።"]),
        ("သွားသည်။ လာသည်။", ["သွားသည်။", "လာသည်။"]),
        ("គាត់ទៅ។ គាត់មក។", ["គាត់ទៅ។", "គាត់មក។"]),
        ("Նա գնաց։ Նա եկավ։", ["Նա գնաց։", "Նա եկավ։"]),
        ("갈매기가 날았다. 돌아왔다.", ["갈매기가 날았다.", "돌아왔다."]),
        ("นกบิน นกกลับ", ["นกบิน นกกลับ"]),
    ],
)
def test_scripts_have_marks_of_their_own(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text(alphabet="aB .!?…。」と।\"')\u2028\f1", max_size=60))
def test_no_character_but_space_is_lost_and_no_sentence_is_empty(text):
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.parametrize(
    "text",
    [
        *["It flew over the sea. " * 45_000, "." * 10**6 + "x", "?" * 10**6, '.a"' * 333_333],
        *[". " * 5, "." + "」" * 10**6, "。" * 10**6, "a. " + "(" * 10**6, "1. " * 333_333],
    ],
    ids=lambda text: text[:6],
)
def test_a_line_of_a_million_characters_is_split_whole_and_at_once(text):
    start = time.process_time()
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
    assert time.process_time() - start < 5
