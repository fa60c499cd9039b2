# ruff: noqa: RUF001 (marks of other scripts)
import re
import unicodedata
from typing import get_args, get_type_hints

import pytest

from albatross.errors import TokenizerError
from albatross.settings.corpus import TrainTokenizerSettings
from albatross.tokenizer.presets import PRESETS
from albatross.tokenizer.training import train_unigram
from albatross.tokenizer.unigram import UnigramTokenizer

# Written for this test: signs that another normalisation would drop or turn into others.
TEXTS = {
    "German": "Der Straßenführer schön – ÄÖÜ é ñ (er).",
    "Turkish": "İstanbul'da ışık ılık.",
    "Vietnamese": "Tiếng Việt ạ ế ộ.",
    "Greek": "Ελληνικά ΐ ς;",
    "Hebrew": "שָׁלוֹם עולם.",
    "Arabic": "السّلام عليكم، هل طار؟",
    "Persian": "می\u200cخواهم کتاب\u200cها را.",
    "Hindi": "क्षत्रिय हिन्दी श्री ज़मीन र्\u200dय क्\u200cष।",
    "Tamil": "தமிழ் மொழி கொ கோ கௌ.",
    "Korean": "한국어 값을 읽고 닭을 샀다!",
    "Thai": "ภาษาไทยมีวรรณยุกต์ ก้ ป๊",
    "Tibetan": "བོད་སྐད།",
    "Amharic": "ሰላም ዓለም።",
    "Khmer": "គាត់ទៅ។",
}
CHINESE = "我们，在《这里》：“好”、不好；！？（括号）……——"
JAPANESE = "がぎぐパピプ、カタカナの「文章」です。々〆ヶー～『本』！？（半角）123"


def trained(text: str, preset: str) -> UnigramTokenizer:
    """The largest vocabulary that the text gives."""
    chosen = PRESETS[preset]
    size = 400
    for _ in range(2):
        try:
            return train_unigram(
                [text] * 3,
                size,
                normalizer=chosen.normalizer,
                character_rule=chosen.character_rule,
                character_coverage=chosen.character_coverage,
                user_defined_symbols=chosen.user_defined_symbols,
            )
        except TokenizerError as error:
            size = int(re.findall(r"Ask for (\d+)", str(error))[0])
    raise AssertionError(size)


@pytest.mark.parametrize("language", TEXTS)
def test_nothing_of_a_language_is_lost_on_the_way_there_and_back(language):
    text = TEXTS[language]
    tokenizer = trained(text, "own-language")
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFKC", text)
    assert tokenizer.unk_id not in tokenizer.encode(text)


@pytest.mark.parametrize("language", TEXTS)
def test_without_case_only_the_case_is_lost(language):
    text = TEXTS[language]
    tokenizer = trained(text, "own-language-uncased")
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFKC", text.lower())


@pytest.mark.parametrize(("preset", "text"), [("chinese", CHINESE), ("japanese", JAPANESE)])
def test_full_width_marks_stay_full_width(preset, text):
    tokenizer = trained(text, preset)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_half_width_kana_and_wide_letters_become_the_usual_ones():
    tokenizer = trained("ガギとＡＢ１２と", "japanese")
    assert tokenizer.decode(tokenizer.encode("ｶﾞｷﾞとAB12と")) == "ガギとAB12と"


@pytest.mark.parametrize(("preset", "text"), [("chinese", CHINESE), ("japanese", JAPANESE)])
def test_every_piece_without_spaces_is_a_word_that_can_be_masked(preset, text):
    tokenizer = trained(text, preset)
    letters = [n for n in tokenizer.encode(text) if tokenizer.pieces[n].strip("▁").isalpha()]
    assert letters
    assert tokenizer.starts_word[letters].all()


def test_the_command_offers_the_presets_there_are():
    offered = get_args(get_type_hints(TrainTokenizerSettings)["preset"])
    assert list(offered) == list(PRESETS)
