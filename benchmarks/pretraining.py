"""Training tokens per second of ours and of transformers, on the same text.

Needs data: a shard folder (`albatross build-shards`); for a vocabulary of 30,000 pieces also a text
and a tokenizer folder with such a one, of which shards are then built.

    python benchmarks/pretraining.py runs/shards --text corpus.txt --tokenizer albert-base-v2/

Each side runs in a process of its own, takes its steps in turn with the other, and is timed from
the finished samples (transformers: text already cut and paired; its collator masks and pads) or
from the shards (ours: cutting, pairing and masking are in the time) to the end of the optimizer's
step, AdamW for both. Both read the same samples; tokens are real ones, pads are not counted. On
CUDA both run in bfloat16 autocast; `peak` is the share of the measured matrix-product peak.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LENGTH = 128
# Variant, vocabulary (own: that of the shards), sequences a step on a processor and on a card.
ROWS = (
    ("albert-base-v2", "30k", 8, 256),
    ("albatross-mini", "own", 32, 1_024),
    ("albatross-mini", "30k", 32, 1_024),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folders = {"own": arguments.shards}
        if arguments.text and arguments.tokenizer:
            folders["30k"] = _build(arguments.text, arguments.tokenizer, Path(work) / "shards")
        print(
            f"{'model':<16} {'pieces':>7} {'length':>6} {'ours':>9} {'theirs':>9} tokens/s"
            f" {'ratio':>6} {'MB':>7} {'MB':>7} {'peak':>6} {'peak':>6}"
        )
        for name, vocabulary, small, large in ROWS:
            if vocabulary in folders:
                _print_row(name, folders[vocabulary], (small, large), arguments)


def _build(text: Path, tokenizer: Path, out: Path) -> Path:
    from albatross.corpus.build_shards import build_shards
    from albatross.settings.corpus import BuildShardsSettings

    return build_shards(BuildShardsSettings((text, out), tokenizer))


def _print_row(
    name: str, shards: Path, sizes: tuple[int, int], arguments: argparse.Namespace
) -> None:
    context = multiprocessing.get_context("spawn")
    sides = {}
    for side in (_ours, _theirs):
        here, there = context.Pipe()
        options = name, shards, sizes, arguments.precision, arguments.compile
        process = context.Process(target=side, args=(there, *options), daemon=True)
        process.start()
        there.close()
        sides[side] = here, process
        here.send("step")  # the first step warms up
        here.recv()
    found: dict[Any, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(arguments.steps):
        for side, (pipe, _) in sides.items():
            pipe.send("step")
            found[side].append(pipe.recv())
    for pipe, process in sides.values():
        pipe.send("end")
        process.join()
    speeds, memory, shares = (
        [statistics.median(step[key] for step in steps) for steps in found.values()]
        for key in ("speed", "megabytes", "peak")
    )
    length = statistics.mean(step["length"] for step in found[_ours])
    print(
        f"{name:<16} {found[_ours][0]['pieces']:>7,.0f} {length:>6.1f} {speeds[0]:>9,.0f}"
        f" {speeds[1]:>9,.0f}          {speeds[0] / speeds[1]:>6.2f} {memory[0]:>7,.0f}"
        f" {memory[1]:>7,.0f} {shares[0]:>6.0%} {shares[1]:>6.0%}",
        flush=True,
    )


def _ours(
    pipe: Connection,
    name: str,
    shards: Path,
    sizes: tuple[int, int],
    precision: str | None,
    compiled: bool,
) -> None:
    import torch

    from albatross.config import variant
    from albatross.modeling.model import AlbertForPreTraining
    from albatross.training.heap import tune_heap
    from albatross.training.objectives import Draw, MaskedWords
    from albatross.training.optimizers import make_optimizers

    tune_heap("speed")  # as `pretrain` does
    device, dtype = _place(precision)
    batches, pieces = _batches(shards, sizes[device.type == "cuda"])
    config = variant(name, vocab_size=pieces)
    model = AlbertForPreTraining(config).to(device).train()
    model.compile_layer(compiled)
    objective = MaskedWords(model)
    (optimizer,) = make_optimizers(
        model, "adamw", learning_rate=1e-4, beta2=0.999, weight_decay=0.01
    )
    position = batches.start

    def step() -> tuple[int, int]:
        nonlocal position
        made = batches.step(position, 0.0)
        position = made.position
        (batch,) = made.batches
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            sums = objective(batch, Draw())
        counts = objective.counts(batch)
        torch.stack([total / counts[loss] for loss, total in sums.items()]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        return made.tokens, made.sequences

    _serve(pipe, step, device, dtype, config)


def _theirs(
    pipe: Connection,
    name: str,
    shards: Path,
    sizes: tuple[int, int],
    precision: str | None,
    compiled: bool,
) -> None:
    import torch
    from transformers import AlbertConfig, AlbertForPreTraining, AutoTokenizer
    from transformers import DataCollatorForLanguageModeling as Collator

    from albatross.config import variant

    device, dtype = _place(precision)
    batches, pieces = _batches(shards, sizes[device.type == "cuda"])
    config = variant(name, vocab_size=pieces)
    model = AlbertForPreTraining(AlbertConfig(**config.to_dict())).to(device).train()
    collator = Collator(AutoTokenizer.from_pretrained(shards), mlm_probability=0.15)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    position, ready = batches.start, []
    for _ in range(20):
        made = batches.step(position, 0.0)
        position = made.position
        ready.append(_features(made.batches[0]))

    def step() -> tuple[int, int]:
        features = ready.pop(0)
        ready.append(features)
        inputs = {key: value.to(device) for key, value in collator(features).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return sum(len(feature["input_ids"]) for feature in features), len(features)

    _serve(pipe, step, device, dtype, config)


def _place(precision: str | None) -> tuple[Any, Any]:
    """Return the device, and the precision: on a card half of it, unless another is asked for."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = precision or ("bfloat16" if device.type == "cuda" else "float32")
    return device, getattr(torch, name)


def _batches(folder: Path, sequences: int) -> tuple[Any, int]:
    """Return steps of full samples of a shard folder, and the size of its vocabulary."""
    from albatross.data.masking import PieceTable
    from albatross.data.sampling import PretrainingBatches
    from albatross.data.segments import SampleRule, SampleSource
    from albatross.data.shards import ShardFolder
    from albatross.tokenizer.folder import open_tokenizer

    tokenizer = open_tokenizer(folder)
    table = PieceTable.from_tokenizer(tokenizer)
    rule = SampleRule(max_length=LENGTH, short_fraction=0.0)
    shards = ShardFolder(folder).train
    source = SampleSource(shards, table, rule, tokenizer.cls_id, tokenizer.sep_id)
    budget = sequences * LENGTH
    batches = PretrainingBatches(lambda _: [source], batch_tokens=budget, max_length=LENGTH)
    return batches, tokenizer.vocab_size


def _features(batch: Any) -> list[dict[str, Any]]:
    """Return the samples as transformers' collator takes them, masks undone."""
    import numpy as np

    from albatross.data.packing import IGNORED_LABEL

    labels = batch.labels["labels"]
    ids = np.where(labels == IGNORED_LABEL, batch.input_ids, labels)
    orders = batch.labels["sentence_order_label"]
    bounds = batch.cu_seqlens
    return [
        {
            "input_ids": ids[start:end].tolist(),
            "token_type_ids": batch.token_type_ids[start:end].tolist(),
            "sentence_order_label": int(order),
        }
        for start, end, order in zip(bounds[:-1], bounds[1:], orders, strict=True)
    ]


def _serve(pipe: Connection, step: Any, device: Any, dtype: Any, config: Any) -> None:
    """Take a timed step whenever one is asked for."""
    import time

    import torch

    from albatross.costs import model_cost

    side = 8_192 if device.type == "cuda" else 1_024
    matrix = torch.ones(side, side, dtype=dtype, device=device)

    def seconds(work: Any) -> tuple[float, Any]:
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        made = work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started, made

    flops = model_cost(config, sequence_length=LENGTH).training_flops_per_token
    while pipe.recv() == "step":
        taken, (tokens, sequences) = seconds(step)
        peak = 2 * side**3 / min(seconds(lambda: matrix @ matrix)[0] for _ in range(3))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if device.type == "cuda":
            memory = torch.cuda.max_memory_allocated() / 2**20
        speed = tokens / taken
        pipe.send(
            {
                "speed": speed,
                "megabytes": memory,
                "length": tokens / sequences,
                "pieces": config.vocab_size,
                "peak": speed * flops / peak,
            }
        )


if __name__ == "__main__":
    main()
