"""The files of the GLUE benchmark and SNLI, as they were published: no quoting, own columns.

A row of QQP that was torn by a tab or a line end is passed over, as the published loaders do; so
is a pair of MNLI or SNLI on whose label its readers did not agree. Both are counted and told once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from albatross.data.columns import Columns, Part
from albatross.data.records import HIDDEN, TextRecord, label_of, name_of, text_of
from albatross.data.tables import Row, read_rows
from albatross.data.text_files import format_of, read_lines
from albatross.errors import AlbatrossWarning, LabelError

# The label of a pair that its readers did not agree on.
_NO_AGREEMENT = "-"
# What stands for a genre that is not known.
_NOT_KNOWN = "n/a"
_BINARY = ("0", "1")
_TWO_WAY = ("entailment", "not_entailment")
_THREE_WAY = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class GlueLayout:
    """How a data set of GLUE is laid out.

    Attributes:
        text: columns of the first text, whichever is there
        text_pair: columns of the second; none where there is no pair
        label: columns of the label
        labels: the labels in the benchmark's order; none where it is a number
        columns_without_header: columns by number in files that do not name them
        has_torn_rows: whether rows with another number of cells are passed over
    """

    text: tuple[str, ...]
    text_pair: tuple[str, ...] = ()
    label: tuple[str, ...] = ("label",)
    labels: tuple[str, ...] = _BINARY
    columns_without_header: tuple[tuple[str, str], ...] = ()
    has_torn_rows: bool = False

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of a record and their columns."""
        parts = {
            "text": Part(self.text, is_needed=True),
            "text_pair": Part(self.text_pair, is_needed=True),
            "label": Part(self.label, may_lack=True),
            "id": Part(("index", "id", "pairid"), in_order=True),
            "subset": Part(("genre",)),
        }
        return {key: part for key, part in parts.items() if part.names}


_PAIR = (("sentence1",), ("sentence2",))
GLUE = {
    "cola": GlueLayout(("sentence",), columns_without_header=(("text", "4"), ("label", "2"))),
    "sst2": GlueLayout(("sentence",)),
    "mrpc": GlueLayout(("#1 string",), ("#2 string",), ("quality",)),
    "stsb": GlueLayout(*_PAIR, ("score",), ()),
    "qqp": GlueLayout(("question1",), ("question2",), ("is_duplicate",), has_torn_rows=True),
    "mnli": GlueLayout(*_PAIR, ("gold_label",), _THREE_WAY),
    "qnli": GlueLayout(("question",), ("sentence",), labels=_TWO_WAY),
    "rte": GlueLayout(*_PAIR, labels=_TWO_WAY),
    "wnli": GlueLayout(*_PAIR),
    "ax": GlueLayout(("sentence1", "premise"), ("sentence2", "hypothesis"), labels=_THREE_WAY),
    "snli": GlueLayout(*_PAIR, ("gold_label",), _THREE_WAY),
}


def read_glue(name: str, path: Path) -> Iterator[TextRecord]:
    """Yield the records of one data set of GLUE; a test file has no labels.

    Raises:
        DataError: the file is missing or laid out otherwise.
        LabelError: a label is none of the benchmark's.
    """
    layout = GLUE[name]
    has_header = not layout.columns_without_header or _names_columns(path, layout)
    columns = Columns(layout.parts, {} if has_header else dict(layout.columns_without_header))
    torn: list[str] = []
    undecided: list[str] = []
    rows = read_rows(
        path,
        has_header=has_header,
        ending=".tsv" if format_of(path) == ".txt" else "",
        on_broken=torn.append if layout.has_torn_rows else None,
    )
    for row in rows:
        parts = columns.parts(row)
        if parts.get("label") == _NO_AGREEMENT:
            undecided.append(row.place)
        else:
            yield _record(name, parts, row)
    _tell(name, "the columns of the first row", "another number of them", torn)
    _tell(name, "a label that its readers agreed on", "the label '-'", undecided)


def _names_columns(path: Path, layout: GlueLayout) -> bool:
    """Whether the first line holds the names of columns, as in CoLA's test file alone."""
    if not path.is_file():
        return True  # reading the rows says what is wrong
    first = next((line for line in read_lines(path) if line), "")
    return layout.text[0] in first.split("\t")


def _record(name: str, parts: dict[str, object], row: Row) -> TextRecord:
    """Make a record of the parts of a row."""
    pair = parts.get("text_pair")
    label = label_of(parts.get("label"), row.place)
    label, labels = None if label == HIDDEN else label, GLUE[name].labels
    if label is not None and not (label in labels if labels else _is_number(label)):
        raise LabelError(
            f"A label of `{name}` must be {', '.join(labels) or 'a number'}. Received: {label!r} in"
            f" {row.place}. Check that the file is of this benchmark."
        )
    subset = name_of(parts.get("subset"))
    return TextRecord(
        text_of(parts["text"], "text", row.place),
        None if pair is None else text_of(pair, "text", row.place),
        label,
        None,
        name_of(parts.get("id")),
        "" if subset == _NOT_KNOWN else subset,
        row.place,
    )


def _is_number(label: str) -> bool:
    """Whether a label spells a number."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _tell(name: str, rule: str, received: str, places: list[str]) -> None:
    """Warn once of the rows that were passed over."""
    if places:
        warnings.warn(
            f"A row of `{name}` should have {rule}. Received: {len(places)} with {received}, the"
            f" first at {places[0]}. They are passed over, as the published loaders do.",
            AlbatrossWarning,
            stacklevel=3,
        )
