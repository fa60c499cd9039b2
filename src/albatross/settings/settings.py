"""What all settings share: checks of types and limits, and reading them from a recipe file.

The text below a field is its help. All rules that values break are reported together, in the words
the user typed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import tyro

from albatross.errors import ConfigError
from albatross.rules import broken_limit, fitted

# How the help names an argument.
MODEL = tyro.conf.arg(metavar="MODEL")
OUT = tyro.conf.arg(metavar="OUT")
COLUMNS = tyro.conf.arg(metavar="PART=COLUMN...", help_behavior_hint="(default: usual names)")


@dataclass(frozen=True)
class Settings:
    """What all settings share: values of their fields' types, numbers within the limits."""

    alternatives: ClassVar[tuple[str, ...]] = ()
    """Fields of which one is given: it replaces what a recipe says of the others."""

    def __post_init__(self) -> None:
        """Take text for paths and lists for tuples, and report every rule that is broken."""
        broken = []
        kinds = get_type_hints(type(self))
        for f in fields(self):
            option = "--" + f.name.replace("_", "-")
            try:
                value = fitted(getattr(self, f.name), kinds[f.name])
            except TypeError as error:
                broken.append(f"`{option}` must be {error}. Received: {getattr(self, f.name)!r}.")
                continue
            object.__setattr__(self, f.name, value)
            limit = broken_limit(f.name, value)
            if limit is not None:
                broken.append(f"`{option}` must lie between {limit}. Received: {value}.")
        if broken:
            raise ConfigError(" ".join(broken))

    def refuse_unused(self, **uses: tuple[bool, str]) -> None:
        """Refuse a value that nothing would look at.

        Args:
            uses: by field, whether it is looked at, and what it goes with.

        Raises:
            ConfigError: one that is not has another value than by default.
        """
        usual = {f.name: f.default for f in fields(self)}
        for name, (is_used, needed) in uses.items():
            if not is_used and getattr(self, name) != usual[name]:
                raise ConfigError(
                    f"`--{name.replace('_', '-')}` goes with {needed}. Received:"
                    f" {_plain(getattr(self, name))} without. Leave it out, or give both."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON holds them: paths as text, tuples as lists."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the values of what need not be given, as JSON holds them."""
        return {f.name: _plain(f.default) for f in fields(cls) if f.default is not MISSING}


def read_recipe(
    path: Path, settings: type[Settings], given: Collection[str] = ()
) -> dict[str, Any]:
    """Read the settings of a recipe file: a flat TOML table.

    Args:
        path: the file
        settings: whose they are
        given: names that the caller gives beside the recipe; their alternatives are left out

    Raises:
        ConfigError: no such file, no TOML, a key that the verb does not have, or a value of another
            type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"`--recipe` must be a TOML file. Received: {str(path)!r}: {error}. Check the path."
        ) from error
    kinds = get_type_hints(settings)
    unknown = sorted(set(values) - set(kinds) | {"recipe"} & set(values))
    if unknown:
        raise ConfigError(
            f"A recipe holds settings of its verb. Received in {str(path)!r}: {', '.join(unknown)}."
            " Remove them, or give the recipe to another verb."
        )
    for name, value in values.items():
        try:
            values[name] = fitted(value, kinds[name])
        except TypeError as error:
            raise ConfigError(
                f"`{name}` must be {error}. Received in {str(path)!r}: {value!r}. Correct the file."
            ) from error
    if any(name in given for name in settings.alternatives):
        values = {k: v for k, v in values.items() if k not in settings.alternatives}
    return values


def _plain(value: Any) -> Any:
    """Return paths as text and tuples as lists."""
    if isinstance(value, Path):
        return value.as_posix()
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
