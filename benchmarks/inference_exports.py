"""The forms that `benchmarks/inference.py` races in: random weights, real texts, ONNX files.

Needs data: nothing of its own; `benchmarks/inference.py` calls it.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from inference_candidates import INPUTS

from albatross.config import variant
from albatross.data.records import read_text_records
from albatross.rng import stream

TEXT_FILES = {
    "SST-2": ("glue/SST-2/dev.tsv", {"text": "sentence"}),
    "AG News": ("ag-news/test.csv.gz", {"label": "1", "text": "2", "text_pair": "3"}),
    "IMDB": ("imdb-small/test.jsonl.gz", {}),
}


def random_classifier(folder: Path, name: str, data: Path) -> None:
    """Write a folder of transformers with random weights and ALBERT's own vocabulary."""
    import torch
    from transformers import AlbertConfig, AlbertForSequenceClassification

    torch.manual_seed(0)
    config = AlbertConfig(**{**variant(name).to_dict(), "vocab_size": 30_000, "num_labels": 3})
    AlbertForSequenceClassification(config).save_pretrained(folder)
    shutil.copyfile(data / "sentencepiece" / "30k-clean.model", folder / "spiece.model")


def real_texts(data: Path, count: int) -> list[str]:
    """An equal number of each set, drawn once for all runs."""
    texts: list[str] = []
    for name, (file, columns) in TEXT_FILES.items():
        records = read_text_records(data / file, columns)
        chosen = stream("inference", name).permutation(len(records))[: count // len(TEXT_FILES)]
        texts += [
            " ".join([r.text, r.text_pair or ""]).strip() for r in map(records.__getitem__, chosen)
        ]
    return texts


def export_usually(place: Path) -> None:
    """Write ONNX files as users of transformers get them, whole and quantised."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AlbertForSequenceClassification

    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises on pictures
    # The fusions of the tool know the attention of `eager`, and the plain form computes the same.
    opener = AlbertForSequenceClassification.from_pretrained
    model = opener(place / "torch", attn_implementation="eager").eval()
    ids = torch.full((2, 16), 5)
    shapes = {name: {0: "batch", 1: "tokens"} for name in INPUTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ByInputs(model).module,
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            place / "plain.onnx",
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={**shapes, "logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    onnx.save(without_detours(onnx.load(place / "plain.onnx")), place / "direct.onnx")
    config = model.config
    sizes = {"num_heads": config.num_attention_heads, "hidden_size": config.hidden_size}
    fused = optimizer.optimize_model(str(place / "plain.onnx"), "bert", **sizes)
    fused.save_model_to_file(str(place / "fused.onnx"))
    quantize_dynamic(place / "plain.onnx", place / "quantised.onnx", weight_type=QuantType.QInt8)
    # 7 bits: with 8, sums of processors without VNNI saturate.
    well = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}
    quantize_dynamic(place / "direct.onnx", place / "quantised-well.onnx", **well)
    well["extra_options"] = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(place / "fused.onnx", place / "quantised-fused.onnx", **well)


class ByInputs:
    """A model that takes its inputs in the order of `INPUTS` and returns logits alone."""

    def __init__(self, model: Any) -> None:
        from torch import nn

        class Module(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, *arrays: Any) -> Any:
                return self.model(**dict(zip(INPUTS, arrays, strict=True))).logits

        self.module = Module().eval()


def without_detours(model: Any) -> Any:
    """Name each weight where it is used: `Identity` and `Transpose` of weights are done once."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    direct: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = direct.get(name, name)
        if node.op_type == "Identity" and node.input[0] in weights:
            direct[node.output[0]] = node.input[0]
        elif node.op_type == "Transpose" and node.input[0] in weights:
            turned = f"{node.input[0]} {list(node.attribute[0].ints)}"
            if turned not in weights:
                array = numpy_helper.to_array(weights[node.input[0]])
                array = np.ascontiguousarray(array.transpose(node.attribute[0].ints))
                weights[turned] = numpy_helper.from_array(array, turned)
            direct[node.output[0]] = turned
        else:
            kept.append(node)
    used = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensor for name, tensor in weights.items() if name in used)
    return model
