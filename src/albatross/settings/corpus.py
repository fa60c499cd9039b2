"""Settings of the verbs that read a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.errors import ConfigError
from albatross.settings.settings import Settings

_CORPUS_OUT = tyro.conf.arg(metavar="CORPUS... OUT", help_behavior_hint="(required)")


@dataclass(frozen=True)
class CorpusSettings(Settings):
    """What the verbs that read a corpus share."""

    paths: Annotated[Positional[tuple[Path, ...]], _CORPUS_OUT]
    """Text: .txt (a sentence a line, a blank line between documents) or .jsonl with `text`, also
    with .gz, .bz2 or .xz; or folders of them. The last path is the folder to write."""

    def __post_init__(self) -> None:
        """Ask for a corpus and a place to write."""
        super().__post_init__()
        if len(self.paths) < 2:
            raise ConfigError(
                "A corpus and a folder to write must be given: CORPUS... OUT."
                f" Received: {' '.join(map(str, self.paths)) or 'nothing'}."
            )

    @property
    def corpus(self) -> tuple[Path, ...]:
        """The files and folders to read."""
        return self.paths[:-1]

    @property
    def out(self) -> Path:
        """The folder to write."""
        return self.paths[-1]


@dataclass(frozen=True)
class TrainTokenizerSettings(CorpusSettings):
    """Train a vocabulary: a unigram model by the published recipe.

    Example:
      albatross train-tokenizer corpus/ runs/tokenizer --vocab-size 8192
    """

    vocab_size: int = 30_000
    """Number of pieces, specials included."""
    cased: bool = False
    """Keep upper case and accents; the published English models do not."""
    character_coverage: float = 0.99995
    """Share of the text's characters that get a piece."""
    max_sentences: int = 1_000_000
    """Sentences to learn from, drawn from all of the corpus."""
    seed: int = 0
    """Of that draw."""


@dataclass(frozen=True)
class BuildShardsSettings(CorpusSettings):
    """Tokenise a corpus once into checksummed, memory-mapped shards.

    Example:
      albatross build-shards corpus/ runs/shards --tokenizer runs/tokenizer
    """

    tokenizer: Path = Path("runs/tokenizer")
    """A tokenizer or model folder."""
    sentence_breaks: Literal["lines", "rules"] = "lines"
    """`lines`: every line is a sentence; `rules`: split running text."""
    held_out: float = 0.01
    """Share of documents kept for evaluation, chosen by their hash."""
    tokens_per_shard: int = 20_000_000
    """A shard ends at the first document that reaches this many."""
    threads: int | None = None
    """Tokenizer threads; all cores when not given."""
