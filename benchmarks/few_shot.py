"""Few texts of each class: the ways of `albatross few-shot` beside TF-IDF with logistic regression.

Needs data: a folder with few-shot/{cr,mpqa,trec}, trec, ag-news and glue/SST-2, as published.

    python benchmarks/few_shot.py data --model runs/pretrained --out runs/few-shot

A cell of the table is mean and standard deviation of the accuracy over seeds, each with training
texts of its own: the published splits at 16 a class, the first half of these at 8, and draws at 64.
Texts without labels are other training texts (CR and MPQA: those of the other splits, some 200).
Nothing is chosen by the test texts, of which all seeds see the same `--test`. Finished cells are
kept as JSON lines, so that a stopped run goes on; `--minutes` of processor time end it early.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tables.baselines import word_counts

from albatross.data.records import TextRecord, read_text_records
from albatross.rng import stream
from albatross.settings.few_shot import FewShotSettings
from albatross.training.few_shot import few_shot

SPLITS = (13, 21, 42, 87, 100)
SENTIMENT = ("negative=terrible,bad", "positive=great,good")
TREC = ("description", "entity", "abbreviation", "human", "location", "number")
COARSE = dict(zip(("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"), TREC, strict=True))
NEWS = ("world", "sports", "business", "science")
WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cr": ("sentiment", SENTIMENT),
    "mpqa": ("sentiment", SENTIMENT),
    "sst2": ("sentiment", SENTIMENT),
    "ag-news": ("topic", tuple(f"{name}={name}" for name in NEWS)),
    "trec": (
        "question",
        (
            *("description=reason,description", "entity=thing,animal"),
            *("abbreviation=short,letters", "human=person,who"),
            *("location=place,city", "number=number,date"),
        ),
    ),
}
COLUMNS = (("cr", 16), ("mpqa", 16), ("trec", 16), ("cr", 8), ("mpqa", 8), ("trec", 8))
COLUMNS += (("sst2", 64), ("ag-news", 64), ("trec", 64))
METHODS: dict[str, dict[str, Any]] = {
    "TF-IDF + logistic regression": {},
    "plain": {"method": "plain"},
    "plain, 4 copies": {"method": "plain", "augment": 4},
    "plain, self-training": {"method": "plain", "unlabeled": True},
    "contrastive": {"method": "contrastive"},
    "cloze": {"method": "cloze", "unlabeled": True},
}


@dataclass(frozen=True)
class Split:
    """Texts of one seed."""

    train: list[TextRecord]
    unlabeled: list[TextRecord]
    test: list[TextRecord]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, default=Path("runs/pretrained"))
    parser.add_argument("--out", type=Path, default=Path("runs/few-shot"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--unlabeled", type=int, default=2_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=1e9)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    for cell in missing_cells(results, arguments.seeds, arguments.unlabeled, arguments.test):
        if time.process_time() > 60 * arguments.minutes:
            break
        name, shots, seed = cell["set"], cell["shots"], cell["seed"]
        split = limited(read_split(arguments.data, name, shots, seed), cell)
        started = time.process_time()
        cell |= {"accuracy": accuracy(arguments.model, cell["method"], name, split, seed)}
        cell |= {"texts": len(split.unlabeled), "seconds": time.process_time() - started}
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(cell) + "\n")
        print(cell, flush=True)
    table = table_of(finished_cells(results), arguments.unlabeled, arguments.test)
    (arguments.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


def missing_cells(results: Path, seeds: int, unlabeled: int, test: int) -> Iterator[dict[str, Any]]:
    """Yield what is not measured yet, one seed of everything before the next."""
    keys = ("seed", "set", "shots", "method", "unlabeled", "test")
    done = {tuple(cell[key] for key in keys) for cell in finished_cells(results)}
    for seed in range(seeds):
        for name, shots in COLUMNS:
            for method in METHODS:
                values = (seed, name, shots, method, unlabeled, test)
                if values not in done:
                    yield dict(zip(keys, values, strict=True))


def finished_cells(results: Path) -> list[dict[str, Any]]:
    if not results.is_file():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def accuracy(model: Path, method: str, name: str, split: Split, seed: int) -> float:
    if not METHODS[method]:
        return baseline(split.train, split.test)
    options = dict(METHODS[method])
    if options["method"] == "cloze":
        pattern, words = WORDS[name]
        options |= {"pattern": (pattern,), "verbalizer": words}
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        files = {
            part: write_records(getattr(split, part), place / f"{part}.jsonl")
            for part in ("train", "unlabeled", "test")
        }
        if options.pop("unlabeled", False):
            options["unlabeled"] = files["unlabeled"]
        out = few_shot(
            FewShotSettings(
                model,
                place / "out",
                train=files["train"],
                dev=files["test"],
                seed=seed,
                max_length=64,
                threads=1,
                **options,
            )
        )
        run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return float(run["metrics"]["accuracy"])


def baseline(train: list[TextRecord], test: list[TextRecord]) -> float:
    counts = word_counts().fit([r.text for r in train], [r.label for r in train])
    return float(counts.score([r.text for r in test], [r.label for r in test]))


# === Texts ===


def read_split(data: Path, name: str, shots: int, seed: int) -> Split:
    """Return a training set, other training texts, and the test texts, in an order of the seed."""
    if shots == 64:
        train, test = READERS[name](data)
        train = shuffled(train, seed)
        chosen = first_of_each(train, shots)
        return Split(chosen, without_labels(train, chosen, test), test)
    folder = data / "few-shot" / name
    own = folder / f"16-{SPLITS[seed]}"
    train, test = labelled_rows(own / "train.csv", name), labelled_rows(folder / "test.csv", name)
    if name == "trec":
        others = read_trec(data)[0]
    else:
        parts = [folder / f"16-{split}" / f"{p}.csv" for split in SPLITS for p in ("train", "dev")]
        others = [record for part in parts for record in labelled_rows(part, name)]
    others = without_labels(shuffled(others, seed), train, test)
    return Split(first_of_each(train, shots), others, test)


def limited(split: Split, cell: dict[str, Any]) -> Split:
    test = shuffled(split.test, 0)[: cell["test"]]
    return Split(split.train, split.unlabeled[: cell["unlabeled"]], test)


def labelled_rows(path: Path, name: str) -> list[TextRecord]:
    names = TREC if name == "trec" else ("negative", "positive")
    records = read_text_records(path, {"label": "1", "text": "2"})
    return [replace(r, label=names[int(r.label or 0)]) for r in records if r.text.strip()]


def read_trec(data: Path) -> tuple[list[TextRecord], list[TextRecord]]:
    lines = [
        opener(data / "trec" / file, "rt", encoding="utf-8").read().splitlines()
        for opener, file in ((gzip.open, "train_5500.label.gz"), (open, "TREC_10.label"))
    ]
    train, test = (
        [TextRecord(line.split(" ", 1)[1], label=COARSE[line.split(":")[0]]) for line in part]
        for part in lines
    )
    return train, test


def read_news(data: Path) -> tuple[list[TextRecord], list[TextRecord]]:
    parts = []
    for file in ("train-5000.csv.gz", "test.csv.gz"):
        with gzip.open(data / "ag-news" / file, "rt", encoding="utf-8") as stream_:
            rows = list(csv.reader(stream_))
        texts = [(int(label), f"{title} {body}".strip()) for label, title, body in rows]
        parts.append([TextRecord(text, label=NEWS[label - 1]) for label, text in texts])
    return parts[0], parts[1]


def read_sst2(data: Path) -> tuple[list[TextRecord], list[TextRecord]]:
    names = {"0": "negative", "1": "positive"}
    train, test = (
        [replace(r, label=names[r.label or ""]) for r in read_text_records(data / "glue/SST-2" / f)]
        for f in ("train.tsv.gz", "dev.tsv")
    )
    return train, test


READERS: dict[str, Callable[[Path], tuple[list[TextRecord], list[TextRecord]]]] = {
    "sst2": read_sst2,
    "ag-news": read_news,
    "trec": read_trec,
}


def shuffled(records: list[TextRecord], seed: int) -> list[TextRecord]:
    return [records[i] for i in stream(seed, "few-shot benchmark").permutation(len(records))]


def first_of_each(records: list[TextRecord], count: int) -> list[TextRecord]:
    found: dict[str | None, list[TextRecord]] = {}
    for record in records:
        found.setdefault(record.label, []).append(record)
    return [record for chosen in found.values() for record in chosen[:count]]


def without_labels(
    records: list[TextRecord], train: list[TextRecord], test: list[TextRecord]
) -> list[TextRecord]:
    known = {record.text for record in (*train, *test)}
    texts = dict.fromkeys(record.text for record in records if record.text not in known)
    return [TextRecord(text) for text in texts]


def write_records(records: list[TextRecord], path: Path) -> Path:
    rows = [{"text": r.text, **({"label": r.label} if r.label else {})} for r in records]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# === The table ===


def table_of(cells: list[dict[str, Any]], unlabeled: int, test: int) -> str:
    """Return a Markdown table: methods by set and shots."""
    heads = [f"{name}, {shots}" for name, shots in COLUMNS]
    lines = [f"| method | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for method in METHODS:
        row = [method]
        for name, shots in COLUMNS:
            wanted = (name, shots, method, unlabeled, test)
            keys = ("set", "shots", "method", "unlabeled", "test")
            found = [c["accuracy"] for c in cells if tuple(c[key] for key in keys) == wanted]
            deviation = f" ± {100 * statistics.stdev(found):.1f}" if len(found) > 1 else ""
            mean = f"{100 * statistics.mean(found):.1f}{deviation} ({len(found)})" if found else "-"
            row.append(mean)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
