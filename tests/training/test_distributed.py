"""Two processes on gloo against one; once as a user starts them, else in processes with torch."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from albatross.checkpoints.safetensors_file import map_arrays
from albatross.errors import ConfigError
from albatross.training.distributed import World, joined, spread
from albatross.training.pretrain import pretrain
from albatross.training.run_log import read_log

OPTIONS = {
    "steps": 6,
    "batch_tokens": 512,
    "micro_tokens": 128,
    "evaluations": 2,
    "ema": 0.5,
    "optimizer": "lamb",
    "learning_rate": 1e-3,
    "threads": 1,
}


def torchrun(settings):
    """Run the verb in two processes."""
    words = ["--variant", settings.variant, "--shape", *settings.shape]
    words += ["--max-length", str(settings.max_length)]
    for name, value in OPTIONS.items():
        words += ["--" + name.replace("_", "-"), str(value)]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "albatross", "pretrain"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(settings.shards), str(settings.out), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return settings.out


def train_as(rank, port, settings):
    """Train as one of two processes, with what torchrun tells each."""
    told = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    pretrain(settings)


@pytest.fixture
def in_two(start):
    """Trains in two processes, which part the weights by default."""

    def train(settings, parallel="fsdp"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        spread_so = replace(settings, parallel=parallel)
        processes = [start(train_as, rank, port, spread_so) for rank in range(2)]
        try:
            for process in processes:
                process.join(120)
            assert [process.exitcode for process in processes] == [0, 0]
        finally:
            for process in processes:
                process.kill()
        return settings.out

    return train


@pytest.fixture(scope="module")
def alone(pretrain_settings, tmp_path_factory):
    """A run in one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    return pretrain(replace(pretrain_settings, out=out, **OPTIONS))


def check_same(one, other):
    """The same losses, and weights that differ as sums in another order may."""
    logs = [read_log(folder / "log.jsonl") for folder in (one, other)]
    for first, second in zip(*logs, strict=True):
        for line in (first, second):
            line.pop("seconds", None)
            for name in ("tokens_per_second", "flops_utilisation", "energy_wh"):
                line.get("evaluation", {}).pop(name, None)
        first, second = (line.get("evaluation", line) for line in (first, second))
        assert first == pytest.approx(second, rel=2e-4)
    arrays = [map_arrays(folder / "model.safetensors") for folder in (one, other)]
    for name, array in arrays[0].items():
        difference = np.asarray(array, np.float64) - np.asarray(arrays[1][name], np.float64)
        assert np.abs(difference).max() < 2e-4, name


def test_two_processes_train_as_one(alone, pretrain_settings, tmp_path):
    settings = replace(pretrain_settings, out=tmp_path / "out")
    check_same(torchrun(settings), alone)


def test_two_processes_with_parted_weights_train_as_one_by_the_usual_optimizer(
    pretrain_settings, tmp_path, in_two
):
    usual = replace(pretrain_settings, **{**OPTIONS, "optimizer": "muon"})
    first, second = (replace(usual, out=tmp_path / name) for name in ("one", "two"))
    check_same(in_two(second), pretrain(first))


def test_depths_that_are_left_out_are_not_waited_for(pretrain_settings, tmp_path, in_two):
    shape = (*pretrain_settings.shape, "depth_lora_rank=2")
    drawn = replace(pretrain_settings, **OPTIONS, shape=shape, random_depth=1)
    first, second = (replace(drawn, out=tmp_path / name) for name in ("one", "two"))
    check_same(in_two(second, "ddp"), pretrain(first))


def test_a_run_of_one_process_goes_on_in_two_that_part_the_weights(
    alone, pretrain_settings, tmp_path, monkeypatch, in_two
):
    settings = replace(pretrain_settings, out=tmp_path / "out", **OPTIONS, save_minutes=0.0)
    from albatross.errors import TrainingError
    from albatross.training.trainer import Trainer

    step = Trainer.step

    def stopping(trainer):
        if trainer.progression.step == 3:
            raise TrainingError("here")
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", stopping)
    with pytest.raises(TrainingError, match="here"):
        pretrain(settings)
    check_same(in_two(settings), alone)


def test_one_process_is_left_as_it_is():
    module = nn.Linear(2, 2)
    assert spread(module, module, World(), "ddp") is module
    assert World().sum([1.0, 2.0]) == [1.0, 2.0]
    assert (World().largest(3), World().first([4.0])) == (3, [4.0])


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert (world.rank, world.size, world.device.type) == (0, 1, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"Received: cuda, .* sees no GPU"), joined("cuda"):
        pass


def test_steps_too_small_for_all_processes_are_refused(pretrain_settings, tmp_path, monkeypatch):
    from albatross.training import pretrain as module

    settings = replace(pretrain_settings, out=tmp_path / "out", batch_tokens=100)
    with pytest.raises(ConfigError, match="a sample for each process"):
        module._Run(settings, World(rank=0, size=2))
