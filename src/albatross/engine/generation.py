"""Writing word by word: greedy and beam search over any model that can go on from a state.

Numpy alone: no weights. Sources are written for together, and leave when they are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from albatross.data.packing import IntArray, PackedBatch, batches_by_tokens, pack
from albatross.data.records import SourceRecord
from albatross.errors import ConfigError
from albatross.tasks.answers import TextAnswer
from albatross.tasks.generation import GenerationTask
from albatross.tasks.task import Outputs

State = Any
"""What a model keeps of the words so far, a row for each beginning; opaque, as rows are."""


@dataclass(frozen=True)
class NextWords:
    """What a model says of the next word of every row.

    Attributes:
        log_probs: (rows, vocab)
        state: to go on from
    """

    log_probs: NDArray[np.float32]
    state: State


class StepModel(Protocol):
    """A model that writes one word after the other."""

    def start(self, sources: PackedBatch) -> NextWords:
        """Read sources; a row for each, over its first word."""
        ...

    def step(self, state: State, last_ids: IntArray) -> NextWords:
        """Go on by one word a row, (rows,)."""
        ...

    def reorder(self, state: State, indices: IntArray) -> State:
        """Return the state of these rows in this order; one may come several times or not."""
        ...


@dataclass(frozen=True)
class SearchOptions:
    """How a text is looked for.

    Attributes:
        end_id: the word that ends a text
        beams: beginnings that are kept for a source; with one the search is greedy
        length_penalty: texts are compared by the log-probability of their words over the number of
            words to this power: 0 favours short ones, 1 takes the mean
        min_length: fewest words before the end
        max_length: most words; the end is not counted
        no_repeat_ngram: runs of so many words come only once; 0 lets all come again
        never: words that are not written, such as the specials
        words: how many there are; a model may have rows for more. All of its rows by default
    """

    end_id: int
    beams: int = 1
    length_penalty: float = 1.0
    min_length: int = 0
    max_length: int = 64
    no_repeat_ngram: int = 0
    never: tuple[int, ...] = ()
    words: int | None = None

    def __post_init__(self) -> None:
        """Check that a text can be found.

        Raises:
            ConfigError: all rules that are broken.
        """
        least = {"beams": 1, "max_length": 1, "min_length": 0, "no_repeat_ngram": 0}
        broken = [
            f"`{name}` must be at least {low}. Received: {getattr(self, name)}."
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if self.min_length > self.max_length:
            broken.append(
                "`min_length` must be at most `max_length`. Received:"
                f" {self.min_length} and {self.max_length}."
            )
        if broken:
            raise ConfigError(" ".join(broken))


@dataclass(frozen=True)
class Written:
    """One text that was found.

    Attributes:
        ids: its words, without the end
        score: what it is compared by; see `SearchOptions.length_penalty`
        ended: whether it ended by itself, not for its length
    """

    ids: tuple[int, ...]
    score: float
    ended: bool


@dataclass(frozen=True)
class _Beginning:
    """A text that goes on: its source, its words, and their summed log-probability."""

    source: int
    ids: tuple[int, ...] = ()
    total: float = 0.0


def write(model: StepModel, sources: PackedBatch, options: SearchOptions) -> list[list[Written]]:
    """Return for each source what was found, the best first; as many as there are beams.

    A text that has ended keeps its place among the beams of its source (Sutskever et al., 2014,
    section 3.2), so that a source is done after `beams` ends, and one beam is greedy search.
    """
    found: list[list[Written]] = [[] for _ in range(sources.num_sequences)]
    live = [_Beginning(source) for source in range(sources.num_sequences)]
    said = model.start(sources)
    for length in range(options.max_length):
        log_probs = _allowed(said.log_probs, live, length, options)
        rows, live = _best(log_probs, live, found, options)
        if not live or length + 1 == options.max_length:
            break
        state = said.state
        if not np.array_equal(rows, np.arange(len(said.log_probs))):
            state = model.reorder(state, rows)
        said = model.step(state, np.array([one.ids[-1] for one in live], dtype=np.int64))
    for one in live:
        found[one.source].append(_written(one.ids, one.total, options, ended=False))
    return [sorted(texts, key=lambda text: -text.score) for texts in found]


def write_answers(
    model: StepModel, task: GenerationTask, records: Sequence[SourceRecord], max_tokens: int
) -> list[TextAnswer]:
    """Return a task's answers to records, in their order.

    Args:
        model: what writes.
        task: reads records, and says how texts are looked for.
        records: at least one.
        max_tokens: of the sources that are read together; each beam counts anew.
    """
    examples = [task.source(record) for record in records]
    answers: dict[int, TextAnswer] = {}
    for chosen in batches_by_tokens([len(e.input_ids) * task.beams for e in examples], max_tokens):
        found = write(model, pack([examples[at] for at in chosen]), options_of(task))
        for at, texts in zip(chosen.tolist(), found, strict=True):
            answers[at] = task.answer(as_outputs(texts), records[at], [examples[at]])
    return [answers[at] for at in range(len(records))]


def options_of(task: GenerationTask) -> SearchOptions:
    """Return how a task's texts are looked for."""
    return SearchOptions(
        end_id=task.tokenizer.sep_id,
        beams=task.beams,
        length_penalty=task.length_penalty,
        min_length=task.min_length,
        max_length=task.target_length - 1,
        no_repeat_ngram=task.no_repeat_ngram,
        never=task.never,
        words=task.tokenizer.vocab_size,
    )


def as_outputs(texts: Sequence[Written]) -> Outputs:
    """Return a source's texts as the arrays that a task's `answer` reads.

    Returns:
        `generation.ids` (texts, longest), -1 behind a text's end, and `generation.scores` (texts,).
        Ids stay exact as floats: a vocabulary has far fewer than 2 ** 24.
    """
    ids = np.full((len(texts), max(len(text.ids) for text in texts)), -1, dtype=np.float32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text.ids)] = text.ids
    scores = np.array([text.score for text in texts], dtype=np.float32)
    return {"generation.ids": ids, "generation.scores": scores}


def _best(
    log_probs: NDArray[np.float32],
    live: Sequence[_Beginning],
    found: list[list[Written]],
    options: SearchOptions,
) -> tuple[IntArray, list[_Beginning]]:
    """Go on with the best words of every source, and put away what has ended.

    Returns:
        The rows that the new beginnings go on from, and these.
    """
    words, values = _highest(log_probs, min(options.beams, log_probs.shape[1]))
    totals = np.array([one.total for one in live])[:, None] + values
    candidates: dict[int, list[tuple[float, int, int]]] = {}
    for row, one in enumerate(live):
        candidates.setdefault(one.source, []).extend(
            (-float(total), row, int(word))
            for total, word in zip(totals[row], words[row], strict=True)
            if total > -np.inf
        )
    rows, following = [], []
    for source, offered in candidates.items():
        if not offered and not found[source]:  # whatever comes next has been forbidden
            one = next(one for one in live if one.source == source)
            found[source].append(_written(one.ids, one.total, options, ended=False))
        for cost, row, word in sorted(offered)[: options.beams - len(found[source])]:
            ids = live[row].ids
            if word == options.end_id:
                found[source].append(_written(ids, -cost, options, ended=True))
            else:
                rows.append(row)
                following.append(_Beginning(source, (*ids, word), -cost))
    return np.array(rows, dtype=np.int64), following


def _highest(log_probs: NDArray[np.float32], width: int) -> tuple[IntArray, NDArray[np.float32]]:
    """Return the best words of every row and their log-probabilities, (rows, width) each.

    One after the other: for a handful of beams that is many times faster than to partition the row.
    """
    left, rows = log_probs.copy(), np.arange(len(log_probs))
    words = np.zeros((len(left), width), dtype=np.int64)
    values = np.zeros((len(left), width), dtype=np.float32)
    for column in range(width):
        words[:, column] = best = left.argmax(1)
        values[:, column] = left[rows, best]
        left[rows, best] = -np.inf
    return words, values


def _allowed(
    log_probs: NDArray[np.float32], live: Sequence[_Beginning], length: int, options: SearchOptions
) -> NDArray[np.float32]:
    """Return log-probabilities with what must not come next at minus infinity: (rows, words)."""
    log_probs = log_probs[:, : options.words].copy()
    log_probs[:, list(options.never)] = -np.inf
    if length < options.min_length:
        log_probs[:, options.end_id] = -np.inf
    if options.no_repeat_ngram:
        for row, one in enumerate(live):
            log_probs[row, _repeating(one.ids, options.no_repeat_ngram)] = -np.inf
    return log_probs


def _repeating(ids: tuple[int, ...], size: int) -> list[int]:
    """Return the words that would make the last `size` words a run that was there before."""
    if len(ids) < size:
        return []
    begun = ids[len(ids) - size + 1 :]
    starts = range(len(ids) - size + 1)
    return [ids[at + size - 1] for at in starts if ids[at : at + size - 1] == begun]


def _written(ids: tuple[int, ...], total: float, options: SearchOptions, *, ended: bool) -> Written:
    """Return a finished text with its score; the end is one of the words that are counted."""
    length = max(len(ids) + ended, 1)
    return Written(ids, total / length**options.length_penalty, ended)
