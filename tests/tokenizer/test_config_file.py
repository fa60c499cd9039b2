import pytest

from albatross.errors import FolderError
from albatross.tokenizer.config_file import read_switches, write_tokenizer_files


def test_only_the_named_switches_are_read(tmp_path):
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"do_lower_case": false, "model_max_length": 512}')
    assert read_switches(path, ("do_lower_case", "keep_accents")) == {"do_lower_case": False}


def test_null_is_a_switch_only_where_it_may_be(tmp_path):
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"strip_accents": null}')
    assert read_switches(path, ("strip_accents",), ("strip_accents",)) == {"strip_accents": None}
    with pytest.raises(FolderError, match="must be true or false"):
        read_switches(path, ("strip_accents",))


def test_a_file_nested_too_deep_is_refused(tmp_path):
    path = tmp_path / "tokenizer_config.json"
    path.write_text("[" * 100_000)
    with pytest.raises(FolderError, match="must be JSON"):
        read_switches(path, ("do_lower_case",))


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="must be writable"):
        write_tokenizer_files(tmp_path / "file", {"a": b""})
