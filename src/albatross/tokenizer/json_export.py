"""A `tokenizer.json` for other people's tools, made so that it gives Google's ids.

What transformers makes of a `spiece.model` itself turns `(`, `"`, `-` and their kind into added
tokens, and the piece behind one then gets a word mark. Here they are pieces as all others, with the
score by which SentencePiece always chooses them. The digit-comma rule cannot be said in such a
file: its pieces get a score too low to be chosen, which leaves a few words that are cut otherwise.
Special pieces written out in a text are found by those tools, as always with them.
"""

import json
import os
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albatross.errors import MissingDependencyError
from albatross.tokenizer.alignment import CONTINUATION, WHITE_SPACE, WORD_MARK
from albatross.tokenizer.code_points import code_ranges
from albatross.tokenizer.config_file import (
    CONFIG_FILE,
    config_bytes,
    read_config,
    write_tokenizer_files,
)
from albatross.tokenizer.folder import AnyTokenizer
from albatross.tokenizer.sentencepiece_file import (
    UNKNOWN_PENALTY,
    USER_DEFINED,
    SentencePieceFile,
    best_score,
    read_sentencepiece,
)
from albatross.tokenizer.tokenizer_json import JSON_FILE, JsonTokenizer
from albatross.tokenizer.unigram import UnigramTokenizer, ends_in_comma
from albatross.tokenizer.wordpiece import LONGEST_WORD, WordPieceTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The class that follows the file to the letter, in transformers 4 and 5; `AlbertTokenizer` and
# `BertTokenizer` of 5 take the vocabulary out of it and build the rest anew.
TOKENIZER_CLASS = "PreTrainedTokenizerFast"
MODEL_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
# Below every other cut of the same characters by this much.
_NEVER = 1.0
# The first character of a plane that no text uses.
_PRIVATE = 0xF0000


def write_tokenizer_json(tokenizer: AnyTokenizer, folder: str | os.PathLike[str]) -> None:
    """Write `tokenizer.json`, and name in `tokenizer_config.json` the class that obeys it.

    Args:
        tokenizer: any of the three kinds.
        folder: the model folder; what else its `tokenizer_config.json` says is kept.

    Raises:
        MissingDependencyError: the `tokenizers` library is not installed.
        FolderError: the folder cannot be written, or its `tokenizer_config.json` is damaged.
    """
    config = read_config(Path(folder) / CONFIG_FILE)
    if not isinstance(tokenizer, JsonTokenizer):
        config |= {**_special_tokens(tokenizer), "model_input_names": MODEL_INPUTS}
    config |= {"tokenizer_class": TOKENIZER_CLASS}
    content = tokenizer_json(tokenizer)
    write_tokenizer_files(folder, {JSON_FILE: content.encode(), CONFIG_FILE: config_bytes(config)})


def tokenizer_json(tokenizer: AnyTokenizer) -> str:
    """Return the file's content; the same tokenizer gives the same."""
    if isinstance(tokenizer, JsonTokenizer):
        return tokenizer.content
    try:
        import tokenizers
    except ImportError as error:
        raise MissingDependencyError("tokenizers", "hub") from error
    if isinstance(tokenizer, WordPieceTokenizer):
        made = _word_piece(tokenizer)
    else:
        made = _unigram(tokenizer)
    special = _special_ids(tokenizer)
    made.add_special_tokens(
        [tokenizers.AddedToken(piece, special=True, normalized=False) for piece in special]
    )
    cls, sep = tokenizer.pieces[tokenizer.cls_id], tokenizer.pieces[tokenizer.sep_id]
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, tokenizer.cls_id), (sep, tokenizer.sep_id)],
    )
    # Written anew: the library's own order of vocabularies is not promised.
    return json.dumps(json.loads(made.to_str()), ensure_ascii=False, separators=(",", ":"))


# === SentencePiece ===


def _unigram(tokenizer: UnigramTokenizer) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    file = read_sentencepiece(tokenizer.model)
    in_bytes = file.byte_fallback
    # "always" gives none to a text that begins with a space, so there the normaliser does it.
    marks_first = file.add_dummy_prefix and file.remove_extra_whitespaces
    scheme = "always" if marks_first else "never"
    made = Tokenizer(models.Unigram(_scored_pieces(file), tokenizer.unk_id, in_bytes))
    made.normalizer = _normalizer(tokenizer, file)
    made.pre_tokenizer = pre_tokenizers.Metaspace(WORD_MARK, prepend_scheme=scheme, split=True)
    scheme = "always" if file.add_dummy_prefix else "never"
    decoder = decoders.Metaspace(WORD_MARK, prepend_scheme=scheme, split=True)
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoder]) if in_bytes else decoder
    return made


def _scored_pieces(file: SentencePieceFile) -> list[tuple[str, float]]:
    """Return every piece with the score that lets the library choose as SentencePiece does.

    Control pieces have the least score, which keeps the penalty of unknown characters as it is.
    """
    scores, least = file.scores(), file.least_score
    unknown = least - UNKNOWN_PENALTY
    free = {piece: score for piece, score in scores.items() if not ends_in_comma(piece)}
    return [
        (
            piece.text,
            best_score(piece.text, free, unknown) - _NEVER
            if ends_in_comma(piece.text)
            else scores.get(piece.text, least),
        )
        for piece in file.pieces
    ]


def _normalizer(tokenizer: UnigramTokenizer, file: SentencePieceFile) -> Any:
    """Return ALBERT's normalisation, in the order of `Normalizer.normalize`, then the model's."""
    from tokenizers import Regex, normalizers

    rules = tokenizer.normalizer
    steps: list[Any] = []
    if rules.remove_space:
        steps.append(normalizers.Replace(Regex(f"[{WHITE_SPACE}]+"), " "))
        steps.append(normalizers.Strip())
    steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if rules.do_lower_case:
        steps.append(normalizers.Lowercase())
    if not rules.keep_accents:
        steps.append(normalizers.NFKD())
        steps.append(normalizers.Replace(Regex(_combining_class()), ""))
        if rules.do_lower_case:
            steps.append(normalizers.Lowercase())
    if file.charsmap:
        protected = _protected_symbols(file)
        steps += [normalizers.Replace(symbol, aside) for symbol, aside in protected.items()]
        steps.append(normalizers.Precompiled(file.charsmap))
        steps += [normalizers.Replace(aside, symbol) for symbol, aside in protected.items()]
    if file.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(f"[ {WORD_MARK}]+"), " "))
        steps.append(normalizers.Strip())
    elif file.add_dummy_prefix:
        steps.append(normalizers.Prepend(" "))
    return normalizers.Sequence(steps)


def _protected_symbols(file: SentencePieceFile) -> dict[str, str]:
    """Return the symbols that SentencePiece keeps from its map, each with a private character.

    The library's map knows no exceptions, so they stand aside while it is applied.
    """
    symbols = [piece.text for piece in file.pieces if piece.type == USER_DEFINED]
    changed = [text for text in symbols if unicodedata.normalize("NFKC", text) != text]
    return {text: chr(_PRIVATE + number) for number, text in enumerate(changed)}


@cache
def _combining_class() -> str:
    """Return a regular expression for the characters of a combining class; the library has none."""
    ranges = code_ranges(lambda character: unicodedata.combining(character) > 0)
    return "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + "]"


# === WordPiece ===


def _word_piece(tokenizer: WordPieceTokenizer) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate(tokenizer.pieces)}
    made = Tokenizer(
        models.WordPiece(
            vocabulary,
            unk_token=tokenizer.pieces[tokenizer.unk_id],
            max_input_chars_per_word=LONGEST_WORD,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    rules = tokenizer.words
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=rules.tokenize_chinese_chars,
        strip_accents=rules.strip_accents,
        lowercase=rules.do_lower_case,
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return made


# === Special pieces ===


def _special_ids(tokenizer: UnigramTokenizer | WordPieceTokenizer) -> dict[str, int]:
    numbers = (
        *(tokenizer.pad_id, tokenizer.unk_id),
        *(tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id),
    )
    return {tokenizer.pieces[number]: number for number in sorted(numbers)}


def _special_tokens(tokenizer: UnigramTokenizer | WordPieceTokenizer) -> dict[str, str]:
    """Return the special pieces by the names that `tokenizer_config.json` has for them."""
    names = {"pad_token": tokenizer.pad_id, "unk_token": tokenizer.unk_id}
    names |= {"cls_token": tokenizer.cls_id, "sep_token": tokenizer.sep_id}
    names |= {"mask_token": tokenizer.mask_id}
    return {name: tokenizer.pieces[number] for name, number in names.items()}
