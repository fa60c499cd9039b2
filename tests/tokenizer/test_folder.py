import pytest

from albatross.errors import FolderError
from albatross.tokenizer.folder import open_tokenizer
from albatross.tokenizer.json_export import write_tokenizer_json
from albatross.tokenizer.tokenizer_json import JsonTokenizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer


def test_a_vocabulary_wins_over_the_json_beside_it(vocabulary, tmp_path):
    pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    vocabulary.save(tmp_path)
    write_tokenizer_json(vocabulary, tmp_path)
    assert isinstance(open_tokenizer(tmp_path), WordPieceTokenizer)
    assert isinstance(open_tokenizer(tmp_path, "tokenizer.json"), JsonTokenizer)


def test_a_json_alone_is_opened(tiny, tmp_path):
    pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    write_tokenizer_json(tiny, tmp_path)
    assert isinstance(open_tokenizer(tmp_path), JsonTokenizer)


def test_spiece_model_wins_over_all_others(tiny, vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    tiny.save(tmp_path)
    (tmp_path / "other.model").write_bytes(b"no model at all")
    assert open_tokenizer(tmp_path).sha256 == tiny.sha256
    assert isinstance(open_tokenizer(tmp_path, "vocab.txt"), WordPieceTokenizer)


@pytest.mark.parametrize("name", ["auto", "spiece.model"])
def test_a_single_model_of_another_name_is_opened(tiny, tmp_path, name):
    (tmp_path / "30k-clean.model").write_bytes(tiny.model)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    found = open_tokenizer(tmp_path, name)
    assert isinstance(found, UnigramTokenizer)
    assert not found.normalizer.do_lower_case


def test_two_models_of_other_names_are_refused(tiny, tmp_path):
    for name in ("a.model", "b.model"):
        (tmp_path / name).write_bytes(tiny.model)
    with pytest.raises(FolderError, match=r"a\.model, b\.model"):
        open_tokenizer(tmp_path)


def test_the_name_of_google_s_chinese_vocabulary_is_found(tiny_vocab, tmp_path):
    (tmp_path / "vocab_chinese.txt").write_bytes(tiny_vocab.read_bytes())
    assert isinstance(open_tokenizer(tmp_path), WordPieceTokenizer)


@pytest.mark.parametrize("name", ["spiece.model", "vocab.txt", "tokenizer.json"])
def test_a_file_that_was_asked_for_and_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(FolderError, match=name.replace(".", r"\.")):
        open_tokenizer(tmp_path, name)


def test_a_folder_without_a_vocabulary_says_which_files_it_may_hold(tmp_path):
    with pytest.raises(FolderError, match=r"spiece\.model.*vocab\.txt.*tokenizer\.json"):
        open_tokenizer(tmp_path)
