"""Hold our reader and writer of TensorFlow's checkpoints to TensorFlow itself, bit by bit.

Needs data: none, but an interpreter with TensorFlow, where this repository is on the path
    python -m venv tf && tf/bin/pip install tensorflow-cpu google-crc32c
    PYTHONPATH=src tf/bin/python benchmarks/tensorflow_parity.py

The variables are ALBERT's, of base size or `--hidden-size`, with the slots of an optimizer.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow

from albatross.checkpoints.frozen_graph import read_frozen_graph
from albatross.checkpoints.tensorflow import TensorFlowCheckpoint, find_checkpoint
from albatross.checkpoints.tensorflow_writer import write_checkpoint

v1 = tensorflow.compat.v1
PARTITIONED = "bert/embeddings/word_embeddings"
Arrays = Mapping[str, Any]


def albert_arrays(hidden: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    layer = "bert/encoder/transformer/group_0/inner_group_0"
    shapes = {
        PARTITIONED: (30_000, 128),
        "bert/embeddings/position_embeddings": (512, 128),
        "bert/encoder/embedding_hidden_mapping_in/kernel": (128, hidden),
        f"{layer}/attention_1/self/query/kernel": (hidden, hidden),
        f"{layer}/ffn_1/intermediate/dense/kernel": (hidden, 4 * hidden),
        f"{layer}/ffn_1/intermediate/dense/bias": (4 * hidden,),
        "cls/seq_relationship/output_bias": (2,),
    }
    arrays: dict[str, Any] = {
        name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()
    }
    for name in list(arrays):
        arrays[f"{name}/adam_m"] = rng.standard_normal(arrays[name].shape, np.float32)
    return {**arrays, "global_step": np.array(125_000)}


def every_type() -> dict[str, Any]:
    dtypes = ("f4", "f8", "f2", "i4", "i8", "i2", "i1", "u1", "u2", "u4", "u8", "?")
    arrays = {
        f"type/{np.dtype(dtype).name}": np.arange(12).reshape(3, 4).astype(dtype)
        for dtype in dtypes
    }
    return {**arrays, "scalar": np.array(2.5, np.float32), "empty": np.zeros((0, 3), np.float32)}


def count_equal(found: Callable[[str], Any], expected: Arrays) -> str:
    def is_equal(name: str) -> bool:
        array, wanted = np.asarray(found(name)), np.asarray(expected[name])
        same_kind = (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        return same_kind and array.tobytes() == wanted.tobytes()

    equal = sum(map(is_equal, expected))
    if equal < len(expected):
        different = [name for name in expected if not is_equal(name)]
        raise SystemExit(f"these differ: {different}")
    return f"{equal} of {len(expected)} equal bit by bit"


def written_by_us(folder: Path, arrays: Arrays) -> Iterator[str]:
    rows = len(arrays[PARTITIONED])
    for title, slices in (("whole", {}), ("partitioned", {PARTITIONED: [63, 64, 8192, rows - 1]})):
        started = time.perf_counter()
        write_checkpoint(folder / title, arrays, slices=slices)
        seconds = time.perf_counter() - started
        reader = tensorflow.train.load_checkpoint(str(folder / title))
        size = sum(array.nbytes for array in arrays.values()) / 1e6
        equal = count_equal(reader.get_tensor, arrays)
        yield f"TensorFlow reads ours, {title}: {equal} ({size:.0f} MB written in {seconds:.2f} s)"


def written_by_tensorflow(folder: Path, arrays: Arrays) -> Iterator[str]:
    """One file; two files with one index, and a variable in five parts."""
    for title, sharded, parts in (("one file", False, 1), ("two files, cut in five", True, 5)):
        place = folder / title
        place.mkdir()
        save(place, arrays, sharded=sharded, parts=parts)
        started = time.perf_counter()
        checkpoint = TensorFlowCheckpoint.open(find_checkpoint(place))
        equal = count_equal(checkpoint.read, arrays)
        seconds = time.perf_counter() - started
        if checkpoint.variables.keys() != arrays.keys():
            raise SystemExit(f"the names differ: {checkpoint.variables.keys() ^ arrays.keys()}")
        yield f"We read TensorFlow's, {title}: {equal} ({seconds:.2f} s)"


def save(place: Path, arrays: Arrays, *, sharded: bool, parts: int) -> None:
    settings = v1.ConfigProto(device_count={"CPU": 2})
    with tensorflow.Graph().as_default(), v1.Session(config=settings) as session:
        feeds = {}
        for number, (name, array) in enumerate(arrays.items()):
            with tensorflow.device(f"/cpu:{number % 2 if sharded else 0}"):
                cut = parts > 1 and name == PARTITIONED
                cutter = v1.fixed_size_partitioner(parts) if cut else None
                variable = v1.get_variable(
                    name, array.shape, array.dtype, zeros, partitioner=cutter, use_resource=False
                )
            for piece, values in zip(*pieces_of(variable, array, cut), strict=True):
                feeds[piece.initializer.inputs[1]] = values
        session.run(v1.global_variables_initializer(), feeds)
        v1.train.Saver(sharded=sharded).save(session, str(place / "model.ckpt"), global_step=7)


def zeros(shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
    return tensorflow.zeros(shape, dtype)


def pieces_of(variable: Any, array: Any, cut: bool) -> tuple[list[Any], list[Any]]:
    if not cut:
        return [variable], [array]
    pieces = list(variable)
    ends = np.cumsum([piece.shape[0] for piece in pieces])
    return pieces, np.split(array, ends[:-1])


def frozen_by_tensorflow(folder: Path, arrays: Arrays) -> Iterator[str]:
    with tensorflow.Graph().as_default(), v1.Session() as session:
        feeds = {}
        for name, array in arrays.items():
            variable = v1.get_variable(name, array.shape, array.dtype, zeros, use_resource=False)
            feeds[variable.initializer.inputs[1]] = array
        session.run(v1.global_variables_initializer(), feeds)
        graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, [*arrays])
        (folder / "frozen.pb").write_bytes(graph.SerializeToString())
    found = read_frozen_graph(folder / "frozen.pb")
    yield f"We read a graph that TensorFlow froze: {count_equal(found.__getitem__, arrays)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden-size", type=int, default=768)
    arrays = albert_arrays(parser.parse_args().hidden_size) | every_type()
    print(f"TensorFlow {tensorflow.__version__}")
    for check in (written_by_us, written_by_tensorflow, frozen_by_tensorflow):
        with tempfile.TemporaryDirectory() as place:
            for line in check(Path(place), arrays):
                print(line)


if __name__ == "__main__":
    main()
