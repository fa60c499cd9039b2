from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from albatross.config import variant
from albatross.data.packing import pack
from albatross.data.records import TextRecord
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.options import TaskOptions
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.head_losses import HeadLosses
from albatross.training.objectives import Draw
from albatross.training.soft_labels import certain, shares_by, units_of

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
RECORDS = [TextRecord("the gull flew", label="b"), TextRecord("it was bad " * 9, label="a")]


@pytest.fixture
def task():
    return ClassificationTask.from_records("t", RECORDS, TOKENIZER, TaskOptions(max_length=16))


@pytest.fixture
def model(task):
    config = variant("albatross-tiny", vocab_size=TOKENIZER.vocab_size)
    return AlbertWithHeads(config, heads=task.heads, seed=0).eval()


def test_the_loss_is_the_cross_entropy_with_the_shares(task, model):
    shares = np.array([[0.3, 0.7], [1.0, 0.0]], dtype=np.float32)
    batch = pack([example for (example,) in units_of(task, RECORDS, shares)])
    objective = HeadLosses(model).eval()
    rows = shares[[0] + [1] * (batch.num_sequences - 1)]
    expected = -(torch.from_numpy(rows) * model(batch)[task.head].log_softmax(1)).sum()
    torch.testing.assert_close(objective(batch, Draw())[f"{task.head}_loss"], expected)
    assert objective.counts(batch) == {f"{task.head}_loss": batch.num_sequences}


def test_a_certain_label_learns_as_a_class_does(task, model):
    shares = certain(task, RECORDS)
    assert shares.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    batch = pack([example for (example,) in units_of(task, RECORDS, shares)])
    classes = torch.from_numpy(batch.labels[task.head]).argmax(1)
    expected = functional.cross_entropy(model(batch)[task.head], classes, reduction="sum")
    found = HeadLosses(model).eval()(batch, Draw())
    torch.testing.assert_close(found[f"{task.head}_loss"], expected)


def test_every_window_of_a_text_is_learned_with_its_shares(task):
    units = units_of(task, RECORDS, certain(task, RECORDS))
    assert len(units) > 2
    assert all(len(unit) == 1 and np.shape(unit[0].labels[task.head]) == (1, 2) for unit in units)


def test_shares_come_in_the_order_of_records_and_labels(task, model):
    both = shares_by(model, task, RECORDS)
    np.testing.assert_allclose(shares_by(model, task, RECORDS[::-1]), both[::-1], atol=1e-6)
    np.testing.assert_allclose(both.sum(1), 1, atol=1e-6)
    (example,) = task.features(RECORDS[0])
    expected = model(pack([example]))[task.head].softmax(1).detach().numpy()
    np.testing.assert_allclose(both[:1], expected, atol=1e-6)
