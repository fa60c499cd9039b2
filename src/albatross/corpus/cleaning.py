"""What is done to documents before they are tokenised: repair, length and language, each counted.

Which documents resemble one another is not decided here: this file sees one document at a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from albatross.data.documents import Document
from albatross.errors import ConfigError, MissingDependencyError

# The language is told by the beginning of a text. Two captions of 134 characters are enough to tell
# English, German and French apart (docs/corpus.md); the rest is for pages that begin with a menu.
_CHARACTERS_THAT_TELL = 500
# What ftfy may act on beside mis-decoded text and characters that are not composed.
_SUSPECT = re.compile("[&\x00-\x08\x0b-\x1f\x7f-\x9f\u206a-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]")
_LINE_END = re.compile(r"[\r\n]+")


@dataclass(frozen=True)
class CleaningRule:
    """Which documents are kept, and whether their characters are repaired."""

    repair_unicode: bool = False
    """Undo wrong decoding (`Ã©` for `é`) and HTML entities, drop control characters, compose."""
    languages: tuple[str, ...] = ()
    """Keep documents in these languages, by their codes such as `en`; all when empty."""
    min_characters: int = 0
    """Of a document, all sentences together."""
    max_characters: int | None = None
    """Likewise; no limit when none."""


class Cleaner:
    """Applies one rule to documents and counts what happened to them.

    Raises:
        MissingDependencyError: repair without ftfy, or languages without py3langid.
        ConfigError: a language that is not known.

    >>> cleaner = Cleaner(CleaningRule(min_characters=8))
    >>> [cleaner.clean([text]) for text in ("A gull.", "It flew over.")]
    [None, ['It flew over.']]
    >>> dict(cleaner.counts)
    {'too_short': 1, 'kept': 1}
    """

    def __init__(self, rule: CleaningRule) -> None:
        """Get ready what the rule needs."""
        self.rule = rule
        self.counts: Counter[str] = Counter()
        """Documents by what happened to them: `repaired` (also counted below, by their end),
        `too_short`, `too_long`, `other_language`, `kept`."""
        self._repair = _unicode_repair() if rule.repair_unicode else None
        self._language = _language_teller(rule.languages) if rule.languages else None

    def clean(self, document: Document) -> Document | None:
        """Return what is left of a document; None if it is to go."""
        if self._repair is not None:
            repaired = [text for text in map(self._repair, document) if text.strip()]
            self.counts["repaired"] += repaired != document
            document = repaired
        end = self._end(document)
        self.counts[end] += 1
        return document if end == "kept" else None

    def _end(self, document: Document) -> str:
        """Return the name under which a document is counted."""
        size = sum(map(len, document))
        if size < max(1, self.rule.min_characters):
            return "too_short"
        if self.rule.max_characters is not None and size > self.rule.max_characters:
            return "too_long"
        if self._language is not None and self._language(document) not in self.rule.languages:
            return "other_language"
        return "kept"


def _unicode_repair() -> Callable[[str], str]:
    """Return ftfy's repair of one sentence, with a way round it for text that has no fault.

    What an author chose stays: curly quotes, ligatures and full-width letters.
    """
    try:
        from ftfy import TextFixerConfig, fix_text
        from ftfy.badness import is_bad
    except ModuleNotFoundError as error:
        raise MissingDependencyError("ftfy", "corpus") from error
    config = TextFixerConfig(
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        fix_line_breaks=False,
        explain=False,
    )

    def repair(text: str) -> str:
        if not _SUSPECT.search(text) and (
            text.isascii() or (not is_bad(text) and unicodedata.is_normalized("NFC", text))
        ):
            return text
        return _LINE_END.sub(" ", fix_text(text, config))  # an entity may stand for a line end

    return repair


def _language_teller(languages: tuple[str, ...]) -> Callable[[Document], str]:
    """Return what tells a document's language, out of all that py3langid knows.

    The choice is not narrowed to the wanted ones: any text would then be in one of them.
    """
    try:
        import py3langid
    except ModuleNotFoundError as error:
        raise MissingDependencyError("py3langid", "corpus") from error
    known = {code for code, _ in py3langid.rank("")}
    unknown = sorted(set(languages) - known)
    if unknown:
        raise ConfigError(
            f"`--languages` must be codes that py3langid knows: {' '.join(sorted(known))}."
            f" Received: {' '.join(unknown)}. Correct the code."
        )

    def tell(document: Document) -> str:
        text, missing = "", _CHARACTERS_THAT_TELL
        for sentence in document:
            text += sentence[:missing] + " "
            missing = _CHARACTERS_THAT_TELL - len(text)
            if missing <= 0:
                break
        code: str = py3langid.classify(text)[0]
        return code

    return tell
