"""`task.json`: which tasks a model folder carries, and the table of their kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from albatross.atomic import read_json, write_json
from albatross.errors import ConfigError, FolderError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.task import Tokenizer

TASK_FILE = "task.json"
TASK_KINDS = {"classification": ClassificationTask}
# What transformers calls a model whose labels can be read from its configuration.
_CLASSIFIER = "AlbertForSequenceClassification"
# Such a folder does not say how long its texts were; transformers reads all that there are
# positions for, so texts are cut into windows only beyond the published models' length.
_LONGEST = 512


def write_tasks(folder: Path, tasks: Sequence[ClassificationTask]) -> None:
    """Write the tasks of a folder being built, by name."""
    write_json(folder / TASK_FILE, {task.name: task.to_dict() for task in tasks})


def read_tasks(
    folder: Path, config_extra: Mapping[str, Any], tokenizer: Tokenizer
) -> dict[str, ClassificationTask]:
    """Read a folder's tasks by name; a classifier of transformers is one, labels and all.

    Raises:
        FolderError: the folder has no task: it is pre-trained only.
        ConfigError: a kind that is not in the table.
    """
    if not (folder / TASK_FILE).is_file():
        if _CLASSIFIER in (config_extra.get("architectures") or ()):
            return {"classifier": _classifier_of_transformers(config_extra, tokenizer)}
        raise FolderError(
            f"A model that answers needs a task. Received: {str(folder)!r} without `{TASK_FILE}`:"
            " it is pre-trained only. Run `albatross finetune` on it."
        )
    tasks = {}
    for name, values in read_json(folder / TASK_FILE).items():
        kind = values.get("kind") if isinstance(values, dict) else None
        if not isinstance(kind, str) or kind not in TASK_KINDS:
            raise ConfigError(
                f"A task's kind must be one of {', '.join(TASK_KINDS)}. Received: {kind!r} for"
                f" {name!r} in {str(folder)!r}. Open it with the version that wrote it."
            )
        tasks[name] = TASK_KINDS[kind].from_dict(name, values, tokenizer)
    if not tasks:
        raise FolderError(
            f"`{TASK_FILE}` must name at least one task. Received: none in {str(folder)!r}."
            " Write the folder again."
        )
    return tasks


def _classifier_of_transformers(
    config_extra: Mapping[str, Any], tokenizer: Tokenizer
) -> ClassificationTask:
    """Read the labels of a folder that transformers fine-tuned."""
    names = config_extra.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        labels = tuple(str(names[key]) for key in sorted(names, key=int))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            "`id2label` in `config.json` must give each class number a name."
            f" Received: {str(names)[:60]}. Correct the file."
        ) from error
    return ClassificationTask("classifier", labels, labels, tokenizer, _LONGEST)
