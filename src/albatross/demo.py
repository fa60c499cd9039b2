"""The verb demo: the built-in models answer, then every verb of the path runs in small.

Nothing is downloaded: the text is the project's own corpus of a few hundred sentences and what a
grammar composes. The figures show that the path works, not how good a real model is.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from albatross.atomic import read_json, write_file, write_json
from albatross.checkpoints.locate import builtin_names
from albatross.corpus.build_shards import build_shards
from albatross.corpus.train_tokenizer import train_tokenizer
from albatross.data.shards import ShardFolder
from albatross.errors import FolderError, MissingDependencyError
from albatross.evaluation.evaluate import evaluate
from albatross.pipelines.pipeline import load
from albatross.rehearsal.grammar import compose_documents, compose_reviews
from albatross.settings.answering import DemoSettings, EvaluateSettings
from albatross.settings.corpus import BuildShardsSettings, TrainTokenizerSettings
from albatross.settings.training import FinetuneSettings, PretrainSettings

ASKED: tuple[tuple[str, str | tuple[str, str]], ...] = (
    ("sentiment", "A lovely film, and not a minute too long."),
    ("sentiment", "Two hours of my life that I want back."),
    ("sentiment", "An honest, moving performance."),
    ("spam", "You have won a week in Spain! Call 0800 123 456 to claim."),
    ("question-type", "How many legs has a spider?"),
    ("intent", "please set an alarm for seven"),
    ("intent", "my dog ate a red shoe"),
    ("entities", "Barack Obama met Angela Merkel in Berlin."),
    ("embed", ("A man plays a guitar.", "A man is playing an instrument.")),
    ("fill-mask", "He was [MASK] in London in 1850."),
)
"""What the models inside the package are asked."""
_PARTS = ("tokenizer", "shards", "pretrained", "finetuned")
_MARK = "demo.json"
"""By which a folder is known as this verb's own."""
_DOCUMENTS, _TRAIN_REVIEWS, _DEV_REVIEWS = 3_000, 4_000, 500


@dataclass(frozen=True)
class DemoRow:
    """One step of the rehearsal: what it did, what it measured, how long it took."""

    step: str
    figure: str
    seconds: float


def demo(settings: DemoSettings) -> None:
    """Run the demonstration and print a table of what was measured.

    Raises:
        FolderError: the folder holds something else.
        MissingDependencyError: torch is not installed, which the rehearsal needs.
    """
    _check_place(settings.out)
    _answer_with_builtins()
    if find_spec("torch") is None:
        raise MissingDependencyError("torch", "train")
    print("\nThe whole path in small, on composed text:", file=sys.stderr)
    rows = _rehearse(settings.out)
    print(f"\n{'step':<16} {'seconds':>7}  measured")
    for row in rows:
        print(f"{row.step:<16} {row.seconds:>7.1f}  {row.figure}")
    total = sum(row.seconds for row in rows)
    print(f"{'all':<16} {total:>7.1f}\n")
    print("Next, on text of your own:")
    print(f'  albatross predict {settings.out}/finetuned "The soup was cold but I enjoyed it."')
    print("  albatross train-tokenizer your-text/ runs/tokenizer --vocab-size 8192")


def _answer_with_builtins() -> None:
    """Let the models inside the package answer, each by its name."""
    names = set(builtin_names())
    print("The built-in models:")
    for name, text in (each for each in ASKED if each[0] in names):
        answer = load(name)(text)
        asked = text if isinstance(text, str) else " | ".join(text)
        print(f"  {name:<14} {asked:<67}  {' '.join(answer.line().split())}")
    print("None is always right: builtin/NAME/README.md in the package says how often.")


def _check_place(out: Path) -> None:
    """Refuse a place whose files are not a demonstration's.

    Raises:
        FolderError: it is one.
    """
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if (names and _MARK not in names) or (out.exists() and not out.is_dir()):
        raise FolderError(
            "A demonstration needs a folder that is new, empty, or of an earlier one. Received:"
            f" {str(out)!r}{f', which holds {names[0]!r}' if names else ', a file'}. Name another"
            " with --out."
        )


def _rehearse(out: Path) -> list[DemoRow]:
    """Run every verb of the path on composed text."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / _MARK, {"verb": "demo"})
    for part in _PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
    corpus, train, dev = out / "corpus.txt", out / "train.tsv", out / "dev.tsv"
    rows = [
        _timed("compose text", lambda: _compose(corpus, train, dev)),
        _timed("train-tokenizer", lambda: _train_tokenizer(corpus, out)),
        _timed("build-shards", lambda: _build_shards(corpus, out)),
        _timed("pretrain", lambda: _pretrain(out)),
        _timed("finetune", lambda: _finetune(train, out)),
        _timed("evaluate", lambda: _evaluate(dev, out)),
        _timed("predict", lambda: _predict(out)),
    ]
    return rows


def _compose(corpus: Path, train: Path, dev: Path) -> str:
    """Write a corpus and labelled reviews; different seeds give disjoint reviews."""
    written = (files("albatross.rehearsal") / "corpus.txt").read_text(encoding="utf-8")
    documents = ["\n".join(document) for document in compose_documents(_DOCUMENTS, seed=0)]
    train_reviews = compose_reviews(_TRAIN_REVIEWS, seed=0)
    documents += [text for text, _ in train_reviews]
    write_file(corpus, ("\n\n".join([written.strip(), *documents]) + "\n").encode())
    for path, reviews in ((train, train_reviews), (dev, compose_reviews(_DEV_REVIEWS, seed=1))):
        lines = [f"{text}\t{label}" for text, label in reviews]
        write_file(path, ("\n".join(["sentence\tlabel", *lines]) + "\n").encode())
    return f"{len(documents):,} documents, {_TRAIN_REVIEWS + _DEV_REVIEWS:,} reviews"


def _train_tokenizer(corpus: Path, out: Path) -> str:
    """Train a small vocabulary."""
    paths = (corpus, out / "tokenizer")
    train_tokenizer(TrainTokenizerSettings(paths=paths, vocab_size=800))
    return "800 pieces"


def _build_shards(corpus: Path, out: Path) -> str:
    """Tokenise the corpus."""
    paths = (corpus, out / "shards")
    build_shards(BuildShardsSettings(paths=paths, tokenizer=out / "tokenizer", held_out=0.05))
    return f"{ShardFolder(out / 'shards').num_tokens:,} tokens"


def _pretrain(out: Path) -> str:
    """Pre-train the smallest variant for a few hundred steps."""
    from albatross.training.pretrain import pretrain
    from albatross.training.run_log import LOG, read_log

    folder = out / "pretrained"
    settings = PretrainSettings(
        out / "shards",
        folder,
        variant="albatross-tiny",
        steps=1_000,
        batch_tokens=1_024,
        max_length=64,
    )
    pretrain(settings)
    log = [line for line in read_log(folder / LOG) if "loss" in line]
    metrics = read_json(folder / "run.json")["metrics"]
    return (
        f"masked-word loss {log[0]['masked_lm_loss']:.2f} -> {metrics['masked_lm_loss']:.2f},"
        f" sentence order {100 * metrics['sentence_order_accuracy']:.0f} % right (held out)"
    )


def _finetune(train: Path, out: Path) -> str:
    """Fine-tune on the composed reviews."""
    from albatross.training.finetune import finetune
    from albatross.training.run_log import LOG, read_log

    folder = out / "finetuned"
    settings = FinetuneSettings(
        out / "pretrained", folder, train=train, name="reviews", epochs=8, learning_rate=5e-4
    )
    finetune(settings)
    log = [line for line in read_log(folder / LOG) if "loss" in line]
    return f"loss {log[0]['loss']:.2f} -> {log[-1]['loss']:.2f}"


def _evaluate(dev: Path, out: Path) -> str:
    """Score the reviews that were not trained on."""
    report = evaluate(EvaluateSettings(out / "finetuned", dev))
    accuracy, interval = report.metrics["accuracy"], report.intervals["accuracy"]
    return f"accuracy {accuracy:.3f} ({interval.low:.3f} to {interval.high:.3f}, chance 0.500)"


def _predict(out: Path) -> str:
    """Answer one review."""
    text, label = compose_reviews(1, seed=2)[0]
    answer = load(out / "finetuned")(text)
    return f"{answer.label} {answer.score:.2f} (truth: {label}) for {json.dumps(text)}"


def _timed(step: str, work: Callable[[], str]) -> DemoRow:
    """Run one step and time it."""
    started = time.monotonic()
    figure = work()
    return DemoRow(step, figure, time.monotonic() - started)
