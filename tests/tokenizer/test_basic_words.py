# ruff: noqa: RUF001 - letters that look like others are what is tested here
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.errors import DataError
from albatross.tokenizer.basic_words import BasicWords, is_chinese, is_punctuation

TEXTS = st.text(st.characters(exclude_categories=()))


def test_accents_follow_the_case_unless_they_are_set():
    assert BasicWords().split("Égale") == ["egale"]
    assert BasicWords(do_lower_case=False).split("Égale") == ["Égale"]
    assert BasicWords(strip_accents=False).split("Égale") == ["égale"]
    assert BasicWords(do_lower_case=False, strip_accents=True).split("Égale") == ["Egale"]


def test_chinese_characters_stay_together_if_told():
    assert BasicWords(tokenize_chinese_chars=False).split("海鸟gull") == ["海鸟gull"]
    assert BasicWords().split("海鸟gull") == ["海", "鸟", "gull"]


def test_a_capital_sigma_becomes_no_final_sigma():
    assert BasicWords().split("ΟΔΟΣ") == ["οδοσ"]


def test_control_characters_part_no_words():
    assert BasicWords().split("a\u200bb\x00c\ufffdd\ud800e") == ["abcde"]


@pytest.mark.parametrize("character", "!$`~^—，。»¿")
def test_punctuation_is_a_word_of_its_own(character):
    assert is_punctuation(character)
    assert BasicWords().split(f"a{character}b") == ["a", character, "b"]


@pytest.mark.parametrize("character", "aé1 €→ー")
def test_other_characters_are_no_punctuation(character):
    assert not is_punctuation(character)


def test_kana_and_hangul_are_not_chinese():
    assert not any(map(is_chinese, "カがー가각"))
    assert all(map(is_chinese, "海㐀\U00020000\uf900"))


@settings(max_examples=300)
@given(text=TEXTS, lower=st.booleans(), accents=st.sampled_from([None, False, True]))
def test_words_with_offsets_are_the_words_without(text, lower, accents):
    words = BasicWords(lower, True, accents)
    found = words.split_with_offsets(text)
    assert [word.text for word in found] == words.split(text)
    assert all(len(word.text) == len(word.offsets) for word in found)


def test_a_dropped_mark_belongs_to_its_bearer():
    (word,) = BasicWords().split_with_offsets("e\u0301a")
    assert word.offsets == [(0, 2), (2, 3)]


def test_composed_characters_share_their_places():
    (word,) = BasicWords(do_lower_case=False).split_with_offsets("x\u1100\u1161\u11a8e\u0301")
    assert (word.text, word.offsets) == ("x각é", [(0, 1), (1, 4), (4, 6)])


def test_what_is_no_text_is_refused():
    with pytest.raises(DataError, match="must be a str"):
        BasicWords().split(None)  # type: ignore[arg-type]
