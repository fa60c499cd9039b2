"""A process that opens a model, answers once, says so by a line, and then tells its memory.

    python -m albatross.bench.first_answer '{"model": "sentiment"}'

It imports what a program that answers needs, and nothing of the verb.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from albatross.data.packing import Example
from albatross.pipelines.pipeline import Pipeline, engine_outputs, load

SHORT, LONGER = 8, 128
"""Tokens of the first text, and of the one after which memory is told."""


def main(arguments: Sequence[str]) -> None:
    """Answer with the options of `load`, given as JSON."""
    pipeline = load(**json.loads(arguments[0]))
    answer(pipeline, SHORT)
    print("answered", flush=True)
    answer(pipeline, LONGER)
    print(json.dumps(peak_memory()))


def answer(pipeline: Pipeline, tokens: int) -> None:
    """Take a text of at most so many tokens from its letters to the heads' outputs."""
    reader = pipeline.tokenizer
    tokens = min(tokens, pipeline.engine.config.max_position_embeddings)
    inside = reader.encode("A lovely film. " * tokens)[: tokens - 2]
    ids = np.array([reader.cls_id, *inside, reader.sep_id])
    engine_outputs(pipeline.engine, [Example(ids, np.zeros_like(ids))], tokens)


def peak_memory(status: Path = Path("/proc/self/status")) -> int | None:
    """Return the most bytes that this process has held; None where the system has no such file."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    kilobytes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes[0]) * 1024 if kilobytes else None


if __name__ == "__main__":
    main(sys.argv[1:])
