"""What every task must do, as plain functions of a task, its records and a way to read it back.

`check_task` runs them all; a new kind of task needs one line in its own test file.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from albatross.data.packing import Example, pack
from albatross.rng import stream
from albatross.tasks.task import Answer, Outputs, Task

Reopen = Callable[[Mapping[str, Any]], Task]


def check_task(task: Task, records: Sequence[Any], reopen: Reopen, max_length: int) -> None:
    """Run a task through all that training, evaluation and serving ask of it."""
    check_features(task, records, max_length)
    check_batches(task, records)
    check_round_trip(task, records, reopen)
    check_answers(task, records)
    check_score(task, records)


def check_features(task: Task, records: Sequence[Any], max_length: int) -> None:
    """Each record gives examples that a model can read, the same ones every time."""
    for record in records:
        examples = task.features(record)
        assert examples
        for example in examples:
            assert 2 <= len(example.input_ids) <= max_length
            assert example.input_ids.dtype == example.token_type_ids.dtype == np.int64
            assert example.input_ids.shape == example.token_type_ids.shape
            assert set(example.token_type_ids.tolist()) <= {0, 1}
            assert (np.diff(example.token_type_ids) >= 0).all()
        assert _as_lists(examples) == _as_lists(task.features(record))


def check_batches(task: Task, records: Sequence[Any]) -> None:
    """All examples pack into one batch with a label for each head."""
    examples = [example for record in records for example in task.features(record)]
    batch = pack(examples)
    assert batch.num_sequences == len(examples)
    assert set(batch.labels) == set(task.heads)
    for name, head in task.heads.items():
        assert 0 <= batch.labels[name].min() <= batch.labels[name].max() < head.size


def check_round_trip(task: Task, records: Sequence[Any], reopen: Reopen) -> None:
    """A task comes back from JSON as it was."""
    stored = json.loads(json.dumps(task.to_dict()))
    again = reopen(stored)
    assert again.to_dict() == task.to_dict()
    assert (again.name, again.heads) == (task.name, task.heads)
    for record in records:
        assert _as_lists(again.features(record)) == _as_lists(task.features(record))
        outputs = random_outputs(task, record)
        assert again.answer(outputs, record) == task.answer(outputs, record)


def check_answers(task: Task, records: Sequence[Any]) -> None:
    """An answer is a function of the outputs, with shares that add up to one, and fits JSON."""
    for record in records:
        for scale in (1.0, 1e4):  # a sure model must not make infinite numbers
            answer = task.answer(random_outputs(task, record, scale), record)
            assert answer == task.answer(random_outputs(task, record, scale), record)
            shares = list(answer.probabilities.values())
            assert abs(sum(shares) - 1) < 1e-9
            assert answer.score == answer.probabilities[answer.label] == max(shares)
            assert json.loads(json.dumps(answer.to_dict()))["label"] == answer.label


def check_score(task: Task, records: Sequence[Any]) -> None:
    """A score is made of finite numbers and does not depend on the records' order."""
    pairs = [(task.answer(random_outputs(task, record), record), record) for record in records]
    scores = _score(task, pairs)
    assert scores
    assert all(np.isfinite(value) for value in scores.values())
    shuffled = random.Random(1).sample(pairs, len(pairs))
    assert _score(task, shuffled) == scores


def random_outputs(task: Task, record: Any, scale: float = 1.0) -> Outputs:
    """What the heads of an untrained model might say of a record's examples."""
    examples = task.features(record)
    rows = {"sequence": len(examples), "token": sum(len(e.input_ids) for e in examples)}
    return {
        name: scale * stream(0, name).standard_normal((rows[head.kind], head.size), np.float32)
        for name, head in task.heads.items()
    }


def _score(task: Task, pairs: Sequence[tuple[Answer, Any]]) -> dict[str, float]:
    return task.score([answer for answer, _ in pairs], [record for _, record in pairs])


def _as_lists(examples: Sequence[Example]) -> list[Any]:
    """Examples as lists, which can be compared."""
    return [
        (e.input_ids.tolist(), e.token_type_ids.tolist(), [*e.labels.items()]) for e in examples
    ]
