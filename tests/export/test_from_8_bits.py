"""Exports of what is in 8 bits already, such as the built-in models: nothing is rounded twice."""

from pathlib import Path

import numpy as np
import pytest

from albatross.checkpoints.eight_bits import INT8, SCALE, in_floats
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, read_stored_weights, read_weights
from albatross.export.folder import export
from albatross.info import info
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings, InfoSettings

TEXTS = ("A lovely film.", "Two dull hours that I want back, please.", "Ada met Bob in Rome.")
# Of the one all embeddings are another model's, of the other some rows of the word table are.
BUILTINS = ("sentiment", "intent")


@pytest.fixture(scope="module", params=BUILTINS)
def builtin(request):
    return request.param


@pytest.fixture(scope="module")
def alone(builtin, tmp_path_factory):
    """A built-in model in a folder of its own."""
    out = tmp_path_factory.mktemp("alone") / builtin
    return export(ExportSettings(builtin, out, dtype="int8"))


def told(model):
    """What a model says of the texts: labels, and shares as numbers."""
    answers = load(model)(list(TEXTS))
    shares = [list(answer.probabilities.values()) for answer in answers]
    return [answer.label for answer in answers], np.concatenate(shares)


def test_a_builtin_model_leaves_the_package_with_the_bits_it_has(builtin, alone):
    before, after = (read_stored_weights(find_model(folder)) for folder in (builtin, alone))
    kept = [name for name in before if name.endswith((INT8, SCALE))]
    assert len(kept) > 10
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name])
    assert not (alone / "base.json").exists()


def test_it_answers_as_it_did_inside(builtin, alone):
    (labels, shares), (expected, known) = told(alone), told(builtin)
    assert labels == expected
    np.testing.assert_allclose(shares, known, atol=0.02)


def test_an_export_of_an_export_is_the_same_bytes(alone, tmp_path):
    again = export(ExportSettings(alone, tmp_path / "again", dtype="int8"))
    content = (again / "model.safetensors").read_bytes()
    assert content == (alone / "model.safetensors").read_bytes()
    assert read_config(again) == read_config(alone)


def test_over_the_model_that_it_stood_over_it_is_what_it_was(builtin, tmp_path):
    over = Path("pretrained")
    again = export(ExportSettings(builtin, tmp_path / "again", dtype="int8", over=over))
    content = (find_model(builtin) / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == content


def test_in_floats_it_is_a_model_folder_for_every_engine(builtin, tmp_path):
    plain = export(ExportSettings(builtin, tmp_path / "plain"))
    assert "quantization_config" not in read_config(plain).extra
    assert " in float32\n" in str(info(InfoSettings(str(plain))))
    stored = in_floats(read_stored_weights(find_model(builtin)))
    for name, array in read_weights(plain).items():
        np.testing.assert_array_equal(array, np.asarray(stored[name], np.float32))
    (labels, shares), (expected, known) = told(plain), told(builtin)
    assert labels == expected
    np.testing.assert_allclose(shares, known, atol=0.05)


@pytest.mark.parametrize("page", [False, True])
def test_one_file_is_made_of_it_and_what_it_lacks_is_told(tmp_path, capsys, page):
    """The verb compares the file with the step graphs before it is finished."""
    settings = ExportSettings(Path("embed"), tmp_path / "one", "int8", single_file=True, page=page)
    assert (export(settings) / "model.onnx").stat().st_size < 3e6
    assert ("what embed has learned. 50%" in capsys.readouterr().err) != page
