import subprocess
import sys

import pytest

from albatross.errors import DataError, TokenizerError
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.training import LONGEST_SENTENCE, train_unigram

STEMS = ["gull", "tern", "skua", "sail", "harbour", "storm", "calm", "north", "ring", "watch"]
ENDINGS = ["", "s", "ed", "ing", "er", "less", "ward", "y"]
LINES = [
    f"{STEMS[n % 10]}{ENDINGS[n % 8]} and {STEMS[n % 7].title()}{ENDINGS[n % 5]} ({n % 90}), {n}."
    for n in range(300)
]


@pytest.fixture(scope="module")
def trained():
    return train_unigram(LINES, 90)


def test_the_first_pieces_are_the_published_ones(trained):
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert trained.pieces[:13] == [*specials, *'()"-.–£€']  # noqa: RUF001
    assert trained.vocab_size == 90


def test_the_text_is_normalised_before_training(trained):
    assert not any(piece != piece.lower() for piece in trained.pieces[5:])
    assert trained.unk_id not in trained.encode("STÖRM ``gull''")


def test_the_same_lines_give_the_same_bytes(trained):
    assert train_unigram(iter(LINES), 90).model == trained.model


def test_another_process_gives_the_same_bytes():
    code = (
        "from albatross.tokenizer.training import train_unigram\n"
        f"print(train_unigram({LINES!r}, 80, max_sentences=100, seed=3).sha256)"
    )
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    here = train_unigram(LINES, 80, max_sentences=100, seed=3)
    assert found.stdout.strip() == here.sha256
    assert found.stderr == ""


def test_a_sample_depends_on_its_seed_alone():
    first, again, other = (
        train_unigram(LINES, 80, max_sentences=60, seed=seed) for seed in (1, 1, 2)
    )
    assert first.model == again.model
    assert first.model != other.model


def test_lines_above_the_limit_are_read_once_and_sampled():
    lines = iter(LINES)
    tokenizer = train_unigram(lines, 60, max_sentences=40)
    assert next(lines, None) is None
    assert tokenizer.model != train_unigram(LINES, 60).model


@pytest.mark.parametrize("line", [" ".join(LINES), "gull" * LONGEST_SENTENCE])
def test_long_lines_are_not_left_out(line):
    tokenizer = train_unigram([line], 60 if " " in line else 18)
    assert tokenizer.unk_id not in tokenizer.encode("gull")


def test_training_is_quiet(capfd):
    train_unigram(LINES, 60)
    assert capfd.readouterr() == ("", "")


def test_the_normaliser_is_kept():
    tokenizer = train_unigram(LINES, 85, normalizer=Normalizer(do_lower_case=False))
    assert any(piece != piece.lower() for piece in tokenizer.pieces[5:])
    assert not tokenizer.normalizer.do_lower_case


def test_own_symbols_always_stand_alone():
    tokenizer = train_unigram(LINES, 85, user_defined_symbols=["ull"])
    pieces = [tokenizer.pieces[number] for number in tokenizer.encode("gulls skull")]
    assert pieces.count("ull") == 2


def test_too_little_text_names_the_largest_size_that_works():
    with pytest.raises(TokenizerError, match=r"Ask for (\d+) or fewer") as caught:
        train_unigram(LINES, 5000)
    largest = int(str(caught.value).split("Ask for ")[1].split()[0])
    assert train_unigram(LINES, largest).vocab_size == largest


def test_too_small_a_size_names_the_least_that_works():
    with pytest.raises(TokenizerError, match=r"Ask for (\d+) or more") as caught:
        train_unigram(LINES, 20)
    least = int(str(caught.value).split("Ask for ")[1].split()[0])
    assert train_unigram(LINES, least).vocab_size == least


@pytest.mark.parametrize("lines", [[], ["", "  ", "\t"], ["\0"]])
def test_a_corpus_without_text_is_refused(lines):
    with pytest.raises(TokenizerError, match="needs text"):
        train_unigram(lines, 100)


@pytest.mark.parametrize("size", [0, -5])
def test_a_size_that_is_none_is_refused_in_one_line(size):
    with pytest.raises(TokenizerError, match=f"vocab_size={size}") as caught:
        train_unigram(LINES, size)
    assert "\n" not in str(caught.value)


def test_odd_characters_do_not_stop_training():
    odd = ["a\0b", "▁x", "\ud800", "t\tb", "\x1b[0m", "\ufeff"]
    assert train_unigram([*LINES, *odd], 80).vocab_size == 80


def test_an_error_in_the_lines_is_not_swallowed():
    def broken():
        yield "one"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train_unigram(broken(), 50)


def test_one_string_is_no_corpus():
    with pytest.raises(DataError, match="list of texts"):
        train_unigram("one line", 50)
