"""Runs that are killed at any moment, in processes of their own, and started again."""

import json
import os
import random
import resource
import signal
import sys
import time
from dataclasses import replace
from unittest.mock import patch

import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.errors import FolderError, TrainingError
from albatross.modeling.model import AlbertForPreTraining
from albatross.training.distributed import World
from albatross.training.pretrain import pretrain
from albatross.training.run_log import LOG, RunLog, read_log
from albatross.training.trainer import Trainer
from albatross.training.workspace import Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


@pytest.fixture
def saving(pretrain_settings, tmp_path):
    """A run that saves after every step."""
    return replace(
        pretrain_settings,
        out=tmp_path / "out",
        steps=12,
        batch_tokens=256,
        micro_tokens=128,
        length_stages=("32:0.5",),
        depth_stages=("2:0.4",),
        ema=0.9,
        evaluations=3,
        save_minutes=0.0,
        threads=1,
    )


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def training_lines(folder):
    """The log without what the clock says."""
    lines = read_log(folder / "log.jsonl")
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def whole_runs():
    """Finished runs of `saving`, by their number of steps."""
    return {}


@pytest.fixture
def whole(saving, whole_runs, tmp_path_factory):
    """Trains for so many steps without a stop, once."""

    def run(steps):
        if steps not in whole_runs:
            out = tmp_path_factory.mktemp("whole") / "out"
            whole_runs[steps] = pretrain(replace(saving, out=out, steps=steps, save_minutes=10.0))
        return whole_runs[steps]

    return run


def test_kills_at_random_moments_change_no_bit(saving, start, whole):
    rng, kills = random.Random(os.getpid()), 0
    while True:
        process = start(pretrain, saving)
        process.join(rng.uniform(0.1, 1.2) if kills < 8 else None)
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
        if (saving.out / "run.json").is_file() and not (saving.out / "training_state").is_dir():
            break  # killed after it had finished its folder
    assert kills >= 2
    assert weights(saving.out) == weights(whole(12))
    assert training_lines(saving.out) == training_lines(whole(12))


def run_killed_at_rename(settings, number):
    """Train, and die right before or after the n-th file or folder is given its name."""
    rename, calls = os.rename, []

    def dying(source, target):
        calls.append(1)
        if len(calls) == number // 2 and number % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)
        if len(calls) == number // 2 and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(os, "rename", dying):
        pretrain(settings)


@pytest.mark.parametrize("number", range(4, 10))
def test_a_kill_inside_a_save_leaves_a_state_to_go_on_from(saving, start, whole, number):
    short = replace(saving, steps=4)
    process = start(run_killed_at_rename, short, number)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    pretrain(short)
    assert weights(short.out) == weights(whole(4))


def run_killed_at_step(settings, step):
    """Train, and die when the log has so many lines."""
    append = RunLog.append

    def dying(log, entry):
        append(log, entry)
        if entry["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(RunLog, "append", dying):
        pretrain(settings)


def test_steps_of_a_budget_are_taken_again_as_they_were(saving, start, tmp_path):
    timed = replace(saving, steps=None, budget="4s", save_minutes=10.0, evaluations=0)
    process = start(run_killed_at_step, timed, 6)
    process.join()
    before = training_lines(timed.out)
    assert len(before) == 6
    pretrain(timed)
    assert training_lines(timed.out)[:6] == before
    assert len(training_lines(timed.out)) > 6


def run_with_small_files_alone(settings, limit):
    """Train where no file may be larger than a limit, and tell the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        pretrain(settings)
    except FolderError as error:
        (settings.out.parent / "error.txt").write_text(str(error))


def test_a_save_that_does_not_fit_leaves_the_one_before(saving, start, whole, tmp_path):
    short = replace(saving, steps=4)
    killed = start(run_killed_at_step, short, 3)
    killed.join()
    state = json.loads((short.out / "training_state" / "state.json").read_text())
    start(run_with_small_files_alone, short, 1_000_000).join()
    message = (tmp_path / "error.txt").read_text()
    assert "What was saved before is whole" in message
    assert "\n" not in message
    assert json.loads((short.out / "training_state" / "state.json").read_text()) == state
    assert AlbertForPreTraining.from_pretrained(short.out).config.vocab_size == 280
    pretrain(short)
    assert weights(short.out) == weights(whole(4))


def test_a_run_that_could_not_be_finished_tells_of_its_last_evaluation_once(short, monkeypatch):
    settings = replace(short, steps=3, save_minutes=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(Workspace, "finish", lambda *given: sys.exit("the disk is full"))
        with pytest.raises(SystemExit):
            pretrain(settings)
    evaluated = [line["step"] for line in read_log(settings.out / "log.jsonl")]
    assert evaluated == [1, 2, 3, 3]
    pretrain(settings)
    assert [line["step"] for line in read_log(settings.out / "log.jsonl")] == evaluated


def test_a_second_process_does_not_train_into_a_folder(short, start, tmp_path):
    settings = replace(short, steps=100_000)
    process = start(pretrain, settings)
    while not (settings.out / LOG).is_file():
        assert process.is_alive()
        time.sleep(0.05)
    with pytest.raises(FolderError, match="another is at work"):
        pretrain(settings)
    assert process.is_alive()
    process.kill()
    process.join()
    with pytest.raises(TrainingError, match="here"), patch.object(Trainer, "step", stopping):
        pretrain(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def stopping(trainer):
    raise TrainingError("here")


class _First(World):
    """The first of two processes, whose neighbour's disk has nothing."""

    def first(self, values):
        return list(values)

    def sum(self, values):
        return [value + 1 for value in values]


def test_a_process_that_does_not_see_the_run_is_told_of(short, interrupt):
    interrupt(2)
    with pytest.raises(TrainingError, match="Run the same command again"):
        pretrain(short)
    workspace = Workspace("pretrain", short, {}, TOKENIZER, {}, world=_First(0, 2))
    with pytest.raises(FolderError, match="Received: 1 of 2 without"):
        workspace._is_interrupted()
