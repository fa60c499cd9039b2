"""The file of `--tasks`: what is learned together, one table `[[task]]` for each task.

```toml
[[task]]
task = "sst2"
data = "glue"

[[task]]
name = "topic"
task = "classification"
epochs = 5
train = "topics.tsv"
labels = ["sport", "business"]
```
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

from albatross.errors import ConfigError
from albatross.rules import broken_limit, fitted
from albatross.settings.training import FinetuneSettings

TASK_KEYS = (
    *("name", "task", "data", "train", "dev", "hold_out", "format", "columns", "limit"),
    *("labels", "positive", "metric", "max_length", "stride", "no_answer", "beam", "epochs"),
    *("batch_size", "calibrate", "otherwise", "mark_shared", "word_share"),
)
"""The settings of fine-tuning that a task can have for itself; all others are those of the run."""
LEARNING_KEYS = tuple(key for key in TASK_KEYS if key not in ("data", "train", "dev"))
"""Those of them that are no paths: what is there is known by its checksum."""
_NAME = re.compile(r"\w+(-\w+)*", re.ASCII)


def read_tasks_file(path: Path) -> list[dict[str, Any]]:
    """Return the settings that each task has for itself, with a name of its own.

    Raises:
        ConfigError: no such file, no TOML, fewer than two tasks, a key that no task has, a value of
            another type or outside its limits, or two tasks of one name.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"`--tasks` must be a TOML file. Received: {str(path)!r}: {error}. Check the path."
        ) from error
    tables = _tables(values)
    if len(tables) < 2:
        raise ConfigError(
            "A file of `--tasks` must hold two or more tables `[[task]]`, and nothing beside."
            f" Received in {str(path)!r}: {', '.join(values) or 'nothing'}. Use --task for one."
        )
    tasks = [_read_table(path, number, table) for number, table in enumerate(tables, start=1)]
    names = [task["name"] for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"Every task needs a name of its own. Received in {str(path)!r}: {', '.join(names)}."
            " Give each a `name`."
        )
    return tasks


def _tables(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tables `[[task]]`; none where there is anything else."""
    tables = values.get("task")
    is_list = isinstance(tables, list) and all(isinstance(table, dict) for table in tables)
    return list(tables or ()) if is_list and set(values) == {"task"} else []


def _read_table(path: Path, number: int, table: dict[str, Any]) -> dict[str, Any]:
    """Return one task's settings as their fields hold them."""
    place = f"table {number} of {str(path)!r}"
    unknown = sorted(set(table) - set(TASK_KEYS))
    if unknown:
        raise ConfigError(
            f"A task has these keys: {', '.join(TASK_KEYS)}. Received in {place}:"
            f" {', '.join(unknown)}. Remove them, or give them for the whole run."
        )
    kinds, read = get_type_hints(FinetuneSettings), {}
    for key, value in table.items():
        try:
            read[key] = fitted(value, kinds[key])
        except TypeError as error:
            raise ConfigError(
                f"`{key}` must be {error}. Received in {place}: {value!r}. Correct the file."
            ) from error
        limit = broken_limit(key, read[key])
        if limit is not None:
            raise ConfigError(
                f"`{key}` must lie between {limit}. Received in {place}: {value}. Correct the file."
            )
    if "train" not in read and "data" not in read:
        raise ConfigError(
            "A task needs `train`, or a benchmark as `task` with its folder as `data`. Received in"
            f" {place}: {', '.join(read) or 'nothing'}. Add one."
        )
    kind = str(read.get("task", "classification"))
    read["name"] = read.get("name") or kind.replace("-", "_")
    if not _NAME.fullmatch(read["name"]):
        raise ConfigError(
            "A task's name is made of letters, digits, underscores and single hyphens, because its"
            f" head is called so. Received in {place}: {read['name']!r}. Name it otherwise."
        )
    return read
