# ruff: noqa: RUF001 - letters that look like others are what is tested here
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.tokenizer.alignment import WHITE_SPACE, begins_word
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.unigram import UnigramTokenizer

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text("0129,,. (\"'-aé٣ﬁ½…\u0301\t\u200b\ufffd▁🄁９，"),
)
SWITCHES = [Normalizer(), Normalizer(keep_accents=True), Normalizer(False, True, False)]
WORDS = st.lists(st.text("abcdeghilmnorst", min_size=1), max_size=8)


def sources(tokenizer: UnigramTokenizer, text: str) -> list[str]:
    return [text[start:end] for start, end in tokenizer.encode_with_offsets(text).offsets]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@settings(max_examples=200)
@given(text=TEXTS)
def test_spans_rise_inside_the_text(tiny, switches, text):
    encoding = UnigramTokenizer(tiny.model, switches).encode_with_offsets(text)
    assert encoding.offsets.shape == (len(encoding.ids), 2)
    assert (np.diff(encoding.offsets, axis=0) >= 0).all()
    assert (encoding.offsets[:, 0] <= encoding.offsets[:, 1]).all()
    assert ((encoding.offsets >= 0) & (encoding.offsets <= len(text))).all()


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@settings(max_examples=200)
@given(text=TEXTS)
def test_only_a_word_mark_has_an_empty_span(tiny, switches, text):
    encoding = UnigramTokenizer(tiny.model, switches).encode_with_offsets(text)
    empty = encoding.offsets[:, 0] == encoding.offsets[:, 1]
    assert {tiny.pieces[number] for number in encoding.ids[empty]} <= {"▁"}


@settings(max_examples=200)
@given(words=WORDS, space=st.sampled_from([" ", "  ", "\t", "\u00a0\n"]))
def test_a_slice_of_the_text_is_its_piece(tiny, words, space):
    text = space.join(words).title()
    encoding = tiny.encode_with_offsets(text)
    for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        ink = tiny.pieces[number].strip("▁")
        assert tiny.normalizer.normalize(text[start:end]) == ink or not ink


@settings(max_examples=100)
@given(text=st.text("abcé ﬁ½…(),.19-\u0301"))
def test_no_letter_is_lost(tiny, text):
    covered = set()
    for start, end in tiny.encode_with_offsets(text).offsets:
        covered |= set(range(start, end))
    inked = {at for at, each in enumerate(text) if not each.isspace() and each != "\u0301"}
    assert inked <= covered


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("In  2012, (was)", ["In", "2012", ",", " ", "(", "was", ")"]),
        ("(9,9)", ["", "(", "9", ",", "9", ")"]),
        ("``The''", ["", "``", "The", "''"]),
        ("\tte\u0301st", ["te\u0301st"]),
    ],
)
def test_spans_point_into_the_original(published, text, wanted):
    assert sources(published, text) == wanted


def test_pieces_made_of_one_character_share_its_span(tiny):
    text = "a…b"
    expanded_by_us = sources(tiny, text)
    expanded_inside = sources(UnigramTokenizer(tiny.model, Normalizer(keep_accents=True)), text)
    assert expanded_by_us == expanded_inside == ["a", "…", "…", "…", "b"]


def test_a_digit_and_comma_in_one_character_share_its_span(tiny):
    tokenizer = UnigramTokenizer(tiny.model, Normalizer(keep_accents=True))
    assert set(sources(tokenizer, "🄁")) == {"🄁"}


def test_the_white_space_is_all_there_is():
    assert set(WHITE_SPACE) == {each for each in map(chr, range(0x110000)) if each.isspace()}


@pytest.fixture
def published(published_model):
    return UnigramTokenizer.from_file(published_model)


@pytest.mark.parametrize(
    ("piece", "begins"),
    [
        *[("▁gull", True), ("gull", False), ("▁", True), ("(", False), ("\u0301", False)],
        *[("海鸥", True), ("飞", True), ("かも", True), ("カ", True), ("々", True), ("𠀀", True)],
        *[("นก", True), ("\u0e49", False), ("ကာ", True), ("\u102c", False), ("។", True)],
        *[("갈매기", False), ("वह", False), ("طار", False), ("。", False), ("，", False)],
    ],
)
def test_scripts_without_spaces_have_a_word_in_every_piece(piece, begins):
    assert begins_word(piece) == begins
