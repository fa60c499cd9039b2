"""A model that writes without torch: step graphs over one word a row, and a cache in numpy.

Beside an encoder's graphs and `predictions.onnx`, which says words, a folder holds `memory.K.onnx`
for each distinct attention block, which makes keys and values of sources, and `decode_layer.K.onnx`
for each distinct layer, which takes one more word of every row through it. How a graph is built is
not known here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from albatross.config import AlbertConfig
from albatross.data.packing import IntArray, PackedBatch, padded_indices
from albatross.engine.generation import NextWords
from albatross.engine.onnx_engine import PREDICTIONS_FILE, OnnxEngine, layer_files, layer_weights
from albatross.engine.step_graph import StepGraph, header_digest, open_graph, session_options
from albatross.engine.word_cache import (
    FloatArray,
    GeneratorState,
    KeysValues,
    Sources,
    WordCache,
    unseen_behind,
)
from albatross.errors import DataError, FolderError

# Keys of `config.json`; the model of torch writes them.
_DECODER_KEY, _TIED_KEY = "generation_decoder", "generation_tied"
_DECODE_INPUTS = {"rows", "keys", "values", "unseen"}
_SOURCE_INPUTS = {"source_keys", "source_values", "source_unseen"}
# Words for which there is room at first; it is doubled when it is full.
_FIRST_ROOM = 16


def reads_apart(config: AlbertConfig) -> bool:
    """Whether targets are read by a decoder beside the encoder, which attends to its rows."""
    return bool(config.extra.get(_DECODER_KEY, "cross") == "cross")


def is_tied(config: AlbertConfig) -> bool:
    """Whether such a decoder has the encoder's own layers."""
    return bool(config.extra.get(_TIED_KEY, False))


def decode_files(config: AlbertConfig) -> list[str]:
    """Return the file of one more word for every depth.

    >>> decode_files(AlbertConfig(num_hidden_layers=2, num_hidden_groups=2))
    ['decode_layer.0.onnx', 'decode_layer.1.onnx']
    """
    return [f"decode_{name}" for name in layer_files(config)]


def memory_files(config: AlbertConfig) -> list[str]:
    """Return the file of sources' keys and values for every depth: one an attention block.

    >>> memory_files(AlbertConfig(num_hidden_layers=2, cross_layer_sharing="attention"))
    ['memory.0.onnx', 'memory.0.onnx']
    """
    numbers: dict[tuple[int, int], int] = {}
    used = [layer_weights(config, depth) for depth in range(config.depth)]
    blocks = [(weights.attention_group, weights.inner) for weights in used]
    return [f"memory.{numbers.setdefault(block, len(numbers))}.onnx" for block in blocks]


class OnnxGenerator:
    """The `StepModel` of an exported folder, on ONNX Runtime's CPU kernels."""

    batch_tokens = 4_096

    def __init__(self, folder: Path, config: AlbertConfig, *, threads: int | None = None) -> None:
        """Load the graphs; `threads` defaults to one for each core.

        Raises:
            FolderError: a graph is missing or damaged, or was exported from other weights.
        """
        self.config = config
        self.threads = threads
        self._apart = reads_apart(config)
        if not (folder / PREDICTIONS_FILE).is_file():
            raise FolderError(
                f"An exported folder that writes must hold `{PREDICTIONS_FILE}`. Received:"
                f" {folder}, without it. Run `albatross export` again."
            )
        self._encoder = OnnxEngine(folder, config, threads=threads)
        digest, options = header_digest(folder), session_options(threads or 0, spin=False)

        def opened(file: str, inputs: set[str], outputs: set[str]) -> StepGraph:
            path = folder / file
            return StepGraph(open_graph(path, digest, options, inputs, {"depth"}, outputs))

        self._memory_files, self._decode_files = memory_files(config), decode_files(config)
        self._memory = {
            file: opened(file, {"rows", "rows_to_block"}, {"keys", "values"})
            for file in dict.fromkeys(self._memory_files)
        }
        inputs = _DECODE_INPUTS | (_SOURCE_INPUTS if self._apart else set())
        self._layers = {
            file: opened(file, inputs, {"rows_out", "key", "value"})
            for file in dict.fromkeys(self._decode_files)
        }

    def start(self, sources: PackedBatch) -> NextWords:
        """Read sources; a row for each, over its first word.

        Raises:
            DataError: a source is longer than the table of positions.
        """
        return self._start_apart(sources) if self._apart else self._start_behind(sources)

    def step(self, state: GeneratorState, last_ids: IntArray) -> NextWords:
        """Go on by one word a row, (rows,).

        Raises:
            DataError: there are no positions left.
        """
        self._check_positions(state.lengths)
        state = state.writable()
        cache, lengths, every = state.cache, state.lengths, np.arange(len(last_ids))
        unseen = unseen_behind(lengths, cache.room)
        rows = self._encoder.embed(self._words(last_ids, lengths))
        for depth, file in enumerate(self._decode_files):
            keys, values = cache.kept[depth]
            inputs = {"rows": rows, "keys": keys, "values": values, "unseen": unseen}
            inputs["depth"] = np.array(depth)
            if state.sources is not None:
                looked_at = state.sources.of_block[self._memory_files[depth]]
                inputs["source_keys"], inputs["source_values"] = looked_at.keys, looked_at.values
                inputs["source_unseen"] = state.sources.unseen
            found = self._layers[file].run(inputs)
            rows = found["rows_out"]
            for kept, new in ((keys, found["key"]), (values, found["value"])):
                kept[every, :, lengths] = new[:, :, 0]
        return self._next_words(rows, state.written())

    def reorder(self, state: GeneratorState, indices: IntArray) -> GeneratorState:
        """Return the state of these rows in this order."""
        return state.select(indices)

    def __repr__(self) -> str:
        """Say how many depths and distinct layers there are."""
        depth, layers = self.config.depth, len(self._layers)
        return f"OnnxGenerator(depth={depth}, layers={layers}, threads={self.threads})"

    def _start_apart(self, sources: PackedBatch) -> NextWords:
        """Encode sources for a decoder beside, which begins with [CLS], their own first word."""
        lengths = np.diff(sources.cu_seqlens)
        rows = self._encoder.embed(sources)
        for depth in range(self.config.depth):
            rows = self._encoder.layer(rows, sources.cu_seqlens, depth)
        block, _ = padded_indices(sources.cu_seqlens)
        depths = {file: depth for depth, file in enumerate(self._memory_files)}
        of_block = {file: self._remembered(rows, block, depth) for file, depth in depths.items()}
        unseen = unseen_behind(lengths, block.shape[1])
        looked_at = Sources(of_block, unseen, np.arange(len(lengths)))
        state = GeneratorState(self._empty(len(lengths), _FIRST_ROOM), 0 * lengths, 0, looked_at)
        return self.step(state, sources.input_ids[sources.cu_seqlens[:-1]])

    def _start_behind(self, sources: PackedBatch) -> NextWords:
        """Encode sources and keep all of their keys and values: the target goes on behind them."""
        lengths = np.diff(sources.cu_seqlens)
        block, _ = padded_indices(sources.cu_seqlens)
        longest = block.shape[1]
        cache = self._empty(len(lengths), longest + _FIRST_ROOM)
        rows = self._encoder.embed(sources)
        for depth in range(self.config.depth):
            kept = self._remembered(rows, block, depth)
            cache.kept[depth, 0, :, :, :longest] = kept.keys
            cache.kept[depth, 1, :, :, :longest] = kept.values
            rows = self._encoder.layer(rows, sources.cu_seqlens, depth)
        last = rows[sources.cu_seqlens[1:] - 1]
        return self._next_words(last, GeneratorState(cache, lengths, 0, None))

    def _remembered(self, rows: FloatArray, block: IntArray, depth: int) -> KeysValues:
        """Return keys and values of sources, as the attention block of a depth projects them."""
        graph = self._memory[self._memory_files[depth]]
        found = graph.run({"rows": rows, "rows_to_block": block, "depth": depth})
        return KeysValues(found["keys"], found["values"])

    def _next_words(self, rows: FloatArray, state: GeneratorState) -> NextWords:
        """Return log-probabilities of the words behind these rows."""
        logits = self._encoder.predictions(rows)
        shifted = logits - logits.max(axis=1, keepdims=True)
        totals = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return NextWords(shifted - totals, state)

    def _words(self, ids: IntArray, positions: IntArray) -> PackedBatch:
        """Return one word a row as a batch; behind a source it is of the second kind."""
        kinds = np.full_like(ids, int(not self._apart))
        ends = np.arange(len(ids) + 1)
        return PackedBatch(ids, kinds, positions, ends, 1, {}, ends[:-1], ends[:-1])

    def _empty(self, rows: int, room: int) -> WordCache:
        """Return a cache without words."""
        config = self.config
        heads, head_size = config.num_attention_heads, config.head_size
        return WordCache.empty(config.depth, rows, heads, room, head_size)

    def _check_positions(self, lengths: IntArray) -> None:
        """Refuse a word for which the table of positions has no row."""
        most = self.config.max_position_embeddings
        if int(lengths.max(initial=0)) >= most:
            raise DataError(
                f"A sequence must have at most {most} tokens (`max_position_embeddings`)."
                " Received: one that goes on. Generate fewer tokens, or cut the source."
            )
