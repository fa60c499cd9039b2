"""Record a small checkpoint and a frozen graph as TensorFlow itself writes them.

They hold the readers to TensorFlow where it is not installed. Run it with an interpreter that has
tensorflow (2.21 was used) and numpy:

    python scripts/record_tensorflow_checkpoint.py

It writes tests/checkpoints/tensorflow_files.json: the files in base64, and the values that went in.
"""

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow

v1 = tensorflow.compat.v1
OUT = Path(__file__).parents[1] / "tests" / "checkpoints" / "tensorflow_files.json"
VALUES: dict[str, Any] = {
    "bert/pooler/dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    "bert/pooler/dense/bias": np.array([-1.5, 0, 3], np.float16),
    "narrow": np.array([1, -2, 0.5], np.float32),  # kept as bfloat16
    "used": np.array([True, False, True]),
    "global_step": np.array(125_000, np.int64),
    # Rows from 64 on have longer keys than those before.
    "bert/embeddings/word_embeddings": np.arange(140, dtype=np.uint8).reshape(140, 1).view(np.int8),
}


def record(folder: Path) -> bytes:
    """Write a checkpoint of two files and its list; return the frozen graph of some of it."""
    with tensorflow.Graph().as_default(), v1.Session(config=two_devices()) as session:
        for name, values in VALUES.items():
            parts = v1.fixed_size_partitioner(2) if name.startswith("bert/emb") else None
            dtype = tensorflow.bfloat16 if name == "narrow" else values.dtype
            with tensorflow.device("/cpu:1" if name == "used" else "/cpu:0"):
                v1.get_variable(
                    name,
                    values.shape,
                    dtype,
                    initializer(values),
                    partitioner=parts,
                    use_resource=False,
                )
        tensorflow.constant(2.5, shape=(2, 2), name="filled")
        tensorflow.constant("a text", name="text")
        session.run(v1.global_variables_initializer())
        v1.train.Saver(sharded=True).save(session, str(folder / "model.ckpt-best"))
        names = [name for name in VALUES if not name.startswith("bert/emb")]
        graph = v1.graph_util.convert_variables_to_constants(
            session, session.graph_def, [*names, "filled", "text"]
        )
        return bytes(graph.SerializeToString())


def initializer(values: Any) -> Any:
    """Return what TensorFlow calls for the values of a variable, or of each part of one."""

    def initial(shape: Any, dtype: Any, partition_info: Any = None) -> Any:
        first = partition_info.var_offset[0] if partition_info else 0
        part = values[first : first + shape[0]] if partition_info else values
        return tensorflow.cast(tensorflow.constant(part), dtype)

    return initial


def two_devices() -> Any:
    """Return settings under which a checkpoint has a file for each of two devices."""
    return v1.ConfigProto(device_count={"CPU": 2})


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        graph = record(Path(place))
        files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    files = {name: content for name, content in files.items() if not name.endswith(".meta")}
    files["checkpoint"] = b'model_checkpoint_path: "model.ckpt-best"\n'  # without the folder's name
    recorded = {
        "made_by": "scripts/record_tensorflow_checkpoint.py",
        "tensorflow": tensorflow.__version__,
        "values": {name: [str(v.dtype), v.tolist()] for name, v in VALUES.items()},
        "frozen_graph": base64.b64encode(graph).decode(),
        "files": {name: base64.b64encode(data).decode() for name, data in files.items()},
    }
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in recorded.items())
    OUT.write_text("{\n" + rows + "\n}\n", encoding="utf-8")
    print(f"{OUT.stat().st_size:,} bytes; files {sum(map(len, files.values())):,}, {len(graph):,}")


if __name__ == "__main__":
    main()
