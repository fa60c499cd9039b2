"""What a task is made with, one class for all kinds; and reading back what `task.json` holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from albatross.errors import ConfigError, LabelError

# An error names so many labels.
_LABELS_SHOWN = 20
_EVERY_KIND = ("max_length", "stride", "format", "columns")


@dataclass(frozen=True)
class TaskOptions:
    """How a task is made of its training records; a kind refuses what it has no use for.

    Attributes:
        labels: names of the labels, or all labels in their order
        max_length: tokens of a sequence
        stride: tokens from the start of one window of a long text to the next; by default each kind
            has its own
        format: a key of `albatross.data.formats.FORMATS`; the kind's table by default
        columns: the columns of the files by what they hold
        no_answer: whether a question may have no answer; seen from the records by default
        beam: whether Google's head for SQuAD 2.0 looks for answers
        metric: the figure that runs are compared by; the kind's own by default
        positive: the label that F1 is of, of two
        head: prefix of the head's tensors
        calibrate: whether probabilities are set right on records that are not learned from
        otherwise: the label of texts that belong to no other
        mark_shared: whether a token of a pair that stands in both texts has a type of its own
        word_share: how much of the likeness of two texts is that of their words alone
    """

    labels: tuple[str, ...] = ()
    max_length: int = 128
    stride: int | None = None
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    no_answer: bool | None = None
    beam: bool = False
    metric: str = ""
    positive: str = ""
    head: str = ""
    calibrate: bool = False
    otherwise: str = ""
    mark_shared: bool = False
    word_share: float = 0.0

    def refuse_others(self, kind: str, *used: str, cuts: bool = True) -> None:
        """Refuse what is set and not used by a kind.

        Args:
            kind: its name.
            used: what it has a use for, beside lengths and files.
            cuts: whether it reads a long text in windows.

        Raises:
            ConfigError: there is such an option.
        """
        known = {*_EVERY_KIND, *used} - (set() if cuts else {"stride"})
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in known and value != getattr(USUAL, each.name):
                raise ConfigError(
                    f"A task of the kind {kind} has no use for `{each.name}`. Received: {value!r}."
                    " Leave it out, or choose another kind."
                )


USUAL = TaskOptions()


def chosen_metric(metric: str, known: Sequence[str]) -> str:
    """Return the main metric: the one that is asked for, else the first.

    Raises:
        ConfigError: it is none of the kind's.
    """
    if metric and metric not in known:
        raise ConfigError(
            f"The metric of this task must be one of {', '.join(known)}. Received: {metric!r}."
            " Choose one of them."
        )
    return metric or known[0]


@contextmanager
def read_back(kind: str, name: str) -> Iterator[None]:
    """Turn what is wrong with the values of `task.json` into one clear error.

    Raises:
        ConfigError: a part lacks or is of another type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"A task of the kind {kind} in `task.json` must have the parts that were written."
            f" Received for {name!r}: {error}. Write the folder again."
        ) from error


def strings(values: Any) -> tuple[str, ...]:
    """Return a JSON list of strings.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{str(values)[:60]} is no list of strings")
    return tuple(values)


def numbers(values: Any) -> tuple[float, ...]:
    """Return a JSON list of numbers.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(values, list):
        raise TypeError(f"{str(values)[:60]} is no list of numbers")
    return tuple(float(value) for value in values)


def listed(labels: Iterable[str]) -> str:
    """Name labels, not more than a line holds."""
    names = list(labels)
    more = f" and {len(names) - _LABELS_SHOWN} more" if len(names) > _LABELS_SHOWN else ""
    return ", ".join(names[:_LABELS_SHOWN]) + more


def index_of(label: str, known: Mapping[str, int], place: str) -> int:
    """Return the number of a label.

    Raises:
        LabelError: the task does not know it.
    """
    if label in known:
        return known[label]
    raise LabelError(
        f"A label must be one of {listed(known)}. Received: {label!r}{in_place(place)}."
        " Correct the record, or fine-tune with this label."
    )


def in_place(place: str) -> str:
    """Return where a record stands, for the middle of a message; nothing where it is not known."""
    return f" in {place}" if place else ""
