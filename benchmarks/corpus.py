"""From text files to token ids on disk: `build-shards` against `datasets.map`, side by side.

Needs data: text files with a sentence a line (plain or .xz), and a spiece.model

    python benchmarks/corpus.py enwiki-00.txt.xz enwiki-01.txt.xz --model spiece.model

The rival is `datasets.load_dataset("text")` and `map(batched=True)` with transformers' fast ALBERT
tokenizer, made from the same spiece.model and asked for ids alone, an empty cache folder, and a
process for each core, each with one thread: more are no faster, and far slower on a machine with
other work. Ours is the whole verb: reading, counting, equal documents, the held-out part, shards,
checksums. Every run is a process of its own; each round runs both in turn. Imports are not timed,
starting worker processes is. Memory is what all processes of a run hold together (proportional set
size), at its peak.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CONTESTANTS = ("ours", "datasets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True, help="a spiece.model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duplicates", default="exact", choices=("keep", "exact", "near"))
    parser.add_argument("--run", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps({"ours": ours, "datasets": theirs}[arguments.run](arguments)))
        return
    megabytes = sum(size_of(path) for path in arguments.files) / 1e6
    runs: dict[str, list[dict]] = {name: [] for name in CONTESTANTS}
    for number in range(arguments.rounds):
        for name in CONTESTANTS[:: 1 if number % 2 else -1]:
            runs[name].append(measured(name))
            print(f"round {number + 1}, {name}: {runs[name][-1]}", file=sys.stderr)
    show(runs, megabytes)


def show(runs: dict[str, list[dict]], megabytes: float) -> None:
    """Print the medians."""

    def median(name: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[name])

    print(f"{megabytes:.1f} MB of text, {os.cpu_count()} cores, medians of {len(runs['ours'])}")
    print(f"{'':34} {'seconds':>8} {'MB/s':>6} {'ratio':>6} {'peak MB':>8}")
    fastest = median("ours", "seconds")
    for title, name, key in (
        ("albatross build-shards, all of it", "ours", "seconds"),
        ("datasets, load_dataset and map", "datasets", "seconds"),
        ("datasets, map alone", "datasets", "map_seconds"),
    ):
        seconds = median(name, key)
        peak = median(name, "peak") / 1e6
        speed = megabytes / seconds
        print(f"{title:34} {seconds:>8.2f} {speed:>6.2f} {seconds / fastest:>6.2f} {peak:>8,.0f}")


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    from albatross.corpus.build_shards import build_shards
    from albatross.settings.corpus import BuildShardsSettings
    from albatross.tokenizer.unigram import UnigramTokenizer

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Path(folder) / "tokenizer"
        UnigramTokenizer.from_file(arguments.model).save(tokenizer)
        settings = BuildShardsSettings(
            (*arguments.files, Path(folder) / "shards"),
            tokenizer=tokenizer,
            duplicates=arguments.duplicates,
        )
        start = time.perf_counter()
        build_shards(settings)
        return {"seconds": time.perf_counter() - start}


def theirs(arguments: argparse.Namespace) -> dict[str, float]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(arguments.model, Path(folder) / "spiece.model")
        kind = getattr(transformers, "AlbertTokenizerFast", transformers.AlbertTokenizer)
        tokenizer = kind.from_pretrained(folder)
        only_ids = dict.fromkeys(
            ("add_special_tokens", "return_attention_mask", "return_token_type_ids"), False
        )
        start = time.perf_counter()
        files = [str(path) for path in arguments.files]
        loaded = datasets.load_dataset(
            "text", data_files=files, split="train", cache_dir=f"{folder}/cache"
        )
        loaded_at = time.perf_counter()
        loaded.map(
            lambda batch: {"input_ids": tokenizer(batch["text"], **only_ids)["input_ids"]},
            batched=True,
            num_proc=os.cpu_count(),
            remove_columns=["text"],
        )
        end = time.perf_counter()
        return {"seconds": end - start, "map_seconds": end - loaded_at}


def measured(name: str) -> dict[str, float]:
    """Run a contestant in a process of its own and watch its memory."""
    command = [sys.executable, *sys.argv, "--run", name]
    peak = [0]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        watching = threading.Thread(target=watch, args=(process.pid, peak), daemon=True)
        watching.start()
        output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors.decode())
    return {**json.loads(output.splitlines()[-1]), "peak": peak[0]}


def watch(process: int, peak: list[int]) -> None:
    """Keep the most memory that a process and its descendants held."""
    while Path(f"/proc/{process}").exists():
        peak[0] = max(peak[0], sum(map(memory_of, family_of(process))))
        time.sleep(0.05)


def family_of(process: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        children = []
    return [process, *(member for child in children for member in family_of(int(child)))]


def memory_of(process: int) -> int:
    """Return a process's proportional set size in bytes."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def size_of(path: Path) -> int:
    """Return the bytes of text in a file."""
    if path.suffix != ".xz":
        return path.stat().st_size
    with lzma.open(path) as file:
        return sum(map(len, iter(lambda: file.read(2**20), b"")))


if __name__ == "__main__":
    main()
