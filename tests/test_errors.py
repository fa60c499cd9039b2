import copy
import inspect

import pytest

from albatross import errors
from albatross.errors import AlbatrossError, ConfigError, MissingDependencyError

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_every_error_is_in_the_tree_and_in_its_drawing():
    kinds = [kind for kind in TREE if issubclass(kind, AlbatrossError)]
    assert len(kinds) >= 9
    assert not [kind.__name__ for kind in kinds if kind.__name__ not in (errors.__doc__ or "")]


def test_misuse_ends_with_another_code_than_a_fault():
    codes = {kind: kind.exit_code for kind in TREE if issubclass(kind, AlbatrossError)}
    assert codes.pop(ConfigError) == 2
    assert set(codes.values()) == {1}


def test_an_error_is_also_of_the_kind_that_python_has_for_it():
    for kind, builtin in [(ConfigError, ValueError), (MissingDependencyError, ImportError)]:
        assert issubclass(kind, builtin)


def test_a_missing_library_is_named_with_the_command_that_installs_it():
    with pytest.raises(ImportError, match=r'`onnx` .* pip install "albatross\[export\]"'):
        raise MissingDependencyError("onnx", "export")


def test_a_missing_library_can_be_told_to_another_process():
    error = MissingDependencyError("onnx", "export")
    again = copy.copy(error)  # by the same way as to another process
    assert (str(again), again.package, again.extra) == (str(error), "onnx", "export")
