"""What `albatross info` says of training memory against what a step really takes.

    python benchmarks/training_memory.py albert-base-v2

Two optimizer steps on the processor, in a process of its own for each row; the figure is the growth
of the peak resident memory over that of the imports. Where nothing is said to it, the allocator
keeps holes between tensors, which no count of tensors can foresee; so there are two figures, as it
comes and tuned for memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

from albatross.config import AlbertConfig, variant
from albatross.costs import model_cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", nargs="?", default="albatross-mini")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--sequence-length", type=int, default=128)
    parser.add_argument("--measure", choices=("kept", "recomputed"), help=argparse.SUPPRESS)
    parser.add_argument("--tuned", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(_measure(arguments))
        return
    print(f"{'activations':<12} {'told':>8} {'taken':>8} {'tuned':>8}  MB")
    for kind in ("kept", "recomputed"):
        cost = model_cost(
            variant(arguments.variant),
            sequence_length=arguments.sequence_length,
            batch_size=arguments.batch_size,
            activation_checkpointing=kind == "recomputed",
        )
        command = [sys.executable, *sys.argv, "--measure", kind]
        taken, tuned = (
            float(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
            for run in (command, [*command, "--tuned"])
        )
        figures = (cost.training_bytes, taken, tuned)
        print(f"{kind:<12} {' '.join(f'{figure / 1e6:>8,.0f}' for figure in figures)}")


def _measure(arguments: argparse.Namespace) -> float:
    import numpy as np
    import torch

    from albatross.data.packing import IGNORED_LABEL, Example, pack
    from albatross.modeling.model import AlbertForPreTraining
    from albatross.training.heap import tune_heap
    from albatross.training.objectives import Draw, MaskedWords

    def steps(config: AlbertConfig, shape: tuple[int, int]) -> None:
        model = AlbertForPreTraining(config)
        model.activation_checkpointing(arguments.measure == "recomputed")
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        rng = np.random.default_rng(0)
        ids = rng.integers(5, config.vocab_size, shape)
        labels = np.where(rng.random(shape) < 0.15, ids, IGNORED_LABEL)
        examples = [
            Example(row, np.zeros_like(row), {"labels": label, "sentence_order_label": 0})
            for row, label in zip(ids, labels, strict=True)
        ]
        objective = MaskedWords(model.train())
        for _ in range(2):
            losses = objective(pack(examples), Draw())
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    if arguments.tuned:
        tune_heap("memory")
    steps(variant("albatross-tiny"), (2, 8))  # libraries load what they need
    before = _peak()
    steps(variant(arguments.variant), (arguments.batch_size, arguments.sequence_length))
    return _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
