"""What rows are measured on: files that benchmarks publish otherwise, as tables; shards of text."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import numpy as np

from albatross.atomic import write_file
from albatross.data.conll import read_conll
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import IGNORED_LABEL, IntArray
from albatross.data.sampling import one_pass
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import Shard, ShardFolder
from albatross.data.text_files import read_lines
from albatross.rng import stream
from tables.table import Place

FOLDS = 5
"""How many models each leave a part out, where a set has no part to be scored on."""
# Words by which most spam of the SMS set is told: numbers and addresses.
_TELLING = re.compile(r"\d|www|http")
Given = ParamSpec("Given")
Returned = TypeVar("Returned")
_WRITING = RLock()


def one_at_a_time(write: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Let rows that are measured at the same time wait for what one of them writes for all."""

    @wraps(write)
    def waiting(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        with _WRITING:
            return write(*args, **kwargs)

    return waiting


@one_at_a_time
def write_tables(place: Place) -> None:
    """Write the classification sets that are published as something else."""
    data, work = place.data, place.work
    if (work / "snips" / "valid.tsv").is_file():
        return
    for folder in ("trec", "clinc150", "snips"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for name, file in (("train", "train_5500.label.gz"), ("test", "TREC_10.label")):
        rows = (line.split(" ", 1) for line in _lines(data / "trec" / file))
        write_table(
            work / "trec" / f"{name}.tsv", ((text, label.split(":")[0]) for label, text in rows)
        )
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        clinc = json.load(file)
    for name in ("train", "test"):
        rows = ({"text": text, "label": label} for text, label in clinc[name])
        write_json_lines(work / "clinc150" / f"{name}.jsonl", rows)
    for name in ("train", "valid"):
        folder = data / "snips" / name
        texts, labels = (_lines(next(folder.glob(f"{part}*"))) for part in ("seq.in", "label"))
        write_table(work / "snips" / f"{name}.tsv", zip(texts, labels, strict=True))


@one_at_a_time
def write_sentences(place: Place) -> None:
    """Part SST-2's training rows by whole sentences: 2,000 to be scored on, without their phrases.

    The published development part that can be had is 436 rows, on which one standard error is 1.8
    points: too much to choose a recipe by.
    """
    work = place.work / "sst2"
    if (work / "dev.tsv").is_file():
        return
    work.mkdir(parents=True, exist_ok=True)
    rows = sst2_rows(place.data)
    longest_first = sorted(dict.fromkeys(text for text, _ in rows), key=lambda t: -len(t.split()))
    phrases: set[str] = set()
    whole = []
    for text in longest_first:
        if text not in phrases and len(text.split()) > 5:
            whole.append(text)
            phrases.update(phrases_of(text))
    chosen = [whole[i] for i in stream(0, "sentences").permutation(len(whole))[:2_000]]
    gone, labels = {phrase for text in chosen for phrase in phrases_of(text)}, dict(rows)
    columns = ("sentence", "label")
    write_table(work / "train.tsv", [row for row in rows if row[0] not in gone], columns)
    write_table(work / "dev.tsv", [(text, labels[text]) for text in chosen], columns)


def sst2_rows(data: Path) -> list[tuple[str, str]]:
    """Return the texts of SST-2's training part with their labels."""
    lines = [*_lines(data / "glue" / "SST-2" / "train.tsv.gz")][1:]
    return [(line[:-1].strip(), line[-1]) for line in lines]


def phrases_of(text: str) -> Iterator[str]:
    """Return all runs of words of a text."""
    words = text.split()
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            yield " ".join(words[start:end])


@one_at_a_time
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


@one_at_a_time
def write_shards(place: Place, pieces: int = 8_192) -> Path:
    """Make the vocabulary and the shards of the pre-training text, and return the shards."""
    ending = "" if pieces == 8_192 else f"-{pieces}"
    tokenizer, shards = place.work / f"tokenizer{ending}", place.work / f"shards{ending}"
    text = place.data / "pretraining"
    files = [*sorted(text.glob("enwiki-*.txt.xz")), *sorted(text.glob("novels-*.txt.xz"))]
    if not (tokenizer / "spiece.model").is_file():
        sizes = ["--vocab-size", pieces, "--max-sentences", 200_000]
        place.albatross("train-tokenizer", *files, tokenizer, *sizes)
    if not (shards / "shards.json").is_file():
        options = ["--tokenizer", tokenizer, "--held-out", 0.005]
        place.albatross("build-shards", *files, shards, *options)
    return shards


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that `write_table` wrote, by the names of their columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)]


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    lines = "\n".join(json.dumps(row) for row in rows) + "\n"
    write_file(path, lines.encode())


def _lines(path: Path) -> Iterator[str]:
    return (line.strip() for line in read_lines(path) if line.strip())


def write_table(
    path: Path, rows: Iterable[Sequence[str]], columns: tuple[str, ...] = ("text", "label")
) -> None:
    """Write rows as a table with tabs between its cells, which nothing quotes."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerows([columns, *rows])
    write_file(path, text.getvalue().encode())


# === The built-ins' records ===


@one_at_a_time
def write_builtin_records(place: Place) -> None:
    """Write what the built-in models learn and are scored on, where no file has it as it is."""
    data, work = place.data, place.work / "records"
    if (work / "orders.tsv").is_file():
        return
    work.mkdir(parents=True, exist_ok=True)
    _write_intents(data / "clinc150" / "data_full.json.gz", work)
    _write_entities(data, work)
    _write_inferences(data / "glue" / "SNLI" / "train.tsv.gz", work)
    _write_similarities(data / "glue" / "STS-B" / "dev.tsv.gz", work)
    shards = ShardFolder(write_shards(place))
    _write_gaps(shards, work)
    _write_orders(shards, work)


@one_at_a_time
def write_spam(place: Place) -> None:
    """Part the messages into folds; of what each fold leaves to be learned a tenth is to tune by.

    A message is there as it is and without the words that most spam of this set is told by. Those
    that differ only in such words, in capitals or in marks stay together.
    """
    work = place.work / "records"
    if (work / "spam-all-tune.tsv").is_file():
        return
    work.mkdir(parents=True, exist_ok=True)
    path = place.data / "sms-spam" / "SMSSpamCollection.tsv.gz"
    rows = [(text, label) for label, text in (line.split("\t", 1) for line in _lines(path))]
    number = {}
    for label in ("ham", "spam"):
        alike = sorted({_letters(text) for text, each in rows if each == label})
        order = stream(0, "spam", label).permutation(len(alike))
        number |= {(alike[at], label): int(i) for i, at in enumerate(order)}
    placed = [(number[_letters(text), label], (text, label)) for text, label in rows]
    for part in (*map(str, range(FOLDS)), "all"):
        test = [row for i, row in placed if str(i % FOLDS) == part]
        rest = [(i // FOLDS % 10 == 0, row) for i, row in placed if str(i % FOLDS) != part]
        kept = [row for tunes, row in rest if not tunes], [row for tunes, row in rest if tunes]
        train, tune = ([*part, *map(_bare, part)] for part in kept)
        write_table(work / f"spam-{part}-plain.tsv", [*kept[0], *kept[1]])
        write_table(work / f"spam-{part}-labelled.tsv", [*train, *tune])
        if test:
            write_table(work / f"spam-{part}-test.tsv", test)
            write_table(work / f"spam-{part}-bare.tsv", map(_bare, test))
        write_table(work / f"spam-{part}-train.tsv", train)
        write_table(work / f"spam-{part}-tune.tsv", tune)


def _bare(row: tuple[str, str]) -> tuple[str, str]:
    """Return a message without words that hold a digit or an address, if any are left."""
    text, label = row
    return " ".join(word for word in text.split() if not _TELLING.search(word)) or text, label


def _letters(text: str) -> str:
    """Return the letters of a message in small, without such words; all of it if there are none."""
    return "".join(c for c in _bare((text, ""))[0].lower() if c.isalpha()) or text


def _write_intents(path: Path, work: Path) -> None:
    """Write intents with the texts of none; the validation part is learned from, too."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = json.load(file)
    parts = {"train": ("train", "val", "oos_train", "oos_val"), "test": ("test", "oos_test")}
    for name, keys in parts.items():
        rows = [(text, label) for key in keys for text, label in found[key]]
        write_table(work / f"intent-{name}.tsv", rows)


def _write_entities(data: Path, work: Path) -> None:
    """Write the names of two sets under the types they have in common.

    Of WikiGold every fifth document is scored on, of WNUT-17 the dev part.
    """
    train = [*read_conll(data / "wnut17" / "wnut17train.conll.gz")]
    parts = {"train": train, "wnut": [*read_conll(data / "wnut17" / "emerging.dev.conll")]}
    parts["wikigold"] = []
    wikigold = data / "wikigold" / "wikigold.conll.txt.gz"
    starts = [i for i, line in enumerate(read_lines(wikigold)) if line.startswith("-DOCSTART-")]
    for record in read_conll(wikigold):
        line = int(record.place.split()[1]) if record.place else 0
        document = sum(start < line for start in starts)
        parts["wikigold" if document % 5 == 0 else "train"].append(record)
    for name, records in parts.items():
        blocks = (
            "\n".join(f"{w} {_common_type(t)}" for w, t in zip(r.words, r.tags or (), strict=True))
            for r in records
        )
        path = work / f"entities-{name}.conll"
        path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


_TYPES = {
    **dict.fromkeys(("person", "PER"), "person"),
    **dict.fromkeys(("location", "LOC"), "location"),
    **dict.fromkeys(("corporation", "group", "ORG"), "organization"),
    **dict.fromkeys(("product", "creative-work", "MISC"), "other"),
}


def _common_type(tag: str) -> str:
    """Return a tag with the type that both sets have."""
    prefix, _, kind = tag.partition("-")
    return f"{prefix}-{_TYPES[kind]}" if kind else tag


def _write_inferences(path: Path, work: Path) -> None:
    """Write pairs of which the second follows from the first, without labels."""
    lines = [line.split("\t") for line in _lines(path)][1:]
    pairs = [{"text": row[0], "text_pair": row[1]} for row in lines if row[2] == "entailment"]
    write_json_lines(work / "entailed.jsonl", pairs)


def _write_similarities(path: Path, work: Path) -> None:
    """Write pairs with how alike people found them."""
    lines = [line.split("\t") for line in _lines(path)][1:]
    rows = [(row[7], row[8], row[9]) for row in lines]
    write_table(work / "similarity.tsv", rows, ("text", "text_pair", "label"))


def _write_gaps(shards: ShardFolder, work: Path) -> None:
    """Write held-out sentences with a gap in the place of one word of one piece."""
    tokenizer, draw, rows = shards.tokenizer(), stream(0, "gaps"), []
    starts = tokenizer.starts_word
    for sentence in (each for document in documents_of(shards.held_out) for each in document):
        ids = sentence.tolist()
        whole = [
            i
            for i, number in enumerate(ids)
            if starts[number]
            and (i + 1 == len(ids) or starts[ids[i + 1]])
            and tokenizer.decode([number]).isalpha()
        ]
        if 10 <= len(ids) <= 60 and whole:
            at = int(draw.choice(whole))
            left, right = tokenizer.decode(ids[:at]), tokenizer.decode(ids[at + 1 :])
            text = " ".join(part for part in (left, "[MASK]", right) if part)
            rows.append((text, tokenizer.decode([ids[at]])))
    write_table(work / "gaps.tsv", [rows[i] for i in draw.permutation(len(rows))[:4_000]])


def _write_orders(shards: ShardFolder, work: Path) -> None:
    """Write pairs of held-out stretches, half of them exchanged."""
    names = ("in order", "out of order")
    rows = [(*pair, names[turned]) for *pair, turned in ordered_pairs(shards, shards.held_out)]
    write_table(work / "orders.tsv", rows, ("text", "text_pair", "label"))


def ordered_pairs(folder: ShardFolder, shards: Sequence[Shard]) -> Iterator[tuple[str, str, bool]]:
    """Yield two stretches of a document as pre-training draws them, and if they are exchanged."""
    tokenizer = folder.tokenizer()
    table = PieceTable.from_tokenizer(tokenizer)
    rule = SampleRule(max_length=128, masking=MaskingRule())
    source = SampleSource(shards, table, rule, tokenizer.cls_id, tokenizer.sep_id)
    for batch in one_pass(source, 4_096):
        hidden = batch.labels["labels"]
        ids = np.where(hidden == IGNORED_LABEL, batch.input_ids, hidden)
        turned = batch.labels["sentence_order_label"].tolist()
        for (start, end), label in zip(pairwise(batch.cu_seqlens.tolist()), turned, strict=True):
            parts = np.split(ids[start:end], np.flatnonzero(ids[start:end] == tokenizer.sep_id) + 1)
            if label != IGNORED_LABEL:
                first, second = (tokenizer.decode(part.tolist()) for part in parts[:2])
                yield first, second, bool(label)


def documents_of(shards: Iterable[Shard]) -> Iterator[list[IntArray]]:
    """Yield the sentences of every document, as pieces."""
    for shard in shards:
        sentences = shard.sentences.tolist()
        for first, last in pairwise(shard.documents.tolist()):
            bounds = pairwise(sentences[first : last + 1])
            yield [shard.tokens[start:end].astype(np.int64) for start, end in bounds]
