"""Running text to sentences by rule: end marks, closers, and what a sentence starts with."""

# ruff: noqa: RUF001 (marks of other scripts, which look like others, are meant)

from __future__ import annotations

import re

# An end mark, its closers, then space and the next word; or a mark that needs no space after it:
# full-width ones, danda, Arabic, Ethiopic, Burmese, Khmer, Armenian. One class comes first, which
# `re` finds fastest. The look-behinds and the possessive `*+` keep a row of a million dots from
# taking quadratic time.
_END = re.compile(
    r"[.!?…。！？｡।॥؟۔።፧။។៕։](?:"
    r"(?<=[.!?…])(?<![.!?…]{2})[.!?…]*+[\"'”’“»«›‹´)\]]*+(?:[ \xa0\u202f]»)?\s++(\S?)"
    r"|(?<![.!?…])[。！？｡।॥؟۔።፧။។៕։]*+[」』”’）】》〉〕\"')]*+)"
)
_WORD = re.compile(r"\w*+")
_OPENERS = "([{\"'“‘„«‹`¿¡—–"
# A quotation that goes on so is part of its sentence: 「行く。」と言った。
_QUOTES_GO_ON = ("と", "って")
# The words below stand in lower case and without their last stop.
# No sentence ends with these.
_TITLES = frozenset(
    "mr mrs ms messrs dr prof rev gen col maj lt cpl sgt capt cmdr adm pvt st ste mt ft gov sen rep"  # noqa: SIM905 (reads better)
    " pres supt hon fr mme mlle hr vs cf ca approx viz e.g i.e z.b d.h tr trans ed eds".split()
)
# These end one when a word follows that often begins a sentence.
_SHORTENED = frozenset(
    "jr sr etc inc ltd co corp bros al dept est assn univ ave blvd rd a.k.a ph.d usw bzw".split()  # noqa: SIM905
)
# These end one unless a number follows.
_BEFORE_NUMBERS = frozenset(
    "no nos nr vol vols fig figs p pp ch sec art pt eq jan feb mar apr jun jul aug sep sept oct nov"  # noqa: SIM905
    " dec".split()
)
_STARTERS = frozenset(
    "The This That These Those It He She They We You His Her Their Its Our My In On At After Before"  # noqa: SIM905
    " When While However Although As By For From To With There Then Since During If But And Also A"
    " An According Some Many Most Other Another One Two No Not So What Who Where Why How".split()
)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, stripped, none of them empty.

    An end mark before a lower-case word does not end a sentence, nor does a full stop after a
    title, an initial or a number at its start. Marks of scripts without spaces end one at once;
    Thai, Lao and Tibetan have none that would tell, and stay whole.

    >>> split_sentences("Dr. Gray saw it. It flew! 遠い。近い。 क्या? हाँ।")
    ['Dr. Gray saw it.', 'It flew!', '遠い。', '近い。', 'क्या?', 'हाँ।']
    """
    sentences, start = [], 0
    for match in _END.finditer(text):
        mark, end = match.span()
        after = match.start(1)
        if after < 0:
            if text[end - 1] in "」』" and text.startswith(_QUOTES_GO_ON, end):
                continue
        else:
            end = after
            if text[after : after + 1].islower() or (
                text[mark] == "." and _stop_goes_on(text, start, mark, after)
            ):
                continue
        sentences.append(text[start:end].strip())
        start = end
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _stop_goes_on(text: str, start: int, mark: int, after: int) -> bool:
    """Whether a full stop belongs to its word and ends no sentence.

    Args:
        text: all of it.
        start: where the sentence begins.
        mark: where the stop is.
        after: where the next word begins.
    """
    if text[mark + 1 : mark + 2] == ".":
        return False
    # No word of the tables is longer, and most words are told by that alone.
    space = text.rfind(" ", max(start, mark - 8), mark)
    if space < 0 and mark - start > 8:
        return False
    word = text[max(start, space + 1) : mark].lstrip(_OPENERS)
    if word.isdigit():
        return mark - start <= 8 and not text[start:mark].strip(_OPENERS + "0123456789")
    lower = word.lower()
    if lower in _TITLES:
        return True
    if lower in _BEFORE_NUMBERS and text[after : after + 1].isdigit():
        return True
    is_initial = len(word) == 1 and word.isalpha() and word != "I"
    if is_initial or lower in _SHORTENED or _is_dotted(lower):
        following = _WORD.match(text, after)
        assert following is not None  # the pattern takes nothing for a word, too
        return following[0] not in _STARTERS
    return False


def _is_dotted(word: str) -> bool:
    """Whether a word is letters with stops between them, such as `u.s` and `p.m`."""
    return len(word) > 2 and word[1] == "." and all(len(part) == 1 for part in word.split("."))
