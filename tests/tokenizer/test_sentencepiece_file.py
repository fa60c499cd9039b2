import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albatross.errors import TokenizerError
from albatross.tokenizer.sentencepiece_file import (
    USER_DEFINED,
    Piece,
    append_pieces,
    best_score,
    read_sentencepiece,
)
from albatross.tokenizer.unigram import UnigramTokenizer


def test_pieces_are_those_of_the_library(tiny):
    assert [piece.text for piece in read_sentencepiece(tiny.model).pieces] == tiny.pieces


def test_marks_that_stand_alone_are_user_defined(tiny):
    file = read_sentencepiece(tiny.model)
    found = {piece.text for piece in file.pieces if piece.type == USER_DEFINED}
    assert {"(", ")", '"', "-", "."} <= found


def test_the_library_reads_pieces_that_were_appended(tiny):
    model = append_pieces(tiny.model, [Piece("▁gannet", -3.5)])
    again = UnigramTokenizer(model)
    assert again.pieces == [*tiny.pieces, "▁gannet"]
    assert again._processor.get_score(tiny.vocab_size) == -3.5


@settings(max_examples=100)
@given(text=st.text('thegulsin 2013,.(-"x', min_size=1).filter(str.strip))
def test_the_best_cut_is_as_good_as_the_library_s(tiny, text):
    file = read_sentencepiece(tiny.model)
    scores, unknown = file.scores(), file.least_score - 10
    pieces = tiny._processor.encode(tiny.normalizer.normalize(text), out_type=str)
    theirs = sum(scores.get(piece, unknown * len(piece)) for piece in pieces)
    assert best_score("".join(pieces), scores, unknown) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("size", [1, 100, 5_000])
def test_a_damaged_model_is_refused(tiny, size):
    with pytest.raises(TokenizerError, match="must be whole"):
        read_sentencepiece(tiny.model[:size])
