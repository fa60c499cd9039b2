"""Fine-tune the built-in encoder on every task there is data for, and write docs/results.md.

Needs data: the benchmarks' files below `--data`, laid out as their publishers do.

    python benchmarks/results.py --data ../shared/data

Each row is the command that it shows, run as anybody would run it, with several seeds; beside it a
baseline that knows no language: words counted (TF-IDF and logistic regression), the most frequent
tag, or what its row says. A finished row is kept in `--work`, so that a stopped run goes on;
`--only` names rows, `--render` writes the page from the rows there are. `--limit 60` tries all of
it in minutes; its page stays in `--work`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import platform
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from albatross.atomic import read_json, write_json
from albatross.checkpoints.model_folder import read_config
from albatross.data.sentences import split_sentences
from albatross.data.text_files import read_lines
from albatross.engine.open import open_tokenizer
from albatross.settings.training import FinetuneSettings
from albatross.tasks.answers import (
    Answer,
    ChoiceAnswer,
    EntitiesAnswer,
    SimilarityAnswer,
    SpanAnswer,
    SpanCandidate,
    TextAnswer,
    ValueAnswer,
)
from albatross.tasks.task import score
from albatross.training.task_data import read_task_data

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
PROMPT = "albatross finetune"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what it is called
        options: of `albatross finetune`, with {data} and {work} for the folders
        baseline: a key of BASELINES
        seeds: how many
        note: what a reader must know
        model: what is fine-tuned
    """

    name: str
    options: str
    baseline: str = "words"
    seeds: int = 3
    note: str = ""
    model: str = "pretrained"


ROWS = (
    Row("CoLA", "--task cola --data {data}/glue"),
    Row("SST-2", "--task sst2 --data {data}/glue --epochs 2"),
    Row("MRPC", "--task mrpc --data {data}/glue", seeds=5),
    Row("STS-B", "--task stsb --data {data}/glue", "overlap"),
    Row("QQP", "--task qqp --data {data}/glue", note="9,000 of 364,000 rows"),
    Row("MNLI", "--task mnli --data {data}/glue", note="9,000 of 393,000 rows"),
    Row("QNLI", "--task qnli --data {data}/glue", note="10,000 of 105,000 rows"),
    Row("RTE", "--task rte --data {data}/glue"),
    Row("SNLI", "--task snli --data {data}/glue", note="9,000 of 549,000 rows"),
    Row(
        "SQuAD 1.1",
        "--task squad1 --train {data}/squad/v1.1/train-v1.1-articles.json.gz"
        " --dev {data}/squad/v1.1/dev-v1.1-xquad-en.json.gz",
        "sentence",
        note="14 articles of 442",
    ),
    Row(
        "SQuAD 2.0",
        "--task squad2 --train {data}/squad/v2.0/train-v2.0-small.json.gz"
        " --dev {data}/squad/v2.0/dev-v2.0-small.json.gz",
        "none",
        note="10 articles of 442",
    ),
    Row(
        "RACE", "--task race --data {data}/race --epochs 1", "choice", note="900 passages of 25,000"
    ),
    Row("TREC, 6 classes", "--train {work}/trec/train.tsv --dev {work}/trec/test.tsv", seeds=5),
    Row(
        "AG News",
        "--train {data}/ag-news/train-5000.csv.gz --dev {data}/ag-news/test.csv.gz"
        " --columns label=1 text=2 text_pair=3",
        note="5,000 of 120,000 rows",
    ),
    Row(
        "IMDB",
        "--train {data}/imdb-small/train.jsonl.gz --dev {data}/imdb-small/test.jsonl.gz",
        note="1,000 of 25,000 rows",
    ),
    Row(
        "SMS spam",
        "--train {data}/sms-spam/SMSSpamCollection.tsv.gz --columns label=1 text=2"
        " --hold-out 0.2 --metric macro_f1",
        note="a fifth held out",
    ),
    Row(
        "Banking77",
        "--train {data}/banking77/train.csv.gz --dev {data}/banking77/test.csv"
        " --columns label=category",
    ),
    Row("CLINC150", "--train {work}/clinc150/train.jsonl --dev {work}/clinc150/test.jsonl"),
    Row("SNIPS, intents", "--train {work}/snips/train.tsv --dev {work}/snips/valid.tsv"),
    Row(
        "SNIPS, slots",
        "--task tagging --format slots --train {data}/snips/train --dev {data}/snips/valid",
        "tags",
    ),
    Row(
        "WNUT-17",
        "--task conll --train {data}/wnut17/wnut17train.conll.gz"
        " --dev {data}/wnut17/emerging.dev.conll",
        "tags",
    ),
    Row(
        "WikiGold",
        "--task conll --train {data}/wikigold/wikigold.conll.txt.gz",
        "tags",
        note="a tenth held out",
    ),
    Row(
        "STS-B, cosine",
        "--task similarity --format stsb --train {data}/glue/STS-B/train.tsv.gz"
        " --dev {data}/glue/STS-B/dev.tsv.gz",
        "overlap",
    ),
    Row("RTE, from MNLI", "--task rte --data {data}/glue", model="{work}/models/mnli"),
    Row("MRPC, from MNLI", "--task mrpc --data {data}/glue", model="{work}/models/mnli"),
    Row(
        "STS-B, from MNLI",
        "--task stsb --data {data}/glue",
        "overlap",
        model="{work}/models/mnli",
    ),
    Row(
        "Multi30k, English to German",
        "--task generation --train {work}/multi30k/train.jsonl --dev {work}/multi30k/test.jsonl"
        " --learning-rate 1.5e-3 --beta2 0.98 --label-smoothing 0.1 --epochs 5 --batch-size 64"
        " --max-length 64",
        "copy",
        seeds=1,
        note="test 2016, beam of 4",
        model="{work}/multi30k/start",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/results"))
    parser.add_argument("--only", nargs="+", default=[], choices=[row.name for row in ROWS])
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no row after so many")
    parser.add_argument("--limit", type=int, help="records and two seeds for each row, to try it")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    work = arguments.work if arguments.limit is None else arguments.work / str(arguments.limit)
    if not arguments.render:
        measure_rows(arguments, work)
    rows = [(row, _kept(row, work)) for row in ROWS]
    lines = [_line(row, json.loads(kept.read_text())) for row, kept in rows if kept.is_file()]
    page = PAGE if arguments.limit is None else work / PAGE.name
    page.write_text(_page(lines), encoding="utf-8")
    print(f"Wrote {page}: {len(lines)} of {len(ROWS)} rows.")


def measure_rows(arguments: argparse.Namespace, work: Path) -> None:
    """Measure the rows that are asked for and not there."""
    prepare(arguments.data, work)
    start = time.monotonic()
    for row in ROWS:
        kept = _kept(row, work)
        late = time.monotonic() - start > arguments.minutes * 60
        if kept.is_file() or late or (arguments.only and row.name not in arguments.only):
            continue
        found = measure(row, arguments.data, work, arguments.limit)
        write_json(kept, found)
        print(_line(row, found), flush=True)


def measure(row: Row, data: Path, work: Path, limit: int | None) -> dict[str, Any]:
    """Run the command of a row, and its baseline on the same records."""
    out = work / "models" / _key(row)
    model, *words = (
        word.format(data=data, work=work) for word in (row.model, *row.options.split())
    )
    words += ["--seeds", str(row.seeds)]
    if limit is not None:
        words += ["--limit", str(limit), "--epochs", "1", "--seeds", "2"]
    if not (out / "run.json").is_file():
        _albatross("finetune", model, out, *words)
    run = read_json(out / "run.json")
    metric, baseline = _baseline(row, out, run)
    alone = {
        "metric": metric,
        "mean": run["metrics"].get(metric),
        "by_seed": [run["settings"]["seed"]],
    }
    return {"seeds": run.get("seeds") or {**alone, "deviation": 0.0}, "baseline": baseline}


# === Baselines ===


def _baseline(row: Row, out: Path, run: dict[str, Any]) -> tuple[str, float]:
    """Score the row's baseline on the dev records of its run; return the task's metric, and it."""
    settings = FinetuneSettings(**{**run["settings"], "recipe": None})
    data = read_task_data(settings, open_tokenizer(out, read_config(out)))
    dev = next(iter(data.dev.values()))
    answers = BASELINES[row.baseline](data.task, data.train, dev)
    metric = data.task.main_metric
    return metric, score(data.task, answers, dev)[metric]


def _words(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with TF-IDF of words and pairs of words, and logistic regression."""
    texts = [[f"{r.text} {r.text_pair or ''}" for r in records] for records in (train, dev)]
    labels = [task.labels[task.class_of(record.label)] for record in train]
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1_000),
    )
    predicted = model.fit(texts[0], labels).predict(texts[1])
    return [Answer(str(label), 1.0, {str(label): 1.0}) for label in predicted]


def _overlap(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the cosine of TF-IDF vectors."""
    vectors = TfidfVectorizer(sublinear_tf=True)
    vectors.fit([text for record in train for text in (record.text, record.text_pair)])
    cosines = _cosines(vectors, [r.text for r in dev], [r.text_pair for r in dev])
    kind = SimilarityAnswer if task.kind == "similarity" else ValueAnswer
    return [kind(value) for value in cosines]


def _choice(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the choice that, with its question, is most like the passage (TF-IDF)."""
    vectors = TfidfVectorizer(sublinear_tf=True)
    vectors.fit({record.context for record in train})
    answers = []
    for record in dev:
        asked = [f"{record.question} {choice}" for choice in record.choices]
        cosines = _cosines(vectors, [record.context] * len(asked), asked)
        best = cosines.index(max(cosines))
        answers.append(ChoiceAnswer(best, record.choices[best], cosines[best], tuple(cosines)))
    return answers


def _sentence(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the sentence that has most words in common with the question."""
    answers = []
    for record in dev:
        asked = _bag(record.question)
        sentences = split_sentences(record.context) or [record.context]
        answers.append(_span(max(sentences, key=lambda each: len(asked & _bag(each))), 0.0))
    return answers


def _none(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer no question."""
    return [_span("", math.inf) for _ in dev]


def _copy(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the source itself."""
    return [TextAnswer(record.source, 0.0, {record.source: 0.0}) for record in dev]


def _tags(task: Any, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answer with the tag that a word had most often."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for record in train:
        for word, tag in zip(record.words, record.tags, strict=True):
            seen[word.lower()][tag] += 1
    best = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
    return [
        EntitiesAnswer((), tuple(best.get(word.lower(), "O") for word in record.words))
        for record in dev
    ]


def _cosines(vectors: Any, first: Sequence[str], second: Sequence[str]) -> list[float]:
    products = vectors.transform(first).multiply(vectors.transform(second)).sum(axis=1)
    return [float(value) for value in np.asarray(products).ravel()]


def _bag(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _span(text: str, no_answer: float) -> SpanAnswer:
    candidate = SpanCandidate(text, 0, len(text), 1.0)
    return SpanAnswer(text, 0, len(text), 1.0, no_answer, (candidate,))


BASELINES: dict[str, Callable[..., list[Any]]] = {
    "words": _words,
    "overlap": _overlap,
    "choice": _choice,
    "copy": _copy,
    "sentence": _sentence,
    "none": _none,
    "tags": _tags,
}


# === Files that are no tables ===


def prepare(data: Path, work: Path) -> None:
    """Write as tables what is published otherwise."""
    for folder in ("models", "rows", "trec", "clinc150", "snips", "multi30k"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    for name, file in (("train", "train_5500.label.gz"), ("test", "TREC_10.label")):
        rows = (line.split(" ", 1) for line in _lines(data / "trec" / file))
        _table(work / "trec" / f"{name}.tsv", ((text, label.split(":")[0]) for label, text in rows))
    with gzip.open(data / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as stream:
        clinc = json.load(stream)
    for name in ("train", "test"):
        lines = [json.dumps({"text": text, "label": label}) for text, label in clinc[name]]
        (work / "clinc150" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("train", "valid"):
        folder = data / "snips" / name
        texts, labels = (_lines(next(folder.glob(f"{part}*"))) for part in ("seq.in", "label"))
        _table(work / "snips" / f"{name}.tsv", zip(texts, labels, strict=True))

    _prepare_translation(data / "multi30k", work / "multi30k")


def _prepare_translation(source: Path, work: Path) -> None:
    """Write pairs of sentences, and the encoder with a vocabulary of both languages."""
    if (work / "start").is_dir():
        return
    for name, file in (("train", "train"), ("test", "test_2016_flickr")):
        sides = (_lines(source / f"{file}.{language}.gz") for language in ("en", "de"))
        pairs = [{"source": en, "target": de} for en, de in zip(*sides, strict=True)]
        lines = "\n".join(json.dumps(pair) for pair in pairs) + "\n"
        (work / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        if name == "train":
            both = "\n".join(text for pair in pairs for text in pair.values()) + "\n"
            (work / "both.txt").write_text(both, encoding="utf-8")
    vocabulary = [work / "both.txt", work / "tokenizer", "--preset", "own-language"]
    _albatross("train-tokenizer", *vocabulary, "--vocab-size", 6_000)
    _albatross("swap-vocabulary", "pretrained", work / "start", "--tokenizer", work / "tokenizer")


def _albatross(*words: Any) -> None:
    subprocess.run([sys.executable, "-m", "albatross", *map(str, words)], check=True)


def _lines(path: Path) -> Iterator[str]:
    return (line.strip() for line in read_lines(path) if line.strip())


def _table(path: Path, rows: Iterator[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerows([("text", "label"), *rows])


# === The page ===


def _kept(row: Row, work: Path) -> Path:
    return work / "rows" / f"{_key(row)}.json"


def _key(row: Row) -> str:
    return "".join(c if c.isalnum() else "-" for c in row.name.lower())


def _line(row: Row, found: dict[str, Any]) -> str:
    seeds, count = found["seeds"], len(found["seeds"]["by_seed"])
    shown = f"{row.model} OUT {row.options}".replace("{data}", "DATA").replace("{work}", "WORK")
    note = f" ({row.note})" if row.note else ""
    deviation = f"{seeds['deviation']:.4f}" if count > 1 else "-"
    return (
        f"| {row.name}{note} | {seeds['metric'].replace('_', ' ')} | {seeds['mean']:.4f} |"
        f" {deviation} | {count} | {found['baseline']:.4f} |"
        f" `{shown} --seeds {count}` |"
    )


def _page(lines: Sequence[str]) -> str:
    today = datetime.now(UTC).date().isoformat()
    return "\n".join(
        [
            "# Results",
            "",
            "The built-in encoder `pretrained` (1.4 M parameters, 2.7 MB, an hour of pre-training"
            " on two processor cores),",
            "fine-tuned on what could be had of each benchmark, and scored on its development part."
            " Figures are means over",
            "seeds of the last checkpoint, with their standard deviation; none was chosen on the"
            " part it is scored on.",
            "Published ALBERTs are eight times as large or more and saw a thousand times the text;"
            " see",
            "`docs/checkpoints.md` for how to fine-tune those with the same commands.",
            "",
            "The baseline knows no language. It counts words: TF-IDF with logistic regression for"
            " texts, the cosine of TF-IDF",
            "vectors for similarity and for choices beside their passage, the most frequent tag of"
            " a word for tags, the",
            "sentence with most words of the question for SQuAD 1.1, no answer for 2.0, and for a"
            " translation the source.",
            "",
            f"Each command begins with `{PROMPT}`; DATA is the folder of data, WORK that of"
            " `--work`, where the",
            "script writes as tables what is published otherwise. Two cores of"
            f" {platform.machine()}, {today}.",
            "`python benchmarks/results.py --data DATA` makes this page.",
            "",
            "| task | metric | mean | deviation | seeds | baseline | command |",
            "|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
