"""The verb extend-vocabulary: new words get pieces, and embeddings to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import check_free, writing
from albatross.checkpoints.huggingface import WORD_EMBEDDINGS, Arrays
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, read_weights, weight_files, write_model
from albatross.conversion.target import copy_companions
from albatross.data.text_files import read_lines
from albatross.errors import DataError, FolderError
from albatross.report import file_digest, run_record
from albatross.settings.conversion import ExtendVocabularySettings
from albatross.tokenizer.extension import extend
from albatross.tokenizer.folder import open_tokenizer

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
    check_free(settings.out)
    folder = find_model(settings.model)
    config = read_config(folder)
    tokenizer = open_tokenizer(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise FolderError(
            "A vocabulary must not have more pieces than the model has embeddings. Received:"
            f" {tokenizer.vocab_size:,} for {config.vocab_size:,}. Put the model's own there."
        )
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


def grown_embeddings(
    arrays: Mapping[str, NDArray[np.generic]], first_new: int, pieces_of: list[list[int]]
) -> Arrays:
    """Return tensors with a row for every new piece: the mean of its old pieces' rows.

    Args:
        arrays: a model's tensors.
        first_new: the id of the first new piece; rows that the model has beyond it are replaced.
        pieces_of: the old ids that each new piece was cut into.
    """
    grown = dict(arrays)
    for name in (WORD_EMBEDDINGS, _BIAS):
        if name in arrays:
            old = arrays[name]
            rows = [_mean(old[pieces]) for pieces in pieces_of]
            kept = old[:first_new]
            spare = old[first_new + len(rows) :]
            grown[name] = np.concatenate([kept, np.array(rows, old.dtype), spare])
    return grown


def _mean(rows: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the mean of some rows, computed in double precision."""
    mean: NDArray[np.float64] = np.asarray(rows, np.float64).mean(0)
    return mean
