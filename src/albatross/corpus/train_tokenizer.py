"""The verb train-tokenizer: a corpus to a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from albatross.atomic import writing
from albatross.corpus.place import check_place
from albatross.data.documents import CorpusFile, corpus_files, read_documents, total_bytes
from albatross.progress import Progress
from albatross.settings.corpus import TrainTokenizerSettings
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.presets import PRESETS
from albatross.tokenizer.training import train_unigram

_CASED = Normalizer(do_lower_case=False, keep_accents=True)


def train_tokenizer(settings: TrainTokenizerSettings) -> Path:
    """Train a vocabulary on a corpus and write a tokenizer folder.

    Raises:
        DataError: the corpus cannot be read.
        TokenizerError: it is too small for the vocabulary.
        FolderError: the output's place is taken.
    """
    check_place(settings.out, "spiece.model", "tokenizer")
    files = corpus_files(settings.corpus)
    preset = PRESETS[settings.preset]
    normalizer = _CASED if settings.cased else preset.normalizer
    own_symbols = map(normalizer.normalize, settings.symbols)  # as the text will be
    symbols = tuple(dict.fromkeys([*preset.user_defined_symbols, *own_symbols]))
    with writing(settings.out) as folder:
        with ExitStack() as after_reading:
            tokenizer = train_unigram(
                _sentences(files, settings.text_column, after_reading),
                settings.vocab_size or preset.vocab_size,
                normalizer=normalizer,
                character_rule=preset.character_rule,
                character_coverage=settings.character_coverage or preset.character_coverage,
                max_sentences=settings.max_sentences,
                seed=settings.seed,
                user_defined_symbols=symbols,
            )
        tokenizer.save(folder)
    return settings.out


def _sentences(
    files: Sequence[CorpusFile], text_column: str, after_reading: ExitStack
) -> Iterator[str]:
    """Yield every sentence of a corpus; at its end, show that the vocabulary is being trained."""
    with Progress("reading text", total_bytes(files)) as progress:
        for document in read_documents(files, text_column=text_column, on_bytes=progress.advance):
            yield from document
    # The trainer takes minutes after the last sentence and cannot say how far it is.
    after_reading.enter_context(Progress("training vocabulary", None))
