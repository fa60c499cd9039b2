import json
import re
import sys
from io import BytesIO

import numpy as np
import pytest
import sentencepiece

from albatross.errors import MissingDependencyError
from albatross.tokenizer.basic_words import BasicWords
from albatross.tokenizer.json_export import tokenizer_json, write_tokenizer_json
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.presets import PRESETS
from albatross.tokenizer.sentencepiece_file import Piece, append_pieces, read_sentencepiece
from albatross.tokenizer.tokenizer_json import JsonTokenizer
from albatross.tokenizer.training import train_unigram
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")


def differing(tokenizer, texts) -> list[str]:
    exported = JsonTokenizer(tokenizer_json(tokenizer))
    pairs = zip(texts, tokenizer.encode_batch(texts), exported.encode_batch(texts), strict=True)
    return [text for text, ours, theirs in pairs if ours != theirs]


@pytest.mark.parametrize("setting", range(4))
def test_ids_of_the_published_model_are_ours_in_every_trap(expected, published_model, setting):
    switches = Normalizer(**expected["models"]["published"]["runs"][setting]["setting"])
    tokenizer = UnigramTokenizer.from_file(published_model, switches)
    assert differing(tokenizer, expected["texts"]) == []


@pytest.mark.parametrize("setting", range(4))
def test_only_numbers_before_a_comma_may_differ(expected, tiny_model, setting):
    switches = Normalizer(**expected["models"]["tiny"]["runs"][setting]["setting"])
    tokenizer = UnigramTokenizer.from_file(tiny_model, switches)
    found = differing(tokenizer, expected["texts"])
    assert len(found) == 11  # of 151: most of this vocabulary's pieces of digits end in a comma
    assert all(re.search("[0-9],", "".join(tokenizer.surface_words(text))) for text in found)


def test_no_piece_that_ends_in_a_digit_and_a_comma_is_chosen(expected, tiny):
    exported = JsonTokenizer(tokenizer_json(tiny))
    pieces = {exported.pieces[n] for ids in exported.encode_batch(expected["texts"]) for n in ids}
    assert not [piece for piece in pieces if piece[-1:] == "," and piece[-2:-1].isdigit()]


@pytest.mark.parametrize("words", [BasicWords(), BasicWords(False), BasicWords(True, False, False)])
def test_ids_of_a_wordpiece_vocabulary_are_ours(tiny_vocab, words):
    tokenizer = WordPieceTokenizer.from_file(tiny_vocab, words)
    texts = ["The Gulls, unaffable!", "信天翁在海上、海鸟也在。", "Café É ß (2012)", "a" * 101, ""]
    assert differing(tokenizer, texts) == []


@pytest.mark.parametrize("mark", ["(", "–"])  # noqa: RUF001 - one byte and three
def test_marks_that_stand_alone_are_weighed_as_sentencepiece_does(tiny, mark):
    for score in np.arange(-4.0, -6.0, -0.05):
        model = append_pieces(tiny.model, [Piece(f"{mark}th", float(score))])
        assert differing(UnigramTokenizer(model), [f"a {mark}the", f"{mark}th"]) == []


@pytest.mark.parametrize(
    ("preset", "size"), [("chinese", 38), ("japanese", 40), ("own-language", 26)]
)
def test_marks_that_are_kept_from_the_clean_up_keep_their_ids(preset, size):
    text = "「海，ｶ？」（好…）～—ＡＢ! (a, b)"  # noqa: RUF001 (full-width marks)
    tokenizer = train_unigram(
        [text] * 3,
        size,
        character_rule=PRESETS[preset].character_rule,
        normalizer=PRESETS[preset].normalizer,
        user_defined_symbols=PRESETS[preset].user_defined_symbols,
    )
    assert differing(tokenizer, [text, text[::-1]]) == []


@pytest.mark.parametrize("spaces", [True, False], ids=["one space", "all spaces"])
@pytest.mark.parametrize(
    "options",
    [
        {"byte_fallback": True},
        {"add_dummy_prefix": False},
        {"remove_extra_whitespaces": False},
        {"byte_fallback": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False},
    ],
    ids=", ".join,
)
def test_a_model_with_other_switches_keeps_its_ids(options, spaces):
    out, size = BytesIO(), 290 if "byte_fallback" in options else 30
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the gulls sail over the grey sea to the old house"] * 3),
        model_writer=out,
        vocab_size=size,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    tokenizer = UnigramTokenizer(out.getvalue(), Normalizer(remove_space=spaces))
    texts = ["the 海 gull", "  the  grey sea ", "a\u200bgull", "é ünd ß", "🐦🐦 sea", "", "  "]
    assert differing(tokenizer, texts) == []
    ids = tokenizer.encode("the é sea" if "byte_fallback" in options else "the grey sea")
    assert JsonTokenizer(tokenizer_json(tokenizer)).decode(ids) == tokenizer.decode(ids)


def test_special_pieces_leave_the_least_score_as_it_is(tiny):
    vocabulary = json.loads(tokenizer_json(tiny))["model"]["vocab"]
    least = read_sentencepiece(tiny.model).least_score
    assert [score for _, score in vocabulary[:5]] == [least] * 5


def test_the_same_tokenizer_gives_the_same_file(tiny, tiny_model, vocabulary):
    assert tokenizer_json(tiny) == tokenizer_json(UnigramTokenizer.from_file(tiny_model))
    again = WordPieceTokenizer(list(vocabulary.pieces))
    assert tokenizer_json(vocabulary) == tokenizer_json(again)


def test_a_published_vocabulary_takes_less_than_three_megabytes(published_model):
    content = tokenizer_json(UnigramTokenizer.from_file(published_model))
    assert len(content.encode()) < 3_000_000


def test_what_the_settings_say_beside_is_kept(tiny, tmp_path):
    switches = Normalizer(do_lower_case=False)
    tokenizer = UnigramTokenizer(tiny.model, switches)
    tokenizer.save(tmp_path)
    write_tokenizer_json(tokenizer, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert UnigramTokenizer.from_folder(tmp_path).normalizer == switches


def test_a_json_is_written_as_it_is(tiny, tmp_path):
    tokenizer = JsonTokenizer(tokenizer_json(tiny))
    write_tokenizer_json(tokenizer, tmp_path)
    assert JsonTokenizer.from_folder(tmp_path).content == tokenizer.content


def test_decoding_gives_our_text(tiny):
    exported = JsonTokenizer(tokenizer_json(tiny))
    ids = [tiny.cls_id, *tiny.encode("The gulls (in 2012) left."), tiny.sep_id]
    assert exported.decode(np.array(ids)) == tiny.decode(ids) == "the gulls (in 2012) left."


def test_without_the_library_the_extra_is_named(tiny, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"albatross\[hub\]"):
        write_tokenizer_json(tiny, tmp_path)
    assert list(tmp_path.iterdir()) == []


# === In transformers ===


@pytest.fixture(params=["albert", "bert"])
def opened(request, tmp_path, tiny, vocabulary):
    """A folder's tokenizer, ours and as transformers opens it."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizer = tiny if request.param == "albert" else vocabulary
    tokenizer.save(tmp_path)
    write_tokenizer_json(tokenizer, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": request.param}))
    return tokenizer, transformers.AutoTokenizer.from_pretrained(tmp_path)


def test_transformers_follows_the_file(opened):
    ours, theirs = opened
    texts = ["The gulls (in 2012) - left.", '"sea" wind', "信天翁"]
    assert theirs(texts, add_special_tokens=False)["input_ids"] == ours.encode_batch(texts)


def test_transformers_frames_a_pair_as_albert_was_trained(opened):
    ours, theirs = opened
    one, two = ours.encode("the sea"), ours.encode("a gull")
    found = theirs("the sea", "a gull")
    assert found["input_ids"] == [ours.cls_id, *one, ours.sep_id, *two, ours.sep_id]
    assert found["token_type_ids"] == [0] * (len(one) + 2) + [1] * (len(two) + 1)


def test_transformers_finds_the_special_pieces(opened):
    ours, theirs = opened
    assert (theirs.pad_token_id, theirs.unk_token_id) == (ours.pad_id, ours.unk_id)
    assert (theirs.cls_token_id, theirs.sep_token_id) == (ours.cls_id, ours.sep_id)
    assert theirs.mask_token_id == ours.mask_id
    assert ours.mask_id in theirs("the [MASK] gull")["input_ids"]


def test_transformers_saves_what_it_read(opened, tmp_path):
    import transformers

    _, theirs = opened
    theirs.save_pretrained(tmp_path / "again")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again("(the gull)")["input_ids"] == theirs("(the gull)")["input_ids"]


def test_a_masked_word_in_transformers_keeps_its_neighbours(opened):
    ours, theirs = opened
    found = theirs("the [MASK] gull", add_special_tokens=False)["input_ids"]
    assert found == [*ours.encode("the"), ours.mask_id, *ours.encode("gull")]
