"""What the matrices of a model are multiplied with, summed over all depths that share them.

A shared matrix is rounded once, and its error is made at every depth, on rows that are not those of
the first one. So it is judged by the rows of all of them: by their second moments, X'X.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from albatross.atomic import write_file
from albatross.config import AlbertConfig
from albatross.data.packing import Example, batches_by_tokens, pack
from albatross.engine.onnx_engine import OnnxEngine, layer_files
from albatross.engine.step_graph import StepGraph, session_options
from albatross.progress import Progress
from albatross.rng import stream
from albatross.tasks.task import Task

Moments = dict[str, NDArray[np.float64]]
"""By the name of a matrix (out, in): the sum of its inputs' outer products, (in, in)."""
# The widest input that moments are taken of: their inverse costs its cube.
_WIDEST = 4_096
_BATCH_TOKENS = 512
# With 12 depths these are eight rows for each input of the widest matrix of a base model, whose
# moments cost as much as a pass through it.
_MOST_TOKENS = 2_048


def calibration_texts(task: Task[Any], records: Sequence[Any]) -> list[Example]:
    """Return what a task reads of records drawn at random; labels are not looked at."""
    found: list[Example] = []
    tokens = 0
    for at in stream(0, "calibration").permutation(len(records)):
        for example in task.features(records[at]):
            found.append(example.bare())
            tokens += len(example.input_ids)
        if tokens >= _MOST_TOKENS:
            break
    return found


def second_moments(folder: Path, config: AlbertConfig, examples: Sequence[Example]) -> Moments:
    """Return the second moments of what the layers' matrices are multiplied with.

    Args:
        folder: an export in 32-bit floats, into which more graphs are written.
        config: the model's.
        examples: texts as the model will meet them, or as near to these as there are.
    """
    engine, files = OnnxEngine(folder, config), layer_files(config)
    graphs = {name: _watching(folder / name) for name in dict.fromkeys(files)}
    found: Moments = {}
    lengths = [len(example.input_ids) for example in examples]
    with Progress("calibrating", len(examples)) as progress:
        for indices in batches_by_tokens(lengths, _BATCH_TOKENS):
            batch = pack([examples[i] for i in indices])
            rows = engine.embed(batch)
            for depth, name in enumerate(files):
                seen = graphs[name].run(engine.layer_inputs(rows, batch.cu_seqlens, depth))
                rows = seen.pop("rows_out")
                for output, moments in seen.items():
                    matrix = output.removeprefix("seen.")
                    found[matrix] = found.get(matrix, 0) + moments.astype(np.float64)
            progress.advance(len(indices))
    return found


def _watching(path: Path) -> StepGraph:
    """Open a layer's graph with an output more for each matrix, by the matrix's name."""
    model = onnx.load(path, load_external_data=False)
    _add_outputs(model)
    beside = path.with_name(f"watching.{path.name}")
    write_file(beside, model.SerializeToString())
    options = session_options(0, spin=False)
    providers = ["CPUExecutionProvider"]
    return StepGraph(onnxruntime.InferenceSession(beside, options, providers=providers))


def _add_outputs(model: ModelProto) -> None:
    """Give out X'X of the rows X that come to each matrix of the file."""
    graph = model.graph
    width = {tensor.name: tensor.dims[1] for tensor in graph.initializer if len(tensor.dims) == 2}
    seen = {
        node.input[1]: node.input[0]
        for node in graph.node
        if node.op_type == "Gemm" and width.get(node.input[1], _WIDEST + 1) <= _WIDEST
    }
    for matrix, rows in seen.items():
        turned, shape = f"{matrix}.turned", [width[matrix], width[matrix]]
        graph.node.append(helper.make_node("Transpose", [rows], [turned], perm=[1, 0]))
        graph.node.append(helper.make_node("MatMul", [turned, rows], [f"{matrix}.moments"]))
        graph.node.append(helper.make_node("Identity", [f"{matrix}.moments"], [f"seen.{matrix}"]))
        output = helper.make_tensor_value_info(f"seen.{matrix}", TensorProto.FLOAT, shape)
        graph.output.append(output)
