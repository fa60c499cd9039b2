import json
import pickle
import sys

import numpy as np
import pytest

from albatross.errors import FolderError, MissingDependencyError, TokenizerError
from albatross.tokenizer.tokenizer_json import JsonTokenizer

tokenizers = pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")

PIECES = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "▁the", "▁gull", "s", "▁", "2012", ","]


@pytest.fixture(scope="module")
def content():
    """A folder's file as others write it: with padding, truncation and special pieces around."""
    made = tokenizers.Tokenizer(
        tokenizers.models.Unigram([(piece, -float(n)) for n, piece in enumerate(PIECES)], 1, False)
    )
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    made.add_special_tokens(["<pad>", "[CLS]", "[SEP]", "[MASK]"])
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_padding(length=16)
    made.enable_truncation(4)
    return made.to_str()


@pytest.fixture(scope="module")
def tokenizer(content):
    return JsonTokenizer(content)


def test_ids_come_without_special_pieces_padding_or_a_cut(tokenizer):
    assert tokenizer.encode("The gulls the gulls") == [5, 6, 7, 5, 6, 7]


def test_a_batch_gives_what_single_texts_give(tokenizer):
    texts = ["The gull", "", "2012, the", "a\ud800b"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_offsets_point_into_the_original(tokenizer):
    text = "The GULLS"
    encoding = tokenizer.encode_with_offsets(text)
    assert encoding.ids.tolist() == tokenizer.encode(text)
    assert encoding.ids.dtype == np.int32
    assert [text[start:end] for start, end in encoding.offsets] == ["The", "GULL", "S"]


def test_an_empty_text_has_offsets_of_the_right_shape(tokenizer):
    assert tokenizer.encode_with_offsets("").offsets.shape == (0, 2)


def test_special_pieces_are_found(tokenizer):
    ids = [getattr(tokenizer, f"{name}_id") for name in ("pad", "unk", "cls", "sep", "mask")]
    assert ids == [0, 1, 2, 3, 4]
    assert tokenizer.pieces == PIECES
    assert tokenizer.vocab_size == len(PIECES)


def test_decoding_leaves_special_pieces_out(tokenizer):
    assert tokenizer.decode(np.array([2, 5, 6, 7, 3])) == "the gulls"


def test_a_pickled_tokenizer_is_the_same(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("the gull") == tokenizer.encode("the gull")
    assert again.sha256 == tokenizer.sha256


def test_a_folder_is_read(content, tmp_path):
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    assert repr(JsonTokenizer.from_folder(tmp_path)).startswith("JsonTokenizer(11 pieces, ")


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(FolderError, match=r"tokenizer\.json"):
        JsonTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("wrong", ["", "{", "{}", "[]", '{"model": 5}'])
def test_a_damaged_file_is_refused(tmp_path, wrong):
    (tmp_path / "tokenizer.json").write_text(wrong)
    with pytest.raises(TokenizerError, match=r"tokenizers.*File:"):
        JsonTokenizer.from_folder(tmp_path)


def test_a_file_without_a_mask_is_refused(content):
    values = json.loads(content.replace("[MASK]", "[MUSK]"))
    with pytest.raises(TokenizerError, match="must hold a mask piece"):
        JsonTokenizer(json.dumps(values))


def test_without_the_library_the_extra_is_named(content, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[hub\]"):
        JsonTokenizer(content)
