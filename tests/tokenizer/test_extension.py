import json
import pickle

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from albatross.errors import DataError, TokenizerError
from albatross.rehearsal.grammar import compose_documents
from albatross.tokenizer.extension import extend
from albatross.tokenizer.json_export import tokenizer_json
from albatross.tokenizer.tokenizer_json import JsonTokenizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

# None of them begins a word of the rehearsal's texts.
WORDS = ["Gannet", "gannetry", "covid19", "xenolith", "müsli"]
KINDS = ["unigram", "wordpiece", "json unigram", "json wordpiece"]
# Every word stands behind a space: behind a bracket a piece has no word mark.
FRAMES = ["{}", "the {} is", "a sea {}.", "{}, {}; {}!", "in 2012, {}'s ship ( {} )"]
TEXTS = st.text(st.sampled_from("abcdeghilmnorstuvxy019 ,.('\"-éß海\u0301"))


@pytest.fixture(scope="module", params=KINDS)
def old(request, tiny, vocabulary):
    made = vocabulary if "wordpiece" in request.param else tiny
    if "json" not in request.param:
        return made
    pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    return JsonTokenizer(tokenizer_json(made))


@pytest.fixture(scope="module")
def extension(old):
    return extend(old, WORDS)


def begins_with_a_new_word(text: str) -> bool:
    words = ["gannet", "covid19", "xenolith", "musli"]
    plain = text.lower().replace("ü", "u").replace("\u0301", "")
    return any(word in plain for word in words)


def test_new_ids_follow_the_old_vocabulary(old, extension):
    new = extension.tokenizer
    assert type(new) is type(old)
    assert new.vocab_size == old.vocab_size + len(WORDS)
    assert new.pieces[: old.vocab_size] == old.pieces


def test_each_new_word_is_its_piece_wherever_it_stands(old, extension):
    for number, word in enumerate(WORDS, old.vocab_size):
        for frame in FRAMES:
            ids = extension.tokenizer.encode(frame.replace("{}", word))
            assert ids.count(number) == frame.count("{}"), (word, frame)


def test_the_old_pieces_of_each_new_word_are_kept(old, extension):
    assert extension.pieces_of == [old.encode(word) for word in WORDS]


def test_texts_of_the_rehearsal_keep_their_ids(old, extension):
    texts = [line for document in compose_documents(40, seed=3) for line in document]
    assert not any(map(begins_with_a_new_word, texts))
    assert extension.tokenizer.encode_batch(texts) == old.encode_batch(texts)


@settings(max_examples=200)
@given(text=TEXTS)
def test_texts_without_the_new_words_keep_their_ids(old, extension, text):
    assume(not begins_with_a_new_word(text))
    assert extension.tokenizer.encode(text) == old.encode(text)


def test_a_saved_extension_reads_back_the_same(extension, tmp_path):
    tokenizer = extension.tokenizer
    tokenizer.save(tmp_path)
    again = type(tokenizer).from_folder(tmp_path)
    assert again.pieces == tokenizer.pieces
    assert again.encode("a gannet") == tokenizer.encode("a gannet")
    assert pickle.loads(pickle.dumps(tokenizer)).pieces == tokenizer.pieces


def test_known_words_are_skipped(old):
    extension = extend(old, ["the", "gannet"])
    assert extension.tokenizer.vocab_size == old.vocab_size + 1
    assert len(extension.pieces_of) == 1
    assert extend(old, ["the"]).tokenizer is old


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["two words"], "'two words', which is"),
        ([""], "leaves nothing"),
        (["\u0301"], "leaves nothing"),
        (["gannet", "GANNET"], "'gannet' and 'GANNET'"),
        ("gannet", "must be a list"),
        ([7], "no string"),
    ],
)
def test_what_is_no_new_word_is_refused(tiny, vocabulary, words, reason):
    for old in (tiny, vocabulary):
        with pytest.raises(DataError, match=reason):
            extend(old, words)


def test_a_word_that_the_comma_rule_would_cut_is_refused(tiny):
    with pytest.raises(TokenizerError, match="one piece"):
        extend(tiny, ["gannet7,"])


def test_a_word_with_punctuation_is_refused_where_it_is_cut(tiny, vocabulary):
    assert len(extend(tiny, ["rock-n-roll"]).pieces_of) == 1
    with pytest.raises(DataError, match="'rock', '-'"):
        extend(vocabulary, ["rock-n-roll"])


def test_a_longer_word_wins_over_a_new_one_inside_it(tiny):
    tokenizer = extend(tiny, ["gannetry", "gannet", "gannetrys"]).tokenizer
    numbers = [tokenizer.encode(word)[0] - 280 for word in ("gannetry", "gannet", "gannetrys")]
    assert numbers == [0, 1, 2]


def test_new_words_come_out_at_the_end_of_a_long_text_too(tiny):
    tokenizer = extend(tiny, ["gannetry", "gannet", "gannetrys"]).tokenizer
    ids = tokenizer.encode("The keeper lit the lamp, again. " * 3000 + "gannet gannetry gannetrys")
    assert ids[-3:] == [281, 280, 282]


@pytest.mark.parametrize("word", ["a201", "w200", "x1", "ta12", "gannet2012", "b199"])
def test_a_comma_behind_digits_leaves_the_new_word_whole(tiny, word):
    tokenizer = extend(tiny, [word]).tokenizer
    pieces = [tokenizer.pieces[number] for number in tokenizer.encode(f"the {word}, and")]
    assert pieces[1:3] == [f"▁{word}", ","]


def test_a_new_word_leaves_longer_old_ones_whole(published_model):
    tokenizer = extend(UnigramTokenizer.from_file(published_model), ["hydrog", "lighth"]).tokenizer
    pieces = [tokenizer.pieces[n] for n in tokenizer.encode("hydrogen lighthouse hydrog")]
    assert pieces == ["▁hydrogen", "▁lighthouse", "▁hydrog"]


def test_added_pieces_keep_a_json_of_this_type_from_growing(tiny):
    pytest.importorskip("tokenizers", reason="the tokenizers library is not installed")
    values = json.loads(tokenizer_json(tiny))
    values["added_tokens"].append({**values["added_tokens"][0], "id": 280, "content": "[NEW]"})
    with pytest.raises(TokenizerError, match="type Unigram, 280 of 281"):
        extend(JsonTokenizer(json.dumps(values)), ["gannet"])


def test_ids_of_the_published_vocabulary_stay(published_model):
    old = UnigramTokenizer.from_file(published_model)
    new = extend(old, ["hydroxychloroquine", "dexa2020"]).tokenizer
    texts = [line for document in compose_documents(100, seed=4) for line in document]
    assert new.encode_batch(texts) == old.encode_batch(texts)
    assert new.encode("dexa2020, hydroxychloroquine") == [30001, 15, 30000]


def test_a_word_of_a_hundred_and_one_characters_is_refused(vocabulary):
    assert isinstance(extend(vocabulary, ["a" * 100]).tokenizer, WordPieceTokenizer)
    with pytest.raises(TokenizerError, match="one piece"):
        extend(vocabulary, ["a" * 101])
