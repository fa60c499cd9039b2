import json
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.errors import DataError, FolderError, TokenizerError
from albatross.tokenizer.basic_words import BasicWords
from albatross.tokenizer.wordpiece import WordPieceTokenizer

HERE = Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Unicode changed the category of these.
RECLASSED = "\u166d\u1734\u1885\u1886"
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text("abgulTéÉß. ,'海鸟가\u1100\u1161\u11a8\u0301\u0323\u0338\u200d\ufffd\t\u3000$-"),
)


@pytest.fixture(scope="module")
def recorded():
    """Ids of the slow tokenizer, made by scripts/record_wordpiece_ids.py."""
    return json.loads((HERE / "expected_wordpiece_ids.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("setting", range(4))
def test_ids_equal_the_slow_tokenizer(recorded, tiny_vocab, setting):
    run = recorded["runs"][setting]
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab, BasicWords(**run["setting"]))
    found = tokenizer.encode_batch(recorded["texts"])
    for text, ids, expected in zip(recorded["texts"], found, run["ids"], strict=True):
        assert ids == expected, text
        assert tokenizer.encode_with_offsets(text).ids.tolist() == expected, text


def fast_tokenizer(path, words):
    """Build the same in the `tokenizers` library."""
    tokenizers = pytest.importorskip("tokenizers", reason="the library is not installed")
    vocabulary = {piece: n for n, piece in enumerate(path.read_text("utf-8").splitlines())}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(
        handle_chinese_chars=words.tokenize_chinese_chars,
        strip_accents=words.strip_accents,
        lowercase=words.do_lower_case,
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return made


def is_old_news(text: str) -> bool:
    """Whether every character is one whose class the library's older tables know too.

    They lack what came after Unicode 8, and leave unassigned characters in their place.
    """
    old = unicodedata.ucd_3_2_0.category
    return all(old(c) not in ("Cn", "Cs") and c not in RECLASSED for c in text)


@settings(max_examples=300)
@given(text=TEXTS.filter(is_old_news))
def test_ids_equal_the_tokenizers_library(tiny_vocab, text):
    words = BasicWords()
    fast = fast_tokenizer(tiny_vocab, words)
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab, words)
    assert tokenizer.encode(text) == fast.encode(text).ids


def test_special_pieces_in_a_text_are_plain_text_here_alone(tiny_vocab):
    fast = fast_tokenizer(tiny_vocab, BasicWords())
    fast.add_special_tokens(SPECIAL)
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab)
    assert tokenizer.mask_id in fast.encode("the [MASK] gull").ids
    assert tokenizer.mask_id not in tokenizer.encode("the [MASK] gull")


def test_the_longest_piece_that_fits_comes_first(vocabulary):
    pieces = [vocabulary.pieces[number] for number in vocabulary.encode("unaffable lighthouses")]
    assert pieces == ["un", "##aff", "##able", "light", "##house", "##s"]


def test_each_chinese_character_is_a_word(vocabulary):
    pieces = [vocabulary.pieces[number] for number in vocabulary.encode("信天翁在海上")]
    assert pieces == ["信", "天", "翁", "在", "海", "上"]


def test_a_word_of_more_than_a_hundred_characters_is_unknown(vocabulary):
    assert vocabulary.unk_id not in vocabulary.encode("a" * 100)
    assert vocabulary.encode("a" * 101) == [vocabulary.unk_id]


@settings(max_examples=300)
@given(text=TEXTS, lower=st.booleans(), accents=st.sampled_from([None, False, True]))
def test_spans_rise_inside_the_text(tiny_vocab, text, lower, accents):
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab, BasicWords(lower, True, accents))
    encoding = tokenizer.encode_with_offsets(text)
    starts, ends = encoding.offsets[:, 0], encoding.offsets[:, 1]
    assert encoding.ids.tolist() == tokenizer.encode(text)
    assert (starts < ends).all()
    assert (ends <= len(text)).all()
    assert (np.diff(encoding.offsets, axis=0) >= 0).all()


def test_words_that_are_too_long_are_not_kept(tiny_vocab):
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab)
    before = sum(map(len, tokenizer._cut))
    tokenizer.encode_batch([letter * 100_000 for letter in "abc"])
    assert sum(map(len, tokenizer._cut)) == before


def test_spans_show_the_original(vocabulary):
    text = "  The CAFE\u0301, \u6d77鸟 (2012)"
    spans = vocabulary.encode_with_offsets(text).offsets
    sources = [text[start:end] for start, end in spans]
    assert sources == ["The", "CAFE\u0301", ",", "海", "鸟", "(", "2012", ")"]


def test_decoding_joins_the_pieces_of_a_word(vocabulary):
    ids = [vocabulary.cls_id, *vocabulary.encode("Unaffable gulls, 海鸟"), vocabulary.pad_id]
    assert vocabulary.decode(np.array(ids)) == "unaffable gulls , 海 鸟"


@pytest.mark.parametrize("wrong", [-1, 10_000])
def test_ids_outside_the_vocabulary_are_refused(vocabulary, wrong):
    with pytest.raises(DataError, match=f"Received: {wrong}"):
        vocabulary.decode([5, wrong])


def test_only_pieces_without_hashes_start_a_word(vocabulary):
    starts = dict(zip(vocabulary.pieces, vocabulary.starts_word.tolist(), strict=True))
    assert starts["gull"]
    assert starts[","]
    assert not starts["##s"]


# === Folders ===


def test_a_saved_folder_reads_back_the_same(vocabulary, tmp_path):
    WordPieceTokenizer(vocabulary.pieces, BasicWords(False, False, True)).save(tmp_path / "new")
    again = WordPieceTokenizer.from_folder(tmp_path / "new")
    assert again.words == BasicWords(False, False, True)
    assert again.pieces == vocabulary.pieces
    assert again.sha256 == vocabulary.sha256


def test_the_name_of_google_s_chinese_models_is_read(tiny_vocab, tmp_path):
    (tmp_path / "vocab_chinese.txt").write_bytes(tiny_vocab.read_bytes().replace(b"\n", b"\r\n"))
    assert WordPieceTokenizer.from_folder(tmp_path).encode("海") != []


def test_null_stands_for_accents_that_follow_the_case(tiny_vocab, tmp_path):
    (tmp_path / "vocab.txt").write_bytes(tiny_vocab.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": null}')
    assert WordPieceTokenizer.from_folder(tmp_path).words == BasicWords()


def test_separators_of_unicode_may_be_pieces(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, "\u2028", "x"]), encoding="utf-8")
    assert WordPieceTokenizer.from_folder(tmp_path).encode("x") == [6]


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    for content, reason in [
        (b"", "no line"),
        ("\n".join([*SPECIAL, "a", "b", "a"]).encode(), "'a' on lines 6 and 8"),
        ("\n".join(SPECIAL[:4]).encode(), r"without \[MASK\]"),
        (b"[PAD]\n\xff\xfe\n", "must be UTF-8"),
        (b"a\n" * (8 * 2**20 + 1), "at most"),
    ]:
        path.write_bytes(content)
        with pytest.raises(TokenizerError, match=reason) as caught:
            WordPieceTokenizer.from_folder(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(FolderError, match=r"vocab\.txt"):
        WordPieceTokenizer.from_folder(tmp_path)


def test_a_pickled_tokenizer_is_the_same(vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary.pieces, BasicWords(do_lower_case=False))
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("The Gull") == tokenizer.encode("The Gull") != vocabulary.encode("The Gull")


def test_repr_fits_a_line(vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary.pieces, BasicWords(do_lower_case=False))
    facts = f"{len(vocabulary.pieces)} pieces, {vocabulary.sha256[:8]}, do_lower_case=False"
    assert repr(tokenizer) == f"WordPieceTokenizer({facts})"


def test_one_text_is_no_batch(vocabulary):
    with pytest.raises(DataError, match="list of texts"):
        vocabulary.encode_batch("one text")
