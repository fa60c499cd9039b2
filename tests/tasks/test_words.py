import unicodedata

import pytest

from albatross.tasks.words import words_of

APART = unicodedata.normalize("NFD", "Jos\u00e9 Garc\u00eda, S\u00e3o Paulo!")
HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (APART, (*APART[:-1].replace(",", " ,").split(), "!")),
        (HINDI, tuple(HINDI.split())),
        (PERSIAN, (PERSIAN,)),
        ("har\u00adbour", ("har\u00adbour",)),
        ("I \u2764\ufe0fit.", ("I", "\u2764\ufe0f", "it", ".")),
        ("O\u0301-e\u0301 3.5", ("O\u0301-e\u0301", "3.5")),
    ],
)
def test_marks_and_joiners_stay_in_the_words_they_belong_to(text, words):
    found = words_of(text)
    assert found.words == words
    assert tuple(text[first:end] for first, end in found.spans) == words


def test_a_mark_behind_nothing_is_a_sign_of_its_own():
    assert words_of("a \u0301b").words == ("a", "\u0301", "b")
