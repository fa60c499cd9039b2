import math
import sys
from collections import defaultdict

import pytest

from albatross.errors import MissingDependencyError
from albatross.training.tensorboard import TensorboardLog

ENTRY = {"step": 1, "loss": 2.5, "learning_rate": 1e-3, "tokens": 512}


@pytest.fixture
def events(tmp_path):
    """What TensorBoard itself finds in the folder: (step, value) by name."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read():
        found = EventAccumulator(str(tmp_path))
        found.Reload()
        scalars = defaultdict(list)
        for name in found.Tags()["scalars"]:
            scalars[name] = [(event.step, event.value) for event in found.Scalars(name)]
        return scalars

    return read


def written(folder, entries, step=0):
    log = TensorboardLog(folder, step)
    for entry in entries:
        log.add(entry)
    log.close()


def test_figures_of_steps_come_back(tmp_path, events):
    written(tmp_path, [ENTRY, ENTRY | {"step": 2, "loss": 2.0}])
    found = events()
    assert found["training/loss"] == [(1, 2.5), (2, 2.0)]
    assert found["training/tokens"] == [(1, 512), (2, 512)]
    assert "training/step" not in found


def test_evaluations_are_on_the_disk_at_once_and_stand_apart(tmp_path, events):
    log = TensorboardLog(tmp_path, 0)
    (file,) = tmp_path.iterdir()
    for step in range(1, 21):
        log.add({"step": step, "evaluation": {f"figure_{step}": 1.0 * step}})
        assert f"held_out/figure_{step}".encode() in file.read_bytes()
    assert events()["held_out/figure_7"] == [(7, 7.0)]
    log.close()


def test_a_skipped_step_is_marked_and_what_is_no_number_left_out(tmp_path, events):
    written(tmp_path, [ENTRY, {"step": 2, "loss": math.nan, "skipped": "not a number"}])
    assert events()["training/loss"] == [(1, 2.5)]
    assert events()["training/skipped"] == [(2, 1.0)]


def test_going_on_hides_the_steps_that_are_taken_again(tmp_path, events):
    written(tmp_path, [ENTRY | {"step": step} for step in range(1, 6)])
    written(tmp_path, [ENTRY | {"step": step, "loss": 9.0} for step in (4, 5, 6)], step=3)
    steps = [(step, 2.5) for step in (1, 2, 3)] + [(step, 9.0) for step in (4, 5, 6)]
    assert events()["training/loss"] == steps


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[tensorboard\]"):
        TensorboardLog(tmp_path, 0)
