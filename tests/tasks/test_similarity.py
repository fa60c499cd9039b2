import numpy as np
import pytest
from tests.tasks.check_task import TOKENIZER, answer_of, check_task, learned

from albatross.data.records import TextRecord
from albatross.errors import ConfigError, LabelError
from albatross.tasks.answers import EmbeddingAnswer, SimilarityAnswer
from albatross.tasks.options import TaskOptions
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.task import score
from albatross.tasks.word_part import word_part

LONG = "the gull and the tern flew over the harbour in a storm " * 6
RECORDS = [
    TextRecord("A gull.", "A tern.", "3.5"),
    TextRecord("", "a", "0"),
    TextRecord(LONG, "\u6d77 \U0001f426", "1"),
    TextRecord("sea", LONG, "5"),
]


def task_of(records=RECORDS, **options) -> SimilarityTask:
    return SimilarityTask.from_records("alike", records, TOKENIZER, TaskOptions(**options))


@pytest.mark.parametrize("options", [{"max_length": 12}, {"max_length": 24, "stride": 6}, {}])
def test_a_similarity_does_what_every_task_does(options):
    task = task_of(**options)
    check_task(task, RECORDS, task.inputs.max_length)


def test_a_tiny_model_learns_similarities_by_heart():
    words = ("gull", "tern", "storm", "sea")
    records = [TextRecord(a, b, str(5 * (a == b))) for a in words for b in words]
    task = task_of(records)
    figures = score(task, learned(task, records, steps=150), records)
    assert figures["pearson"] > 0.98


def test_pairs_without_labels_are_told_apart():
    pairs = [("gull", "tern"), ("storm", "rain"), ("sea", "harbour"), ("flew", "over")]
    task = task_of([TextRecord(*pair) for pair in pairs])
    assert task.loss == "contrastive"
    asked = [TextRecord(first, second) for first, _ in pairs for _, second in pairs]
    answers = learned(task, [TextRecord(*pair) for pair in pairs], asked=asked)
    scores = np.array([answer.score for answer in answers]).reshape(4, 4)
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


def test_labels_become_cosines_from_nought_to_one():
    labels = [task_of().features(record)[0].labels["heads.embedding"] for record in RECORDS]
    assert labels == pytest.approx([0.7, 0.0, 0.2, 1.0])
    sides = [e.labels["heads.embedding.side"] for e in task_of(max_length=24).features(RECORDS[2])]
    assert sides == sorted(sides)
    assert sides.count(0) > 5


def test_an_answer_is_on_the_scale_of_the_labels():
    task = task_of()
    examples = task.features(RECORDS[0])
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]])
    answer = task.answer({task.head: vectors}, RECORDS[0], examples)
    assert isinstance(answer, SimilarityAnswer)
    assert answer.score == pytest.approx(3.0)


def test_windows_of_a_text_speak_with_their_mean():
    task = task_of(max_length=24)
    examples = task.features(RECORDS[3])
    vectors = np.array(
        [[1.0, 0.0]] + [[[0.6, 0.8], [0.6, -0.8]][i % 2] for i in range(len(examples) - 1)]
    )
    if len(examples) % 2 == 0:
        vectors[-1] = [1.0, 0.0]
    answer = task.answer({task.head: vectors}, RECORDS[3], examples)
    assert isinstance(answer, SimilarityAnswer)
    assert answer.score == pytest.approx(5.0)


def test_one_text_has_a_vector_of_unit_length():
    answer = answer_of(task_of(max_length=24), TextRecord(LONG))
    assert isinstance(answer, EmbeddingAnswer)
    assert np.linalg.norm(answer.vector) == pytest.approx(1)
    assert task_of().features(TextRecord(LONG, None, "3"))[0].labels == {}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([TextRecord("a", None, "1", place="line 2"), *RECORDS], "one text, 'a' in line 2"),
        ([TextRecord("a", "b", "1")], "two different numbers"),
        ([TextRecord("a", "b", "much", place="line 2"), *RECORDS], "'much' in line 2"),
        ([TextRecord("a", "b", place="line 2"), *RECORDS], "without, the first of them 'a'"),
    ],
)
def test_what_cannot_be_learned_is_refused(records, message):
    with pytest.raises(LabelError, match=message):
        task_of(records)


def test_pairs_without_labels_cannot_be_scored():
    with pytest.raises(LabelError, match="must carry a label"):
        task_of([TextRecord("a", "b")]).check([TextRecord("a", "b")])


@pytest.mark.parametrize("changed", [{"high": 0}, {"low": "x"}, {"loss": None, "head": None}])
def test_a_damaged_task_is_refused(changed):
    values = {**task_of().to_dict(), **changed}
    with pytest.raises(ConfigError, match="Received"):
        SimilarityTask.from_dict("alike", values, TOKENIZER).heads  # noqa: B018


# === Words ===


def vector_of(task, text, learned_vectors=((1.0, 0.0, 0.0, 0.0),)):
    """The vector of a text of one window, for which the model says the same."""
    record = TextRecord(text)
    answer = task.answer({task.head: np.array(learned_vectors)}, record, task.features(record))
    assert isinstance(answer, EmbeddingAnswer)
    return answer.vector


def test_half_of_a_vector_is_that_of_the_words():
    task = task_of(word_share=0.25)
    vector = vector_of(task, "gull tern storm")
    assert vector[:4] == pytest.approx([0.75**0.5, 0, 0, 0])
    ids = np.array(TOKENIZER.encode("gull tern storm"))
    assert vector[4:] == pytest.approx(0.5 * word_part(ids, 4))
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_a_cosine_is_the_mean_of_two():
    task = task_of([*RECORDS], word_share=0.3)
    pair = TextRecord("gull storm", "storm gull")
    vectors = np.array([[1.0, 0.0], [0.6, 0.8]])
    answer = task.answer({task.head: vectors}, pair, task.features(pair))
    assert isinstance(answer, SimilarityAnswer)
    assert answer.score == pytest.approx(5 * (0.7 * 0.6 + 0.3 * 1.0))


def test_words_of_all_windows_count():
    task = task_of(word_share=1.0, max_length=24)
    count = len(task.features(TextRecord(LONG)))
    assert count > 3
    cut = vector_of(task, LONG, [[1.0, *[0.0] * 63]] * count)
    whole = vector_of(task_of(word_share=1.0, max_length=512), LONG, [[1.0, *[0.0] * 63]])
    assert cut == pytest.approx(whole)


def test_a_text_without_words_has_a_vector_too():
    vector = vector_of(task_of(word_share=0.5), "")
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_the_share_of_words_is_kept_and_folders_of_before_have_none():
    values = task_of(word_share=0.4).to_dict()
    assert SimilarityTask.from_dict("alike", values, TOKENIZER).word_share == 0.4
    del values["word_share"]
    assert SimilarityTask.from_dict("alike", values, TOKENIZER).word_share == 0.0
    with pytest.raises(ConfigError, match=r"from 0 to 1\. Received: 1\.5"):
        SimilarityTask.from_dict("alike", {**values, "word_share": 1.5}, TOKENIZER)


def test_words_are_for_similarities_alone():
    with pytest.raises(ConfigError, match="no use for `word_share`"):
        RegressionTask.from_records("grade", RECORDS, TOKENIZER, TaskOptions(word_share=0.5))
