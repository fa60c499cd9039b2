"""Whether two engines write alike: the same words, with the same chances at every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from albatross.data.packing import Example, pack
from albatross.engine.generation import NextWords, StepModel, Written, options_of, write
from albatross.errors import FolderError
from albatross.tasks.generation import GenerationTask

# Short, long, empty and odd.
_PROBES = ("", "A lovely film.", "naïve café 42, (twice)!", "The gull flew. " * 60)


def compare_writing(
    expected: StepModel, found: StepModel, task: GenerationTask, largest: float
) -> None:
    """Refuse two engines of one model that write another text, greedily, or by other chances.

    Both read what the first has written; a text may part from it where two words are equally good.

    Raises:
        FolderError: they differ; the message says by how much.
    """
    sources = [task.source(task.record(probe)) for probe in _PROBES]
    options = replace(options_of(task), beams=1)
    ours, theirs = (
        [texts[0] for texts in write(model, pack(sources), options)] for model in (expected, found)
    )
    differences = [
        float(np.abs(one.log_probs - other.log_probs).max())
        for source, text in zip(sources, ours, strict=True)
        for one, other in zip(
            *(_read(model, source, text) for model in (expected, found)), strict=True
        )
    ]
    differences += [
        abs(one.score - other.score)
        for one, other in zip(ours, theirs, strict=True)
        if one.ids != other.ids
    ]
    difference = float(np.max(differences))
    if not difference <= largest:
        raise FolderError(
            f"Both engines must write alike, within {largest:g} of a word's log-probability."
            f" Received: a difference of {difference:g} in the task {task.name}. Report this"
            " folder's configuration; nothing was written."
        )


def _read(model: StepModel, source: Example, text: Written) -> Iterator[NextWords]:
    """Yield what a model says before each word of a text that was written for a source."""
    said = model.start(pack([source]))
    yield said
    for word in text.ids[: len(text.ids) - (not text.ended)]:
        said = model.step(said.state, np.array([word]))
        yield said
