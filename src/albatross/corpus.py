"""The two verbs that make a corpus ready: train-tokenizer and build-shards."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from albatross.atomic import writing
from albatross.data.documents import corpus_files, read_documents, total_bytes
from albatross.data.shards import INDEX, write_shards
from albatross.errors import FolderError
from albatross.progress import Progress
from albatross.settings.corpus import BuildShardsSettings, TrainTokenizerSettings
from albatross.tokenizer.folder import open_tokenizer
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.training import train_unigram


def train_tokenizer(settings: TrainTokenizerSettings) -> Path:
    """Train a vocabulary on a corpus and write a tokenizer folder.

    Raises:
        DataError: the corpus cannot be read.
        TokenizerError: it is too small for the vocabulary.
        FolderError: the output's place is taken.
    """
    _check_place(settings.out, "spiece.model", "tokenizer")
    files = corpus_files(settings.corpus)
    with writing(settings.out) as folder:
        with ExitStack() as after_reading:
            tokenizer = train_unigram(
                _sentences(files, after_reading),
                settings.vocab_size,
                normalizer=Normalizer(
                    do_lower_case=not settings.cased, keep_accents=settings.cased
                ),
                character_coverage=settings.character_coverage,
                max_sentences=settings.max_sentences,
                seed=settings.seed,
            )
        tokenizer.save(folder)
    return settings.out


def build_shards(settings: BuildShardsSettings) -> Path:
    """Tokenise a corpus and write a shard folder.

    Raises:
        DataError: the corpus cannot be read, or holds no text.
        FolderError: no tokenizer folder, or the output's place is taken.
    """
    _check_place(settings.out, INDEX, "shard")
    files = corpus_files(settings.corpus)
    tokenizer = open_tokenizer(settings.tokenizer)
    threads = settings.threads or os.cpu_count() or 1

    def encode(sentences: Sequence[str]) -> Sequence[Sequence[int]]:
        return tokenizer.encode_batch(sentences, num_threads=threads)

    with (
        writing(settings.out) as folder,
        Progress("building shards", total_bytes(files)) as progress,
    ):
        write_shards(
            folder,
            read_documents(files, breaks=settings.sentence_breaks, on_bytes=progress.advance),
            encode,
            tokenizer.vocab_size,
            tokens_per_shard=settings.tokens_per_shard,
            held_out_fraction=settings.held_out,
        )
        tokenizer.save(folder)
    return settings.out


def _check_place(out: Path, mark: str, kind: str) -> None:
    """Refuse to write over a folder of ours that is of another kind, such as a trained model."""
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = names & {"run.json", INDEX, "spiece.model"} - {mark}
    if kind == "shard":
        others -= {"spiece.model"}  # a shard folder holds its tokenizer too
    if names and (mark not in names or others):
        raise FolderError(
            f"A {kind} folder must not take the place of another folder. Received: {str(out)!r},"
            f" which holds {sorted(others or names)[0]!r}. Name another folder."
        )


def _sentences(files: Sequence[Path], after_reading: ExitStack) -> Iterator[str]:
    """Yield every sentence of a corpus; at its end, show that the vocabulary is being trained."""
    with Progress("reading text", total_bytes(files)) as progress:
        for document in read_documents(files, on_bytes=progress.advance):
            yield from document
    # The trainer takes minutes after the last sentence and cannot say how far it is.
    after_reading.enter_context(Progress("training vocabulary", None))
