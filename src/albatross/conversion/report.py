"""What a conversion did, tensor by tensor: a short table for people, everything in `run.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# A list in the table names so many; `run.json` and --json name all.
_MOST_NAMES = 4


@dataclass(frozen=True)
class ConversionReport:
    """A conversion that was written.

    Attributes:
        source: what was read
        kind: whose format that was
        target: the form that was written
        out: the folder
        model: what the model is: a published name, or its sizes
        vocabulary: what was found beside it
        tensors: the source's name of each tensor to the target's
        merged: tensors of the source whose numbers went into computed ones
        computed: tensors of the target that were computed from several, or copied
        values: how many numbers they hold
        heads: what stands on the encoder
        skipped: optimizer slots and counters of the source
        dropped: tensors that the caller gave up with --drop
        missing: parts of a pre-trained model that the source has not
        changes: what became of layers, vocabulary or activation, in sentences
        preserving: whether the function had to stay the same
        difference: greatest absolute differences of source and result on random inputs, by output;
            empty when torch is not installed
    """

    source: str
    kind: str
    target: str
    out: Path
    model: str
    vocabulary: str
    tensors: Mapping[str, str]
    merged: tuple[str, ...]
    computed: tuple[str, ...]
    values: int
    heads: tuple[str, ...]
    skipped: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    changes: tuple[str, ...]
    preserving: bool
    difference: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints and `run.json` keeps."""
        return {**asdict(self), "out": str(self.out)}

    def __str__(self) -> str:
        """Return a table."""
        rows = {
            "read": f"{self.source}: {self.kind}",
            "model": self.model,
            "words": self.vocabulary,
            "mapped": self._mapped(),
            "heads": ", ".join(self.heads) or "none",
            "skipped": _listed(self.skipped, " optimizer slots and counters"),
            "dropped": _listed(self.dropped),
            "missing": _listed(self.missing),
            "changed": "; ".join(self.changes) or "nothing",
            "forward": self._forward(),
            "wrote": f"{self.out}: {self.target}",
        }
        return "\n".join(f"  {name:<8} {value}" for name, value in rows.items())

    def _mapped(self) -> str:
        """Say how many tensors went where."""
        origin = f"{len(self.merged)} others" if self.merged else "these"
        made = f", {len(self.computed)} made of {origin}" if self.computed else ""
        return f"{len(self.tensors)} tensors{made}; {self.values:,} values now"

    def _forward(self) -> str:
        """Say how far the outputs are apart."""
        if not self.difference:
            return 'not compared: torch is not installed (pip install "albatross[train]")'
        same = "the same function" if self.preserving else "another function, as asked"
        worst = max(self.difference.values())
        return f"{worst:.1e} at most in {', '.join(self.difference)}: {same}"


def _listed(names: tuple[str, ...], of: str = "") -> str:
    """Return how many names there are and the first of them."""
    if not names:
        return "none"
    rest = ", ..." if len(names) > _MOST_NAMES else ""
    return f"{len(names)}{of}: {', '.join(names[:_MOST_NAMES])}{rest}"
