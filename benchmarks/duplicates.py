"""How many planted near-duplicates are found, by how much they resemble their original.

Needs data: a text file with a sentence a line, and a spiece.model

    python benchmarks/duplicates.py enwiki-09.txt.xz --model spiece.model

Each document is planted again with a share of its words replaced by others; the resemblance is
counted on the texts themselves: Jaccard's measure of runs of five lower-cased words.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from albatross.corpus.chunks import Chunk
from albatross.corpus.cleaning import CleaningRule
from albatross.corpus.duplicates import KEPT, find_duplicates
from albatross.corpus.parts import PartJob, PartMaker
from albatross.data.documents import corpus_files, read_documents
from albatross.tokenizer.unigram import UnigramTokenizer

SHARES = (0.004, 0.008, 0.012, 0.02, 0.03, 0.05, 0.07, 0.1)
BORDERS = (1.01, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--model", type=Path, required=True, help="a spiece.model")
    parser.add_argument("--documents", type=int, default=3_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    arguments = parser.parse_args()
    originals = list(islice(read_documents(corpus_files([arguments.file])), arguments.documents))
    words = sorted({word for d in originals[:200] for s in d for word in s.split()})
    rng = random.Random(0)
    planted = [changed(document, rng.choice(SHARES), words, rng) for document in originals]
    dropped = found(arguments.model, originals, planted, arguments.threshold)
    exact = np.array([resemblance(*pair) for pair in zip(originals, planted, strict=True)])
    print(f"originals dropped: {dropped[: len(originals)].sum()} of {len(originals)}")
    print(f"{'resemblance':<14} {'planted':>8} {'dropped':>8}")
    for high, low in pairwise(BORDERS):
        chosen = (exact >= low) & (exact < high)
        share = dropped[len(originals) :][chosen].mean() if chosen.any() else 0.0
        print(f"{low:.2f} to {min(high, 1):.2f}   {chosen.sum():>8} {share:>8.1%}")


def changed(document: list[str], share: float, words: list[str], rng: random.Random) -> list[str]:
    """Replace a share of the words."""
    return [
        " ".join(rng.choice(words) if rng.random() < share else word for word in sentence.split())
        for sentence in document
    ]


def resemblance(one: list[str], other: list[str]) -> float:
    """Jaccard's measure of runs of five words."""
    runs = []
    for document in (one, other):
        words = " ".join(document).lower().split()
        runs.append({tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))})
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def found(
    model: Path, originals: list[list[str]], planted: list[list[str]], threshold: float
) -> np.ndarray:
    """Return which of the documents, originals first, are dropped."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokenizer").mkdir()
        UnigramTokenizer.from_file(model).save(folder / "tokenizer")
        maker = PartMaker(PartJob(folder, CleaningRule(), signed=True))
        for number, documents in enumerate((originals, planted)):
            maker.make(Chunk("group", number, documents))
        parts = sorted(folder.glob("*.npz"))
        return np.array(find_duplicates(parts, "near", threshold, folder)) != KEPT


if __name__ == "__main__":
    main()
