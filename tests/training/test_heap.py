"""What the allocator does with freed memory, seen in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

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


SHAPES = """
import torch
from albatross.training.heap import tune_heap
assert tune_heap("speed")
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
torch.set_num_threads(1)
weight = torch.ones(4_096, 64, requires_grad=True)
for rows in range(64, 464):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = torch.nn.functional.linear(torch.ones(rows, 64), weight)
    product.float().sum().backward()
    weight.grad = None
    if rows == 70:
        before = held()
print(held() - before)
"""


def multiplies_in_bfloat16():
    info = Path("/proc/cpuinfo")
    return info.is_file() and "avx512_bf16" in info.read_text()


def faults(prefer):
    """Pages that a later step asks the system for."""
    command = [sys.executable, "-c", PROGRAM.format(prefer=prefer)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's allocator")
def test_for_speed_a_step_lives_on_what_the_last_one_freed():
    assert faults("speed") < 1_000 < faults("memory")


@pytest.mark.skipif(not multiplies_in_bfloat16(), reason="needs products in bfloat16")
def test_products_of_many_shapes_do_not_fill_the_memory():
    def growth(**more):
        done = subprocess.run(
            [sys.executable, "-c", SHAPES],
            check=True,
            capture_output=True,
            env={**os.environ, **more},
        )
        return int(done.stdout)

    assert growth() < 0.75 * growth(ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024")


def test_an_allocator_that_takes_no_word_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not tune_heap("speed")
