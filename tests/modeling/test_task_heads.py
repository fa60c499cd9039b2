"""The heads of packed sequences against the classes over padded ones, which transformers checks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import albatross
from albatross.data.packing import Example, pack
from albatross.errors import ConfigError
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.head_losses import HeadLosses
from albatross.training.objectives import Draw

LENGTHS = (5, 12, 3, 8, 12, 2)


@pytest.fixture
def sequences():
    """Six of uneven lengths, each of two segments."""
    rng = np.random.default_rng(1)
    found = []
    for length in LENGTHS:
        types = np.sort(rng.integers(0, 2, length))
        types[0], types[-1] = 0, 1
        found.append(Example(rng.integers(1, 40, length), types))
    return found


def packed_twin(model, heads):
    """A model over packed sequences with the tensors of a model over padded ones."""
    twin = AlbertWithHeads(model.config, heads=heads).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def labelled(sequences, **columns):
    """Sequences with a label of each name; names are joined by a dot where Python has `__`."""
    rows = zip(*columns.values(), strict=True)
    names = [name.replace("__", ".") for name in columns]
    return [
        Example(each.input_ids, each.token_type_ids, dict(zip(names, row, strict=True)))
        for each, row in zip(sequences, rows, strict=True)
    ]


def mean_loss(twin, batch):
    """The one head's loss, over what is counted."""
    losses = HeadLosses(twin)
    ((name, total),) = losses(batch, Draw()).items()
    return total / losses.counts(batch)[name]


def assert_alike(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


# === Whole sequences ===


@pytest.mark.parametrize(
    ("problem", "size", "loss"),
    [
        ("single_label_classification", 3, "cross_entropy"),
        ("multi_label_classification", 3, "binary"),
        ("regression", 1, "squared"),
    ],
)
def test_sequence_heads_equal_the_padded_class(
    tiny, shaken, padded, sequences, problem, size, loss
):
    model = shaken(albatross.AlbertForSequenceClassification(tiny, num_labels=size))
    model.config.extra["problem_type"] = problem
    labels = {
        "cross_entropy": np.array([0, 2, 1, 1, 0, 2]),
        "binary": np.random.default_rng(0).integers(0, 2, (6, 1, 3)).astype(np.float32),
        "squared": np.linspace(-1, 2, 6, dtype=np.float32),
    }[loss]
    twin = packed_twin(model, {"classifier": HeadSpec("sequence", size, {"loss": loss})})
    expected = model(**padded(sequences), labels=torch.from_numpy(labels).squeeze())
    batch = pack(labelled(sequences, classifier=list(labels)))
    assert_alike(twin(batch)["classifier"], expected.logits)
    assert_alike(mean_loss(twin, batch), expected.loss)


def test_an_ordinal_head_asks_of_each_threshold(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForSequenceClassification(tiny, num_labels=3))
    ranks = np.array([0, 1, 2, 3, 0, 2])
    above = torch.from_numpy((ranks[:, None] > np.arange(3)).astype(np.float32))
    logits = model(**padded(sequences)).logits
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, above, reduction="sum")
    twin = packed_twin(model, {"classifier": HeadSpec("sequence", 3, {"loss": "ordinal"})})
    found = mean_loss(twin, pack(labelled(sequences, classifier=list(ranks))))
    assert_alike(found, expected / len(ranks))


# === Choices ===


def choices_of(sequences, right):
    """Two records of three choices each, choice `right` the right one."""
    numbers = [0, 1, 2] * 2
    return labelled(
        sequences,
        classifier=[float(number == right) for number in numbers],
        classifier__choice=numbers,
    )


def test_a_choice_head_equals_the_padded_class(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForMultipleChoice(tiny))
    tensors = {name: tensor.view(2, 3, -1) for name, tensor in padded(sequences).items()}
    expected = model(**tensors, labels=torch.tensor([1, 1]))
    twin = packed_twin(model, {"classifier": HeadSpec("choice", 1)})
    batch = pack(choices_of(sequences, 1), [0, 0, 0, 1, 1, 1])
    assert_alike(twin(batch)["classifier"].view(2, 3), expected.logits)
    assert_alike(mean_loss(twin, batch), expected.loss)


def test_windows_of_a_choice_are_averaged_before_choices_are_compared(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads={"classifier": HeadSpec("choice", 1)}))
    windows = labelled(
        sequences,
        classifier=[1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        classifier__choice=[0, 0, 1, 1, 1, 2],
    )
    batch = pack(windows, [7] * 6)
    scores = twin(batch)["classifier"][:, 0]
    means = torch.stack([scores[:2].mean(), scores[2:5].mean(), scores[5]])
    assert_alike(mean_loss(twin, batch), -means.log_softmax(0)[0])


def test_a_record_of_fewer_choices_has_no_further_ones(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads={"classifier": HeadSpec("choice", 1)}))
    both = labelled(
        sequences[:5],
        classifier=[1.0, 0.0, 0.0, 1.0, 0.0],
        classifier__choice=[0, 1, 0, 1, 2],
    )
    together = mean_loss(twin, pack(both, [0, 0, 1, 1, 1]))
    apart = [mean_loss(twin, pack(part, [0] * len(part))) for part in (both[:2], both[2:])]
    assert_alike(together, (apart[0] + apart[1]) / 2)


# === Tokens and spans ===


def test_a_token_head_equals_the_padded_class(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForTokenClassification(tiny, num_labels=4))
    labels = [np.arange(length) % 5 - 1 for length in LENGTHS]
    labels = [np.where(row < 0, -100, row) for row in labels]
    block = torch.full((6, 12), -100)
    for row, own in zip(block, labels, strict=True):
        row[: len(own)] = torch.from_numpy(own)
    expected = model(**padded(sequences), labels=block)
    twin = packed_twin(model, {"classifier": HeadSpec("token", 4)})
    batch = pack(labelled(sequences, classifier=labels))
    real = padded(sequences)["attention_mask"].bool()
    assert_alike(twin(batch)["classifier"], expected.logits[real])
    assert_alike(mean_loss(twin, batch), expected.loss)


STARTS, ENDS = [0, 4, 1, 7, -100, 0], [0, 9, 2, 7, -100, 1]


def test_a_span_head_equals_the_padded_class(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForQuestionAnswering(tiny, num_labels=2))
    # transformers has no ignored negative position, only one beyond the tokens.
    places = [torch.tensor([999 if at < 0 else at for at in side]) for side in (STARTS, ENDS)]
    expected = model(**padded(sequences), start_positions=places[0], end_positions=places[1])
    twin = packed_twin(model, {"qa_outputs": HeadSpec("span", 2)})
    batch = pack(labelled(sequences, qa_outputs__start=STARTS, qa_outputs__end=ENDS))
    real = padded(sequences)["attention_mask"].bool()
    both = torch.stack([expected.start_logits, expected.end_logits], dim=-1)
    assert_alike(twin(batch)["qa_outputs"], both[real])
    assert_alike(mean_loss(twin, batch), expected.loss)


def closed_cells(padded, sequences):
    """Google's mask: the first segment but for its first token, the last separator, and pads."""
    tensors = padded(sequences)
    closed = tensors["token_type_ids"] == 0
    closed[:, 0] = False
    for row, length in zip(closed, LENGTHS, strict=True):
        row[length - 1 :] = True
    return tensors, closed


def test_the_loss_of_a_beam_head_equals_the_padded_class(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForBeamQuestionAnswering(tiny))
    tensors, closed = closed_cells(padded, sequences)
    open_cells = [torch.nonzero(~row).flatten().tolist() for row in closed]
    starts, ends = [row[len(row) // 2] for row in open_cells], [row[-1] for row in open_cells]
    none = [1, 0, 0, 1, 0, 1]
    expected = model(
        **tensors,
        p_mask=closed,
        start_positions=torch.tensor(starts),
        end_positions=torch.tensor(ends),
        is_impossible=torch.tensor(none),
    ).loss
    twin = packed_twin(model, {"beam_qa": HeadSpec("beam_span", 2)})
    columns = {"beam_qa__start": starts, "beam_qa__end": ends, "beam_qa__impossible": none}
    assert_alike(mean_loss(twin, pack(labelled(sequences, **columns))), expected)


def test_a_beam_head_looks_where_it_did_however_tokens_are_marked(tiny, shaken, sequences):
    marked = replace(tiny, type_vocab_size=4)
    model = shaken(AlbertWithHeads(marked, heads={"beam_qa": HeadSpec("beam_span", 2)}))
    with torch.no_grad():
        table = model.albert.embeddings.token_type_embeddings.weight
        table[2:] = table[:2]
    raised = [Example(s.input_ids, s.token_type_ids + 2) for s in sequences]
    plain, found = model(pack(sequences)), model(pack(raised))
    assert all(torch.equal(plain[name], found[name]) for name in plain)


def test_the_beams_of_a_beam_head_equal_the_padded_class(tiny, shaken, padded, sequences):
    model = shaken(albatross.AlbertForBeamQuestionAnswering(tiny))
    tensors, closed = closed_cells(padded, sequences)
    expected = model(**tensors, p_mask=closed)
    found = packed_twin(model, {"beam_qa": HeadSpec("beam_span", 2)})(pack(sequences))
    assert_alike(found["beam_qa.no_answer"], expected.cls_logits)
    real = expected.start_top_log_probs > -1e29
    assert_alike(found["beam_qa.start_log_probs"][real], expected.start_top_log_probs[real])
    assert torch.equal(found["beam_qa.start_index"][real], expected.start_top_index[real])
    ends = expected.end_top_log_probs.view(6, 5, 5)[real]
    likely = ends > -1e29
    assert_alike(found["beam_qa.end_log_probs"].view(6, 5, 5)[real][likely], ends[likely])


def test_a_sequence_of_few_tokens_has_impossible_beams_beside_its_own(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads={"beam_qa": HeadSpec("beam_span", 2)}))
    found = twin(pack(sequences[2:3]))
    assert found["beam_qa.start_log_probs"].shape == (1, 5)
    assert found["beam_qa.end_log_probs"].shape == (1, 25)
    assert int((found["beam_qa.start_log_probs"] > -1e29).sum()) < 5
    assert torch.isfinite(torch.cat(list(v.float().flatten() for v in found.values()))).all()


# === Embeddings ===


def embedding(loss):
    return {"heads.embedding": HeadSpec("embedding", 0, {"loss": loss})}


def sides(sequences, values):
    """Three pairs of texts; the last sequence but two is a second window of the first pair."""
    return labelled(
        sequences,
        heads__embedding=values,
        heads__embedding__side=[0, 1, 0, 1, 0, 1],
    )


def test_a_vector_is_the_mean_of_its_rows_at_unit_length(tiny, shaken, padded, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads=embedding("cosine")))
    found = twin(pack(sequences))["heads.embedding"]
    rows = twin.albert.eval()(**padded(sequences)).last_hidden_state
    means = [row[:length].mean(0) for row, length in zip(rows, LENGTHS, strict=True)]
    assert_alike(found, torch.nn.functional.normalize(torch.stack(means), dim=1))


def test_cosines_learn_the_labels_of_records(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads=embedding("cosine")))
    batch = pack(sides(sequences, [0.5, 0.5, -1.0, -1.0, 1.0, 1.0]), [0, 0, 1, 1, 2, 2])
    first, second = twin(batch)["heads.embedding"].view(3, 2, -1).unbind(1)
    wanted = torch.tensor([0.5, -1.0, 1.0])
    assert_alike(mean_loss(twin, batch), ((first * second).sum(1) - wanted).square().mean())


def test_contrast_tells_a_records_texts_from_those_of_others(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads=embedding("contrastive")))
    batch = pack(sides(sequences, [1.0] * 6), [0, 0, 1, 1, 2, 2])
    first, second = twin(batch)["heads.embedding"].view(3, 2, -1).unbind(1)
    scores = first @ second.T / 0.05
    own = torch.arange(3)
    losses = [torch.nn.functional.cross_entropy(side, own) for side in (scores, scores.T)]
    assert_alike(mean_loss(twin, batch), (losses[0] + losses[1]) / 2)


def test_the_windows_of_a_text_are_averaged_before_texts_are_compared(tiny, shaken, sequences):
    twin = shaken(AlbertWithHeads(tiny, heads=embedding("cosine")))
    batch = pack(
        labelled(
            sequences[:4],
            heads__embedding=[0.25] * 4,
            heads__embedding__side=[0, 0, 1, 1],
        ),
        [0] * 4,
    )
    vectors = twin(batch)["heads.embedding"]
    means = torch.nn.functional.normalize(vectors.view(2, 2, -1).sum(1), dim=1)
    assert_alike(mean_loss(twin, batch), ((means[0] * means[1]).sum() - 0.25) ** 2)


# === All of them ===


def test_heads_of_several_tasks_share_an_encoder(tiny, shaken, sequences):
    heads = {"classifier": HeadSpec("sequence", 3), "heads.slots": HeadSpec("token", 4)}
    twin = shaken(AlbertWithHeads(tiny, heads=heads))
    found = twin(pack(sequences))
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "classifier": (6, 3),
        "heads.slots": (sum(LENGTHS), 4),
    }


def test_ignored_labels_alone_give_a_loss_of_zero_with_a_gradient(tiny, sequences):
    twin = AlbertWithHeads(tiny, heads={"qa_outputs": HeadSpec("span", 2)})
    nothing = [-100] * len(sequences)
    batch = pack(labelled(sequences, qa_outputs__start=nothing, qa_outputs__end=nothing))
    losses = HeadLosses(twin)
    (loss,) = losses(batch, Draw()).values()
    loss.backward()
    assert loss.item() == 0
    assert losses.counts(batch) == {"qa_outputs_loss": 0.0}


@pytest.mark.parametrize("name", ["", "a b", "albert", "heads.", "config"])
def test_a_head_needs_a_name_of_its_own(tiny, name):
    with pytest.raises(ConfigError, match="name of its own"):
        AlbertWithHeads(tiny, heads={name: HeadSpec("sequence", 2)})
