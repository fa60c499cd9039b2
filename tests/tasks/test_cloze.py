import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, DataError
from albatross.tasks.cloze import LABEL, PATTERNS, Cloze, Pattern, patterns_of
from albatross.tasks.verbalizer import Verbalizer

WORDS = Verbalizer.from_words({"yes": ("the", "bad"), "no": ("it",)}, TOKENIZER)
TEXT = TextRecord("the gull flew", label="yes")


def cloze(pattern="{text} It was [MASK].", max_length=40) -> Cloze:
    return Cloze(Pattern(pattern), WORDS, TOKENIZER, max_length)


def shown(example):
    """A sequence as text, specials written out."""
    special = {TOKENIZER.cls_id: "<", TOKENIZER.sep_id: ">", TOKENIZER.mask_id: "_"}
    parts: list[str] = []
    plain: list[int] = []
    for token in example.input_ids.tolist():
        if token in special:
            parts += [TOKENIZER.decode(plain), special[token]]
            plain = []
        else:
            plain.append(token)
    return "".join(parts)


def test_a_record_has_a_sentence_for_each_length_of_words():
    one, three = cloze().features(TEXT, 1)
    assert shown(one) == "<the gull flew it was_.>"
    assert shown(three) == "<the gull flew it was___.>"
    assert one.labels == three.labels == {LABEL: 1}


def test_a_mark_after_the_gap_is_joined_to_it():
    (one, _) = cloze().features(TEXT)
    after = one.input_ids[-2:].tolist()
    assert after == [TOKENIZER.encode("a.")[-1], TOKENIZER.sep_id]
    assert len(TOKENIZER.encode(".")) == 2


def test_a_mask_written_in_a_text_is_no_gap():
    (one, _) = cloze().features(TextRecord("what is [MASK] for"))
    assert (one.input_ids == TOKENIZER.mask_id).sum() == 1


def test_a_text_is_cut_and_the_pattern_is_not():
    (one, three) = cloze(max_length=24).features(TextRecord("gull " * 50))
    assert len(one.input_ids) == len(three.input_ids) == 24
    assert shown(one).endswith("it was_.>")


def test_a_pair_has_types_after_its_separator():
    record = TextRecord("the gull flew", "it did not " * 9)
    (one, _) = cloze("{text}. [SEP] [MASK], {text_pair}", 30).features(record)
    assert shown(one).startswith("<the gull flew.>_, it did")
    separator = int(np.flatnonzero(one.input_ids == TOKENIZER.sep_id)[0])
    assert (one.token_type_ids == (np.arange(30) > separator)).all()


def test_every_pattern_of_the_table_can_be_read():
    for name, sources in PATTERNS.items():
        assert [pattern.source for pattern in patterns_of([name, name])] == list(sources)
        assert {pattern.takes_pair for pattern in patterns_of([name])} == {name == "pair"}


@pytest.mark.parametrize("source", ["{text} It was good.", "[MASK] [MASK] {text}", "[MASK]."])
def test_a_pattern_has_one_gap_and_one_text(source):
    with pytest.raises(ConfigError, match=r"must hold `\[MASK\]` and `\{text\}` once"):
        Pattern(source)


def test_a_pattern_leaves_room_for_the_text():
    with pytest.raises(ConfigError, match="leaves 0 of 16"):
        cloze("{text} What would you say if it was a film? It was [MASK].", 16)


def test_a_pattern_for_one_text_refuses_a_pair():
    with pytest.raises(DataError, match=r"Received: '\{text\} It was .*' for line 3 with a pair"):
        cloze().check(TextRecord("a", "b", place="line 3"))
