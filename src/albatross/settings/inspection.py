"""Settings of the verb that looks at samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.settings.settings import Settings

_SHARDS = tyro.conf.arg(metavar="SHARDS")


@dataclass(frozen=True)
class InspectSettings(Settings):
    """Show the samples that shards give, their figures, and whether topic gives labels away.

    Example:
      albatross inspect runs/shards --samples 3 --page samples.html
    """

    shards: Annotated[Positional[Path], _SHARDS]
    """A folder that build-shards wrote."""
    samples: int = 5
    """Samples to show."""
    max_length: int = 128
    """Tokens of a sample, specials included."""
    objective: Literal["sop", "nsp", "none"] = "sop"
    """Beside masked words: sentence order, BERT's next sentence, or nothing."""
    masking_rate: float = 0.3
    """Share of tokens to predict."""
    max_ngram: int = 1
    """Longest run of whole words masked together."""
    max_predictions: int | None = None
    """Most tokens that a sample predicts; as many as the rate asks for when not given."""
    short_fraction: float = 0.1
    """Share of samples cut at a random shorter length."""
    seed: int = 0
    """Of every random draw; with the same seed, pretrain begins with the same samples."""
    json: bool = False
    """Print JSON instead of text."""
    page: Path | None = None
    """Write the same as an HTML page to this file."""
