import pytest

from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.unigram import UnigramTokenizer

SETTINGS = range(4)


def check_ids(path, recorded, texts, setting):
    """Compare each text with what the slow tokenizer of transformers 4.57.6 gave."""
    run = recorded["runs"][setting]
    tokenizer = UnigramTokenizer.from_file(path, Normalizer(**run["setting"]))
    assert tokenizer.sha256 == recorded["sha256"]
    for text, ids, found in zip(texts, run["ids"], tokenizer.encode_batch(texts), strict=True):
        assert found == ids, text
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.encode_with_offsets(text).ids.tolist() == ids, text


@pytest.mark.parametrize("setting", SETTINGS)
def test_ids_of_a_small_model_equal_the_slow_tokenizer(expected, tiny_model, setting):
    check_ids(tiny_model, expected["models"]["tiny"], expected["texts"], setting)


@pytest.mark.parametrize("setting", SETTINGS)
def test_ids_of_the_published_model_equal_the_slow_tokenizer(expected, published_model, setting):
    check_ids(published_model, expected["models"]["published"], expected["texts"], setting)


def test_the_record_meets_the_comma_rule_often(expected, tiny):
    run = expected["models"]["tiny"]["runs"][0]
    plain = [tiny._processor.encode(tiny.normalizer.normalize(text)) for text in expected["texts"]]
    assert sum(ids != recorded for ids, recorded in zip(plain, run["ids"], strict=True)) >= 10


def test_published_ids_known_from_elsewhere(published_model):
    cased_accents = UnigramTokenizer.from_file(published_model, Normalizer(keep_accents=True))
    ids = cased_accents.encode("I was born in 92000, and this is falsé.")
    assert ids == [31, 23, 386, 19, 561, 3050, 15, 17, 48, 25, 8256, 18, 1, 9]
