import pytest

from albatross.errors import DataError
from albatross.pipelines import pipeline as module
from albatross.pipelines.pipeline import load
from albatross.pipelines.predict import predict
from albatross.settings.answering import PredictSettings


@pytest.fixture(scope="session")
def classify(exported):
    return load(exported)


@pytest.fixture(params=["onnx", "torch"])
def either(request, exported):
    return load(exported, engine=request.param, batch_tokens=128)


def shares(answers):
    return [answer.probabilities["positive"] for answer in answers]


# === Answers ===


def test_answers_come_in_the_order_of_the_texts(either, reviews):
    texts = [text * (1 + n % 3) for n, (text, _) in enumerate(reviews)]
    alone = [either(text) for text in texts]
    assert shares(either(texts)) == pytest.approx(shares(alone), abs=1e-6)
    assert shares(either(texts[::-1])) == pytest.approx(shares(alone)[::-1], abs=1e-6)


def test_outputs_are_held_of_a_few_examples_at_a_time(classify, reviews, monkeypatch):
    texts = [text for text, _ in reviews]
    together, held = classify(texts), []
    whole = module.engine_outputs

    def watched(engine, examples, *values, **options):
        held.append(len(examples))
        return whole(engine, examples, *values, **options)

    monkeypatch.setattr(module, "engine_outputs", watched)
    monkeypatch.setattr(module, "_EXAMPLES_AT_ONCE", 3)
    assert shares(classify(texts)) == pytest.approx(shares(together), abs=1e-6)
    assert max(held) <= 3
    assert sum(held) == len(texts)


def test_one_text_gives_one_answer_and_a_list_gives_a_list(classify):
    answer = classify("Not a stale line.")
    assert classify(["Not a stale line."]) == [answer]
    assert classify([]) == []
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.score == answer.probabilities[answer.label]


@pytest.mark.parametrize("text", ["", " ", "\0", "é" * 3, "\ud83d", "漢字", "\n\n", "[MASK]"])
def test_any_text_has_an_answer(either, text):
    assert either(text).label in either.task.labels


def test_a_million_characters_are_answered_in_windows(classify):
    words = " ".join(["stale", " " * 90] * 10_400)
    assert len(words) > 1_000_000
    (expected,) = shares([classify("stale " * 46)])
    assert shares([classify(words)]) == pytest.approx([expected], abs=0.02)


@pytest.mark.parametrize("wrong", [3, None, [1], [None], b"bytes", ["a", b"b"]])
def test_what_is_no_text_is_refused(classify, wrong):
    with pytest.raises(DataError, match=r"Received: (a )?(int|NoneType|bytes)"):
        classify(wrong)


def test_repr_says_what_is_answered_and_by_what(classify):
    expected = "Pipeline('reviews', kind=classification, engine=OnnxEngine)"
    assert repr(classify) == expected


@pytest.mark.parametrize(("engine", "most"), [("onnx", 3_072), ("torch", 4_096)])
def test_as_many_tokens_are_computed_together_as_suit_the_engine(
    exported, engine, most, monkeypatch
):
    pipeline = load(exported, engine=engine)
    embed, seen = pipeline.engine.embed, []

    def watched(batch):
        seen.append(len(batch.input_ids))
        return embed(batch)

    monkeypatch.setattr(pipeline.engine, "embed", watched)
    pipeline(["stale " * 30] * 200)
    assert most - 60 < max(seen) <= most


# === Streams ===


def test_a_stream_reads_no_further_than_its_chunk(classify):
    texts = iter(["short"] * 10_000)
    stream = classify.stream(texts)
    assert next(stream)[0] == "short"
    assert len(list(texts)) == 10_000 - module._STREAM_TEXTS


def test_long_texts_make_short_chunks():
    texts = ["x" * 1_500_000] * 7
    assert [len(chunk) for chunk in module._chunks(texts)] == [3, 3, 1]


def test_a_stream_keeps_texts_beside_their_answers(classify, reviews, monkeypatch):
    monkeypatch.setattr(module, "_STREAM_TEXTS", 5)
    texts = [text for text, _ in reviews]
    pairs = list(classify.stream(iter(texts)))
    assert [text for text, _ in pairs] == texts
    assert shares(a for _, a in pairs) == pytest.approx(shares(classify(texts)), abs=1e-6)


@pytest.mark.parametrize("wrong", [5, None, b"bytes", {"a"}])
def test_a_stream_refuses_what_is_no_text_as_a_call_does(classify, wrong):
    with pytest.raises(DataError, match=r"Received: (a )?(int|NoneType|bytes|set)"):
        list(classify.stream(["a text", wrong]))


# === The verb ===


def test_predict_answers_texts_or_the_lines_of_a_file(exported, tmp_path, reviews):
    texts = [text for text, _ in reviews[:3]]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    from_file = predict(PredictSettings(exported, file=tmp_path / "texts.txt"))
    assert from_file == predict(PredictSettings(exported, tuple(texts)))
    assert len(from_file) == 3
