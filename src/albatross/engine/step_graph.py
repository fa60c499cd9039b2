"""One graph of an exported folder: opened with care, and what it takes and gives.

What the graphs compute is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from albatross.checkpoints.safetensors_file import read_header_text
from albatross.engine.engine import Outputs
from albatross.errors import FolderError

WEIGHTS_FILE = "model.safetensors"
HEADER_DIGEST_KEY = "weights_header_sha256"
"""Metadata of a graph: which header of `model.safetensors` its offsets were taken from."""
ERRORS_ONLY = 3
"""ONNX Runtime's level of logging."""
# ONNX Runtime's exceptions share no root below Exception: each kind that loading raises is named.
_LOAD_ERRORS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NoModel,
    runtime_errors.NoSuchFile,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


class StepGraph:
    """A session, and the names of what it takes and gives."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        """Ask the session once."""
        self.session = session
        self.inputs = tuple(value.name for value in session.get_inputs())
        self.outputs = tuple(value.name for value in session.get_outputs())

    def run(self, inputs: Mapping[str, Any]) -> Outputs:
        """Return the outputs by name; of the inputs, the graph takes those that it knows."""
        taken = {name: np.asarray(inputs[name]) for name in self.inputs}
        return dict(zip(self.outputs, self.session.run(self.outputs, taken), strict=True))


def header_digest(folder: Path) -> str:
    """Return the checksum by which a graph knows the weights beside it.

    Raises:
        FolderError: they are missing, or their header is damaged.
    """
    return hashlib.sha256(read_header_text(folder / WEIGHTS_FILE)).hexdigest()


def session_options(threads: int, *, spin: bool) -> onnxruntime.SessionOptions:
    """Return options of one session; 0 threads means one for each core."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    # A pattern is kept for every shape of batch that was met, and no two are alike.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    return options


def open_graph(
    path: Path,
    digest: str,
    options: onnxruntime.SessionOptions,
    inputs: Collection[str],
    optional: Collection[str] = (),
    outputs: Collection[str] = (),
) -> onnxruntime.InferenceSession:
    """Return a session over a graph whose offsets belong to the weights beside it.

    Args:
        path: the graph's file.
        digest: of the header of the weights.
        options: the session's.
        inputs: what it must take.
        optional: what it may take beside these.
        outputs: what it must give, if that is known.

    Raises:
        FolderError: it is missing or damaged, of other weights, or of another kind or version.
    """
    if not path.is_file():
        raise FolderError(
            f"An exported folder must hold `{path.name}`. Received: {path.parent}, without it."
            " Run `albatross export` first."
        )
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _LOAD_ERRORS as error:
        reason = " ".join(str(error).split())
        raise FolderError(
            f"`{path.name}` must be a step graph over the weights beside it. Received: {path}"
            f" ({reason}). Run `albatross export` again."
        ) from error
    if session.get_modelmeta().custom_metadata_map.get(HEADER_DIGEST_KEY) != digest:
        raise FolderError(
            f"`{path.name}` must have been exported from the `{WEIGHTS_FILE}` beside it. Received:"
            f" {path}, made from another file. Run `albatross export` again."
        )
    taken = {value.name for value in session.get_inputs()}
    given = {value.name for value in session.get_outputs()}
    for verb, found, needed, known in (
        ("take", taken, {*inputs}, {*inputs, *optional}),
        ("give", given, {*outputs}, given),
    ):
        if not needed <= found <= known:
            raise FolderError(
                f"`{path.name}` must {verb} {', '.join(sorted(needed))}. Received: {path}, which"
                f" {verb}s {', '.join(sorted(found))}. Run `albatross export` again, with this"
                " version."
            )
    return session
