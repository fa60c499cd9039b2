"""Composes documents and reviews from the phrase tables beside it; the same seed, the same text.

A table maps a symbol to its phrases; a phrase may name further symbols in braces. This file knows
how phrases are put together; what they say stands in `stories.py` and `reviews.py`.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence

from albatross.rehearsal.reviews import CLAUSES, LABELS, PHRASES, REVIEWS, TENSES, TOPICS, Table
from albatross.rehearsal.stories import (
    CAST,
    LEADS_BETWEEN,
    LEADS_FIRST,
    LEADS_LAST,
    PLACES,
    SKIPPABLE,
    STORIES,
    TIMES,
    WEATHER,
)

# Reviews fall into this many parts by their hash; a seed draws from one of them.
FOLDS = 8
# A step that may be left out is left out one time in five, so that documents differ in length.
SKIP_RATE = 0.2


def compose_documents(count: int, seed: int) -> Iterator[list[str]]:
    """Tell `count` little stories whose sentences have one right order.

    Args:
        count: how many documents.
        seed: the same seed tells the same stories, and a larger count begins with the same ones.

    Yields:
        The sentences of one document.

    >>> next(compose_documents(1, seed=3))[-1]
    'Kofi sold the coffee mill to a collector and was sorry at once.'
    """
    draw = random.Random(f"documents {seed}")
    for _ in range(count):
        yield _tell(draw)


def compose_reviews(count: int, seed: int) -> list[tuple[str, str]]:
    """Write `count` different reviews of films, meals and hotels, half of them of each label.

    A review belongs to one of eight folds by the hash of its text, and a seed writes only those of
    fold `seed % 8`: what two seeds write is disjoint, unless their difference is a multiple of 8.

    Returns:
        Pairs of a text and its label, `positive` and `negative` in turn.

    >>> compose_reviews(1, seed=4)
    [('The rooms were quite elegant, and the location could hardly be more inviting.', 'positive')]
    """
    draw = random.Random(f"reviews {seed}")
    written: dict[str, str] = {}
    while len(written) < count:
        label = LABELS[len(written) % len(LABELS)]
        text = _judge(draw, label)
        if _fold(text) == seed % FOLDS:
            written.setdefault(text, label)
    return list(written.items())


def _tell(draw: random.Random) -> list[str]:
    """Tell one story: the opening, the steps in their order, the ending."""
    story = draw.choice(STORIES)
    name, she, her = draw.choice(CAST)
    table: dict[str, Sequence[str]] = {"name": [name], "she": [she], "her": [her]}
    table |= {"place": [draw.choice(PLACES)], "weather": [draw.choice(WEATHER)]}
    table |= {"time": [draw.choice(TIMES)]}
    table |= {thing: [draw.choice(kinds)] for thing, kinds in story.things.items()}
    steps = [step for step in story.steps if not _is_skipped(step, draw)]
    sentences = [_expand(draw.choice(story.opening), table, draw)]
    for lead, step in zip(_leads(len(steps), draw), steps, strict=True):
        phrase = draw.choice(step).removeprefix(SKIPPABLE)
        sentences.append(_expand(f"{lead}{phrase}.", table, draw))
    return [*sentences, _expand(draw.choice(story.ending), table, draw)]


def _is_skipped(step: Sequence[str], draw: random.Random) -> bool:
    return step[0].startswith(SKIPPABLE) and draw.random() < SKIP_RATE


def _leads(count: int, draw: random.Random) -> list[str]:
    """Return the words that tell where a step stands among the steps; some steps have none."""
    between = draw.sample(LEADS_BETWEEN, count - 2)
    return [draw.choice(LEADS_FIRST), *between, draw.choice(LEADS_LAST)]


def _judge(draw: random.Random, label: str) -> str:
    """Write one review of the label."""
    other = LABELS[1 - LABELS.index(label)]
    topic = TOPICS[draw.choice(sorted(TOPICS))]
    table: dict[str, Sequence[str]] = {**PHRASES, **topic, **draw.choice(TENSES)}
    table |= {"fitting": CLAUSES[label], "opposite": CLAUSES[other]}
    table |= {"praise": topic["good"], "blame": topic["bad"]}
    if label == "negative":
        table |= {"praise": topic["bad"], "blame": topic["good"]}
    return _expand(draw.choice(REVIEWS[label] + REVIEWS["either"]), table, draw)


def _fold(text: str) -> int:
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % FOLDS


def _expand(phrase: str, table: Table, draw: random.Random) -> str:
    """Replace every symbol until none is left; no phrase is used twice if there is another."""
    used: set[str] = set()
    while symbols := re.findall(r"{(\w+)}", phrase):
        fresh = [choice for choice in table[symbols[0]] if choice not in used]
        chosen = draw.choice(fresh or table[symbols[0]])
        used.add(chosen)
        phrase = phrase.replace(f"{{{symbols[0]}}}", chosen, 1)
    phrase = re.sub(r"\b(a) (?=[aeiou]|honest)", r"\1n ", phrase)
    return re.sub(r"(^|[.!?] )([a-z])", lambda start: start[0].upper(), phrase)
