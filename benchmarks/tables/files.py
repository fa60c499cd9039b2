"""What rows are measured on: files that benchmarks publish otherwise, as tables; shards of text."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from albatross.data.text_files import read_lines
from tables.table import Place


def write_tables(place: Place) -> None:
    """Write the classification sets that are published as something else."""
    data, work = place.data, place.work
    for folder in ("models", "trec", "clinc150", "snips"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for name, file in (("train", "train_5500.label.gz"), ("test", "TREC_10.label")):
        rows = (line.split(" ", 1) for line in _lines(data / "trec" / file))
        _table(work / "trec" / f"{name}.tsv", ((text, label.split(":")[0]) for label, text in rows))
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as stream:
        clinc = json.load(stream)
    for name in ("train", "test"):
        rows = ({"text": text, "label": label} for text, label in clinc[name])
        write_json_lines(work / "clinc150" / f"{name}.jsonl", rows)
    for name in ("train", "valid"):
        folder = data / "snips" / name
        texts, labels = (_lines(next(folder.glob(f"{part}*"))) for part in ("seq.in", "label"))
        _table(work / "snips" / f"{name}.tsv", zip(texts, labels, strict=True))


def write_translation(place: Place) -> None:
    """Write pairs of sentences, and the encoder with a vocabulary of both languages."""
    work = place.work / "multi30k"
    if (work / "start").is_dir():
        return
    work.mkdir(parents=True, exist_ok=True)
    for name, file in (("train", "train"), ("test", "test_2016_flickr")):
        sides = (_lines(place.data / "multi30k" / f"{file}.{of}.gz") for of in ("en", "de"))
        pairs = [{"source": en, "target": de} for en, de in zip(*sides, strict=True)]
        write_json_lines(work / f"{name}.jsonl", pairs)
        if name == "train":
            both = "\n".join(text for pair in pairs for text in pair.values()) + "\n"
            (work / "both.txt").write_text(both, encoding="utf-8")
    vocabulary = [work / "both.txt", work / "tokenizer", "--preset", "own-language"]
    place.albatross("train-tokenizer", *vocabulary, "--vocab-size", 6_000)
    place.albatross(
        "swap-vocabulary", "pretrained", work / "start", "--tokenizer", work / "tokenizer"
    )


def write_shards(place: Place) -> Path:
    """Make the vocabulary and the shards of the pre-training text, and return the shards."""
    text, tokenizer, shards = place.data / "pretraining", place.work / "tokenizer", "shards"
    files = [*sorted(text.glob("enwiki-*.txt.xz")), *sorted(text.glob("novels-*.txt.xz"))]
    if not (tokenizer / "spiece.model").is_file():
        sizes = ["--vocab-size", 8_192, "--max-sentences", 200_000]
        place.albatross("train-tokenizer", *files, tokenizer, *sizes)
    if not (place.work / shards / "shards.json").is_file():
        options = ["--tokenizer", tokenizer, "--held-out", 0.005]
        place.albatross("build-shards", *files, place.work / shards, *options)
    return place.work / shards


def write_json_lines(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write one JSON object a line."""
    lines = "\n".join(json.dumps(row) for row in rows) + "\n"
    path.write_text(lines, encoding="utf-8")


def _lines(path: Path) -> Iterator[str]:
    return (line.strip() for line in read_lines(path) if line.strip())


def _table(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerows([("text", "label"), *rows])
