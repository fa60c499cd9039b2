import json
import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from albatross.checkpoints.model_folder import read_weights
from albatross.errors import ConfigError, TrainingError
from albatross.training.averages import WeightAverages
from albatross.training.dev_scores import DevScores
from albatross.training.finetune import finetune
from albatross.training.head_losses import HeadLosses
from albatross.training.run_log import read_log
from albatross.training.stopping import Stopping

NONE = WeightAverages({}, 0.0)


def seen(stopping, values, parameters=None):
    for step, value in enumerate(values):
        stopping.see({stopping._metric: value}, step, parameters or {}, NONE)
    return stopping


@pytest.fixture
def scripted(finetune_settings, tmp_path, monkeypatch):
    """Runs of eight steps whose accuracy is best after the third, measured from the second on."""
    accuracies = [0.5, 0.6, 0.9, 0.7, 0.8, 0.9, 0.6, 0.7]
    by_weights: dict[float, float] = {}  # what was measured once comes out again

    def run(name, **changes):
        options = {"epochs": 8, "evaluations": 8, "save_minutes": 0.0, **changes}
        settings = replace(finetune_settings, out=tmp_path / name, **options)

        def measure(scores, engine):
            accuracy = accuracies[read_log(settings.out / "log.jsonl")[-1]["step"] - 1]
            weights = engine.model.get_parameter("classifier.weight").sum().item()
            return {"accuracy": by_weights.setdefault(weights, accuracy)}

        monkeypatch.setattr(DevScores, "measure", measure)
        return finetune(settings)

    return run


def read(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def evaluations(folder):
    lines = read_log(folder / "log.jsonl")
    return {line["step"]: line["evaluation"]["accuracy"] for line in lines if "evaluation" in line}


# === One figure ===


def test_patience_counts_measurements_without_gain():
    stopping = Stopping("accuracy", patience=2)
    assert not seen(stopping, [0.5, 0.6, 0.6]).is_over
    assert seen(stopping, [0.55]).is_over
    assert stopping.best == {"step": 1, "accuracy": 0.6}


def test_without_patience_a_run_goes_on():
    assert not seen(Stopping("accuracy"), [0.9, *[0.1] * 50]).is_over


def test_what_is_no_number_is_no_gain():
    stopping = seen(Stopping("accuracy", patience=3), [math.nan, 0.1, math.nan, math.inf])
    assert (stopping.best["accuracy"], stopping.without_gain) == (0.1, 2)


@pytest.mark.parametrize(("metric", "best"), [("mse", 0.2), ("accuracy", 0.7)])
def test_of_errors_less_is_better(metric, best):
    assert seen(Stopping(metric), [0.5, 0.2, 0.7]).best[metric] == best


def test_the_best_weights_come_back():
    parameters = {"w": nn.Parameter(torch.zeros(1))}
    stopping = Stopping("accuracy", keep="best")
    for value in (0.1, 0.9, 0.3):
        parameters["w"].data.fill_(value)
        stopping.see({"accuracy": value}, 0, parameters, NONE)
    stopping.put_back(parameters, NONE)
    assert parameters["w"].item() == pytest.approx(0.9)


def test_averages_are_what_is_kept_of_a_run_with_averages():
    parameters = {"w": nn.Parameter(torch.ones(1))}
    averages = WeightAverages(parameters, 0.9)
    averages.tensors["w"].fill_(5.0)
    stopping = Stopping("accuracy", keep="best")
    stopping.see({"accuracy": 1.0}, 0, parameters, averages)
    averages.tensors["w"].fill_(7.0)
    stopping.put_back(parameters, averages)
    assert averages.tensors["w"].item() == 5.0


# === Runs ===


def test_a_run_stops_early(scripted):
    out = scripted("early", patience=3)
    assert list(evaluations(out)) == [2, 3, 4, 5, 6]
    assert (read(out)["progress"]["step"], read(out)["metrics"]["accuracy"]) == (6, 0.9)


def test_the_last_weights_are_kept_unless_the_best_are_asked_for(scripted):
    runs = [scripted("last"), scripted("best", keep="best"), scripted("third", patience=1)]
    last, best, _ = (read_weights(out) for out in runs)
    assert any(not np.array_equal(last[name], best[name]) for name in last)
    assert [read(out)["metrics"]["accuracy"] for out in runs] == [0.7, 0.9, 0.7]


def test_a_stopped_run_keeps_its_best_weights(scripted, monkeypatch, tmp_path):
    whole, calls, forward = scripted("whole", keep="best"), [], HeadLosses.forward

    def interrupting(objective, batch, draw):
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGTERM)
        return forward(objective, batch, draw)

    monkeypatch.setattr(HeadLosses, "forward", interrupting)
    with pytest.raises(TrainingError, match="SIGTERM at step 5"):
        scripted("parts", keep="best")
    out = scripted("parts", keep="best")
    found, expected = ((f / "model.safetensors").read_bytes() for f in (out, whole))
    assert found == expected
    assert evaluations(out) == evaluations(whole)


@pytest.mark.parametrize("evaluations", [0, 1])  # one is that at the end
def test_patience_without_measurements_is_refused(finetune_settings, evaluations):
    with pytest.raises(ConfigError, match=f"--evaluations {evaluations}"):
        replace(finetune_settings, patience=2, evaluations=evaluations)
