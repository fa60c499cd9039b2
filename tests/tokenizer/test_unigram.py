import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from albatross.errors import DataError, FolderError, TokenizerError
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.unigram import UnigramTokenizer

TEXTS = st.one_of(st.text(st.characters(exclude_categories=())), st.text("0129,,. (\"'-aé٣"))


@settings(max_examples=200)
@given(texts=st.lists(TEXTS, max_size=5), threads=st.sampled_from([-1, 1, 3]))
def test_a_batch_gives_what_single_texts_give(tiny, texts, threads):
    single = [tiny.encode(text) for text in texts]
    assert tiny.encode_batch(texts, num_threads=threads) == single
    assert [tiny.encode_with_offsets(text).ids.tolist() for text in texts] == single


@settings(max_examples=200)
@given(texts=st.lists(TEXTS, max_size=5))
@example(texts=["9,9, 9", "", "\n", "a\tb", "in 2012, é"])
def test_a_flat_batch_gives_what_single_texts_give(tiny, texts):
    found = tiny.encode_flat(texts)
    single = [tiny.encode(text) for text in texts]
    assert found.ids.tolist() == [number for ids in single for number in ids]
    assert found.lengths.tolist() == list(map(len, single))


@pytest.mark.parametrize("text", ["", " ", "\0", "a\0b", "\x01\x7f", "\ud800", "\n\n"])
def test_odd_texts_are_encoded(tiny, text):
    assert tiny.encode(text) == tiny.encode_with_offsets(text).ids.tolist()


def test_a_million_characters_are_encoded(tiny):
    text = "The gulls, in 2012, were 9,9. " * 33_334
    assert len(tiny.encode_with_offsets(text).ids) == len(tiny.encode(text)) > 300_000


def test_a_lone_surrogate_counts_as_the_replacement_character(tiny):
    assert tiny.encode("a\udc00b") == tiny.encode("a\ufffdb")


def test_a_comma_leaves_its_digits(tiny):
    pieces = [tiny.pieces[number] for number in tiny.encode("2012, 7")]
    assert pieces == ["▁2012", ",", "▁", "7"]


@settings(max_examples=100)
@example(text="9,9 ٣, (7,7,")
@given(text=st.text("0123,,x٣ ()"))
def test_a_comma_leaves_its_digits_where_it_is_unknown(without_comma, text):
    tokenizer = without_comma
    pieces = tokenizer._processor.encode(tokenizer.normalizer.normalize(text), out_type=str)
    wanted: list[str] = []
    for piece in pieces:
        split = len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
        wanted += tokenizer._without_comma(piece) if split else [piece]
    assert tokenizer.encode(text) == tokenizer._processor.piece_to_id(wanted)


@pytest.fixture(scope="module")
def without_comma():
    from albatross.tokenizer.training import train_unigram

    return train_unigram(["ab 12 (13) 0 3 x"] * 20, 22)


def test_special_pieces_have_their_published_ids(tiny):
    ids = [tiny.pad_id, tiny.unk_id, tiny.cls_id, tiny.sep_id, tiny.mask_id]
    assert ids == [0, 1, 2, 3, 4]
    assert tiny.pieces[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


def test_special_pieces_in_a_text_are_plain_text(tiny):
    ids = tiny.encode("[CLS] [MASK] <pad> [SEP]")
    assert not {tiny.cls_id, tiny.mask_id, tiny.pad_id, tiny.sep_id} & set(ids)


def test_decoding_gives_the_normalised_text(tiny):
    assert tiny.decode(tiny.encode("  The  Gulls, in 2012. ")) == "the gulls, in 2012."
    assert tiny.decode(np.array(tiny.encode("hello"))) == "hello"
    assert tiny.decode([]) == ""


@pytest.mark.parametrize("wrong", [-1, 280])
def test_ids_outside_the_vocabulary_are_refused(tiny, wrong):
    with pytest.raises(DataError, match=f"from 0 to 279. Received: {wrong}"):
        tiny.decode([5, wrong])


# === Folders ===


def test_a_saved_folder_reads_back_the_same(tiny, tmp_path):
    switches = Normalizer(do_lower_case=False, keep_accents=True)
    UnigramTokenizer(tiny.model, switches).save(tmp_path / "new")
    again = UnigramTokenizer.from_folder(tmp_path / "new")
    assert again.normalizer == switches
    assert again.sha256 == tiny.sha256
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "spiece.model",
        "tokenizer_config.json",
    ]


def test_a_folder_without_settings_gets_the_published_ones(tiny, tmp_path):
    (tmp_path / "spiece.model").write_bytes(tiny.model)
    assert UnigramTokenizer.from_folder(tmp_path).normalizer == Normalizer()


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"keep_accents": "no"}', '"keep_accents"'])
def test_damaged_settings_are_refused(tiny, tmp_path, content):
    tiny.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(FolderError, match=r"tokenizer_config\.json"):
        UnigramTokenizer.from_folder(tmp_path)


def test_settings_of_others_are_read(tiny, tmp_path):
    tiny.save(tmp_path)
    config = {"do_lower_case": False, "model_max_length": 512, "sp_model_kwargs": {}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert UnigramTokenizer.from_folder(tmp_path).normalizer == Normalizer(do_lower_case=False)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(FolderError, match=r"spiece\.model.*train-tokenizer"):
        UnigramTokenizer.from_folder(tmp_path)


def test_a_place_that_cannot_be_written_is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="must be writable"):
        tiny.save(tmp_path / "file")


@pytest.mark.parametrize("size", [0, 1, 100, 5_000, 200_000])
def test_a_damaged_model_is_one_quiet_line(tiny, tmp_path, size, capfd):
    (tmp_path / "spiece.model").write_bytes(tiny.model[:size])
    with pytest.raises(TokenizerError, match=r"whole SentencePiece model.*spiece\.model") as caught:
        UnigramTokenizer.from_folder(tmp_path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_without_a_mask_is_refused(tiny):
    without_mask = tiny.model.replace(b"[MASK]", b"[MUSK]")
    with pytest.raises(TokenizerError, match=r"without \[MASK\]"):
        UnigramTokenizer(without_mask)


# === Processes ===


def test_a_pickled_tokenizer_is_the_same(tiny):
    again = pickle.loads(pickle.dumps(UnigramTokenizer(tiny.model, Normalizer(False))))
    assert again.encode("The 2012, Gulls") == UnigramTokenizer(
        tiny.model, Normalizer(False)
    ).encode("The 2012, Gulls")
    assert again.normalizer == Normalizer(False)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on Windows")
def test_a_forked_process_encodes_on(tiny):
    texts = ["one 2012,", "two", "three"] * 50
    wanted = tiny.encode_batch(texts, num_threads=2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(tiny.encode_batch, (texts, 2)).get(timeout=20) == wanted


@pytest.mark.parametrize("wrong", ["one text", b"bytes"])
def test_one_text_is_no_batch(tiny, wrong):
    with pytest.raises(DataError, match="list of texts"):
        tiny.encode_batch(wrong)


def test_a_batch_names_what_is_no_text(tiny):
    with pytest.raises(DataError, match="Received: NoneType"):
        tiny.encode_batch(["fine", None])


def test_repr_fits_a_line(tiny):
    tokenizer = UnigramTokenizer(tiny.model, Normalizer(keep_accents=True))
    assert repr(tokenizer) == f"UnigramTokenizer(280 pieces, {tiny.sha256[:8]}, keep_accents=True)"


def test_importing_brings_no_tokenizers_library():
    code = "import sys, albatross.tokenizer.tokenizer_json\nprint('tokenizers' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
