"""Words to stems (Porter, 1980), with the changes that NLTK makes by default, as ROUGE uses them.

A letter is a consonant unless it is a, e, i, o, u, or a y after a consonant. The measure of a stem
is how often a vowel is followed by a consonant in it.
"""

from __future__ import annotations

from functools import lru_cache

_IRREGULAR = {
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "innings": "inning",
    "outings": "outing",
    "cannings": "canning",
}
# Words that the rules below would cut and should not.
_WHOLE = {
    *("sky", "news", "inning", "outing", "canning", "howe", "proceed", "exceed", "succeed"),
}
_SHORTEST = 3
# Ending and what takes its place, for stems of a positive measure.
_STEP_2 = (
    *(("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance")),
    *(("izer", "ize"), ("bli", "ble"), ("alli", "al"), ("entli", "ent"), ("eli", "e")),
    *(("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate")),
    *(("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous")),
    *(("aliti", "al"), ("iviti", "ive"), ("biliti", "ble"), ("fulli", "ful")),
)
_STEP_3 = (
    *(("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic")),
    *(("ful", ""), ("ness", "")),
)
# Endings that go where the measure of what is left is above one.
_STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou"),
    *("ism", "ate", "iti", "ous", "ive", "ize"),
)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return the stem of a word in small letters.

    >>> [stem(word) for word in ("running", "relational", "happy", "skies")]
    ['run', 'relat', 'happi', 'sky']
    """
    if word in _IRREGULAR or word in _WHOLE:
        return _IRREGULAR.get(word, word)
    if len(word) < _SHORTEST:
        return word
    for step in (_plural, _past, _last_y, _step_2, _step_3, _step_4, _last_e, _last_ll):
        word = step(word)
    return word


def _plural(word: str) -> str:
    """Step 1a: caresses, ponies, cats; dies keeps its e."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word if word.endswith("ss") else word.removesuffix("s")


def _past(word: str) -> str:
    """Step 1b: agreed, plastered, motoring, and what their stems need to be words again."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending) and "v" in _letters(word.removesuffix(ending)):
            return _mended(word.removesuffix(ending))
    return word


def _mended(word: str) -> str:
    """Return conflat as conflate, hopp as hop, fil as file."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if word[-2:-1] == word[-1] and _letters(word)[-1] == "c":
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _is_short(word) else word


def _last_y(word: str) -> str:
    """Step 1c: happy, but not enjoy."""
    rest = word[:-1]
    after_consonant = word.endswith("y") and len(rest) > 1 and _letters(rest)[-1] == "c"
    return rest + "i" if after_consonant else word


def _step_2(word: str) -> str:
    """Step 2: one of two endings, the second one first where the word has both."""
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _step_2(word[:-2])
    for ending, replacement in _STEP_2:
        if word.endswith(ending):
            return _replaced(word, ending, replacement)
    # The l counts as the stem's, so that geology and archaeology go alike.
    return word[:-1] if word.endswith("logi") and _measure(word[:-3]) > 0 else word


def _step_3(word: str) -> str:
    """Step 3: what is left of endings such as -icate and -ness."""
    for ending, replacement in _STEP_3:
        if word.endswith(ending):
            return _replaced(word, ending, replacement)
    return word


def _step_4(word: str) -> str:
    """Step 4: endings without a replacement; -ion after s or t alone."""
    for ending in _STEP_4:
        if word.endswith(ending):
            rest = word.removesuffix(ending)
            fits = ending != "ion" or rest.endswith(("s", "t"))
            return rest if _measure(rest) > 1 and fits else word
    return word


def _last_e(word: str) -> str:
    """Step 5a: probate, but not rate."""
    rest = word.removesuffix("e")
    measure = _measure(rest)
    return rest if measure > 1 or (measure == 1 and not _is_short(rest)) else word


def _last_ll(word: str) -> str:
    """Step 5b: controll, but not roll."""
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _replaced(word: str, ending: str, replacement: str) -> str:
    """Replace an ending where the stem before it has a positive measure."""
    rest = word.removesuffix(ending)
    return rest + replacement if _measure(rest) > 0 else word


def _is_short(word: str) -> bool:
    """Return whether a word ends like hop, not with w, x or y, or is like at."""
    letters = _letters(word)
    return letters == "vc" or (letters.endswith("cvc") and word[-1] not in "wxy")


def _measure(word: str) -> int:
    """Return how often a vowel is followed by a consonant."""
    return _letters(word).count("vc")


def _letters(word: str) -> str:
    """Return a c for each consonant and a v for each vowel."""
    kinds = ""
    for letter in word:
        is_vowel = letter in "aeiou" or (letter == "y" and kinds.endswith("c"))
        kinds += "v" if is_vowel else "c"
    return kinds
