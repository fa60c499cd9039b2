"""Encode a text with our tokenizer and with transformers' fast AlbertTokenizer, side by side.

Needs data: a text file (plain, .gz or .xz) and a spiece.model

    python benchmarks/tokenizer.py enwiki.txt.xz --model spiece.model --lines 4000

Both are built from the same spiece.model. Each round runs every contestant once, in a shuffled
order, so that a slow minute of the machine hits all of them; the table shows medians.
"""

import argparse
import gc
import gzip
import lzma
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import transformers

from albatross.tokenizer.unigram import UnigramTokenizer

OPENERS = {".xz": lzma.open, ".gz": gzip.open}
OURS, RIVAL = "ours, encode_batch", "transformers fast, batch"


def read_lines(path: Path, count: int) -> list[str]:
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
        return list(islice((line.rstrip("\n") for line in file if line.strip()), count))


def contestants(model: Path, lines: list[str]) -> dict[str, Callable[[], list[list[int]]]]:
    ours = UnigramTokenizer.from_file(model)
    rival = fast_tokenizer(model)
    return {
        OURS: lambda: ours.encode_batch(lines),
        "ours, encode_batch, 1 thread": lambda: ours.encode_batch(lines, num_threads=1),
        "ours, encode": lambda: [ours.encode(line) for line in lines],
        "ours, encode_with_offsets": lambda: [ours.encode_with_offsets(line) for line in lines],
        RIVAL: lambda: rival(lines, add_special_tokens=False)["input_ids"],
        "transformers fast, single": lambda: [
            rival(line, add_special_tokens=False)["input_ids"] for line in lines
        ],
    }


def fast_tokenizer(model: Path) -> Callable[..., dict[str, Any]]:
    """Build the rival from a folder that holds the spiece.model alone."""
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model, Path(folder) / "spiece.model")
        kind = getattr(transformers, "AlbertTokenizerFast", transformers.AlbertTokenizer)
        return kind.from_pretrained(folder)


def measure(runs: dict[str, Callable[[], list[list[int]]]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each run; the first round warms up and is not counted.

    The garbage of one run is collected before the next is timed, as `timeit` does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(rounds + 1):
        order = sorted(runs)
        random.Random(round_number).shuffle(order)
        for name in order:
            gc.collect()
            gc.disable()
            start = time.perf_counter()
            runs[name]()
            taken = time.perf_counter() - start
            gc.enable()
            if round_number:
                seconds[name].append(taken)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="a spiece.model")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    lines = read_lines(arguments.file, arguments.lines)
    megabytes = sum(len(line.encode()) for line in lines) / 1e6
    runs = contestants(arguments.model, lines)
    medians = measure(runs, arguments.rounds)
    print(
        f"{len(lines)} lines, {megabytes:.2f} MB, {os.cpu_count()} cores, median of"
        f" {arguments.rounds} rounds, transformers {transformers.__version__}"
    )
    print(f"{'':30} {'MB/s':>7} {'ratio':>7}")
    for name, seconds in medians.items():
        print(f"{name:30} {megabytes / seconds:7.2f} {medians[RIVAL] / seconds:7.2f}")
    pairs = list(zip(runs[OURS](), runs[RIVAL](), strict=True))
    differing = sum(ours != theirs for ours, theirs in pairs) / len(pairs)
    print(f"lines with other ids from transformers fast: {100 * differing:.0f} %")


if __name__ == "__main__":
    main()
