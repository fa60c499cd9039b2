import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.metrics.stemming import stem
from albatross.rehearsal.grammar import compose_documents

nltk = pytest.importorskip("nltk.stem.porter")

ENDINGS = (
    "sses ies ied ss s eed ed ing at bl iz y ational tional enci anci izer bli alli entli eli ousli"
    " ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative"
    " alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou"
    " ism ate iti ous ive ize e ll"
)
WORDS = st.builds(
    lambda start, ends: start + "".join(ends),
    st.text("aeiouybcdlstwxz0", max_size=6),
    st.lists(st.sampled_from(ENDINGS.split()), max_size=3),
)
ORACLE = nltk.PorterStemmer()


@settings(max_examples=2_000)
@given(WORDS)
def test_stems_of_made_up_words_are_nltks(word):
    assert stem(word) == ORACLE.stem(word)


def test_stems_of_stories_are_nltks():
    stories = compose_documents(40, seed=3)
    words = {word for story in stories for line in story for word in re.findall("[a-z]+", line)}
    assert len(words) > 100
    assert {word: stem(word) for word in words} == {word: ORACLE.stem(word) for word in words}


def test_irregular_and_very_short_words_are_nltks():
    words = ["skies", "dying", "lying", "tying", "innings", "news", "proceed", "howe", "sky"]
    words += ["bying", "flying", "by", "yyy", "eed", "ing", "sses", "e", ""]
    assert [stem(word) for word in words] == [ORACLE.stem(word) for word in words]
