"""The engine without torch: a few step graphs, run by ONNX Runtime over packed rows.

An exported model folder holds `embed.onnx`, one `layer.K.onnx` for each distinct layer,
`heads.onnx`, `exits.onnx` where heads answer before the last depth, and `predictions.onnx` where
there is a masked-word head. They have no weights of their own: their initialisers point into the
folder's `model.safetensors`. A folder over a base has no `embed.onnx`, but uses that of the base;
or it has one that takes a word table, which is joined of rows of both.
File names follow from the configuration alone, by functions of this file that the exporter uses
too. How a graph is built is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from albatross.checkpoints.safetensors_file import map_arrays, read_header
from albatross.checkpoints.word_rows import holds_rows, joined_table
from albatross.config import AlbertConfig
from albatross.data.packing import IntArray, PackedBatch, padded_indices
from albatross.engine.engine import Outputs
from albatross.engine.step_graph import (
    WEIGHTS_FILE,
    StepGraph,
    header_digest,
    open_graph,
    session_options,
)
from albatross.errors import ConfigError, DataError

FloatArray = NDArray[np.float32]
EMBED_FILE = "embed.onnx"
FIRST_LAYER = "layer.0.onnx"
"""What every exported folder has."""
HEADS_FILE = "heads.onnx"
EXITS_FILE = "exits.onnx"
PREDICTIONS_FILE = "predictions.onnx"
WORDS = "predictions"
"""Prefix of the masked-word head's tensors, and the name of its graph's output."""
SINGLE_FILE = "model.onnx"
"""A whole model in one graph, for others than this engine."""
_EMBED_INPUTS = {"input_ids", "token_type_ids", "position_ids"}
_GATHERS = {"rows_to_block", "key_lengths"}
_LAYER_INPUTS = {"rows", "block_to_rows", *_GATHERS}
# Numbers of the widest rows of a batch, which then stay in a processor's caches: more tokens are no
# faster and take more memory (docs/deployment.md). A batch has one long text at least.
_WIDEST_ROWS, _LEAST_BATCH = 3 * 2**18, 256
# What heads may ask for beside the rows: each takes what it reads.
_HEADS_OPTIONS = {"first", "token_type_ids", *_GATHERS}


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

    def __init__(
        self,
        folder: Path,
        config: AlbertConfig,
        *,
        threads: int | None = None,
        below: Path | None = None,
    ) -> None:
        """Load the graphs.

        Args:
            folder: the exported model.
            config: its configuration.
            threads: by default one for each core.
            below: the folder that holds the embeddings or rows of them, where another does.

        Raises:
            FolderError: a graph is missing or damaged, or was exported from other weights or by
                another version.
        """
        self.config = config
        self.batch_tokens = max(_LEAST_BATCH, _WIDEST_ROWS // config.intermediate_size)
        self.threads = threads
        digest = header_digest(folder)
        files = layer_files(config)
        distinct = dict.fromkeys(files)
        # Idle threads that spin for a moment make the next call of the same session 10 % faster and
        # starve those of another: twelve distinct layers were three times slower with it.
        layer_options = session_options(threads or 0, spin=len(distinct) == 1)
        layers = {
            name: StepGraph(
                open_graph(
                    folder / name, digest, layer_options, _LAYER_INPUTS, {"depth"}, {"rows_out"}
                )
            )
            for name in distinct
        }
        self._layers = [layers[name] for name in files]
        # Too little work for a second thread.
        end_options = session_options(1, spin=False)
        self._table: Mapping[str, NDArray[Any]] = {}
        if below is not None and holds_rows(read_header(folder / WEIGHTS_FILE)):
            own, other = (map_arrays(each / WEIGHTS_FILE) for each in (folder, below))
            self._table, below = joined_table(own, other), None
        path, of = (below or folder) / EMBED_FILE, header_digest(below) if below else digest
        needed = _EMBED_INPUTS | self._table.keys()
        self._embed = StepGraph(open_graph(path, of, end_options, needed, outputs={"rows"}))
        self._heads: StepGraph | None = None
        self._exits: StepGraph | None = None
        self._predictions: StepGraph | None = None
        self._open_heads(folder, digest, end_options)
        self._cached: _Attended | None = None

    @property
    def exit_names(self) -> tuple[str, ...]:
        """The heads that answer after every depth."""
        return () if self._exits is None else self._exits.outputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the heads' outputs after the last depth."""
        heads = () if self._heads is None else self._heads.outputs
        return heads if self._predictions is None else (*heads, WORDS)

    def embed(self, batch: PackedBatch) -> FloatArray:
        """Return the rows (total_tokens, hidden) that enter depth 0.

        Raises:
            DataError: a sequence is longer than the table of positions.
        """
        positions = self.config.max_position_embeddings
        if batch.max_seqlen > positions:
            raise DataError(
                f"A sequence must have at most {positions} tokens (`max_position_embeddings`)."
                f" Received: {batch.max_seqlen}. Cut the text into windows."
            )
        inputs = {
            "input_ids": batch.input_ids,
            "token_type_ids": batch.token_type_ids,
            "position_ids": batch.position_ids,
            **self._table,
        }
        return self._embed.run(inputs)["rows"]

    def layer(self, rows: FloatArray, cu_seqlens: IntArray, depth: int) -> FloatArray:
        """Apply the layer of a flat depth index to rows (total_tokens, hidden)."""
        return self._layers[depth].run(self.layer_inputs(rows, cu_seqlens, depth))["rows_out"]

    def layer_inputs(self, rows: FloatArray, cu_seqlens: IntArray, depth: int) -> dict[str, Any]:
        """Return what the graph of a layer takes, by name."""
        return {"rows": rows, "depth": depth, **self._attended(cu_seqlens).inputs}

    def heads(self, rows: FloatArray, batch: PackedBatch, depth: int | None = None) -> Outputs:
        """Return every head's outputs by name, as torch gives them.

        Raises:
            ConfigError: a depth is named, and no head has exits.
        """
        if depth is not None and not self.exit_names:
            raise ConfigError(
                "Answers before the last depth need exits. Received: a model without. Fine-tune it"
                " with `--early-exit`."
            )
        is_last = depth is None or depth == self.config.depth - 1
        graph = self._heads if is_last else self._exits
        words = {}
        if is_last and self._predictions is not None:
            words = {WORDS: self.predictions(rows[batch.asked])}
        if graph is None:
            return words
        inputs = {
            "rows": rows,
            "first": np.ascontiguousarray(batch.cu_seqlens[:-1]),
            "token_type_ids": batch.token_type_ids,
            "depth": depth,
            **self._attended(batch.cu_seqlens).inputs,
        }
        return graph.run(inputs) | words

    def predictions(self, rows: FloatArray) -> FloatArray:
        """Return the logits of the words at some of the last rows: (asked, vocab).

        Raises:
            ConfigError: the model has no masked-word head.
        """
        if self._predictions is None:
            raise ConfigError(
                "Words are predicted by the masked-word head. Received: a folder without"
                f" `{PREDICTIONS_FILE}`. Export the pre-trained model."
            )
        return self._predictions.run({"rows": rows})[WORDS]

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

    def _open_heads(self, folder: Path, digest: str, options: onnxruntime.SessionOptions) -> None:
        """Open what stands on the encoder: heads, their exits, the masked-word head."""
        if (folder / PREDICTIONS_FILE).is_file():
            path, more = folder / PREDICTIONS_FILE, session_options(self.threads or 0, spin=False)
            self._predictions = StepGraph(open_graph(path, digest, more, {"rows"}, outputs={WORDS}))
        if self._predictions is None or (folder / HEADS_FILE).is_file():
            path = folder / HEADS_FILE
            self._heads = StepGraph(open_graph(path, digest, options, {"rows"}, _HEADS_OPTIONS))
        if any(name.startswith("exits.") for name in read_header(folder / WEIGHTS_FILE)):
            path = folder / EXITS_FILE
            self._exits = StepGraph(open_graph(path, digest, options, {"rows", "depth"}, {"first"}))

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

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """By the names that graphs give them."""
        return {
            "rows_to_block": self.rows_to_block,
            "block_to_rows": self.block_to_rows,
            "key_lengths": self.key_lengths,
        }
