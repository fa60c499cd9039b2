"""The engine without torch: three kinds of step graph, run by ONNX Runtime over packed rows.

An exported model folder holds `embed.onnx`, one `layer.K.onnx` for each distinct layer and
`heads.onnx`. They have no weights of their own: their initialisers point into the folder's
`model.safetensors`. File names follow from the configuration alone, by functions of this file that
the exporter uses too. How a graph is built is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from albatross.checkpoints.safetensors_file import read_header_text
from albatross.config import AlbertConfig
from albatross.data.packing import IntArray, PackedBatch, padded_indices
from albatross.engine.engine import Outputs
from albatross.errors import ConfigError, FolderError

FloatArray = NDArray[np.float32]
WEIGHTS_FILE = "model.safetensors"
EMBED_FILE = "embed.onnx"
HEADS_FILE = "heads.onnx"
_EMBED_INPUTS = {"input_ids", "token_type_ids", "position_ids"}
_LAYER_INPUTS = {"rows", "rows_to_block", "block_to_rows", "key_lengths"}
_HEADS_INPUTS = {"rows", "first"}
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


@dataclass(frozen=True)
class LayerWeights:
    """Which tensors one depth uses: two depths with equal ones share a graph."""

    attention_group: int
    ffn_group: int
    inner: int


def layer_weights(config: AlbertConfig, depth: int) -> LayerWeights:
    """Return the groups and the inner layer of a flat depth index."""
    repeat, inner = divmod(depth, config.inner_group_num)
    return LayerWeights(config.attention_group_of(repeat), config.ffn_group_of(repeat), inner)


def layer_files(config: AlbertConfig) -> list[str]:
    """Return the graph's file name for every depth, numbered in the order of first use.

    >>> layer_files(AlbertConfig(num_hidden_layers=4, num_hidden_groups=2))
    ['layer.0.onnx', 'layer.0.onnx', 'layer.1.onnx', 'layer.1.onnx']
    """
    numbers: dict[LayerWeights, int] = {}
    used = [layer_weights(config, depth) for depth in range(config.depth)]
    return [f"layer.{numbers.setdefault(weights, len(numbers))}.onnx" for weights in used]


class OnnxEngine:
    """The engine of an exported folder, on ONNX Runtime's CPU kernels.

    Rows are numpy arrays (total_tokens, hidden) of 32-bit floats, whatever the file's precision.
    """

    def __init__(self, folder: Path, config: AlbertConfig, *, threads: int | None = None) -> None:
        """Load the graphs; `threads` defaults to one for each core.

        Raises:
            FolderError: a graph is missing or damaged, or was exported from other weights.
        """
        self.config = config
        self.threads = threads
        digest = hashlib.sha256(read_header_text(folder / WEIGHTS_FILE)).hexdigest()
        files = layer_files(config)
        distinct = dict.fromkeys(files)
        # Idle threads that spin for a moment make the next call of the same session 10 % faster and
        # starve those of another: twelve distinct layers were three times slower with it.
        layer_options = _session_options(threads or 0, spin=len(distinct) == 1)
        layers = {
            name: _open(folder / name, digest, layer_options, _LAYER_INPUTS) for name in distinct
        }
        self._layers = [layers[name] for name in files]
        # Too little work for a second thread.
        end_options = _session_options(1, spin=False)
        self._embed = _open(folder / EMBED_FILE, digest, end_options, _EMBED_INPUTS)
        self._heads = _open(folder / HEADS_FILE, digest, end_options, _HEADS_INPUTS)
        self._cached: _Attended | None = None

    def embed(self, batch: PackedBatch) -> FloatArray:
        """Return the rows (total_tokens, hidden) that enter depth 0."""
        inputs = {
            "input_ids": batch.input_ids,
            "token_type_ids": batch.token_type_ids,
            "position_ids": batch.position_ids,
        }
        rows: FloatArray = self._embed.run(["rows"], inputs)[0]
        return rows

    def layer(self, rows: FloatArray, cu_seqlens: IntArray, depth: int) -> FloatArray:
        """Apply the layer of a flat depth index to rows (total_tokens, hidden)."""
        attended = self._attended(cu_seqlens)
        inputs = {
            "rows": rows,
            "rows_to_block": attended.rows_to_block,
            "block_to_rows": attended.block_to_rows,
            "key_lengths": attended.key_lengths,
        }
        result: FloatArray = self._layers[depth].run(["rows_out"], inputs)[0]
        return result

    def heads(self, rows: FloatArray, batch: PackedBatch, depth: int | None = None) -> Outputs:
        """Return (sequences, size) logits by the head's name.

        Raises:
            ConfigError: a depth is named; exported folders have no exits.
        """
        if depth is not None:
            raise ConfigError(
                "An exported folder answers after its last depth alone. Received: a wish for depth"
                f" {depth}. Use the folder that was exported, with torch."
            )
        names = [output.name for output in self._heads.get_outputs()]
        first = np.ascontiguousarray(batch.cu_seqlens[:-1])
        return dict(zip(names, self._heads.run(names, {"rows": rows, "first": first}), strict=True))

    def select(self, rows: FloatArray, indices: IntArray) -> FloatArray:
        """Return the rows at these token indices, in this order."""
        return rows[indices]

    def concat(self, parts: Sequence[FloatArray]) -> FloatArray:
        """Lay rows of several batches end to end."""
        return np.concatenate(parts)

    def __repr__(self) -> str:
        """Say how many depths and distinct layers there are."""
        distinct = len(set(layer_files(self.config)))
        return f"OnnxEngine(depth={self.config.depth}, layers={distinct}, threads={self.threads})"

    def _attended(self, cu_seqlens: IntArray) -> _Attended:
        """Return the gathers of a batch, made once for all its depths."""
        cached = self._cached
        if cached is None or not np.array_equal(cached.cu_seqlens, cu_seqlens):
            rows_to_block, block_to_rows = padded_indices(cu_seqlens)
            key_lengths = np.diff(cu_seqlens).astype(np.int32)
            cached = _Attended(cu_seqlens.copy(), rows_to_block, block_to_rows, key_lengths)
            self._cached = cached
        return cached


@dataclass(frozen=True)
class _Attended:
    """What attention needs to know of a batch beside its rows.

    Attributes:
        cu_seqlens: (sequences + 1,), the batch that the others belong to
        rows_to_block: (sequences, max_seqlen)
        block_to_rows: (total_tokens,)
        key_lengths: (sequences,)
    """

    cu_seqlens: IntArray
    rows_to_block: IntArray
    block_to_rows: IntArray
    key_lengths: NDArray[np.int32]


def _session_options(threads: int, *, spin: bool) -> onnxruntime.SessionOptions:
    """Return options of one session; 0 threads means one for each core."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    return options


def _open(
    path: Path, digest: str, options: onnxruntime.SessionOptions, inputs: set[str]
) -> onnxruntime.InferenceSession:
    """Return a session over a graph of this kind whose offsets belong to the weights beside it."""
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
    found = {value.name for value in session.get_inputs()}
    if found != inputs:
        raise FolderError(
            f"`{path.name}` must take {', '.join(sorted(inputs))}. Received: {path}, which takes"
            f" {', '.join(sorted(found))}. Run `albatross export` again."
        )
    return session
