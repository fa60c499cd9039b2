"""Record what transformers' ALBERT answers, on weights and inputs made by a formula.

Needs torch and transformers; no random numbers, no downloads:

    PYTHONPATH=src python scripts/record_reference_outputs.py

It writes tests/modeling/expected_outputs.json: for groups and inner layers of one and two each, and
for every activation, the outputs, the loss and the gradients of `AlbertForPreTraining`; then those
of each task's class. The beam head, which transformers' ALBERT lacks, is put together from XLNet's
parts. The test that reads the file makes the same weights by the same formula.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers.models.xlnet import modeling_xlnet

OUT = Path(__file__).parents[1] / "tests" / "modeling" / "expected_outputs.json"
CONFIG = {
    "vocab_size": 13,
    "embedding_size": 4,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 8,
}
INPUTS = {
    "input_ids": [[2, 7, 4, 11, 3], [2, 5, 3, 0, 0]],
    "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    "token_type_ids": [[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]],
    "labels": [[-100, 9, -100, 1, -100], [-100, 6, -100, -100, -100]],
    "sentence_order_label": [1, 0],
}
CASES = [
    {"num_hidden_groups": 1, "inner_group_num": 1},
    {"num_hidden_groups": 1, "inner_group_num": 2},
    {"num_hidden_groups": 2, "inner_group_num": 1},
    {"num_hidden_groups": 2, "inner_group_num": 2},
    {"hidden_act": "gelu"},
    {"hidden_act": "relu"},
]
IDS, TYPES = [[2, 7, 4, 11, 3], [2, 5, 3, 9, 6]], [[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]]
SPANS = {"start_positions": [3, 1], "end_positions": [4, 1]}
# No padding: where there is some, transformers' pads compete with the tokens for the answer.
HEADS: dict[str, dict[str, Any]] = {
    "AlbertForSequenceClassification": {"labels": [2, 0]},
    "AlbertForTokenClassification": {"labels": [[0, -100, 2, 1, -100], [-100, 1, 1, 2, 0]]},
    "AlbertForMultipleChoice": {"labels": [2, 0]},
    "AlbertForQuestionAnswering": SPANS,
}
BEAM_INPUTS = {
    "input_ids": IDS,
    "token_type_ids": TYPES,
    **SPANS,
    "is_impossible": [0, 1],
    "p_mask": [[0, 1, 1, 0, 0], [0, 0, 1, 0, 1]],
}
# Names of ours, and where XLNet keeps the same.
BEAM_PARTS = {
    "start": "start.dense",
    "end_dense": "end.dense_0",
    "end_LayerNorm": "end.LayerNorm",
    "end_output": "end.dense_1",
    "answer_dense": "answer.dense_0",
    "answer_output": "answer.dense_1",
}


def by_formula(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return weights that depend on name and place alone; those of norms lie about one."""
    start = sum(map(ord, name))
    waves = np.sin(start + 1.7 * np.arange(np.prod(shape))).reshape(shape)
    centre = 1.0 if "orm.weight" in name else 0.0
    return torch.from_numpy(centre + 0.4 * waves).float()


def record(case: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of one configuration."""
    model = transformers.AlbertForPreTraining(transformers.AlbertConfig(**CONFIG, **case)).eval()
    fill(dict(model.named_parameters()))
    outputs = model(**{name: torch.tensor(rows) for name, rows in INPUTS.items()})
    outputs.loss.backward()
    shown = torch.tensor(INPUTS["attention_mask"]).bool()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {
        "case": case,
        "loss": rounded(outputs.loss),
        "prediction_logits": rounded(outputs.prediction_logits[shown]),
        "sop_logits": rounded(outputs.sop_logits),
        "gradients": {name: rounded(g.flatten()[:6]) for name, g in sorted(gradients.items())},
    }


def fill(parameters: dict[str, nn.Parameter]) -> None:
    """Give parameters their weights."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(by_formula(name, tuple(parameter.shape)))


def record_head(name: str, labels: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a task's class."""
    count = 2 if name == "AlbertForQuestionAnswering" else 3
    config = transformers.AlbertConfig(**CONFIG, inner_group_num=2, num_labels=count)
    model = getattr(transformers, name)(config).eval()
    parameters = dict(model.named_parameters())
    fill(parameters)
    inputs = {"input_ids": IDS, "token_type_ids": TYPES, **labels}
    if name == "AlbertForMultipleChoice":
        for key in ("input_ids", "token_type_ids"):
            inputs[key] = [[row, row[::-1], row[1:] + row[:1]] for row in inputs[key]]
    outputs = model(**{key: torch.tensor(rows) for key, rows in inputs.items()})
    outputs.loss.backward()
    found = {key: rounded(tensor) for key, tensor in outputs.items()}
    return described(name, {"num_labels": count}, inputs, found, parameters)


def record_beam_head() -> dict[str, Any]:
    """Return the numbers of Google's SQuAD 2.0 head, put together from XLNet's parts."""
    config = transformers.AlbertConfig(**CONFIG, inner_group_num=2)
    config.layer_norm_eps = 1e-12
    encoder = transformers.AlbertModel(config, add_pooling_layer=False).eval()
    head = nn.ModuleDict(
        {
            "start": modeling_xlnet.XLNetPoolerStartLogits(config),
            "end": modeling_xlnet.XLNetPoolerEndLogits(config),
            "answer": modeling_xlnet.XLNetPoolerAnswerClass(config),
        }
    )
    parameters = {f"albert.{name}": parameter for name, parameter in encoder.named_parameters()}
    theirs = dict(head.named_parameters())
    for part, place in BEAM_PARTS.items():
        for kind in ("weight", "bias"):
            if f"{place}.{kind}" in theirs:
                parameters[f"beam_qa.{part}.{kind}"] = theirs[f"{place}.{kind}"]
    fill(parameters)
    given = {key: torch.tensor(rows) for key, rows in BEAM_INPUTS.items()}
    states = encoder(given["input_ids"], token_type_ids=given["token_type_ids"])[0]
    closed = given["p_mask"].float()
    start = head["start"](states, p_mask=closed)
    end = head["end"](states, start_positions=given["start_positions"], p_mask=closed)
    expected = torch.einsum("bth,bt->bh", states, start.softmax(-1))
    first = torch.zeros(2, dtype=torch.long)
    answer = head["answer"](states, start_states=expected, cls_index=first)
    spans = functional.cross_entropy(start, given["start_positions"])
    spans = spans + functional.cross_entropy(end, given["end_positions"])
    impossible = given["is_impossible"].float()
    loss = (spans + functional.binary_cross_entropy_with_logits(answer, impossible)) / 2
    loss.backward()
    found = {"loss": rounded(loss), "cls_logits": rounded(answer)}
    return described("AlbertForBeamQuestionAnswering", {}, BEAM_INPUTS, found, parameters)


def described(
    name: str,
    extra: dict[str, Any],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    parameters: dict[str, nn.Parameter],
) -> dict[str, Any]:
    """Return what the file says of one class."""
    gradients = {n: rounded(p.grad.flatten()[:6]) for n, p in sorted(parameters.items())}
    return {
        "model": name,
        "config": {**CONFIG, "inner_group_num": 2, "extra": extra},
        "inputs": inputs,
        "outputs": outputs,
        "gradients": gradients,
    }


def rounded(tensor: torch.Tensor) -> Any:
    """Return numbers to the seventh place, which is what float32 is good for here."""
    return np.round(tensor.detach().double().numpy(), 7).tolist()


def to_json(value: Any, depth: int = 0) -> str:
    """Write a list of numbers on one line, so that a change shows as a line."""
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {to_json(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return "[\n" + ",\n".join(to_json(item, depth + 1) for item in value) + "\n]"
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    expected = {
        "made_by": "scripts/record_reference_outputs.py",
        "transformers": transformers.__version__,
        "config": CONFIG,
        "inputs": INPUTS,
        "cases": [record(case) for case in CASES],
        "heads": [
            *(record_head(name, labels) for name, labels in HEADS.items()),
            record_beam_head(),
        ],
    }
    OUT.write_text(to_json(expected) + "\n", encoding="utf-8")
    print(f"{len(CASES)} cases, {len(expected['heads'])} heads, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
