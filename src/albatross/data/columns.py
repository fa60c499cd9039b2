"""Which column of a table holds which part of a record: given, or found by its usual names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from albatross.data.tables import Row, read_rows
from albatross.errors import ConfigError, DataError

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
"""All columns are found by their usual names."""

# An error names so many columns.
_COLUMNS_SHOWN, _NAMES_SHOWN = 20, 4
# Parts without which nothing is learned.
_LABELS = ("label", "tags", "references")


def columns_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return the columns of `--columns` by what they hold.

    Raises:
        ConfigError: one is not written so.
    """
    split = [pair.partition("=") for pair in pairs]
    for pair, (part, sign, column) in zip(pairs, split, strict=True):
        if not (part and sign and column):
            raise ConfigError(
                "`--columns` must be written as part=column. Received:"
                f" {pair!r}. Write, for instance, text=review label=stars."
            )
    return {part: column for part, _, column in split}


def refuse_columns(layout: str, columns: Mapping[str, str]) -> None:
    """Refuse names of columns for a format that has its own.

    Raises:
        DataError: there are some.
    """
    if columns:
        given = ", ".join(f"{part}={name}" for part, name in columns.items())
        raise DataError(
            f"Columns are named for the formats of plain tables alone. Received: {given} for the"
            f" format {layout}, whose columns are published. Leave `columns` out, or name another"
            " format."
        )


@dataclass(frozen=True)
class Part:
    """A part of a record.

    Attributes:
        names: usual names of its column in lower case; the first, its own, goes before all others,
            and among the others there must be one
        is_needed: a row without it is refused
        may_lack: its column may be given and yet lack, as labels do in a test file; then the usual
            names are good enough, for who learns from another model's answers, or from columns of
            other names than those of the file that it is measured on
        in_order: the first of the names that is there is taken, however many there are
    """

    names: tuple[str, ...]
    is_needed: bool = False
    may_lack: bool = False
    in_order: bool = False


class Columns:
    """Which column holds which part of a record, given or found by the usual names."""

    def __init__(self, parts: Mapping[str, Part], given: Mapping[str, str] = NO_COLUMNS) -> None:
        """Take the parts of a record, and the columns that are given for some of them.

        Raises:
            DataError: a column is given for what is no part, or numbers are mixed with names.
        """
        self._parts, self._given = parts, dict(given)
        self._found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        numbered = [name.isdecimal() for name in given.values()]
        self.has_header = not (numbered and all(numbered))
        strange = sorted(given.keys() - parts.keys())
        if strange or (self.has_header and any(numbered)):
            received = ", ".join(f"{part}={name}" for part, name in given.items())
            raise DataError(
                f"Columns must be given for {', '.join(parts)}; all by name, or all by number."
                f" Received: {received}. Correct {strange[0] if strange else 'one of them'}."
            )

    def read(self, path: Path) -> Iterator[Row]:
        """Yield rows whose cells are the parts; a part without a column is None."""
        absent = dict.fromkeys(self._parts)
        for row in read_rows(path, has_header=self.has_header):
            yield Row(row.place, {**absent, **self.parts(row)})

    def parts(self, row: Row) -> dict[str, object]:
        """Return the cells of a row by the part that they hold.

        Raises:
            DataError: a part has no column, or several could hold it.
        """
        names = tuple(row.cells)
        found = self._found.get(names)
        if found is None:
            found = self._found[names] = list(self._find(row))
        return {part: row.cells[name] for part, name in found}

    def _find(self, row: Row) -> Iterator[tuple[str, str]]:
        """Yield each part that a row has, and its column."""
        taken = set(self._given.values())
        for key, part in self._parts.items():
            given = self._given.get(key)
            needed = part.is_needed if given is None else not part.may_lack
            names: list[str] = []
            if given is not None and given in row.cells:
                names = [given]
            elif given is None or part.may_lack:
                names = _candidates(part, row.cells.keys() - taken)
            if len(names) > 1 and not part.in_order:
                raise DataError(
                    f"It must be clear which column holds the {key}. Received: {row.place} with"
                    f" {' and '.join(names)}. Say which by `columns`: {key}={names[0]}."
                )
            if names:
                yield key, names[0]
            elif needed:
                raise _lacking(self._given.get(key) or _usual(part), key, row)


def check_labels_given(path: Path, columns: Mapping[str, str]) -> None:
    """Refuse a file to learn from without the column that is given for its labels.

    Raises:
        DataError: it lacks, and another one is not to be taken in silence.
    """
    given = {part: name for part, name in columns.items() if part in _LABELS}
    if given:
        has_header = not all(name.isdecimal() for name in columns.values())
        row = next(iter(read_rows(path, has_header=has_header)))
        for part, name in given.items():
            if name not in row.cells:
                raise _lacking(name, part, row)


def _candidates(part: Part, columns: Iterable[str]) -> list[str]:
    """Return the columns that may hold a part, as its names are ordered; case does not count."""
    own, *others = part.names
    by_name: dict[str, list[str]] = {}
    for column in sorted(columns):
        by_name.setdefault(column.lower(), []).append(column)
    found = [column for name in others for column in by_name.get(name, [])]
    return by_name.get(own, found)


def _usual(part: Part) -> str:
    """Return the first of a part's names, the most usual ones."""
    more = " or the like" if len(part.names) > _NAMES_SHOWN else ""
    return " or ".join(part.names[:_NAMES_SHOWN]) + more


def _lacking(wanted: str, part: str, row: Row) -> DataError:
    """Return the error for a row without a column."""
    names = [name or "(one without a name)" for name in row.cells]
    shown = ", ".join(names[:_COLUMNS_SHOWN]) or "none"
    more = f" and {len(names) - _COLUMNS_SHOWN} more" if len(names) > _COLUMNS_SHOWN else ""
    return DataError(
        f"A record needs a column {wanted}. Received: {row.place} with the columns {shown}{more}."
        " Name the columns in the first line, or say which is meant by `columns`:"
        f" {part}=NAME, or {part}=1 (the first) where the file has no line of names."
    )
