"""Settings of the verbs that read a corpus."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.errors import ConfigError
from albatross.settings.settings import Settings

_CORPUS_OUT = tyro.conf.arg(metavar="CORPUS... OUT", help_behavior_hint="(required)")
_BY_PRESET = tyro.conf.arg(help_behavior_hint="(default: the preset's)")
_SYMBOLS = tyro.conf.arg(metavar="SYMBOL...", help_behavior_hint="(default: none)")

# They are in every vocabulary, and no text makes them.
_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """What the verbs that read a corpus share."""

    paths: Annotated[Positional[tuple[str | Path, ...]], _CORPUS_OUT]
    """Text: .txt (a sentence a line, a blank line between documents), .jsonl or .parquet, the first
    two also with .gz, .bz2, .xz or .zst; or folders and patterns of them; here or at an address
    such as s3://bucket/folder. The last path is the folder to write."""
    text_column: str = field(default="text", kw_only=True)
    """The key of .jsonl and column of .parquet that holds the text."""

    def __post_init__(self) -> None:
        """Ask for a corpus and a place to write."""
        super().__post_init__()
        if len(self.paths) < 2:
            raise ConfigError(
                "A corpus and a folder to write must be given: CORPUS... OUT."
                f" Received: {' '.join(map(str, self.paths)) or 'nothing'}."
            )
        if "://" in str(self.paths[-1]):
            raise ConfigError(
                f"The folder to write must be on this machine. Received: {str(self.paths[-1])!r}."
                " Write it here and copy it there."
            )

    @property
    def corpus(self) -> tuple[str, ...]:
        """The files, folders, patterns and addresses to read."""
        return tuple(os.fspath(path) for path in self.paths[:-1])

    @property
    def out(self) -> Path:
        """The folder to write."""
        return Path(self.paths[-1])


@dataclass(frozen=True)
class TrainTokenizerSettings(CorpusSettings):
    """Train a vocabulary: a unigram model by the published recipe, or by one for another language.

    Example:
      albatross train-tokenizer corpus/ runs/tokenizer --vocab-size 8192
    """

    preset: Literal[
        "english-uncased",
        "english-cased",
        "own-language",
        "own-language-uncased",
        "chinese",
        "japanese",
    ] = "english-uncased"
    """The published recipe, or what suits another language; the options below win over it."""
    vocab_size: Annotated[int | None, _BY_PRESET] = None
    """Number of pieces, specials included: 30,000 for English."""
    cased: bool = False
    """Keep upper case and accents, whatever the preset does; the published English models do
    not."""
    character_coverage: Annotated[float | None, _BY_PRESET] = None
    """Share of the text's characters that get a piece: 0.99995 for English."""
    symbols: Annotated[tuple[str, ...], _SYMBOLS] = ()
    """More texts that are always a piece of their own, wherever they stand."""
    max_sentences: int = 1_000_000
    """Sentences to learn from, drawn from all of the corpus."""
    seed: int = 0
    """Of that draw."""

    def __post_init__(self) -> None:
        """Look at the symbols: a space would hide one, and no text may hold a special piece."""
        super().__post_init__()
        wrong = [text for text in self.symbols if text.split() != [text] or text in _SPECIALS]
        if wrong:
            raise ConfigError(
                f"`--symbols` must be words without space, none of {' '.join(_SPECIALS)}."
                f" Received: {', '.join(map(repr, wrong))}. Leave it out."
            )


@dataclass(frozen=True)
class BuildShardsSettings(CorpusSettings):
    """Tokenise a corpus once into checksummed, memory-mapped shards.

    Example:
      albatross build-shards corpus/ runs/shards --tokenizer runs/tokenizer
    """

    tokenizer: Path = Path("runs/tokenizer")
    """A tokenizer or model folder, or the name of a built-in model."""
    sentence_breaks: Literal["lines", "rules"] = "lines"
    """`lines`: every line is a sentence; `rules`: split running text."""
    held_out: float = 0.01
    """Share of documents kept for evaluation, chosen by their hash."""
    tokens_per_shard: int = 20_000_000
    """A shard ends at the first document that reaches this many."""
    repair_unicode: bool = False
    """Mend wrongly decoded text, HTML entities and control characters."""
    languages: tuple[str, ...] = ()
    """Keep documents in these languages only, such as: --languages en de"""
    min_characters: int = 0
    """Drop documents with fewer."""
    max_characters: int | None = None
    """Drop documents with more."""
    duplicates: Literal["keep", "exact", "near"] = "exact"
    """Drop documents that equal an earlier one, or also those that resemble one."""
    near_threshold: float = 0.8
    """For `near`: the share of common runs of five words from which documents resemble."""
    workers: int | None = None
    """Processes that clean and tokenise; one for each core when not given."""
    runner: Literal["local", "ray"] = "local"
    """`ray`: a job on a Ray cluster, all of whose machines see the folder of the output."""

    @property
    def following(self) -> str:
        """The next command: a run from scratch, or one that goes on with the vocabulary's model."""
        is_folder = self.tokenizer.is_dir()
        if is_folder and not (self.tokenizer / "config.json").is_file():
            return "albatross pretrain {out} runs/pretrained --budget 45m"
        source = shlex.quote(str(self.tokenizer))
        return f"albatross pretrain {{out}} runs/pretrained --from {source}"
