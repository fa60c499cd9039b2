"""Count the lines of a real text on which our ids equal the slow tokenizer's.

Needs data: a text file (plain, .gz or .xz) and a spiece.model
Needs transformers 4.57.6 with sentencepiece in the interpreter that runs it, and albatross on the
path: the slow `AlbertTokenizer`, the one oracle, is gone from transformers 5.

    python benchmarks/tokenizer_parity.py enwiki.txt.xz --model spiece.model --lines 4000
"""

import argparse
import gzip
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import transformers

from albatross.tokenizer.unigram import UnigramTokenizer

OPENERS = {".xz": lzma.open, ".gz": gzip.open}


def read_lines(path: Path, count: int) -> list[str]:
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
        return list(islice((line.rstrip("\n") for line in file if line.strip()), count))


def differences(lines: list[str], model: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    oracle = transformers.AlbertTokenizer(str(model))
    tokenizer = UnigramTokenizer.from_file(model)
    for line, ours in zip(lines, tokenizer.encode_batch(lines), strict=True):
        tokens = oracle.tokenize(line, split_special_tokens=True)
        if oracle.convert_tokens_to_ids(tokens) != ours:
            yield line, tokens, [tokenizer.pieces[number] for number in ours]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="a spiece.model")
    parser.add_argument("--lines", type=int, default=4000)
    arguments = parser.parse_args()
    if int(transformers.__version__.split(".")[0]) >= 5:
        parser.error(f"needs transformers 4.57.6, found {transformers.__version__}")
    lines = read_lines(arguments.file, arguments.lines)
    differing = list(differences(lines, arguments.model))
    for line, theirs, ours in differing[:5]:
        print(f"{line[:70]!r}\n  oracle {theirs}\n  ours   {ours}")
    equal = len(lines) - len(differing)
    print(f"{equal} of {len(lines)} lines equal transformers {transformers.__version__} (slow)")


if __name__ == "__main__":
    main()
