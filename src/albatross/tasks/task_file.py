"""`task.json`: which tasks a model folder carries, and the table of their kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from albatross.atomic import read_json, write_json
from albatross.checkpoints.model_folder import WEIGHTS, read_run
from albatross.checkpoints.safetensors_file import read_header
from albatross.errors import ConfigError, FolderError
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.coherence import CoherenceTask
from albatross.tasks.fill_mask import FillMaskTask
from albatross.tasks.generation import GenerationTask
from albatross.tasks.inputs import Inputs
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task import Task, Tokenizer

TASK_FILE = "task.json"


class TaskKind(Protocol):
    """How a kind of task is made of training records, and of what `task.json` holds of it."""

    kind: str

    def from_records(
        self, name: str, records: Sequence[Any], tokenizer: Tokenizer, options: TaskOptions
    ) -> Task[Any]:
        """Make a task for these records."""
        ...

    def from_dict(self, name: str, values: Mapping[str, Any], tokenizer: Tokenizer) -> Task[Any]:
        """Read what `to_dict` wrote."""
        ...


_KINDS: tuple[Any, ...] = (
    ClassificationTask,
    MultiLabelTask,
    OrdinalTask,
    RegressionTask,
    ChoiceTask,
    SpansTask,
    TaggingTask,
    SimilarityTask,
    GenerationTask,
    FillMaskTask,
    CoherenceTask,
)
TASK_KINDS: Mapping[str, TaskKind] = {kind.kind: kind for kind in _KINDS}
"""The class of each kind of task."""
# Such a folder does not say how long its texts were; transformers reads all that there are
# positions for, so texts are cut into windows only beyond the published models' length.
_LONGEST = 512
_HEAD = "classifier"


def kind_of(kind: str) -> TaskKind:
    """Return the class of a kind of task.

    Raises:
        ConfigError: it is not in the table.
    """
    if kind not in TASK_KINDS:
        raise ConfigError(
            f"A task's kind must be one of {', '.join(TASK_KINDS)}. Received: {kind!r}."
        )
    return TASK_KINDS[kind]


def write_tasks(folder: Path, tasks: Sequence[Task[Any]]) -> None:
    """Write the tasks of a folder being built, by name."""
    write_json(folder / TASK_FILE, {task.name: task.to_dict() for task in tasks})


def read_tasks(
    folder: Path, config_extra: Mapping[str, Any], tokenizer: Tokenizer, positions: int
) -> dict[str, Task[Any]]:
    """Read a folder's tasks by name; what transformers fine-tuned is one, labels and all.

    Args:
        folder: the model's.
        config_extra: what its `config.json` holds beside the sizes.
        tokenizer: the model's.
        positions: tokens that it has positions for; no task reads more.

    Raises:
        FolderError: the folder has no task: it is pre-trained only.
        ConfigError: a kind that is not in the table.
    """
    if not (folder / TASK_FILE).is_file():
        for architecture in config_extra.get("architectures") or ():
            if architecture in _ARCHITECTURES:
                inputs = Inputs(tokenizer, min(_LONGEST, positions, _trained_length(folder)))
                found = _ARCHITECTURES[architecture](inputs, config_extra)
                if stored := {task.name: task for task in found if _is_stored(folder, task)}:
                    return stored
        raise FolderError(
            f"A model that answers needs a task. Received: {str(folder)!r} without `{TASK_FILE}`:"
            " it is pre-trained only. Run `albatross finetune` on it."
        )
    tasks: dict[str, Task[Any]] = {}
    for name, values in read_json(folder / TASK_FILE).items():
        kind = values.get("kind") if isinstance(values, dict) else None
        if not isinstance(kind, str) or kind not in TASK_KINDS:
            raise ConfigError(
                f"A task's kind must be one of {', '.join(TASK_KINDS)}. Received: {kind!r} for"
                f" {name!r} in {str(folder)!r}. Open it with the version that wrote it."
            )
        tasks[name] = TASK_KINDS[kind].from_dict(name, _within(values, positions), tokenizer)
    if not tasks:
        raise FolderError(
            f"`{TASK_FILE}` must name at least one task. Received: none in {str(folder)!r}."
            " Write the folder again."
        )
    return tasks


def _within(values: Mapping[str, Any], positions: int) -> dict[str, Any]:
    """Return a task's values with no more tokens than the model has positions for."""
    length = values.get("max_length")
    return {**values, **({"max_length": min(length, positions)} if type(length) is int else {})}


# === Folders of transformers ===


def _trained_length(folder: Path) -> int:
    """Return the tokens of the samples that a model of ours was pre-trained on."""
    settings = read_run(folder).get("settings")
    length = settings.get("max_length") if isinstance(settings, dict) else None
    return length if type(length) is int else _LONGEST


def _is_stored(folder: Path, task: Task[Any]) -> bool:
    """Whether a folder holds a task's heads; what is no safetensors file is taken at its word."""
    path = folder / WEIGHTS
    names = read_header(path) if path.is_file() else {}
    return not names or all(
        any(name.startswith(f"{head}.") for name in names) for head in task.heads
    )


def _sequence_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Read what kind of head over whole sequences a folder has."""
    labels = _labels(extra)
    problem = extra.get("problem_type")
    if problem == "regression" or (problem is None and len(labels) == 1):
        return [RegressionTask(_HEAD, 0.0, 1.0, inputs)]
    if problem == "multi_label_classification":
        return [MultiLabelTask(_HEAD, labels, (0.5,) * len(labels), inputs)]
    return [ClassificationTask(_HEAD, labels, labels, inputs)]


def _tagging_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Read the tags of a folder."""
    return [TaggingTask(_HEAD, _labels(extra), replace(inputs, format="words"))]


def _spans_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Return the task of a folder that answers questions; it always gives an answer."""
    return [SpansTask("qa_outputs", False, False, replace(inputs, format="squad"))]


def _choice_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Return the task of a folder that chooses."""
    return [ChoiceTask(_HEAD, (), replace(inputs, format="choice"))]


def _word_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Return the task of a folder that knows masked words."""
    return [FillMaskTask("fill-mask", inputs)]


def _pretrained_tasks(inputs: Inputs, extra: Mapping[str, Any]) -> list[Task[Any]]:
    """Return the tasks of a pre-trained folder: what it was trained for."""
    return [*_word_tasks(inputs, extra), CoherenceTask.of(inputs)]


_ARCHITECTURES: Mapping[str, Callable[[Inputs, Mapping[str, Any]], list[Task[Any]]]] = {
    "AlbertForSequenceClassification": _sequence_tasks,
    "AlbertForTokenClassification": _tagging_tasks,
    "AlbertForQuestionAnswering": _spans_tasks,
    "AlbertForMultipleChoice": _choice_tasks,
    "AlbertForMaskedLM": _word_tasks,
    "AlbertForPreTraining": _pretrained_tasks,
}


def _labels(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes in the order of the head's outputs."""
    names = extra.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            "`id2label` in `config.json` must give each class number a name."
            f" Received: {str(names)[:60]}. Correct the file."
        ) from error
