# ruff: noqa: RUF001 (characters that look like others are what is repaired)
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.corpus.cleaning import Cleaner, CleaningRule
from albatross.errors import ConfigError, MissingDependencyError

ftfy = pytest.importorskip("ftfy")
pytest.importorskip("py3langid")

ENGLISH = ["The gulls came back over the harbour in the evening.", "They had found little to eat."]
GERMAN = ["Die Möwen kamen am Abend über den Hafen zurück.", "Sie hatten wenig gefunden."]
JAPANESE = ["カモメは夕方、港の上に戻ってきました。"]


@pytest.fixture(scope="module")
def repairing():
    return Cleaner(CleaningRule(repair_unicode=True))


def counts(cleaner: Cleaner) -> dict[str, int]:
    """What has been counted at least once."""
    return {name: number for name, number in cleaner.counts.items() if number}


def test_without_a_rule_every_document_stays_as_it_is():
    cleaner = Cleaner(CleaningRule())
    assert [cleaner.clean(document) for document in (ENGLISH, GERMAN)] == [ENGLISH, GERMAN]
    assert counts(cleaner) == {"kept": 2}


# === Repair ===


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("The cafÃ© was Â£5.", "The café was £5."),
        ("It is donâ€™t, not don’t.", "It is don’t, not don’t."),
        ("Fish &amp; ships &lt;here&gt;", "Fish & ships <here>"),
        ("a\x00b\x1b[31mc\ufeff", "abc"),
        ("ka\u0301", "k\u00e1"),
        ("one&#10;two", "one two"),
    ],
)
def test_faults_of_characters_are_mended(repairing, wrong, right):
    before = repairing.counts["repaired"]
    assert repairing.clean([wrong, "Fine."]) == [right, "Fine."]
    assert repairing.counts["repaired"] == before + 1


@pytest.mark.parametrize("text", ["“ﬁve” ＡＢＣ…", "Möwe", "カモメ", "Ａ１", "a\u200db"])
def test_what_an_author_chose_stays(repairing, text):
    assert repairing.clean([text]) == [text]


@settings(max_examples=300)
@given(st.one_of(st.text(), st.text("aÃ©â€™&lt;\x80\x9f\u0301Ｏが\ufeff\x0b", min_size=1)))
def test_the_way_round_the_repair_changes_nothing_that_it_would_not(text):
    rules = ftfy.TextFixerConfig(
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
    )
    whole = ftfy.fix_text(text, rules)
    wanted = " ".join(part for part in whole.replace("\r", "\n").split("\n") if part)
    (found,) = Cleaner(CleaningRule(repair_unicode=True)).clean([text]) or [""]
    assert found.split() == wanted.split()


def test_a_document_of_which_nothing_is_left_goes():
    cleaner = Cleaner(CleaningRule(repair_unicode=True))
    assert cleaner.clean(["\x00\x01", "\ufeff"]) is None
    assert counts(cleaner) == {"repaired": 1, "too_short": 1}


# === Length and language ===


def test_lengths_are_of_the_whole_document():
    cleaner = Cleaner(CleaningRule(min_characters=5, max_characters=8))
    texts = [["1234"], ["12", "345"], ["1234", "5678"], ["1234", "56789"]]
    assert [cleaner.clean(text) is not None for text in texts] == [False, True, True, False]
    assert counts(cleaner) == {"too_short": 1, "kept": 2, "too_long": 1}


def test_other_languages_go():
    cleaner = Cleaner(CleaningRule(languages=("de", "ja")))
    found = [cleaner.clean(text) for text in (ENGLISH, GERMAN, JAPANESE)]
    assert found == [None, GERMAN, JAPANESE]
    assert counts(cleaner) == {"other_language": 1, "kept": 2}


def test_the_language_is_that_of_the_beginning():
    cleaner = Cleaner(CleaningRule(languages=("en",)))
    assert cleaner.clean(ENGLISH * 20 + GERMAN * 100) is not None


def test_a_language_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match=r"`--languages` must be .* de .*Received: eng\."):
        Cleaner(CleaningRule(languages=("en", "eng")))


@pytest.mark.parametrize(
    ("library", "rule"),
    [
        ("ftfy", CleaningRule(repair_unicode=True)),
        ("py3langid", CleaningRule(languages=("en",))),
    ],
)
def test_a_missing_library_names_its_extra(monkeypatch, library, rule):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"`{library}` .*albatross\[corpus\]"):
        Cleaner(rule)
