from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tasks.check_task import TOKENIZER, answer_of, check_task, learned

from albatross.data.records import WordsRecord
from albatross.errors import DataError, LabelError
from albatross.tasks.answers import EntitiesAnswer
from albatross.tasks.options import TaskOptions
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task import score
from albatross.tasks.words import TextWords

TEXT = "the gull and the tern flew over the harbour in a storm"
LONG = tuple(TEXT.split() * 6)
RECORDS = [
    WordsRecord(("Ann", "Lee", "saw", "Cork", "."), ("B-PER", "I-PER", "O", "B-LOC", "O")),
    WordsRecord(LONG, ("O", "B-LOC", "I-LOC", *["O"] * (len(LONG) - 3))),
    WordsRecord(("\x00", "\u6d77\u9e25", "\U0001f426", "x" * 400), ("O", "B-PER", "B-LOC", "O")),
]


def task_of(records=RECORDS, **options) -> TaggingTask:
    return TaggingTask.from_records("names", records, TOKENIZER, TaskOptions(**options))


def tagged(task, record, tags):
    """What a task answers where the head is sure of these tags."""
    examples = task.features(record)
    rows = []
    for example in examples:
        logits = np.zeros((len(example.input_ids), len(task.labels)))
        for word, column in zip(example.origin.words, example.origin.columns, strict=True):
            logits[column, task.labels.index(tags[word])] = 9.0
        rows.append(logits)
    return task.answer({task.head: np.concatenate(rows)}, record, examples)


@pytest.mark.parametrize("options", [{"max_length": 12}, {"max_length": 40, "stride": 5}, {}])
def test_tags_do_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_tags_by_heart():
    tags = {"Ann": "B-PER", "Lee": "I-PER", "Cork": "B-LOC"}
    texts = ("Ann Lee saw sea", "saw Ann", "sea Cork saw", "Cork saw Ann Lee", "Ann sea", "saw sea")
    words = [tuple(text.split()) for text in texts]
    records = [WordsRecord(each, tuple(tags.get(word, "O") for word in each)) for each in words]
    task = task_of(records)
    assert score(task, learned(task, records, steps=80), records)["accuracy"] == 1


# === Capitals ===


def test_pieces_of_words_with_capitals_are_of_the_second_type():
    task = task_of()
    assert task.capitals  # for the vocabulary has none
    record = WordsRecord(("Ann", "saw", "McLee", "in", "CORK", "2nd"))
    (example,) = task.features(record)
    of_word = np.searchsorted(example.origin.columns, np.arange(len(example.input_ids)), "right")
    inside = slice(1, len(example.input_ids) - 1)
    capital = np.array([1, 0, 1, 0, 1, 0])[of_word[inside] - 1]
    assert example.token_type_ids[inside].tolist() == capital.tolist()
    assert example.token_type_ids[[0, -1]].tolist() == [0, 0]


def test_a_model_tells_a_name_from_the_same_word_by_its_capital_alone():
    names, words = (
        WordsRecord((w, "gull"), (t, "O")) for w, t in (("Cork", "B-LOC"), ("cork", "O"))
    )
    task = task_of([names, words])
    assert score(task, learned(task, [names, words], steps=80), [names, words])["accuracy"] == 1


def test_a_folder_of_earlier_versions_reads_no_capitals():
    stored = {k: v for k, v in task_of().to_dict().items() if k != "capitals"}
    old = TaggingTask.from_dict("names", stored, TOKENIZER)
    assert not old.features(RECORDS[0])[0].token_type_ids.any()


# === Labels ===


def test_every_type_has_a_beginning_and_an_inside():
    assert task_of().labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert task_of(labels=("PER", "LOC", "ORG")).types == ("LOC", "ORG", "PER")
    listed = ("O", "B-LOC", "B-PER", "I-PER", "I-LOC")
    assert task_of(labels=listed).labels == listed


def test_the_first_piece_of_each_word_is_labelled_once():
    for max_length in (8, 16, 128):
        task = task_of(max_length=max_length)
        found = [
            (word, int(np.asarray(example.labels["classifier"])[column]))
            for example in task.features(RECORDS[1])
            for word, column in zip(example.origin.words, example.origin.columns, strict=True)
        ]
        expected = [task.labels.index(tag) for tag in RECORDS[1].tags or ()]
        assert sorted(found) == list(enumerate(expected))


def test_other_pieces_have_no_label():
    (example,) = task_of().features(RECORDS[0])
    labels = np.asarray(example.labels["classifier"])
    assert (labels != -100).sum() == len(RECORDS[0].words)
    pieces = TOKENIZER.encode("Ann")
    assert len(pieces) > 1
    assert labels[: len(pieces) + 2].tolist() == [-100, 3, *[-100] * (len(pieces) - 1), 4]


def test_the_pieces_are_those_of_the_words_with_spaces_between():
    (example,) = task_of().features(RECORDS[0])
    assert example.input_ids[1:-1].tolist() == TOKENIZER.encode("Ann Lee saw Cork .")


# === Answers ===


@pytest.mark.parametrize("max_length", [8, 24, 128])
def test_every_word_has_the_tag_of_its_first_piece(max_length):
    task = task_of(max_length=max_length)
    for record in RECORDS[:2]:
        assert tagged(task, record, record.tags).tags == record.tags


def test_an_inside_that_continues_nothing_becomes_a_beginning():
    tags = ("I-PER", "I-PER", "I-LOC", "O", "I-LOC")
    answer = tagged(task_of(), RECORDS[0], tags)
    assert answer.tags == ("B-PER", "I-PER", "B-LOC", "O", "B-LOC")
    assert [entity.type for entity in answer.entities] == ["PER", "LOC", "LOC"]


def test_entities_are_cut_from_the_text():
    task = task_of()
    record = task.record("(Ann Lee saw  Cork.)")
    assert record.words == ("(", "Ann", "Lee", "saw", "Cork", ".", ")")
    answer = tagged(task, record, ("O", "B-PER", "I-PER", "O", "B-LOC", "O", "O"))
    assert [(e.type, e.text, e.start, e.end) for e in answer.entities] == [
        ("PER", "Ann Lee", 1, 8),
        ("LOC", "Cork", 14, 18),
    ]
    assert all(0.9 < entity.score < 1 for entity in answer.entities)


def test_entities_of_words_are_cut_from_the_words_with_spaces_between():
    answer = tagged(task_of(), RECORDS[0], RECORDS[0].tags)
    assert [(e.text, e.start, e.end) for e in answer.entities] == [
        ("Ann Lee", 0, 7),
        ("Cork", 12, 16),
    ]


def test_a_word_without_any_piece_is_outside():
    task = task_of(labels=("B-PER", "I-PER", "B-LOC", "I-LOC", "O"))
    record = WordsRecord(("", "Cork"))
    assert len(task.features(record)[0].origin.words) == 1
    assert tagged(task, record, ("B-PER", "B-LOC")).tags == ("O", "B-LOC")


@given(st.text(max_size=60))
def test_any_text_is_tagged_word_by_word(text):
    task = task_of(max_length=16)
    record = task.record(text)
    assert isinstance(record, TextWords)
    assert [text[start:end] for start, end in record.spans] == list(record.words)
    assert len(answer_of(task, record).tags) == len(record.words)
    assert "".join(record.words).replace(" ", "") == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't pay $3.50, well-known", ["don't", "pay", "$", "3.50", ",", "well-known"]),
        ("U.S. \u00a31,000", ["U.S", ".", "\u00a3", "1,000"]),
        (" ", []),
    ],
)
def test_a_text_is_split_into_words_and_signs(text, words):
    assert list(task_of().record(text).words) == words


# === Figures ===


def test_an_entity_is_right_as_a_whole():
    task = task_of()
    answers = [EntitiesAnswer((), ("B-PER", "O", "O", "B-LOC", "O"))]
    figures = score(task, answers, RECORDS[:1])
    assert (figures["f1"], figures["f1_LOC"], figures["f1_PER"]) == (0.5, 1.0, 0.0)
    assert figures["accuracy"] == 0.8


def test_parts_of_speech_are_scored_by_words():
    records = [WordsRecord(("gulls", "fly"), ("NNS", "VB"))]
    task = task_of(records, labels=("NNS", "VB", "O"), metric="accuracy")
    answer = tagged(task, records[0], ("NNS", "NNS"))
    assert (answer.tags, answer.entities) == (("NNS", "NNS"), ())
    assert score(task, [answer], records) == {"accuracy": 0.5, "records": 1}


# === Records ===


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (WordsRecord(("a",), place="line 3"), "0 tags for 1 words in line 3"),
        (WordsRecord(("a", "b"), ("O",), place="line 3"), "1 tags for 2 words in line 3"),
        (WordsRecord(("a",), ("B-ORG",), place="line 3"), r"Received: 'B-ORG' in line 3"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_its_place(record, message):
    with pytest.raises(LabelError, match=message):
        task_of().check([record])


@pytest.mark.parametrize(("tag", "message"), [("PER", "must be O, B-TYPE"), ("O", "beside O")])
def test_tags_without_a_type_are_none_to_learn(tag, message):
    with pytest.raises(LabelError, match=message):
        task_of([WordsRecord(("a",), (tag,))])


def test_words_may_be_given_as_they_are():
    for given_words in (("a", "b"), {"words": ["a", "b"]}):
        assert task_of().record(given_words) == WordsRecord(("a", "b"))
    number: Any = 3
    with pytest.raises(DataError, match="a text or a tuple of words"):
        task_of().record(number)
