"""Which tokenizer a folder holds, told by its files."""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from albatross.errors import FolderError
from albatross.tokenizer.tokenizer_json import JSON_FILE, JsonTokenizer
from albatross.tokenizer.unigram import MODEL_FILE, FlatEncoding, UnigramTokenizer, read_normalizer
from albatross.tokenizer.wordpiece import VOCAB_FILE, VOCAB_FILES, WordPieceTokenizer

TokenizerName = Literal["auto", "spiece.model", "vocab.txt", "tokenizer.json"]
AnyTokenizer = UnigramTokenizer | WordPieceTokenizer | JsonTokenizer


def open_tokenizer(
    folder: str | os.PathLike[str], tokenizer: TokenizerName = "auto"
) -> AnyTokenizer:
    """Open the tokenizer of a folder.

    Args:
        folder: any folder with a vocabulary in it.
        tokenizer: `auto` takes `spiece.model` or a single `*.model` of another name, else
            `vocab.txt` or `vocab_chinese.txt`, else `tokenizer.json`.

    Raises:
        FolderError: there is none, or several of which none is `spiece.model`.
        TokenizerError: its file is damaged.
    """
    place = Path(folder)
    name = tokenizer if tokenizer != "auto" else _found(place)
    if name == JSON_FILE:
        return JsonTokenizer.from_folder(place)
    if name == VOCAB_FILE:
        return WordPieceTokenizer.from_folder(place)
    model = _sentencepiece_file(place) or place / MODEL_FILE
    return UnigramTokenizer.from_file(model, read_normalizer(place))


def check_pieces(tokenizer: AnyTokenizer, rows: int, place: Path) -> None:
    """Refuse a tokenizer that gives ids for which its model has no embedding.

    Args:
        tokenizer: of a folder.
        rows: the model's words.
        place: the folder, for the message.

    Raises:
        FolderError: it has more pieces than that.
    """
    if tokenizer.vocab_size > rows:
        raise FolderError(
            "A folder's tokenizer must not have more pieces than its model."
            f" Received in {str(place)!r}: {tokenizer.vocab_size:,} for {rows:,}."
            " Put the tokenizer there that the model was trained with."
        )


def encode_flat(tokenizer: AnyTokenizer, texts: Sequence[str]) -> FlatEncoding:
    """Return the ids of texts as arrays, the same as `encode_batch` gives; on one thread."""
    if isinstance(tokenizer, UnigramTokenizer):
        return tokenizer.encode_flat(texts)
    found = tokenizer.encode_batch(texts, num_threads=1)
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    ids = np.fromiter(chain.from_iterable(found), np.int32, int(lengths.sum()))
    return FlatEncoding(ids, lengths)


def _found(folder: Path) -> TokenizerName:
    """Return the first kind that the folder has a file of."""
    if _sentencepiece_file(folder):
        return "spiece.model"
    if any((folder / name).is_file() for name in VOCAB_FILES):
        return "vocab.txt"
    if (folder / JSON_FILE).is_file():
        return "tokenizer.json"
    raise FolderError(
        f"A folder must hold a vocabulary: `{MODEL_FILE}`, `{VOCAB_FILE}` or `{JSON_FILE}`."
        f" Received: {str(folder)!r} without one. Copy the model's vocabulary there, or make one"
        " with `albatross train-tokenizer`."
    )


def _sentencepiece_file(folder: Path) -> Path | None:
    """Return `spiece.model`, else the one `*.model` (Google's archives hold `30k-clean.model`)."""
    if (folder / MODEL_FILE).is_file():
        return folder / MODEL_FILE
    models = sorted(path for path in folder.glob("*.model") if path.is_file())
    if len(models) > 1:
        names = ", ".join(path.name for path in models)
        raise FolderError(
            f"A folder must hold one SentencePiece model, or call it `{MODEL_FILE}`. Received in"
            f" {str(folder)!r}: {names}. Rename the one that the model was trained with."
        )
    return models[0] if models else None
