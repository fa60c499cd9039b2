"""One file for any ONNX Runtime: ids in, answers out, the layer once in a `Loop`, weights inside.

Inputs are those of transformers' exports, padded; inside pads are dropped and rows are packed, as
in `modeling/packed.py`. Where there are several distinct layers, the loop's body holds each of them
once and a depth runs the one that it uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto

from albatross.atomic import write_file
from albatross.config import AlbertConfig
from albatross.engine.onnx_engine import SINGLE_FILE, WORDS, layer_files, layer_weights
from albatross.engine.step_graph import WEIGHTS_FILE
from albatross.errors import WeightsError
from albatross.export.depth_graph import DepthGraph, of_depth
from albatross.export.graph import Graph, Weights
from albatross.export.heads import answers, word_logits
from albatross.export.layers import Places, embed, layer
from albatross.export.seen import Answer, Dimensions, Seen
from albatross.head_spec import HeadSpec

LARGEST_SHARE = 1.1
"""Of the weights' bytes: what the file may measure; more means that a weight is there twice."""
# Of the graph itself, which outweighs the weights of a toy.
_GRAPH_BYTES = 65_536
# Inside the loop, the flat index of the depth.
_AT_DEPTH = "at_depth"


@dataclass(frozen=True)
class _Packed:
    """The values of a graph that say what is left of a padded batch.

    Attributes:
        kept: (total_tokens,), the cell of each token in the flattened (batch, tokens)
        columns: (total_tokens,), the column of each
        shape: (2,), the batch's own
        first: (batch,), the row of each sequence's first token
        places: where the sequences lie among the rows
    """

    kept: str
    columns: str
    shape: str
    first: str
    places: Places

    def kept_of(self, graph: Graph, values: str) -> str:
        """Take out of values (batch, tokens) those of tokens: (total_tokens,)."""
        flat = graph.add("Reshape", [values, graph.integers("flat", [-1])])
        return graph.add("Gather", [flat, self.kept], axis=0)

    def padded(self, graph: Graph, rows: str, width: int) -> str:
        """Lay rows (total_tokens, width) into (batch, tokens, width), zeros at pads."""
        shape = graph.add("Concat", [self.shape, graph.integers(f"width_{width}", [width])], axis=0)
        cells = graph.add(
            "Reshape",
            [graph.add("ConstantOfShape", [shape]), graph.integers(f"cells_{width}", [-1, width])],
        )
        at = graph.add("Unsqueeze", [self.kept, graph.integers("axis_1", [1])])
        return graph.add("Reshape", [graph.add("ScatterND", [cells, at, rows]), shape])

    def columns_of(self, graph: Graph, numbers: str) -> str:
        """Turn places within a sequence, floats (batch, any), into columns of the caller's."""
        places = graph.add("Cast", [numbers], to=TensorProto.INT64)
        rows = graph.add("GatherElements", [self.places.rows_to_block, places], axis=1)
        columns = graph.add("Gather", [self.columns, rows], axis=0)
        return graph.add("Cast", [columns], to=TensorProto.FLOAT)


def write_single_file(folder: Path, config: AlbertConfig, heads: Mapping[str, HeadSpec]) -> Path:
    """Write `model.onnx` beside the `model.safetensors` that its weights are copied from.

    It takes `input_ids`, `attention_mask` and `token_type_ids` (batch, tokens) and, if the caller
    wants fewer than all, `depth`: how many depths are applied. It gives each head's outputs by
    name, (batch, ...); of heads that read every token (batch, tokens, size), zeros at pads.

    Raises:
        WeightsError: a tensor is missing, of another shape or type; or the file is larger than 1.1
            times its weights.
        ConfigError: a head has no graph.
    """
    weights = Weights.read(folder / WEIGHTS_FILE)
    model = _whole_graph(weights, config, heads)
    size = _fill(model, folder)
    content = model.SerializeToString()
    if len(content) > LARGEST_SHARE * size + _GRAPH_BYTES:
        raise WeightsError(
            f"`{SINGLE_FILE}` must not be larger than {LARGEST_SHARE} times its weights. Received:"
            f" {len(content):,} bytes for {size:,} of weights. Report this folder's configuration."
        )
    path = folder / SINGLE_FILE
    write_file(path, content)
    return path


def _whole_graph(
    weights: Weights, config: AlbertConfig, heads: Mapping[str, HeadSpec]
) -> ModelProto:
    """From padded ids to every head's outputs."""
    graph = Graph(weights)
    names = ("input_ids", "attention_mask", "token_type_ids")
    ids, mask, types = (graph.input(name, ["batch", "tokens"]) for name in names)
    packed = _pack(graph, mask)
    ids, types = packed.kept_of(graph, ids), packed.kept_of(graph, types)
    depth = _depth(graph, config)
    rows = embed(graph, config, ids, types, packed.columns)
    rows = _layers(graph, config, rows, packed.places, depth)
    known = {
        "rows": rows,
        "first": packed.first,
        "rows_to_block": packed.places.rows_to_block,
        "key_lengths": packed.places.key_lengths,
        "token_type_ids": types,
    }
    seen = Seen(graph, config, known)
    exits = {name: spec for name, spec in heads.items() if spec.options.get("exits")}
    others = {n: spec for n, spec in heads.items() if n not in exits and spec.kind != "words"}
    found = answers(graph, config, others, seen)
    found |= {name: _early(graph, config, name, spec, seen, depth) for name, spec in exits.items()}
    if f"{WORDS}.bias" in weights.tensors:
        logits = word_logits(graph, config, rows)
        found[WORDS] = Answer(logits, ["total_tokens", config.vocab_size])
    for name, answer in found.items():
        _give(graph, packed, name, answer)
    return graph.model("albatross")


def _pack(graph: Graph, mask: str) -> _Packed:
    """Find the tokens that a mask (batch, tokens) shows, and where they lie."""
    flat, axis_1 = graph.integers("flat", [-1]), graph.integers("axis_1", [1])
    none, one = graph.integers("none", 0), graph.integers("one_token", 1)
    shape = graph.add("Shape", [mask])
    tokens = graph.add("Gather", [shape, one])
    shown = graph.add(
        "Cast", [graph.add("Cast", [mask], to=TensorProto.BOOL)], to=TensorProto.INT64
    )
    kept = graph.add("NonZero", [graph.add("Reshape", [shown, flat])])
    kept = graph.add("Reshape", [kept, flat])
    sequences, columns = graph.add("Div", [kept, tokens]), graph.add("Mod", [kept, tokens])
    count = graph.add("Size", [kept])
    last = graph.add("Sub", [count, one])

    lengths = graph.add("ReduceSum", [shown, axis_1], keepdims=0)
    longest = graph.add("ReduceMax", [lengths], keepdims=0)
    first = graph.add("Sub", [graph.add("CumSum", [lengths, none]), lengths])
    # Pads may stand on either side, so that a column is not a place within the sequence.
    rows = graph.add("Range", [none, count, one])
    places = graph.add("Sub", [rows, graph.add("Gather", [first, sequences])])
    block_to_rows = graph.add("Add", [graph.add("Mul", [sequences, longest]), places])
    across = graph.add("Range", [none, longest, one])
    rows_to_block = graph.add("Add", [graph.add("Unsqueeze", [first, axis_1]), across])
    return _Packed(
        kept,
        columns,
        shape,
        first,
        Places(
            graph.add("Min", [rows_to_block, last]),
            block_to_rows,
            graph.add("Cast", [lengths], to=TensorProto.INT32),
        ),
    )


# === Depths ===


def _depth(graph: Graph, config: AlbertConfig) -> str:
    """How many depths are applied: an input that may be left out, as it has an initialiser."""
    depth = graph.input("depth", [])
    graph.integers(depth, config.depth)
    return graph.add("Min", [depth, graph.integers("deepest", config.depth)])


def _layers(graph: Graph, config: AlbertConfig, rows: str, places: Places, depth: str) -> str:
    """Apply as many layers as are asked for: (total_tokens, hidden) to the same."""
    shape: Dimensions = ["total_tokens", config.hidden_size]
    files = layer_files(config)
    layers = [
        [depth for depth, name in enumerate(files) if name == one] for one in dict.fromkeys(files)
    ]
    body = _part(graph, config, layers, "loop")
    body.input(_AT_DEPTH, [])
    going = body.input("going", [], TensorProto.BOOL)
    choice = _Choice(config, places, body.input("before", shape, TensorProto.FLOAT))
    after = choice.among(body, layers)
    body.output("still_going", going, [], TensorProto.BOOL)
    body.output("after", after, shape)
    return graph.add("Loop", [depth, "", rows], body=body.body())


@dataclass(frozen=True)
class _Choice:
    """The one of several layers that a depth uses, found by halving.

    Attributes:
        config: the model's
        places: where the sequences lie
        rows: (total_tokens, hidden), before the layer
    """

    config: AlbertConfig
    places: Places
    rows: str

    def among(self, graph: Graph, layers: Sequence[Sequence[int]]) -> str:
        """Apply the layer whose depths the present one is among: (total_tokens, hidden)."""
        if len(layers) == 1:
            used = layer_weights(self.config, layers[0][0])
            return layer(graph, self.config, used, self.rows, self.places)
        half = len(layers) // 2
        low = [depth for depths in layers[:half] for depth in depths]
        is_low = [int(depth in low) for depth in range(self.config.depth)]
        name = f"is_of_{'_'.join(map(str, low))}"
        table = graph.integers(name, is_low)
        chosen = graph.add("Gather", [table, _AT_DEPTH], axis=0)
        return graph.add(
            "If",
            [graph.add("Cast", [chosen], to=TensorProto.BOOL)],
            then_branch=self._branch(graph, layers[:half], "then"),
            else_branch=self._branch(graph, layers[half:], "else"),
        )

    def _branch(self, outer: Graph, layers: Sequence[Sequence[int]], name: str) -> GraphProto:
        graph = _part(outer, self.config, layers, name)
        shape: Dimensions = ["total_tokens", self.config.hidden_size]
        graph.output(f"{outer.scope}{name}.rows", self.among(graph, layers), shape)
        return graph.body()


def _part(
    outer: Graph, config: AlbertConfig, layers: Sequence[Sequence[int]], name: str
) -> DepthGraph:
    """Start the body that applies one of these layers; of several, branches of it do."""
    return DepthGraph(outer.weights, config, layers[0], _AT_DEPTH).within(outer, name)


# === Answers ===


def _early(
    graph: Graph, config: AlbertConfig, name: str, spec: HeadSpec, seen: Seen, depth: str
) -> Answer:
    """What the exit of a head says after the last depth that was applied."""
    prefixes = [*(f"exits.{name}.{number}" for number in range(config.depth - 1)), name]
    shape = (spec.size, config.hidden_size)
    # After none of them the first answers.
    at = graph.add("Max", [depth, graph.integers("one_token", 1)])
    at = graph.add("Sub", [at, graph.integers("one_token", 1)])
    weight = of_depth(graph, [graph.matrix(prefix, shape) for prefix in prefixes], shape, at)
    biases = [graph.bias(prefix, spec.size) for prefix in prefixes]
    rows, first = seen.by(spec)
    bias = of_depth(graph, biases, shape[:1], at)
    return Answer(graph.add("Gemm", [rows, weight, bias], transB=1), [first, spec.size])


def _give(graph: Graph, packed: _Packed, name: str, answer: Answer) -> None:
    """Make an answer an output, in the caller's shape: (batch, ...) or (batch, tokens, ...)."""
    value, (first, *rest) = answer.value, answer.shape
    if name.endswith("_index"):
        value = packed.columns_of(graph, value)
    if first == "total_tokens":
        value = packed.padded(graph, value, int(rest[0]))
        rest = ["tokens", *rest]
    graph.output(name, value, ["batch", *rest])


def _fill(model: ModelProto, folder: Path) -> int:
    """Copy the weights into the model; return their bytes."""
    size = 0
    with (folder / WEIGHTS_FILE).open("rb") as file:
        for tensor in model.graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            place = {entry.key: entry.value for entry in tensor.external_data}
            file.seek(int(place["offset"]))
            tensor.raw_data = file.read(int(place["length"]))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
            size += len(tensor.raw_data)
    return size
