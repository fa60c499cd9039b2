"""Time and memory from a folder on the disk to a usable model, beside transformers.

    python benchmarks/loading.py albert-base-v2 albert-xxlarge-v2

Random weights are written once into a folder that is removed at the end. Every row is a process of
its own, the rows interleaved. Counted from after the imports: seconds until the model is open, and
until it has computed eight tokens, which touches every weight; peak resident memory above what the
imports took, as a multiple of the file. Medians of all rounds; the file is in the system's cache.
Our folders carry the weights' SHA-256 in `run.json` and it is checked; foreign folders have none.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from albatross.checkpoints.huggingface import encoder_shapes
from albatross.checkpoints.model_folder import CONFIG, WEIGHTS, write_model
from albatross.config import variant

ROWS = ("albatross", "albatross, no run.json", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", default=["albert-base-v2"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure)))
        return
    print(f"{'folder':<18} {'row':<23} {'open':>7} {'+ 8 tokens':>10} {'peak':>6} {'+ 8':>6}")
    for name in arguments.variants:
        with tempfile.TemporaryDirectory() as place:
            size = write_folders(Path(place), name)
            compare(Path(place), f"{name[7:]} {size / 1e6:,.0f} MB", size, arguments.rounds)


def write_folders(place: Path, name: str) -> int:
    """Write a folder of ours, and the same files without `run.json`; return the weights' size."""
    config = variant(name)
    rng = np.random.default_rng(0)
    arrays = {
        tensor: rng.standard_normal(shape, np.float32) * np.float32(0.02)
        for tensor, shape in encoder_shapes(config).items()
    }
    for folder in ("ours", "theirs"):
        (place / folder).mkdir()
    write_model(place / "ours", config, arrays, {})
    for file in (CONFIG, WEIGHTS):
        (place / "theirs" / file).symlink_to(place / "ours" / file)
    return (place / "ours" / WEIGHTS).stat().st_size


def compare(place: Path, title: str, size: int, rounds: int) -> None:
    """Measure every row in turn, several times, and print the medians."""
    taken: dict[str, list[list[float]]] = {row: [] for row in ROWS}
    for _ in range(rounds):
        for row in ROWS:
            folder = place / ("ours" if row == "albatross" else "theirs")
            command = [sys.executable, __file__, "--measure", row.split(",")[0], str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            taken[row].append(json.loads(done.stdout))
    for row, figures in taken.items():
        opened, used, *peaks = (statistics.median(column) for column in zip(*figures, strict=True))
        multiples = " ".join(f"{peak / size:>5.2f}x" for peak in peaks)
        print(f"{title:<18} {row:<23} {opened:>6.3f}s {used:>9.3f}s {multiples}")


def measure(library: str, folder: str) -> list[float]:
    """Return seconds and peak bytes, after opening and after eight tokens."""
    import time

    import torch

    if library == "transformers":
        os.environ["HF_HUB_OFFLINE"] = "1"
        from transformers import AlbertModel
        from transformers.utils import logging

        logging.disable_progress_bar()
    else:
        from albatross.modeling.model import AlbertModel
    tokens = torch.arange(8)[None]
    # From here the kernel counts the peak anew.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    started = time.perf_counter()
    model = AlbertModel.from_pretrained(folder)
    opened = time.perf_counter() - started
    peak = memory("VmHWM") - before
    with torch.inference_mode():
        model.eval()(tokens)
    used = time.perf_counter() - started
    return [opened, used, peak, memory("VmHWM") - before]


def memory(name: str) -> float:
    """Return one of the kernel's figures of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
