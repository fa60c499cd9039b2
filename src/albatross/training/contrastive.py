"""Bringing texts of a class together before they are classified (SetFit: Tunstall et al., 2022).

Few texts make many pairs. Embeddings of small encoders may collapse, all texts to one direction, so
how far they lie apart is measured before and after.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import Example
from albatross.engine.torch_engine import TorchEngine
from albatross.errors import AlbatrossWarning
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import engine_outputs
from albatross.rng import stream
from albatross.training.example_batches import ExampleBatches
from albatross.training.head_losses import HeadLosses
from albatross.training.short_run import ShortRun

HEAD = "embedding"
"""The name of the head; it has no tensors, so a folder does not show it."""
# Mean cosine of texts above which they are told apart by too little.
_COLLAPSED = 0.95
_ANSWERING_TOKENS = 8_192


@dataclass(frozen=True)
class Similarity:
    """Mean cosines of embeddings, P13's monitor: of texts of one class, and of any two."""

    within: float
    overall: float

    def __str__(self) -> str:
        """Return both in words."""
        return f"mean cosine {self.within:.2f} in a class, {self.overall:.2f} overall"


def embedding_head(width: int) -> dict[str, HeadSpec]:
    """Return the head that pairs are learned by: the mean of the rows, compared by cosines."""
    return {HEAD: HeadSpec("embedding", width, {"loss": "cosine"})}


def pairs_of(
    examples: Sequence[Example], classes: Sequence[int], per_text: int, seed: int
) -> list[list[Example]]:
    """Pair each text so often with one of its class, which is to be alike, and with another's.

    Returns:
        Pairs of examples that both carry their similarity, 1 or 0 (SetFit, section 3).
    """
    of_class, rng = np.array(classes), stream(seed, "pairs")
    found = []
    for number, (example, own) in enumerate(zip(examples, classes, strict=True)):
        alike = np.flatnonzero((of_class == own) & (np.arange(len(classes)) != number))
        for among, wanted in ((alike, 1.0), (np.flatnonzero(of_class != own), 0.0)):
            for other in rng.choice(among, per_text):
                both = enumerate((example, examples[int(other)]))
                found.append(
                    [
                        replace(one, labels={HEAD: wanted, f"{HEAD}.side": side})
                        for side, one in both
                    ]
                )
    return found


def bring_together(
    model: AlbertWithHeads,
    examples: Sequence[Example],
    classes: Sequence[int],
    run: ShortRun,
    *,
    pairs: int,
    batch_size: int,
    steps: int | None,
    seed: int,
) -> tuple[Similarity, Similarity]:
    """Train an encoder on pairs, each seen once; return how alike texts were before and after.

    Args:
        model: with `embedding_head` among its heads.
        examples: one of each text.
        classes: of these.
        run: how it learns.
        pairs: of each text with one of its class, and as many with another's.
        batch_size: pairs of a step.
        steps: of the run; all pairs once when None.
        seed: of pairs, order and dropout.
    """
    before = similarity(embeddings(model, examples), classes)
    units = pairs_of(examples, classes, pairs, seed)
    batches = ExampleBatches(units, batch_size, seed)
    run.train(
        HeadLosses(model), batches, steps or batches.steps_per_epoch, title="pairs", seed=seed
    )
    after = similarity(embeddings(model, examples), classes)
    if after.overall > _COLLAPSED:
        warnings.warn(
            f"Embeddings of different texts should differ. Received: a mean cosine of"
            f" {after.overall:.3f} after the pairs ({before.overall:.3f} before): the encoder has"
            " collapsed. Lower `--learning-rate`, or use another method.",
            AlbatrossWarning,
            stacklevel=2,
        )
    return before, after


def embeddings(model: AlbertWithHeads, examples: Sequence[Example]) -> NDArray[np.float32]:
    """Return the vectors of texts, (texts, hidden), of unit length."""
    outputs = engine_outputs(TorchEngine(model), examples, _ANSWERING_TOKENS)
    return np.concatenate([found[HEAD] for found in outputs])


def similarity(vectors: NDArray[np.float32], classes: Sequence[int]) -> Similarity:
    """Return the mean cosine of two different texts, of one class and of any."""
    cosines = vectors @ vectors.T
    different = ~np.eye(len(vectors), dtype=bool)
    alike = np.equal.outer(classes, classes) & different
    return Similarity(float(cosines[alike].mean()), float(cosines[different].mean()))
