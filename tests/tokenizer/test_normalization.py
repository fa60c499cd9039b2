# ruff: noqa: RUF001 - letters that look like others are what is tested here
import itertools
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.errors import DataError
from albatross.tokenizer.normalization import Normalizer

SWITCHES = [Normalizer(*values) for values in itertools.product((True, False), repeat=3)]
ANY_CHARACTER = st.characters(exclude_categories=())  # lone surrogates too
TRAPS = st.text("aBΣσ𝚺'`\" \t\u00a0\u3000İßﬁé\u0301\u0323\u0344ﾞ½…한\x00\x1c\ud800")
TEXTS = st.one_of(st.text(ANY_CHARACTER), TRAPS, st.text("ab `'\n"))


def rules_of_the_slow_tokenizer(text: str, rules: Normalizer) -> str:
    """The rules once more, in the plainest words."""
    if rules.do_lower_case:
        text = "".join(each.lower() for each in text)
    if rules.remove_space:
        text = " ".join(text.strip().split())
    text = text.replace("``", '"').replace("''", '"')
    if not rules.keep_accents:
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(each for each in decomposed if not unicodedata.combining(each))
    return text.lower() if rules.do_lower_case else text


@pytest.mark.parametrize("rules", SWITCHES, ids=str)
@settings(max_examples=150)
@given(text=TEXTS)
def test_the_fast_path_follows_the_plain_rules(rules, text):
    without_surrogates = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert rules.normalize(text) == rules_of_the_slow_tokenizer(without_surrogates, rules)


@pytest.mark.parametrize("rules", SWITCHES, ids=str)
@settings(max_examples=150)
@given(texts=st.lists(st.one_of(TEXTS, st.text("aB `'"), st.just("``A b''")), max_size=6))
def test_a_batch_follows_the_rules_of_single_texts(rules, texts):
    assert rules.normalize_batch(texts) == list(map(rules.normalize, texts))


@pytest.mark.parametrize("rules", SWITCHES, ids=str)
@settings(max_examples=150)
@given(text=TEXTS)
def test_offsets_come_with_the_same_text(rules, text):
    mapped = rules.normalize_with_offsets(text)
    assert mapped.text == rules.normalize(text)
    assert mapped.offsets.shape == (len(mapped.text), 2)


@pytest.mark.parametrize("rules", SWITCHES, ids=str)
@settings(max_examples=150)
@given(text=TEXTS)
def test_offsets_rise_inside_the_text_and_hold_something(rules, text):
    offsets = rules.normalize_with_offsets(text).offsets
    assert (np.diff(offsets, axis=0) >= 0).all()
    assert (offsets[:, 0] < offsets[:, 1]).all()
    assert ((offsets >= 0) & (offsets <= len(text))).all()


def test_every_code_point_keeps_its_place_between_letters():
    for first in range(0, 0x110000, 64):
        text = "".join(f"{chr(code)}x" for code in range(first, first + 64))
        mapped = Normalizer().normalize_with_offsets(text)
        assert mapped.text == Normalizer().normalize(text)
        letters = [span for each, span in zip(mapped.text, mapped.offsets, strict=True)]
        assert text[letters[-1][0]] == "x"


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("  two \t\n words ", "two words"),
        ("``a'' '''b```", '"a" "\'b"`'),
        ("Ça été", "ca ete"),
        ("ﬁﬀ ½ ５", "fiff 1⁄2 5"),
        ("İSTANBUL ẞ", "istanbul ß"),
        ("ΟΔΟΣ", "οδοσ"),
        ("ΑΒ𝚺", "αβς"),
        ("a\ud800b", "a\ufffdb"),
        ("", ""),
    ],
)
def test_text_comes_out_as_the_slow_tokenizer_has_it(text, normalized):
    assert Normalizer().normalize(text) == normalized


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("  A \t b", ["A", " \t ", "b"]),
        ("e\u0301\u0323x", ["e\u0301\u0323", "x"]),
        ("ﬁ\u0301x", ["ﬁ\u0301", "ﬁ\u0301", "x"]),
        ("\u0301a", ["a"]),
        ("x''y", ["x", "''", "y"]),
        ("İ…", ["İ", "…", "…", "…"]),
    ],
)
def test_each_character_knows_its_source(text, sources):
    offsets = Normalizer().normalize_with_offsets(text).offsets
    assert [text[start:end] for start, end in offsets] == sources


def test_a_million_marks_belong_to_one_letter():
    text = "a" + "\u0301" * 1_000_000
    assert Normalizer().normalize_with_offsets(text).offsets.tolist() == [[0, 1_000_001]]


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", ["list"]])
def test_only_strings_are_texts(wrong):
    with pytest.raises(DataError, match=f"must be a str. Received: {type(wrong).__name__}"):
        Normalizer().normalize(wrong)
