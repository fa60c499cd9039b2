"""How fast samples are planned and made, on one core: `python benchmarks/samples.py runs/shards`.

Needs data: a shard folder (`albatross build-shards`).

Processor time is measured, the best of three, so that other work on the machine changes little.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from albatross.data.masking import PieceTable
from albatross.data.packing import pack
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import ShardFolder
from albatross.tokenizer.folder import open_tokenizer

STEP_TOKENS, MANY = 8_192, 2_048


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 512])
    given = parser.parse_args()
    folder, tokenizer = ShardFolder(given.shards, verify=False), open_tokenizer(given.shards)
    table = PieceTable.from_tokenizer(tokenizer)
    for length in given.lengths:
        rule = SampleRule(max_length=length)
        source = SampleSource(folder.train, table, rule, tokenizer.cls_id, tokenizer.sep_id)
        start = time.process_time()
        plan = source.plan(0)
        planned = time.process_time() - start
        held = sum(array.nbytes for array in vars(plan).values() if isinstance(array, np.ndarray))
        print(f"{length}: {len(plan):,} samples planned in {planned:.2f} s, {held / 1e6:.0f} MB")
        for count in (max(1, round(STEP_TOKENS / plan.lengths.mean())), MANY):
            print("  " + speed(source, min(count, len(plan))))


def speed(source: SampleSource, count: int) -> str:
    """Return samples and tokens a second, so many samples made and packed together."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        for turn in range(max(1, MANY // count)):
            begin = turn * count % max(1, len(source.plan(0)) - count)
            batch = pack(source.samples(0, np.arange(begin, begin + count)))
        seconds.append((time.process_time() - start) / max(1, MANY // count))
    best = min(seconds)
    return (
        f"{count} together: {count / best:,.0f} samples, {len(batch.input_ids) / best:,.0f} tokens"
    )


if __name__ == "__main__":
    main()
