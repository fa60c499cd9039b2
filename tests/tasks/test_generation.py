"""Writing a text for a text: what is read, what is answered, and how it is compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from albatross.data.records import SourceRecord
from albatross.engine.generation import NextWords, options_of, write_answers
from albatross.errors import ConfigError, DataError, LabelError
from albatross.tasks.answers import TextAnswer
from albatross.tasks.generation import GenerationTask
from albatross.tasks.options import TaskOptions
from albatross.tasks.task import score
from albatross.tokenizer.unigram import UnigramTokenizer

VOCABULARY = Path(__file__).parents[1] / "tokenizer" / "tiny.model"
RECORDS = [
    SourceRecord("the dog saw a cat", ("a cat saw the dog", "the dog did")),
    SourceRecord("two birds", ("birds, two of them",), place="line 3 of 'a.tsv'"),
]


@pytest.fixture(scope="module")
def tokenizer():
    return UnigramTokenizer.from_file(VOCABULARY)


@pytest.fixture(params=["cross", "prefix"])
def task(request, tokenizer):
    return GenerationTask("talk", tokenizer, decoder=request.param)


def outputs(task, *texts):
    """What a search would have found: these texts, from a score of -1 down."""
    ids = [task.tokenizer.encode(text) for text in texts]
    rows = np.full((len(ids), max(map(len, ids))), -1, dtype=np.float32)
    for row, one in zip(rows, ids, strict=True):
        row[: len(one)] = one
    return {"generation.ids": rows, "generation.scores": -1 - np.arange(len(ids), dtype=np.float32)}


def answers(*texts):
    return [TextAnswer(text, -1.0, {}) for text in texts]


def test_cross_reads_source_and_target_apart(tokenizer):
    (example,) = GenerationTask("talk", tokenizer).features(RECORDS[0])
    source, target = map(tokenizer.encode, (RECORDS[0].source, RECORDS[0].references[0]))
    assert example.target is not None
    assert example.input_ids.tolist() == [tokenizer.cls_id, *source, tokenizer.sep_id]
    assert example.target.input_ids.tolist() == [tokenizer.cls_id, *target, tokenizer.sep_id]
    assert not example.token_type_ids.any()


def test_prefix_reads_the_target_behind_the_source(tokenizer):
    (example,) = GenerationTask("talk", tokenizer, decoder="prefix").features(RECORDS[0])
    source, target = map(tokenizer.encode, (RECORDS[0].source, RECORDS[0].references[0]))
    ends = tokenizer.sep_id
    assert example.input_ids.tolist() == [tokenizer.cls_id, *source, ends, *target, ends]
    assert example.token_type_ids.tolist() == [0] * (len(source) + 2) + [1] * (len(target) + 1)
    assert example.target is None


def test_a_text_alone_is_read_as_before_writing(task):
    (example,) = task.features(task.record("the dog saw a cat"))
    expected = task.source(RECORDS[0])
    assert example.input_ids.tolist() == expected.input_ids.tolist()
    assert example.target is None
    assert not example.token_type_ids.any()


def test_long_texts_are_cut_before_their_ends(tokenizer):
    for kind in ("cross", "prefix"):
        task = GenerationTask("talk", tokenizer, decoder=kind, max_length=4, target_length=3)
        (example,) = task.features(RECORDS[0])
        read = example if example.target is None else example.target
        written = read.input_ids[4 if kind == "prefix" else 1 :]
        assert example.input_ids[3] == written[-1] == tokenizer.sep_id
        assert len(written) == 3


def test_the_best_text_found_is_the_answer(task):
    answer = task.answer(outputs(task, "a cat", "the dog", "a cat"), RECORDS[0], [])
    assert (answer.text, answer.score) == ("a cat", -1.0)
    assert answer.candidates == {"a cat": -1.0, "the dog": -2.0}
    assert json.loads(json.dumps(answer.to_dict()))["text"] == answer.line() == "a cat"


def test_every_id_is_read_but_what_stands_behind_the_end(task, monkeypatch):
    monkeypatch.setattr(task.tokenizer, "decode", str)
    found = {"generation.ids": np.array([[0, 7, -1]]), "generation.scores": np.zeros(1)}
    assert task.answer(found, RECORDS[0], []).text == "[0, 7]"


def test_an_empty_text_may_be_the_answer(task):
    found = {"generation.ids": np.full((1, 0), -1.0), "generation.scores": np.zeros(1)}
    assert task.answer(found, RECORDS[0], []).text == ""


def test_what_is_said_right_scores_full_marks(task):
    found = score(task, answers("the dog did", "birds, two of them"), RECORDS)
    for name in ("rouge1", "rougeL", "rougeLsum", "exact"):
        assert found[name] == pytest.approx(1.0)
    assert score(task, answers("a cat saw the dog"), RECORDS[:1])["bleu"] == pytest.approx(100)
    assert task.main_metric in found


def test_figures_are_those_of_the_public_scorers(task):
    bleu, rouge = pytest.importorskip("sacrebleu"), pytest.importorskip("rouge_score.rouge_scorer")
    said = ["a cat saw a dog", "two of them"]
    found = score(task, answers(*said), RECORDS)
    references = [[r.references[0] for r in RECORDS], [r.references[-1] for r in RECORDS]]
    assert found["bleu"] == pytest.approx(bleu.corpus_bleu(said, references).score, abs=1e-9)
    scorer = rouge.RougeScorer(["rougeL"])
    best = [
        scorer.score_multi(record.references, text)["rougeL"].fmeasure
        for text, record in zip(said, RECORDS, strict=True)
    ]
    assert found["rougeL"] == pytest.approx(np.mean(best))
    assert found["exact"] == 0


def test_metrics_of_drawn_rows_are_those_of_the_drawn_records(task):
    said = answers("a cat saw a dog", "two of them")
    judged = task.judge(said, RECORDS)
    drawn = [1, 0, 1]
    expected = score(task, [said[i] for i in drawn], [RECORDS[i] for i in drawn])
    assert task.metrics(judged[drawn]) == pytest.approx(expected)


def test_a_record_without_a_target_is_refused_by_its_place(task):
    task.check(RECORDS)
    for references in ((), ("  ",), ("fine", "")):
        with pytest.raises(LabelError, match=r"Received: none in line 3 of 'a\.tsv'"):
            task.check([SourceRecord("two birds", references, place="line 3 of 'a.tsv'")])


def test_a_record_is_made_of_what_a_pipeline_is_called_with(task):
    for given in (
        ("two", "birds"),
        {"source": "two", "references": ["birds"]},
        {"source": "two", "references": "birds"},
    ):
        assert task.record(given) == SourceRecord("two", ("birds",))
    assert task.record("two") == task.record({"source": "two"}) == SourceRecord("two")
    with pytest.raises(DataError, match="Received: dict"):
        task.record({"text": "two"})


def test_no_references_are_none_and_what_is_no_text_is_refused(task):
    assert task.record({"source": "a", "references": None}) == SourceRecord("a")
    for references in (5, [5], {"a": 1}, ["a", None]):
        with pytest.raises(DataError, match=r"`references` must be .* Received: .*\. Give texts"):
            task.record({"source": "a", "references": references})
    with pytest.raises(DataError, match=r"Received: \(5,\)"):
        task.record(("a", 5))
    with pytest.raises(DataError, match="Received: tuple"):
        task.record((5,))


def test_tables_are_read_by_the_names_of_their_columns(tokenizer, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("en\tde\ntwo birds\tzwei\n", encoding="utf-8")
    task = GenerationTask("t", tokenizer, columns={"source": "en", "references": "de"})
    (record,) = task.read(path)
    assert record == SourceRecord("two birds", ("zwei",))
    assert "line 2" in record.place


def test_a_task_comes_back_from_its_file(tokenizer):
    task = GenerationTask(
        *("talk", tokenizer, "prefix", False, 60, 30, "rougeL", 2, 0.5, 1, 3),
        columns={"source": "en"},
    )
    stored = json.loads(json.dumps(task.to_dict()))
    assert (stored["kind"], stored["format"]) == ("generation", "source")
    assert GenerationTask.from_dict("talk", stored, tokenizer) == task


def test_the_figure_that_counts_is_stored_as_by_other_tasks_and_read_as_it_was(tokenizer):
    task = GenerationTask("talk", tokenizer, main_metric="rougeL")
    stored = task.to_dict()
    assert stored.pop("metric") == "rougeL"
    assert GenerationTask.from_dict("talk", stored | {"main_metric": "rougeL"}, tokenizer) == task


def test_a_task_is_made_of_options(tokenizer):
    options = TaskOptions(max_length=50, metric="rougeL")
    task = GenerationTask.from_records("talk", RECORDS, tokenizer, options)
    assert (task.max_length, task.main_metric) == (50, "rougeL")
    with pytest.raises(ConfigError, match="no use for `labels`"):
        GenerationTask.from_records("talk", RECORDS, tokenizer, TaskOptions(labels=("a", "b")))
    with pytest.raises(ConfigError, match=r"must be source\. Received: 'squad'"):
        GenerationTask.from_records("talk", RECORDS, tokenizer, TaskOptions(format="squad"))


@pytest.mark.parametrize(
    ("part", "value"),
    [("decoder", "causal"), ("main_metric", "exact"), ("max_length", 2), ("target_length", 1)],
)
def test_choices_and_lengths_that_cannot_be_are_refused(tokenizer, part, value):
    with pytest.raises(ConfigError, match=f"`{part}` must be .* Received: {value!r}"):
        GenerationTask("talk", tokenizer, **{part: value})


def test_a_file_of_another_version_is_refused(tokenizer):
    stored = GenerationTask("talk", tokenizer).to_dict()
    with pytest.raises(ConfigError, match="of the kind generation"):
        GenerationTask.from_dict("talk", stored | {"sampling": True}, tokenizer)


def test_a_tokenizer_that_makes_no_text_is_refused():
    wordless: Any = object()
    with pytest.raises(ConfigError, match="needs a tokenizer that makes text"):
        GenerationTask.from_dict("talk", {}, wordless)


class Parrot:
    """Says the words of its source again, one after the other."""

    def __init__(self, task):
        self.task, self.batches = task, []

    def start(self, sources):
        self.batches.append(sources.num_sequences)
        texts = np.split(sources.input_ids, sources.cu_seqlens[1:-1])
        return self._said([text[1:].tolist() for text in texts])

    def step(self, state, last_ids):
        assert [text[0] for text in state] == last_ids.tolist()
        return self._said([text[1:] for text in state])

    def reorder(self, state, indices):
        return [state[i] for i in indices]

    def _said(self, texts):
        log_probs = np.full((len(texts), self.task.tokenizer.vocab_size), -np.inf, np.float32)
        log_probs[np.arange(len(texts)), [text[0] for text in texts]] = 0
        return NextWords(log_probs, texts)


def test_answers_come_in_the_order_of_the_records(tokenizer):
    task = GenerationTask("talk", tokenizer, beams=2)
    model = Parrot(task)
    records = [SourceRecord(text) for text in ("two birds", "the dog saw a cat", "a cat")]
    found = write_answers(model, task, records, max_tokens=24)
    assert [answer.text for answer in found] == [record.source for record in records]
    assert len(model.batches) > 1


def test_specials_are_never_written(tokenizer):
    options = options_of(GenerationTask("talk", tokenizer, target_length=9))
    specials = {tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.mask_id}
    assert set(options.never) == specials
    assert (options.end_id, options.max_length) == (tokenizer.sep_id, 8)
    assert options.words == tokenizer.vocab_size
