"""What the allocator does with freed memory, seen in a process of its own."""

import subprocess
import sys

import pytest

from albatross.training.heap import tune_heap

PROGRAM = """
import resource, torch
from albatross.training.heap import tune_heap
assert tune_heap({prefer!r})
def step():
    kept = []
    for _ in range(20):
        wide = torch.ones(4_000_000)
        kept.append(torch.ones(300_000))
        del wide
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(prefer):
    """Pages that a later step asks the system for."""
    command = [sys.executable, "-c", PROGRAM.format(prefer=prefer)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's allocator")
def test_for_speed_a_step_lives_on_what_the_last_one_freed():
    assert faults("speed") < 1_000 < faults("memory")


def test_an_allocator_that_takes_no_word_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not tune_heap("speed")
