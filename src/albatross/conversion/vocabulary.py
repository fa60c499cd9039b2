"""The verbs that change a vocabulary: new pieces get embeddings to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import writing
from albatross.checkpoints.delta import check_place, vocabulary_folder
from albatross.checkpoints.huggingface import WORD_EMBEDDINGS, Arrays
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, read_weights, weight_files, write_model
from albatross.config import AlbertConfig
from albatross.conversion.target import copy_companions
from albatross.data.text_files import read_lines
from albatross.errors import DataError
from albatross.report import file_digest, run_record
from albatross.settings.conversion import ExtendVocabularySettings, SwapVocabularySettings
from albatross.tokenizer.extension import extend
from albatross.tokenizer.folder import AnyTokenizer, check_pieces, open_tokenizer

_BIAS = "predictions.bias"


def extend_vocabulary(settings: ExtendVocabularySettings) -> Path:
    """Write a model whose vocabulary holds the words of a file, one a line.

    A new word starts as the mean of the embeddings of the pieces that it was cut into, its output
    bias as the mean of theirs. Texts without the new words are cut as before, and give the same
    hidden rows.

    Raises:
        FolderError: no model folder, or its vocabulary and its embeddings do not go together.
        DataError: no words, or one that cannot be a piece.
    """
    folder = find_model(settings.model)
    check_place(settings.out, [folder], mark="extend-vocabulary")
    config, tokenizer = _read(folder)
    words = [line.strip() for line in read_lines(settings.words) if line.strip()]
    if not words:
        raise DataError(
            f"`--words` must hold a word a line. Received: {str(settings.words)!r} with none."
        )
    extension = extend(tokenizer, words)
    arrays = grown_embeddings(read_weights(folder), tokenizer.vocab_size, extension.pieces_of)
    grown = replace(config, vocab_size=len(arrays[WORD_EMBEDDINGS]))
    record = run_record(
        "extend-vocabulary",
        settings.to_dict(),
        data={
            "words": file_digest(settings.words),
            "model": [file_digest(path) for path in weight_files(folder)],
        },
        metrics={"new_pieces": len(extension.pieces_of)},
        progress={},
    )
    with writing(settings.out) as draft:
        write_model(draft, grown, arrays, record)
        extension.tokenizer.save(draft)
        copy_companions(folder, draft)
    return settings.out


def swap_vocabulary(settings: SwapVocabularySettings) -> Path:
    """Write a model with another vocabulary, to be trained on.

    A piece starts as the mean of the embeddings of the old pieces that its text was cut into, its
    output bias likewise; specials stay what they are. The layers stay as they were.

    Raises:
        FolderError: no model folder, or no tokenizer folder.
    """
    folder = find_model(settings.model)
    check_place(settings.out, [folder, settings.tokenizer], mark="swap-vocabulary")
    config, old = _read(folder)
    new = open_tokenizer(settings.tokenizer)
    pieces_of = _old_pieces(old, new)
    arrays = read_weights(folder)
    # All rows are new ones: of the old table none is kept in its place.
    swapped = grown_embeddings(arrays, 0, pieces_of, spare=False)
    config = replace(
        config,
        vocab_size=new.vocab_size,
        pad_token_id=new.pad_id,
        bos_token_id=new.cls_id,
        eos_token_id=new.sep_id,
    )
    kept = sum(len(pieces) == 1 for pieces in pieces_of)
    record = run_record(
        "swap-vocabulary",
        settings.to_dict(),
        data={"model": [file_digest(path) for path in weight_files(folder)]},
        metrics={"pieces": new.vocab_size, "pieces_known_before": kept},
        progress={},
    )
    with writing(settings.out) as draft:
        write_model(draft, config, swapped, record)
        new.save(draft)
    return settings.out


def _read(folder: Path) -> tuple[AlbertConfig, AnyTokenizer]:
    """Return a model's configuration and its tokenizer, which must go together."""
    config, tokenizer = read_config(folder), open_tokenizer(vocabulary_folder(folder))
    check_pieces(tokenizer, config.vocab_size, folder)
    return config, tokenizer


def _old_pieces(old: AnyTokenizer, new: AnyTokenizer) -> list[list[int]]:
    """Return the old ids of every new piece: its own, or those that its text is cut into."""
    known = {piece: number for number, piece in enumerate(old.pieces)}
    for name in ("pad", "unk", "cls", "sep", "mask"):
        known[new.pieces[getattr(new, f"{name}_id")]] = getattr(old, f"{name}_id")
    return [
        [known[piece]] if piece in known else old.encode(new.decode([number])) or [old.unk_id]
        for number, piece in enumerate(new.pieces)
    ]


def grown_embeddings(
    arrays: Mapping[str, NDArray[np.generic]],
    first_new: int,
    pieces_of: list[list[int]],
    *,
    spare: bool = True,
) -> Arrays:
    """Return tensors with a row for every new piece: the mean of its old pieces' rows.

    Args:
        arrays: a model's tensors.
        first_new: the id of the first new piece; rows that the model has beyond it are replaced.
        pieces_of: the old ids that each new piece was cut into.
        spare: keep the rows that the model has beyond all pieces.
    """
    grown = dict(arrays)
    for name in (WORD_EMBEDDINGS, _BIAS):
        if name in arrays:
            old = arrays[name]
            rows = [_mean(old[pieces]) for pieces in pieces_of]
            new = np.array(rows, old.dtype).reshape(len(rows), *old.shape[1:])
            kept = old[:first_new]
            beyond = old[first_new + len(rows) :] if spare else old[:0]
            grown[name] = np.concatenate([kept, new, beyond])
    return grown


def _mean(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the mean of some rows, computed in double precision."""
    mean: NDArray[np.float64] = np.asarray(rows, np.float64).mean(0)
    return mean
