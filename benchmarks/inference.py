"""The race: ours against transformers, ONNX Runtime and OpenVINO, the same weights and texts.

Needs data: SST-2, AG News and IMDB below `--data`, and ALBERT's sentencepiece/30k-clean.model.

    python benchmarks/inference.py albert-base-v2 --data DATA --out runs/inference

A variant gets random weights; a folder must be a fine-tuned classifier that transformers opens.
Every candidate is a process of its own (`inference_candidates.py`), asked in turn, round after
round, while the others wait; medians of wall seconds are shown, processor seconds stand in the JSON
beside them. Rivals get texts as ids, sorted by length in padded batches of 32. ONNX Runtime runs
the usual export: as it is, fused by its transformers tool, after `quantize_dynamic`, and quantised
as well as anyone can: the weights taken out from behind `Identity` and `Transpose` nodes first,
which otherwise hide them, a scale for each column, and 7 bits. Logits must agree with
transformers'. Rivals that are not installed are left out, aloud: `pip install albatross[bench]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from inference_candidates import INPUTS, sorted_batches
from inference_exports import export_usually, random_classifier, real_texts

from albatross.checkpoints.model_folder import read_config
from albatross.config import VARIANTS
from albatross.costs import model_cost
from albatross.engine.open import open_model
from albatross.export.folder import export
from albatross.rng import stream
from albatross.settings.answering import ExportSettings

LENGTHS = (8, 32, 128, 384)
# What each candidate reads, by which its size is told; and what it needs installed.
FILES = {
    "albatross fp32": "fp32",
    "albatross int8": "int8",
    "transformers": "torch",
    "transformers compiled": "torch",
    "onnxruntime": "plain.onnx",
    "onnxruntime fused": "fused.onnx",
    "openvino": "plain.onnx",
    "onnxruntime quantised": "quantised.onnx",
    "onnxruntime quantised well": "quantised-well.onnx",
    "onnxruntime quantised, fused": "quantised-fused.onnx",
}
OURS = ("albatross fp32", "albatross int8")
FLOAT_RIVALS = tuple(name for name in FILES if name not in OURS and "quantised" not in name)
INT8_RIVALS = tuple(name for name in FILES if "quantised" in name)
FLOAT_DIFFERENCE = 1e-4
PAUSE = 0.3  # threads that spin for their next work come to rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a variant, or a fine-tuned folder")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="folder for inference.json and inference.md")
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--quick", action="store_true", help="6 texts, one round, to try it out")
    given = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if given.quick:
        given.texts, given.rounds = 6, 1
    names = [name for name in FILES if name in given.only and is_installed(name)]
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        lengths = prepare(place, given)
        found = race(place, names, given.rounds, given.threads)
        report = {
            "model": given.model,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {given.threads} threads",
            "texts": len(lengths),
            "tokens": sum(lengths),
            "bytes": {name: size(place / FILES[name]) for name in names},
            **found,
            "floor": floors(place, found["speeds"], lengths),
        }
    page = markdown(report)
    print(page)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "inference.json").write_text(json.dumps(report, indent=1) + "\n")
        (given.out / "inference.md").write_text(page + "\n")


def is_installed(name: str) -> bool:
    library = name.split()[0]
    if find_spec(library) is None:
        print(f"left out: {name}; {library} is not installed", file=sys.stderr)
        return False
    return True


# === What they answer with ===


def prepare(place: Path, given: argparse.Namespace) -> list[int]:
    """Lay out weights in every form, and the ids; return the lengths of the mixed texts."""
    if given.model in VARIANTS:
        random_classifier(place / "torch", given.model, given.data)
    else:
        shutil.copytree(given.model, place / "torch")
    export(ExportSettings(place / "torch", place / "fp32"))
    export(ExportSettings(place / "torch", place / "int8", dtype="int8"))
    export_usually(place)
    opened = open_model(place / "fp32", engine="onnx", threads=given.threads)
    reader, longest = opened.tokenizer, opened.config.max_position_embeddings
    mixed = [
        [reader.cls_id, *reader.encode(text)[: longest - 2], reader.sep_id]
        for text in real_texts(given.data, given.texts)
    ]
    draw = stream("inference")
    singles = {
        str(n): [
            reader.cls_id,
            *draw.integers(5, opened.config.vocab_size, n - 2).tolist(),
            reader.sep_id,
        ]
        for n in LENGTHS
    }
    (place / "mixed.json").write_text(json.dumps(mixed))
    (place / "singles.json").write_text(json.dumps(singles))
    return [len(ids) for ids in mixed]


def size(path: Path) -> int:
    """Bytes that must be there to answer."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.name != "README.md")
    return path.stat().st_size


# === The race ===


class Candidate:
    """A process that answers when it is asked."""

    def __init__(self, name: str, place: Path, threads: int) -> None:
        print(f"opening {name}", file=sys.stderr)
        self.process = start(name, place, threads, "orders")
        assert self.process.stdout is not None
        self.is_ready = self.process.stdout.readline() == "ready\n"
        if not self.is_ready:
            print(f"left out: {name}, which fails; its last words are above", file=sys.stderr)

    def ask(self, work: str, **more: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        time.sleep(PAUSE)
        self.process.stdin.write(json.dumps({"work": work, **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


def start(name: str, place: Path, threads: int, mode: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("inference_candidates.py")
    return subprocess.Popen(
        [sys.executable, str(script), name, str(place), str(threads), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )


def race(place: Path, names: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Let everyone answer everything in turn, and start everyone anew, round after round."""
    told = print_progress(3 * rounds + 1)
    candidates = {name: Candidate(name, place, threads) for name in [*names, "products"]}
    candidates = {name: each for name, each in candidates.items() if each.is_ready}
    racers = {name: each for name, each in candidates.items() if name != "products"}
    works = [*map(str, LENGTHS), "mixed"]
    agreement = compare(place, racers)
    told("warm and compared")
    taken: dict[str, dict[str, list[Any]]] = {n: {w: [] for w in works} for n in racers}
    speeds: dict[str, dict[str, float]] = {work: {"fp32": 0, "int8": 0} for work in works}
    for turn in range(rounds):
        for work in works:
            for name, candidate in racers.items():
                taken[name][work] += candidate.ask(work)
            for kind, speed in candidates["products"].ask(work).items():
                speeds[work][kind] = max(speeds[work][kind], speed)
        told(f"round {turn + 1} of {rounds}")
    for candidate in candidates.values():
        candidate.end()
    starts: dict[str, list[float]] = {}
    for turn in range(2 * rounds):
        for name in [*racers, "albatross built-in", "import onnxruntime"]:
            starts.setdefault(name, []).append(first_answer(name, place, threads))
        told(f"starts {turn + 1} of {2 * rounds}")
    return {
        "seconds": {n: {w: median(taken[n][w], 0) for w in works} for n in racers},
        "processor_seconds": {n: {w: median(taken[n][w], 1) for w in works} for n in racers},
        "starts": {name: statistics.median(seconds) for name, seconds in starts.items()},
        "memory": {n: peak_memory(n, place, threads) for n in (*racers, "albatross built-in")},
        "agreement": agreement,
        "speeds": speeds,
    }


def print_progress(total: int) -> Any:
    begun, done = time.monotonic(), iter(range(1, total + 1))
    return lambda note: print(
        f"{note} ({next(done)}/{total}, {time.monotonic() - begun:.0f} s)", file=sys.stderr
    )


def median(taken: list[Any], column: int) -> float:
    return statistics.median(row[column] for row in taken)


def compare(place: Path, racers: dict[str, Candidate]) -> dict[str, dict[str, float]]:
    """Return how far everyone's logits are from transformers', which computes them here."""
    import torch
    from transformers import AlbertForSequenceClassification

    model = AlbertForSequenceClassification.from_pretrained(place / "torch").eval()

    def compute(*arrays: Any) -> Any:
        inputs = dict(zip(INPUTS, map(torch.from_numpy, arrays), strict=True))
        with torch.inference_mode():
            return model(**inputs).logits.numpy()

    expected = sorted_batches(compute)(json.loads((place / "mixed.json").read_text()))
    found = {}
    for name, candidate in racers.items():
        candidate.ask("mixed", save=str(place / "logits.npy"))
        logits = np.load(place / "logits.npy")
        difference = float(np.abs(logits - expected).max())
        alike = float((logits.argmax(1) == expected.argmax(1)).mean())
        found[name] = {"difference": difference, "same_answer": alike}
        if name in ("albatross fp32", *FLOAT_RIVALS) and not difference <= FLOAT_DIFFERENCE:
            raise SystemExit(f"{name} differs from transformers by {difference:g}")
    found["largest logit"] = {"difference": float(np.abs(expected).max()), "same_answer": 1.0}
    return found


def first_answer(name: str, place: Path, threads: int) -> float:
    """Return seconds from the start of a process to its first answer."""
    begun = time.perf_counter()
    if name == "import onnxruntime":
        words = [sys.executable, "-c", "import onnxruntime"]
        subprocess.run(words, check=True)
        return time.perf_counter() - begun
    process = start(name, place, threads, "first")
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - begun
    if process.wait():
        raise SystemExit(f"{name} failed with status {process.returncode} after its start")
    return seconds


def peak_memory(name: str, place: Path, threads: int) -> int:
    """Return the resident bytes, at their most, of a process that answers some of the texts."""
    said = start(name, place, threads, "memory").communicate()[0].splitlines()
    return int(said[-1])


# === What came of it ===


def floors(
    place: Path, speeds: dict[str, dict[str, float]], lengths: list[int]
) -> dict[str, dict[str, float]]:
    """Return the seconds of the model's FLOPs at the speed of the fastest matrix products."""
    config = read_config(place / "fp32")
    texts = {work: lengths if work == "mixed" else [int(work)] for work in speeds}
    flops = {
        work: sum(
            count * length * model_cost(config, sequence_length=length).flops_per_token
            for length, count in Counter(found).items()
        )
        for work, found in texts.items()
    }
    return {
        work: {kind: flops[work] / speed for kind, speed in found.items()}
        for work, found in speeds.items()
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the tables of a report."""
    seconds, tokens = report["seconds"], report["tokens"]
    works = list(report["floor"])
    heads = [f"{work} tokens, ms" for work in works[:-1]]
    heads += ["mixed, tokens/s", "to first answer, s", "memory, MB", "on disk, MB", "difference"]
    rows = []
    for name, taken in seconds.items():
        cells = [f"{1_000 * taken[work]:.1f}" for work in works[:-1]]
        cells += [f"{tokens / taken['mixed']:,.0f}", f"{report['starts'][name]:.2f}"]
        cells += [f"{report['memory'][name] / 1e6:,.0f}", f"{report['bytes'][name] / 1e6:,.1f}"]
        rows.append([name, *cells, f"{report['agreement'][name]['difference']:.1e}"])
    for kind in ("fp32", "int8"):
        floor = {work: found[kind] for work, found in report["floor"].items()}
        cells = [f"{1_000 * floor[work]:.1f}" for work in works[:-1]]
        rows.append(
            [f"floor, {kind} products", *cells, f"{tokens / floor['mixed']:,.0f}", *[""] * 4]
        )
    for name in ("albatross built-in", "import onnxruntime"):
        memory = report["memory"].get(name, 0)
        cells = [f"{report['starts'][name]:.2f}", f"{memory / 1e6:,.0f}" if memory else "", "", ""]
        rows.append([name, *[""] * len(works), *cells])
    title = (
        f"`{report['model']}` on {report['machine']}; mixed: {report['texts']} texts,"
        f" {tokens:,} tokens"
    )
    aims = [[name, f"{figure:.2f}", aim] for name, figure, aim in aims_of(report)]
    return "\n\n".join(
        [title, table(["", *heads], rows), table(["aim", "measured", "wanted"], aims)]
    )


def aims_of(report: dict[str, Any]) -> list[tuple[str, float, str]]:
    """Return what was aimed at: a name, the figure and the wish, where all that it needs ran."""
    seconds, starts = report["seconds"], report["starts"]
    float_rivals = [name for name in FLOAT_RIVALS if name in seconds]
    int8_rivals = [name for name in INT8_RIVALS if name in seconds]

    def faster(name: str, rivals: list[str], work: str) -> float:
        return min(seconds[rival][work] for rival in rivals) / seconds[name][work]

    found = []
    ours_float, ours_int8 = OURS
    if ours_float in seconds:
        share = report["floor"]["mixed"]["fp32"] / seconds[ours_float]["mixed"]
        found.append(("fp32, share of the floor's speed, mixed", share, "0.9"))
    if ours_float in seconds and float_rivals:
        name = "fp32 over the best fp32 rival, mixed"
        found.append((name, faster(ours_float, float_rivals, "mixed"), "1.5"))
    if ours_int8 in seconds and float_rivals:
        for work, wish in (("mixed", "2.3"), ("8", "2.5"), ("32", "1.8")):
            ratio = faster(ours_int8, float_rivals, work)
            found.append((f"int8 over the best fp32 rival, {work}", ratio, wish))
    if ours_int8 in seconds and int8_rivals:
        name = "int8 over the best quantised rival, mixed"
        found.append((name, faster(ours_int8, int8_rivals, "mixed"), "1.3"))
    bare = starts["import onnxruntime"]
    for name, wish in (("albatross built-in", "at most 0.25"), (ours_int8, "at most 0.4")):
        if name in starts:
            found.append((f"{name}, start over the import, s", starts[name] - bare, wish))
    if ours_int8 in seconds:
        megabytes = report["memory"][ours_int8] / 1e6
        found.append(("albatross int8, memory, MB", megabytes, "below 100"))
    return found


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
