"""Count the lines of a real text on which transformers gives our ids, by the way it reads them.

Needs data: a text file (plain, .gz or .xz), and a spiece.model or a vocab.txt
Needs albatross on the path, and transformers with sentencepiece in the interpreter that runs it.
The slow tokenizers, the one oracle, are gone from transformers 5: 4.57.6 shows all three rows, 5
the last two. Without protobuf, 4.57.6 cannot read a spiece.model for the second.

    python benchmarks/tokenizer_parity.py enwiki.txt.xz --model spiece.model --lines 4000
"""

import argparse
import gzip
import json
import lzma
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import transformers

from albatross.tokenizer.folder import AnyTokenizer
from albatross.tokenizer.json_export import write_tokenizer_json
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

OPENERS = {".xz": lzma.open, ".gz": gzip.open}
Encoder = Callable[[str], list[int]]


def read_lines(path: Path, count: int) -> list[str]:
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as file:
        return list(islice((line.rstrip("\n") for line in file if line.strip()), count))


def readers(model: Path, ours: AnyTokenizer) -> Iterator[tuple[str, Encoder]]:
    """Yield each way in which transformers may come to its ids."""
    kind, name = ("Bert", "vocab.txt") if model.suffix == ".txt" else ("Albert", "spiece.model")
    if transformers.__version__.startswith("4."):
        slow = getattr(transformers, f"{kind}Tokenizer")(str(model))
        yield "slow, the oracle", slow_encoder(slow)
    with tempfile.TemporaryDirectory() as folder:
        config = {"model_type": kind.lower()}
        (Path(folder) / "config.json").write_text(json.dumps(config))
        shutil.copy(model, Path(folder) / name)
        try:
            yield f"fast, made from {name}", fast_encoder(folder)
        except ImportError as error:
            print(f"     not made from {name}: {str(error).strip().splitlines()[0]}")
        ours.save(folder)
        write_tokenizer_json(ours, folder)
        size = (Path(folder) / "tokenizer.json").stat().st_size
        yield f"fast, our tokenizer.json ({size:,} bytes)", fast_encoder(folder)


def slow_encoder(slow: transformers.PreTrainedTokenizerBase) -> Encoder:
    return lambda line: slow.convert_tokens_to_ids(slow.tokenize(line, split_special_tokens=True))


def fast_encoder(folder: str) -> Encoder:
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    return lambda line: fast(line, add_special_tokens=False)["input_ids"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="a spiece.model or vocab.txt")
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--show", type=int, default=1, help="differing lines to show of each")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    lines = read_lines(arguments.file, arguments.lines)
    kind = WordPieceTokenizer if arguments.model.suffix == ".txt" else UnigramTokenizer
    tokenizer = kind.from_file(arguments.model)
    ours = tokenizer.encode_batch(lines)
    print(f"lines with our ids, transformers {transformers.__version__}:")
    for name, encode in readers(arguments.model, tokenizer):
        theirs = list(map(encode, lines))
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
        equal = len(lines) - len(pairs)
        print(f"{equal:6} of {len(lines)} ({100 * equal / len(lines):.1f} %)  {name}")
        for a, b in pairs[: arguments.show]:
            first = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
            for label, ids in (("ours", a), ("theirs", b)):
                around = [tokenizer.pieces[number] for number in ids[max(0, first - 2) : first + 4]]
                print(f"        {label:7} {around}")


if __name__ == "__main__":
    main()
