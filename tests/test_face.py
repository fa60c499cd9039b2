import ast
import inspect
import subprocess
import sys

import pytest

import albatross
from albatross.cli import VERBS


def test_every_verb_is_a_function_of_the_face():
    for verb in VERBS:
        function = getattr(albatross, verb.replace("-", "_"))
        assert function.__name__ == verb.replace("-", "_")
        assert function.__doc__
        assert inspect.signature(function).parameters


def test_a_pipeline_answers(exported):
    classify = albatross.load(exported)
    assert isinstance(classify, albatross.Pipeline)
    assert isinstance(classify("Not a stale line."), albatross.Answer)


def test_the_path_runs_through_the_face(tmp_path, train_file, pretrained):
    out = albatross.finetune(pretrained, tmp_path / "out", train=train_file, epochs=0.1)
    assert albatross.evaluate(out, train_file).metrics["records"] == 32
    edge = albatross.export(out, tmp_path / "edge")
    assert len(albatross.predict(edge, ["one", "two"])) == 2


def test_a_folder_opens_as_a_model(pretrained):
    model = albatross.AlbertModel.from_pretrained(pretrained)
    assert model.config == albatross.AlbertConfig.from_dict(model.config.to_dict())


def test_unknown_names_are_refused_and_known_ones_listed():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = albatross.nothing
    assert dir(albatross) == albatross.__all__


def test_importing_brings_no_library_at_all():
    code = "import sys, albatross; print({n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"torch", "numpy", "onnxruntime", "sentencepiece", "safetensors", "tyro", "rich"}
    assert not heavy & ast.literal_eval(done.stdout)


def test_a_name_that_needs_torch_says_how_to_install_it():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import albatross\n"
        "try:\n    albatross.AlbertModel\n"
        "except albatross.AlbatrossError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "albatross[train]"' in done.stdout
