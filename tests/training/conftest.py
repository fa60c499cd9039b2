"""What tests of training share: a short run, a signal in one, a process that has torch already."""

import multiprocessing
import signal
from dataclasses import replace

import pytest

from albatross.training.objectives import MaskedWords


@pytest.fixture
def short(pretrain_settings, tmp_path):
    """A run of six steps."""
    return replace(
        pretrain_settings,
        out=tmp_path / "out",
        steps=6,
        batch_tokens=128,
        evaluations=0,
    )


@pytest.fixture
def interrupt(monkeypatch):
    """Lets a run be interrupted at one of its steps; later runs are not."""

    def at(step, number=signal.SIGTERM):
        calls, forward = [], MaskedWords.forward

        def interrupting(objective, batch, draw):
            calls.append(1)
            if len(calls) == step:
                signal.raise_signal(number)
            return forward(objective, batch, draw)

        monkeypatch.setattr(MaskedWords, "forward", interrupting)

    return at


@pytest.fixture(scope="module")
def start():
    """Starts a function in a process that has torch already, with all that optimizers import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["albatross.training.pretrain", "torch._dynamo"])

    def begin(function, *arguments):
        process = context.Process(target=function, args=arguments)
        process.start()
        return process

    return begin
