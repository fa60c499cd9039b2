"""From process start to the face, the help and the first answer, beside transformers' answer.

    python benchmarks/startup.py

Every row is a process of its own, the rows interleaved; medians of wall seconds and, of the last
round, peak resident megabytes. Both fill a gap by the encoder inside the package. transformers
opens its folder with torch; its tokenizer is left out and the ids are given, so that the row counts
loading and computing alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

ROUNDS = 5
TRANSFORMERS = """
import torch
from albatross.engine.open import find_model
from transformers import AlbertForMaskedLM
model = AlbertForMaskedLM.from_pretrained(find_model("pretrained")).float().eval()
with torch.inference_mode():
    model(torch.tensor([[2, 48, 25, 4, 9, 3]])).logits
"""
ALBATROSS = """
import albatross
albatross.load("fill-mask")("A lovely [MASK].")
"""
RUNS = {
    "python alone": ["-c", "pass"],
    "import albatross": ["-c", "import albatross"],
    "albatross --help": ["-m", "albatross", "--help"],
    "albatross, first answer": ["-c", ALBATROSS],
    "transformers, first answer": ["-c", TRANSFORMERS],
}


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in RUNS}
    peaks = {}
    for _ in range(ROUNDS):
        for name, words in RUNS.items():
            started = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            taken[name].append(time.perf_counter() - started)
            peaks[name] = usage.ru_maxrss / 1024
            if status:
                raise SystemExit(f"{name} failed with status {status}")
            process.returncode = 0
    print(f"{'process':<28} {'seconds':>8} {'MB':>6}")
    for name, seconds in taken.items():
        print(f"{name:<28} {statistics.median(seconds):>8.3f} {peaks[name]:>6.0f}")


if __name__ == "__main__":
    main()
