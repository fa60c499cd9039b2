from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from albatross.checkpoints.model_folder import read_weights, write_weights
from albatross.training.finetune import finetune


@pytest.fixture
def short(finetune_settings, tmp_path):
    """A run of few steps."""
    return replace(finetune_settings, out=tmp_path / "out", batch_size=16, dev=None)


def weights_after_nothing(settings, **changes) -> dict[str, Any]:
    """The weights of a run whose rate moves next to nothing."""
    out = settings.out.with_name(f"{len(list(settings.out.parent.iterdir()))}")
    changed: dict[str, Any] = {"epochs": 0.1, "learning_rate": 1e-9, "weight_decay": 0.0, **changes}
    found: dict[str, Any] = read_weights(finetune(replace(settings, out=out, **changed)))
    return found


def test_the_same_labels_keep_head_and_pooler(finetuned, short):
    before: dict[str, Any] = read_weights(finetuned)
    after = weights_after_nothing(short, model=finetuned)
    for name in ("classifier.weight", "albert.pooler.weight"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)


def test_other_labels_of_the_same_number_start_a_head_anew(finetuned, short, capsys):
    before: dict[str, Any] = read_weights(finetuned)
    after = weights_after_nothing(short, model=finetuned, labels=("bad", "good"))
    np.testing.assert_allclose(
        after["albert.pooler.weight"], before["albert.pooler.weight"], atol=1e-6
    )
    assert np.abs(after["classifier.weight"] - before["classifier.weight"]).max() > 0.01
    assert "Starting anew: classifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "is_anew"),
    [
        ({"0": "good", "1": "bad"}, True),
        ({"0": "bad", "1": "good"}, False),
        ({"0": "LABEL_0", "1": "LABEL_1"}, False),
    ],
)
def test_labels_of_transformers_are_looked_at(
    finetuned, short, copy_of, change_json, capsys, names, is_anew
):
    source = copy_of(finetuned)
    (source / "task.json").unlink()
    change_json(source / "config.json", id2label=names)
    weights_after_nothing(short, model=source, labels=("bad", "good"))
    assert ("Starting anew: classifier" in capsys.readouterr().err) == is_anew


def test_the_pooler_starts_anew_when_asked_to(finetuned, short):
    before: dict[str, Any] = read_weights(finetuned)
    after = weights_after_nothing(short, model=finetuned, fresh_pooler=True)
    difference = np.abs(after["albert.pooler.weight"] - before["albert.pooler.weight"])
    assert difference.max() > 0.01
    np.testing.assert_allclose(after["classifier.weight"], before["classifier.weight"], atol=1e-6)


def test_a_source_without_a_pooler_gets_a_new_one(finetuned, short, copy_of, change_json):
    source = copy_of(finetuned)
    arrays = read_weights(source)
    kept = {n: np.array(a) for n, a in arrays.items() if not n.startswith("albert.pooler.")}
    write_weights(source, kept)
    (source / "run.json").unlink()
    assert "albert.pooler.weight" in weights_after_nothing(short, model=source)
