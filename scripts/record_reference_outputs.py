"""Record what transformers' ALBERT answers, on weights and inputs made by a formula.

Needs torch and transformers; no random numbers, no downloads:

    PYTHONPATH=src python scripts/record_reference_outputs.py

It writes tests/modeling/expected_outputs.json: for groups and inner layers of one and two each, and
for every activation, the outputs, the loss and the gradients of `AlbertForPreTraining`. The test
that reads it makes the same weights by the same formula.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

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


def by_formula(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return weights that depend on name and place alone; those of norms lie about one."""
    start = sum(map(ord, name))
    waves = np.sin(start + 1.7 * np.arange(np.prod(shape))).reshape(shape)
    centre = 1.0 if "orm.weight" in name else 0.0
    return torch.from_numpy(centre + 0.4 * waves).float()


def record(case: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of one configuration."""
    model = transformers.AlbertForPreTraining(transformers.AlbertConfig(**CONFIG, **case)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(by_formula(name, tuple(parameter.shape)))
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
    }
    OUT.write_text(to_json(expected) + "\n", encoding="utf-8")
    print(f"{len(CASES)} cases, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
