"""What suits which language: case, accents, characters and pieces of a vocabulary to be trained.

This file trains nothing. What SentencePiece does to the text before it cuts it is part of its
model, so that the names of its rules stand here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from albatross.tokenizer.normalization import Normalizer

CharacterRule = Literal["nmt_nfkc", "nfkc"]
"""SentencePiece's names: NFKC, `nmt_nfkc` with zero-width characters made spaces, as published."""

# The README of google-research/albert gives them; each is a token wherever it stands.
USER_DEFINED_SYMBOLS = ("(", ")", '"', "-", ".", "–", "£", "€")  # noqa: RUF001
# NFKC would make ASCII of these; as symbols they stay what they are.
_FULL_WIDTH = tuple("。、，！？：；（）「」『』《》“”…—～")  # noqa: RUF001


@dataclass(frozen=True)
class VocabularyPreset:
    """How a vocabulary is trained unless an option says otherwise."""

    vocab_size: int
    """Pieces, specials included."""
    normalizer: Normalizer
    """Case and accents; kept by the tokenizer."""
    character_rule: CharacterRule = "nfkc"
    """What SentencePiece itself does to characters. Plain NFKC keeps the zero-width joiners that
    Persian and the scripts of India write."""
    character_coverage: float = 0.99995
    """Share of the text's characters that get a piece."""
    user_defined_symbols: tuple[str, ...] = USER_DEFINED_SYMBOLS[:6]
    """Texts that are always one piece."""


_CASED = Normalizer(do_lower_case=False, keep_accents=True)
_UNCASED = Normalizer(do_lower_case=True, keep_accents=True)

PRESETS: Mapping[str, VocabularyPreset] = {
    "english-uncased": VocabularyPreset(
        30_000, Normalizer(), "nmt_nfkc", user_defined_symbols=USER_DEFINED_SYMBOLS
    ),
    "english-cased": VocabularyPreset(
        30_000, _CASED, "nmt_nfkc", user_defined_symbols=USER_DEFINED_SYMBOLS
    ),
    "own-language": VocabularyPreset(30_000, _CASED),
    "own-language-uncased": VocabularyPreset(30_000, _UNCASED),
    # As many pieces as BERT's Chinese vocabulary, and lower case as there; room for more characters
    # than the 0.9995 of the text that SentencePiece's README advises.
    "chinese": VocabularyPreset(
        21_128, _UNCASED, character_coverage=0.9998, user_defined_symbols=_FULL_WIDTH
    ),
    "japanese": VocabularyPreset(
        32_000, _CASED, character_coverage=0.9998, user_defined_symbols=_FULL_WIDTH
    ),
}
