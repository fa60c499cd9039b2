"""One process that answers for `benchmarks/inference.py`, with one library, when it is asked.

Needs data: nothing of its own; `benchmarks/inference.py` starts it.

    python benchmarks/inference_candidates.py NAME PLACE THREADS [first|memory]

Every candidate is a function from sequences of ids to logits. Rivals get them sorted by length in
padded batches of 32, the last of which is the smallest; ours packs them by itself. Orders come as
JSON lines. With `first` the process answers 8 tokens, says so and ends; with `memory` it answers 32
of the mixed texts and tells its peak.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Sequences = Sequence[Sequence[int]]
Answer = Callable[[Sequences], Any]
BATCH = 32
SECONDS, REPEATS = 0.5, 20
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def main(name: str, place: str, threads: str, mode: str = "orders") -> None:
    answer = OPENERS[name](Path(place), int(threads))
    singles = json.loads((Path(place) / "singles.json").read_text())
    answer([singles["8"]])
    print("ready", flush=True)
    if mode == "first":
        return
    mixed = json.loads((Path(place) / "mixed.json").read_text())
    if mode == "memory":
        answer(mixed[:BATCH])
        print(json.dumps(peak_memory()), flush=True)
        return
    for line in sys.stdin:
        order = json.loads(line)
        sequences = mixed if order["work"] == "mixed" else [singles[order["work"]]]
        if "save" in order:
            np.save(order["save"], answer(sequences))
            print("null", flush=True)
        elif name == "products":
            print(json.dumps(answer(sequences)), flush=True)
        else:
            print(json.dumps(timed(lambda sequences=sequences: answer(sequences))), flush=True)


def timed(work: Callable[[], Any]) -> list[tuple[float, float]]:
    """Wall and processor seconds of each time that the work was done."""
    taken: list[tuple[float, float]] = []
    while sum(wall for wall, _ in taken) < SECONDS and len(taken) < REPEATS:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - wall, time.process_time() - processor))
    return taken


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


# === Ours ===


def albatross(folder: str) -> Callable[[Path, int], Answer]:
    def opened(place: Path, threads: int) -> Answer:
        from albatross.data.packing import Example
        from albatross.pipelines.pipeline import engine_outputs, load

        pipeline = load(place / folder, engine="onnx", threads=threads)
        name = next(iter(pipeline.task.heads))

        def answer(sequences: Sequences) -> Any:
            ids = [np.array(sequence) for sequence in sequences]
            examples = [Example(each, np.zeros_like(each)) for each in ids]
            found = engine_outputs(pipeline.engine, examples, pipeline.engine.batch_tokens)
            return np.concatenate([outputs[name] for outputs in found])

        return answer

    return opened


def builtin(place: Path, threads: int) -> Answer:
    """What a program with the model inside the package does; it is only started."""
    from albatross.pipelines.pipeline import load

    classify = load("sentiment", threads=threads)
    return lambda sequences: classify("A lovely film." + " Lovely." * (len(sequences[0]) // 2))


# === Rivals ===


def sorted_batches(compute: Callable[..., Any]) -> Answer:
    """Answer by a function of a padded batch: ids, mask and types."""

    def answer(sequences: Sequences) -> Any:
        order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
        found: dict[int, Any] = {}
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            ids = np.zeros((len(chosen), len(sequences[chosen[0]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, index in enumerate(chosen):
                ids[row, : len(sequences[index])] = sequences[index]
                mask[row, : len(sequences[index])] = 1
            found |= dict(zip(chosen, compute(ids, mask, np.zeros_like(ids)), strict=True))
        return np.stack([found[index] for index in range(len(sequences))])

    return answer


def transformers(*, compiled: bool) -> Callable[[Path, int], Answer]:
    def opened(place: Path, threads: int) -> Answer:
        import torch
        from transformers import AlbertForSequenceClassification

        torch.set_num_threads(threads)
        opener = AlbertForSequenceClassification.from_pretrained
        model = opener(place / "torch", attn_implementation="sdpa").eval()
        used = torch.compile(model, dynamic=True) if compiled else model

        def compute(*arrays: Any) -> Any:
            inputs = dict(zip(INPUTS, map(torch.from_numpy, arrays), strict=True))
            with torch.inference_mode():
                return used(**inputs).logits.numpy()

        return sorted_batches(compute)

    return opened


def onnxruntime(file: str) -> Callable[[Path, int], Answer]:
    def opened(place: Path, threads: int) -> Answer:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            place / file, options, providers=["CPUExecutionProvider"]
        )
        return sorted_batches(
            lambda *arrays: session.run(["logits"], dict(zip(INPUTS, arrays, strict=True)))[0]
        )

    return opened


def openvino(place: Path, threads: int) -> Answer:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    # By default it may compute in half precision where the processor can: same weights, same work.
    options["INFERENCE_PRECISION_HINT"] = "f32"
    model = openvino.Core().compile_model(place / "plain.onnx", "CPU", options)
    return sorted_batches(lambda *arrays: model(dict(zip(INPUTS, arrays, strict=True)))["logits"])


# === The floor ===


def products(place: Path, threads: int) -> Answer:
    """Not an answer but speeds: FLOP/s of one layer's six products, the best of the libraries.

    The number of rows is that of the tokens of all sequences, at most 2,048.
    """
    import torch

    torch.set_num_threads(threads)
    config = json.loads((place / "torch" / "config.json").read_text())
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = [*[(hidden, hidden)] * 4, (hidden, wide), (wide, hidden)]
    graphs = {kind: product_session(shapes, kind, threads) for kind in ("fp32", "int8")}

    def answer(sequences: Sequences) -> Any:
        rows = min(2_048, sum(map(len, sequences)))
        left = [np.ones((rows, a), np.float32) for a, _ in shapes]
        right = [np.ones((a, b), np.float32) for a, b in shapes]
        pairs = [
            (torch.from_numpy(x), torch.from_numpy(w)) for x, w in zip(left, right, strict=True)
        ]
        fed = {f"x{at}": x for at, x in enumerate(left)}
        whole = {name: x.astype(np.uint8) for name, x in fed.items()}
        works = {
            "fp32 numpy": lambda: [x @ w for x, w in zip(left, right, strict=True)],
            "fp32 torch": lambda: [x @ w for x, w in pairs],
            "fp32 onnxruntime": lambda: graphs["fp32"].run(None, fed),
            "int8 onnxruntime": lambda: graphs["int8"].run(None, whole),
        }
        flops = sum(2 * rows * a * b for a, b in shapes)
        speeds = {
            name: flops / min(wall for wall, _ in timed(work)) for name, work in works.items()
        }
        return {
            kind: max(speed for name, speed in speeds.items() if name.startswith(kind))
            for kind in graphs
        }

    return answer


def product_session(shapes: Sequence[tuple[int, int]], kind: str, threads: int) -> Any:
    """A session that does nothing but one layer's products."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    kinds = {"fp32": (TensorProto.FLOAT, np.float32), "int8": (TensorProto.UINT8, np.int8)}
    type_in, type_of_weights = kinds[kind]
    nodes, inputs, outputs = [], [], []
    constants = [
        numpy_helper.from_array(np.ones((), np.float32), "one"),
        numpy_helper.from_array(np.full((), 128, np.uint8), "zero"),
    ]
    for at, (wide_in, wide_out) in enumerate(shapes):
        weight = np.ones((wide_in, wide_out), type_of_weights)
        constants.append(numpy_helper.from_array(weight, f"w{at}"))
        inputs.append(helper.make_tensor_value_info(f"x{at}", type_in, ["rows", wide_in]))
        outputs.append(helper.make_tensor_value_info(f"y{at}", 1, ["rows", wide_out]))
        if kind == "fp32":
            nodes.append(helper.make_node("MatMul", [f"x{at}", f"w{at}"], [f"y{at}"]))
        else:
            given = [f"x{at}", f"w{at}", "one", "one", "zero"]
            domain = "com.microsoft"
            nodes.append(helper.make_node("MatMulIntegerToFloat", given, [f"y{at}"], domain=domain))
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "products", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


OPENERS: dict[str, Callable[[Path, int], Answer]] = {
    "albatross fp32": albatross("fp32"),
    "albatross int8": albatross("int8"),
    "albatross built-in": builtin,
    "transformers": transformers(compiled=False),
    "transformers compiled": transformers(compiled=True),
    "onnxruntime": onnxruntime("plain.onnx"),
    "onnxruntime fused": onnxruntime("fused.onnx"),
    "openvino": openvino,
    "onnxruntime quantised": onnxruntime("quantised.onnx"),
    "onnxruntime quantised well": onnxruntime("quantised-well.onnx"),
    "onnxruntime quantised, fused": onnxruntime("quantised-fused.onnx"),
    "products": products,
}


if __name__ == "__main__":
    main(*sys.argv[1:])
