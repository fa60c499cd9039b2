"""What every task must do, as plain functions of a task, its records and a way to read it back.

`check_task` runs them all; a new kind of task needs one line in its own test file. `learned`
trains a tiny model until it knows some records by heart.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.engine import Outputs
from albatross.head_spec import HeadSpec
from albatross.rng import stream
from albatross.tasks.task import Task, score
from albatross.tasks.task_file import kind_of
from albatross.tokenizer.unigram import UnigramTokenizer

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
Reopen = Callable[[str, Mapping[str, Any], Any], Task]


def check_task(task: Task, records: Sequence[Any], max_length: int) -> None:
    """Run a task through all that training, evaluation and serving ask of it.

    Args:
        task: made for the records
        records: with labels, short and long ones, empty ones, all scripts
        max_length: of its sequences
    """
    check_features(task, records, max_length)
    check_labels(task, records)
    check_round_trip(task, records)
    check_answers(task, records)
    check_metrics(task, records)
    keys = task.transformers_keys()
    assert json.loads(json.dumps(keys)) == keys
    assert keys["architectures"]


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
            if not getattr(task, "capitals", False):  # they take the place of the second text
                assert (np.diff(example.token_type_ids) >= 0).all()
        assert _as_lists(examples) == _as_lists(task.features(record))


def check_labels(task: Task, records: Sequence[Any]) -> None:
    """All examples pack into one batch that has labels, each named after a head."""
    features = [task.features(record) for record in records]
    owners = [at for at, parts in enumerate(features) for _ in parts]
    batch = pack([example for parts in features for example in parts], owners)
    assert batch.labels
    for name, labels in batch.labels.items():
        assert any(name == head or name.startswith(f"{head}.") for head in task.heads)
        assert len(labels) in (batch.num_sequences, len(batch.input_ids))
        assert np.isfinite(labels.astype(np.float64)).all()


def check_round_trip(task: Task, records: Sequence[Any]) -> None:
    """A task comes back from JSON as it was."""
    stored = json.loads(json.dumps(task.to_dict()))
    again = kind_of(task.kind).from_dict(task.name, stored, TOKENIZER)
    assert again == task
    assert stored["kind"] == task.kind
    assert (again.name, again.heads, again.main_metric) == (task.name, task.heads, task.main_metric)
    for record in records:
        assert _as_lists(again.features(record)) == _as_lists(task.features(record))


def check_answers(task: Task, records: Sequence[Any]) -> None:
    """An answer is a function of the outputs, of finite numbers, a line of text and JSON."""
    for record in records:
        for scale in (0.0, 1.0, 1e4):  # a model without an opinion, one with, a sure one
            answer = answer_of(task, record, scale)
            assert answer == answer_of(task, record, scale)
            assert answer.line().strip()
            stored = json.dumps(answer.to_dict(), allow_nan=False)
            assert json.loads(stored) == answer.to_dict()


def check_metrics(task: Task, records: Sequence[Any]) -> None:
    """Figures are finite, the main one among them, whatever the order; also of drawn records."""
    task.check(records)
    pairs = [(answer_of(task, record), record) for record in records]
    figures = _score(task, pairs)
    assert task.main_metric in figures
    assert figures["records"] == len(records)
    assert all(np.isfinite(value) for value in figures.values())
    shuffled = _score(task, random.Random(1).sample(pairs, len(pairs)))
    assert {name: round(value, 9) for name, value in shuffled.items()} == {
        name: round(value, 9) for name, value in figures.items()
    }
    judged = task.judge(*zip(*pairs, strict=True))
    assert judged.dtype == np.float64
    for draw in range(3):
        drawn = judged[stream(draw, "draw").integers(len(judged), size=len(judged))]
        assert all(np.isfinite(value) for value in task.metrics(drawn).values())


def answer_of(task: Task, record: Any, scale: float = 1.0) -> Any:
    """What a task makes of the outputs of an untrained model."""
    examples = task.features(record)
    return task.answer(random_outputs(task.heads, examples, scale), record, examples)


def random_outputs(
    heads: Mapping[str, HeadSpec], examples: Sequence[Example], scale: float = 1.0
) -> Outputs:
    """What the heads of an untrained model might say of examples."""
    found: Outputs = {}
    seed = sum(int(example.input_ids.sum()) for example in examples)
    for name, head in heads.items():
        rng = stream(seed, name)
        count, tokens = len(examples), sum(len(example.input_ids) for example in examples)
        if head.kind == "beam_span":
            found |= _random_beams(name, rng, examples, scale)
            continue
        rows = tokens if head.kind in ("token", "span") else count
        outputs = scale * rng.standard_normal((rows, head.size or 8)).astype(np.float32)
        if head.kind == "embedding":
            outputs /= np.maximum(np.linalg.norm(outputs, axis=1, keepdims=True), 1e-12)
        found[name] = outputs
    return found


def learned(
    task: Task,
    records: Sequence[Any],
    *,
    asked: Sequence[Any] = (),
    steps: int = 120,
    rate: float = 3e-3,
) -> list[Any]:
    """Train a tiny model on records by their losses; return what its engine answers.

    Asked are the records themselves, without their labels, or others.
    """
    import torch

    from albatross.engine.torch_engine import TorchEngine
    from albatross.modeling.with_heads import AlbertWithHeads
    from albatross.pipelines.pipeline import answer_records
    from albatross.pipelines.requests import unlabelled
    from albatross.training.head_losses import HeadLosses
    from albatross.training.objectives import Draw

    config = AlbertConfig(
        vocab_size=TOKENIZER.vocab_size,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.15,
        classifier_dropout_prob=0.0,
    )
    model = AlbertWithHeads(config, heads=task.heads).train()
    losses = HeadLosses(model)
    features = [task.features(record) for record in records]
    owners = [at for at, parts in enumerate(features) for _ in parts]
    batch = pack([example for parts in features for example in parts], owners)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    counts = losses.counts(batch)
    for _ in range(steps):
        sums = losses(batch, Draw())
        loss = torch.stack([sums[name] / max(1.0, counts[name]) for name in sums]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    questions = [unlabelled(record) for record in asked or records]
    return answer_records(TorchEngine(model), task, questions, 256)


def _random_beams(name: str, rng: Any, examples: Sequence[Example], scale: float) -> Outputs:
    """What a beam head might say: best starts and ends anywhere, the best first."""
    tops = np.array([[len(example.input_ids)] for example in examples])
    starts, ends = (
        -np.sort(-scale * rng.standard_normal((len(examples), count))) for count in (5, 25)
    )
    return {
        f"{name}.start_log_probs": starts.astype(np.float32),
        f"{name}.start_index": rng.integers(0, tops, (len(examples), 5)),
        f"{name}.end_log_probs": ends.astype(np.float32),
        f"{name}.end_index": rng.integers(0, tops, (len(examples), 25)),
        f"{name}.no_answer": (scale * rng.standard_normal(len(examples))).astype(np.float32),
    }


def _score(task: Task, pairs: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    return score(task, [answer for answer, _ in pairs], [record for _, record in pairs])


def _as_lists(examples: Sequence[Example]) -> list[Any]:
    """Examples as lists, which can be compared."""
    return [
        (
            e.input_ids.tolist(),
            e.token_type_ids.tolist(),
            [(name, np.asarray(label).tolist()) for name, label in e.labels.items()],
        )
        for e in examples
    ]
