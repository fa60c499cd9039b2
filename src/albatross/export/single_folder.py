"""A folder that holds its model as one file: made of an exported one, and compared with it first.

What the step graphs and `model.safetensors` say is in the file; they go, so that weights are there
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from albatross.atomic import read_json, write_json
from albatross.checkpoints.model_folder import RUN
from albatross.config import AlbertConfig
from albatross.data.packing import Example, IntArray, PackedBatch, pack
from albatross.engine.engine import Outputs
from albatross.engine.onnx_engine import SINGLE_FILE, WORDS, OnnxEngine
from albatross.engine.step_graph import ERRORS_ONLY, WEIGHTS_FILE
from albatross.errors import FolderError
from albatross.export.single_file import write_single_file
from albatross.head_spec import HeadSpec
from albatross.report import file_digest
from albatross.rng import stream

# In 8 bits a row whose rounding falls the other way moves an answer by more than floats do.
_LARGEST_DIFFERENCE, _LARGEST_OF_ROUNDED = 1e-4, 0.05
# First and end column of the sequences that both are asked about; all else is pads.
_TOKENS, _BOUNDS = 16, ((0, 9), (0, 1), (0, 16), (4, 16), (3, 5))


def put_into_one_file(
    folder: Path, config: AlbertConfig, heads: Mapping[str, HeadSpec], *, is_int8: bool
) -> None:
    """Write `model.onnx` and, once it answers as the step graphs do, take them away.

    Raises:
        FolderError: it answers otherwise.
        WeightsError: it is larger than its weights allow.
    """
    path = write_single_file(folder, config, heads)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds, batch = _probes(config)
    most = _LARGEST_OF_ROUNDED if is_int8 else _LARGEST_DIFFERENCE
    engine = OnnxEngine(folder, config)
    for depth in sorted({1, config.depth}):
        given = {**feeds, "depth": np.array(depth, dtype=np.int64)}
        received = dict(zip(names, session.run(names, given), strict=True))
        expected = _expected(engine, batch, depth, has_words=WORDS in names)
        _compare(expected, received, feeds["attention_mask"] > 0, most)
    for other in (*(each for each in folder.glob("*.onnx") if each != path), folder / WEIGHTS_FILE):
        other.unlink()
    run = read_json(folder / RUN)
    digest = file_digest(path)["sha256"]
    form = {**run["export"], "form": "single-file"}
    write_json(folder / RUN, {**run, "export": form, "sha256": {SINGLE_FILE: digest}})


def _probes(config: AlbertConfig) -> tuple[dict[str, IntArray], PackedBatch]:
    """Return a padded batch of made-up ids, and the same packed; pads hold ids as well."""
    tokens = min(_TOKENS, config.max_position_embeddings)
    draw = stream(0, "single file")
    shape = (len(_BOUNDS), tokens)
    ids = draw.integers(0, config.vocab_size, shape)
    types = np.sort(draw.integers(0, config.type_vocab_size, shape), axis=1)
    mask = np.zeros(shape, dtype=np.int64)
    for row, (start, end) in enumerate(_BOUNDS):
        mask[row, min(start, tokens - 1) : end] = 1
    shown = [np.flatnonzero(row) for row in mask]
    batch = pack([Example(ids[row][at], types[row][at]) for row, at in enumerate(shown)])
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return feeds, replace(batch, position_ids=np.concatenate(shown))


def _expected(engine: OnnxEngine, batch: PackedBatch, count: int, *, has_words: bool) -> Outputs:
    """Return what the step graphs say after so many depths; exits where heads have them."""
    rows = engine.embed(batch)
    for depth in range(count):
        rows = engine.layer(rows, batch.cu_seqlens, depth)
    found = dict(engine.heads(rows, batch))
    if engine.exit_names:
        found |= engine.heads(rows, batch, count - 1)
    if has_words:
        found[WORDS] = engine.predictions(rows)
    return found


def _compare(
    expected: Outputs, received: Outputs, shown: NDArray[np.bool_], largest: float
) -> None:
    """Refuse outputs that differ; columns of answers follow from the scores beside them."""
    for name, rows in expected.items():
        if name.endswith("_index"):
            continue
        found = received[name]
        # Of heads that read every token: (batch, tokens, size).
        found = found[shown] if found.ndim == shown.ndim + 1 else found
        difference = float(np.abs(rows - found).max())
        if not difference <= largest:
            raise FolderError(
                f"`{SINGLE_FILE}` must answer as the step graphs do, within {largest:g}. Received:"
                f" a difference of {difference:g} in `{name}`. Report this folder's configuration;"
                " nothing was written."
            )
