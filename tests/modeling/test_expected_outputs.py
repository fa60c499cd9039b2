"""Frozen numbers of transformers' ALBERT, so that equality is tested where it is not installed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import albatross
from albatross.config import AlbertConfig
from albatross.modeling.model import AlbertForPreTraining

EXPECTED = json.loads((Path(__file__).parent / "expected_outputs.json").read_text())
HEADS = pytest.mark.parametrize("record", EXPECTED["heads"], ids=lambda record: record["model"])
CASES = pytest.mark.parametrize("case", EXPECTED["cases"], ids=lambda case: str(case["case"]))


def by_formula(name, shape):
    """The weights of scripts/record_reference_outputs.py."""
    start = sum(map(ord, name))
    waves = np.sin(start + 1.7 * np.arange(np.prod(shape))).reshape(shape)
    return torch.from_numpy((1.0 if "orm.weight" in name else 0.0) + 0.4 * waves).float()


def answered(case):
    """The model of a case and its outputs."""
    model = AlbertForPreTraining(AlbertConfig(**EXPECTED["config"], **case["case"])).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(by_formula(name, tuple(parameter.shape)))
    inputs = {name: torch.tensor(rows) for name, rows in EXPECTED["inputs"].items()}
    return model, model(**inputs)


def assert_near(found, expected):
    numbers = torch.tensor(expected)
    assert numbers.abs().max() > 1e-4
    torch.testing.assert_close(found.detach(), numbers, atol=1e-5, rtol=0)


@CASES
def test_logits_and_loss_are_the_recorded_ones(case):
    _, outputs = answered(case)
    shown = torch.tensor(EXPECTED["inputs"]["attention_mask"]).bool()
    assert_near(outputs.prediction_logits[shown], case["prediction_logits"])
    assert_near(outputs.sop_logits, case["sop_logits"])
    assert_near(outputs.loss, case["loss"])


@CASES
def test_gradients_are_the_recorded_ones(case):
    model, outputs = answered(case)
    outputs.loss.backward()
    found = {name: parameter.grad.flatten()[:6] for name, parameter in model.named_parameters()}
    assert found.keys() == case["gradients"].keys()
    for name, expected in case["gradients"].items():
        torch.testing.assert_close(found[name], torch.tensor(expected), atol=1e-5, rtol=0, msg=name)


# === Heads ===


def answered_head(record):
    """The model of a record and its outputs."""
    model = getattr(albatross, record["model"])(AlbertConfig(**record["config"])).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(by_formula(name, tuple(parameter.shape)))
    return model, model(**{name: torch.tensor(rows) for name, rows in record["inputs"].items()})


@HEADS
def test_logits_and_loss_of_a_head_are_the_recorded_ones(record):
    _, outputs = answered_head(record)
    assert "loss" in record["outputs"]
    assert len(record["outputs"]) > 1
    for name, expected in record["outputs"].items():
        assert_near(outputs[name], expected)


@HEADS
def test_gradients_of_a_head_are_the_recorded_ones(record):
    model, outputs = answered_head(record)
    outputs.loss.backward()
    found = {name: parameter.grad.flatten()[:6] for name, parameter in model.named_parameters()}
    assert found.keys() == record["gradients"].keys()
    for name, expected in record["gradients"].items():
        torch.testing.assert_close(found[name], torch.tensor(expected), atol=1e-5, rtol=0, msg=name)


def test_the_recorded_cases_differ_from_each_other():
    losses = [case["loss"] for case in EXPECTED["cases"]]
    assert len({round(loss, 4) for loss in losses}) == len(losses)
