"""Parts to shards: what is kept, in the order of the corpus, and the counts of what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import write_json
from albatross.corpus.chunks import Group
from albatross.corpus.duplicates import ALIKE, EQUAL, KEPT, Flags, find_duplicates
from albatross.corpus.parts import Part, read_part
from albatross.corpus.work_folder import WorkFolder
from albatross.data.shards import INDEX, ShardWriter
from albatross.errors import DataError
from albatross.progress import Progress
from albatross.settings.corpus import BuildShardsSettings
from albatross.tokenizer.folder import AnyTokenizer

# Settings that change where and how fast shards are built, but not what is in them.
_OUTSIDE = {"paths", "tokenizer", "workers", "runner"}
# The steps at which documents are counted, with their names in the table.
_STEPS = {
    "read": "read",
    "repaired": "repaired",
    "too_short": "too short",
    "too_long": "too long",
    "other_language": "of another language",
    "without_tokens": "without a token",
    "equal": "equal to an earlier one",
    "alike": "resembling an earlier one",
    "kept": "kept",
    "held_out": "held out, of these",
}


def assemble(
    work: WorkFolder,
    groups: Sequence[Group],
    settings: BuildShardsSettings,
    tokenizer: AnyTokenizer,
    folder: Path,
) -> dict[str, Any]:
    """Write the kept documents of all parts into a folder being built; return its index.

    Raises:
        DataError: no document is left to train on; the parts are removed.
        FolderError: a part is damaged.
    """
    parts = work.parts(groups)
    size = settings.tokens_per_shard
    train = ShardWriter(folder, "train", tokenizer.vocab_size, size)
    held_out = ShardWriter(folder, "held-out", tokenizer.vocab_size, size)
    tally = _Tally()
    with Progress("writing shards", len(parts)) as progress:
        flags = find_duplicates(parts, settings.duplicates, settings.near_threshold, work.path)
        at = 0
        for path in parts:
            part = read_part(path)
            of_part = flags[at : at + len(part.fractions)]
            at += len(of_part)
            is_held_out = part.fractions < settings.held_out
            train.add(part.documents.where((of_part == KEPT) & ~is_held_out))
            held_out.add(part.documents.where((of_part == KEPT) & is_held_out))
            tally.add(part, of_part, is_held_out)
            progress.advance(1)
        train.flush()
        held_out.flush()
    if not train.entries:
        work.remove()
        raise _no_text(tally.documents)
    index = {
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_sha256": tokenizer.sha256,
        "train": train.entries,
        "held_out": held_out.entries,
        "cleaning": tally.to_dict(),
        "settings": {k: v for k, v in settings.to_dict().items() if k not in _OUTSIDE},
    }
    write_json(folder / INDEX, index)
    return index


def summary(index: Mapping[str, Any], seconds: float) -> str:
    """Return the table that is shown when a build is done; steps that met no document are left out.

    Args:
        index: what `shards.json` says.
        seconds: of the build, or of its last part if it was gone on with.
    """
    documents, characters = index["cleaning"]["documents"], index["cleaning"]["characters"]
    lines = [f"{'documents':<26} {'':>13} {'characters':>17}"]
    for name, title in _STEPS.items():
        if documents[name] or name in characters:
            size = f"{characters[name]:>17,}" if name in characters else ""
            lines.append(f"{title:<26} {documents[name]:>13,} {size}".rstrip())
    train, held_out = (sum(e["tokens"] for e in index[part]) for part in ("train", "held_out"))
    lines.append(f"{'tokens to train on':<26} {train:>13,}")
    lines.append(f"{'tokens held out':<26} {held_out:>13,}")
    speed = characters["read"] / 1e6 / max(seconds, 1e-9)
    lines.append(f"{seconds:,.1f} s, {speed:,.1f} million characters a second")
    return "\n".join(lines)


class _Tally:
    """Counts documents and characters by what became of them."""

    def __init__(self) -> None:
        """Start at none."""
        self.documents: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()

    def add(self, part: Part, flags: Flags, is_held_out: NDArray[np.bool_]) -> None:
        """Count the documents of a part."""
        is_kept = flags == KEPT
        counts = part.counts
        self.documents.update({name: counts[name] for name in _STEPS if name != "kept"})
        self.documents["read"] += counts["documents"]
        self.characters["read"] += counts["characters"]
        for name, chosen in (("kept", is_kept), ("held_out", is_kept & is_held_out)):
            self.documents[name] += int(chosen.sum())
            self.characters[name] += int(part.characters[chosen].sum())
        self.documents["equal"] += int((flags == EQUAL).sum())
        self.documents["alike"] += int((flags == ALIKE).sum())

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Return the counts as `shards.json` has them."""
        return {
            "documents": {name: self.documents[name] for name in _STEPS},
            "characters": {name: self.characters[name] for name in ("read", "kept", "held_out")},
        }


def _no_text(documents: Mapping[str, int]) -> DataError:
    """Return the error of a corpus that leaves nothing, with what became of it."""
    fates = [f"{documents[name]:,} {title}" for name, title in _STEPS.items() if documents[name]]
    return DataError(
        "A corpus must hold at least one document to train on. Received documents:"
        f" {', '.join(fates) or 'none'}. Check the files, where a blank line ends a document; give"
        " more text, or drop or hold out less of it."
    )
