"""The beam head against XLNet's parts in transformers, and its layout of beams."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

import albatross
from albatross.modeling.beam_head import BeamQuestionHead

PARTS = {
    "start": "start.dense",
    "end_dense": "end.dense_0",
    "end_LayerNorm": "end.LayerNorm",
    "end_output": "end.dense_1",
    "answer_dense": "answer.dense_0",
    "answer_output": "answer.dense_1",
}
P_MASK = torch.tensor([[0, 1, 1, 0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 0, 0, 1, 1, 1]])
SHOWN = torch.tensor([[1] * 9, [1] * 7 + [0] * 2])
STARTS, ENDS = torch.tensor([3, 4]), torch.tensor([6, 5])


@pytest.fixture
def head(tiny, shaken):
    return shaken(BeamQuestionHead(tiny)).double()


@pytest.fixture
def theirs(head):
    """XLNet's three parts with the weights of ours."""
    parts = pytest.importorskip("transformers.models.xlnet.modeling_xlnet")
    config = SimpleNamespace(hidden_size=16, layer_norm_eps=1e-12)
    modules = {
        "start": parts.XLNetPoolerStartLogits(config),
        "end": parts.XLNetPoolerEndLogits(config),
        "answer": parts.XLNetPoolerAnswerClass(config),
    }
    joined = torch.nn.ModuleDict(modules).double()
    state = {}
    for name, tensor in head.state_dict().items():
        part, kind = name.split(".")
        state[f"{PARTS[part]}.{kind}"] = tensor.clone()
    joined.load_state_dict(state)
    return joined


@pytest.fixture
def states():
    return torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(2), dtype=torch.double)


def assert_near(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-9)


def theirs_outputs(theirs, states):
    """Start logits, end logits of the true starts, and the answer's logit, by their parts."""
    mask = P_MASK.double()
    start = theirs["start"](states, p_mask=mask)
    end = theirs["end"](states, start_positions=STARTS, p_mask=mask)
    expected = torch.einsum("bth,bt->bh", states, start.softmax(-1))
    first = torch.zeros(2, dtype=torch.long)
    return start, end, theirs["answer"](states, start_states=expected, cls_index=first)


# === Equality with XLNet's parts ===


def test_all_logits_equal_those_of_xlnets_parts(head, theirs, states):
    closed = P_MASK.bool()
    start, end, answer = theirs_outputs(theirs, states)
    found = head.start_logits(states, closed)
    assert_near(found, start)
    assert_near(head.end_logits(states, STARTS[:, None], closed)[:, 0], end)
    first = torch.zeros(2, dtype=torch.long)
    assert_near(head.answer_logits(states, found, first), answer)


def test_the_ends_of_several_starts_are_those_of_each_alone(head, theirs, states):
    starts = torch.tensor([[3, 0, 5], [4, 5, 0]])
    found = head.end_logits(states, starts, P_MASK.bool())
    for column in range(3):
        position = starts[:, column]
        alone = theirs["end"](states, start_positions=position, p_mask=P_MASK.double())
        assert_near(found[:, column], alone)


def test_all_gradients_equal_those_of_xlnets_parts(head, theirs, states):
    given = [states.clone().requires_grad_() for _ in "12"]
    closed, first = P_MASK.bool(), torch.zeros(2, dtype=torch.long)
    start = head.start_logits(given[0], closed)
    end = head.end_logits(given[0], STARTS[:, None], closed)[:, 0]
    ours = start, end, head.answer_logits(given[0], start, first)
    for parts in (ours, theirs_outputs(theirs, given[1])):
        spans = functional.cross_entropy(parts[0], STARTS) + functional.cross_entropy(
            parts[1], ENDS
        )
        (spans + parts[2].pow(3).sum()).backward()
    assert_near(given[0].grad, given[1].grad)
    expected = dict(theirs.named_parameters())
    for name, parameter in head.named_parameters():
        part, kind = name.split(".")
        # These move all tokens that compete alike and have no gradient but rounding.
        moves_all_alike = name in ("start.bias", "end_LayerNorm.bias", "end_output.bias")
        assert moves_all_alike or parameter.grad.abs().max() > 1e-3, name
        assert_near(parameter.grad, expected[f"{PARTS[part]}.{kind}"].grad)


# === Beams ===


def test_beams_are_the_best_ends_of_the_best_starts(head, states):
    closed = torch.zeros(2, 9, dtype=torch.bool)
    logits = head.start_logits(states, closed)
    beams = head.beams(states, logits, closed, starts=4, ends=3)
    order = logits.log_softmax(-1).sort(descending=True)
    assert_near(beams.start_top_log_probs, order.values[:, :4])
    for row in range(2):
        for i, start in enumerate(order.indices[row, :4]):
            alone = head.end_logits(states[row : row + 1], start.view(1, 1), closed[row : row + 1])
            best = alone.log_softmax(-1)[0, 0].sort(descending=True)
            cells = slice(3 * i, 3 * i + 3)
            assert beams.end_top_index[row, cells].tolist() == best.indices[:3].tolist()
            assert_near(beams.end_top_log_probs[row, cells], best.values[:3])


def test_the_best_beam_is_never_closed(head, states):
    closed = P_MASK.bool()
    beams = head.beams(states, head.start_logits(states, closed), closed, starts=3, ends=3)
    assert not closed.take_along_dim(beams.start_top_index, 1).any()
    assert not closed.take_along_dim(beams.end_top_index, 1).any()
    assert beams.end_top_log_probs.min() > -100


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_closed_tokens_make_no_nan_in_any_precision(head, states, dtype):
    head, states, closed = head.to(dtype), states.to(dtype), torch.ones(2, 9, dtype=torch.bool)
    logits = head.start_logits(states, closed)
    beams = head.beams(states, logits, closed, starts=2, ends=2)
    assert beams.end_top_log_probs.isfinite().all()
    assert head.answer_logits(states, logits, torch.tensor([0, 0])).isfinite().all()


# === The model ===


@pytest.fixture
def model(tiny, shaken):
    return shaken(albatross.AlbertForBeamQuestionAnswering(tiny)).double()


def batch():
    ids = torch.randint(1, 40, (2, 9), generator=torch.Generator().manual_seed(4))
    return {"input_ids": ids * SHOWN, "attention_mask": SHOWN, "p_mask": P_MASK}


def test_without_positions_there_are_five_ends_of_each_of_five_starts(model):
    outputs = model(**batch())
    assert outputs.loss is None
    assert outputs.start_top_index.shape == outputs.start_top_log_probs.shape == (2, 5)
    assert outputs.end_top_index.shape == outputs.end_top_log_probs.shape == (2, 25)
    assert outputs.cls_logits.shape == (2,)
    assert (outputs.start_top_log_probs.diff(dim=1) <= 0).all()


def test_the_loss_is_googles_sum_of_halves(model):
    impossible = torch.tensor([0, 1])
    answers = {"start_positions": STARTS, "end_positions": ENDS}
    outputs = model(**batch(), **answers, is_impossible=impossible)
    states = model.albert(batch()["input_ids"], SHOWN).last_hidden_state
    closed = P_MASK.bool() | ~SHOWN.bool()
    start = model.beam_qa.start_logits(states, closed)
    end = model.beam_qa.end_logits(states, STARTS[:, None], closed)[:, 0]
    spans = -start.log_softmax(-1)[range(2), STARTS] - end.log_softmax(-1)[range(2), ENDS]
    sign = torch.tensor([1.0, -1.0])
    answerable = functional.softplus(sign * outputs.cls_logits)
    assert_near(outputs.loss, (spans / 2).mean() + (answerable / 2).mean())
    assert_near(model(**batch(), **answers).loss, (spans / 2).mean())


def test_hidden_tokens_are_closed_without_a_p_mask_too(model):
    inputs = {name: batch()[name] for name in ("input_ids", "attention_mask")}
    found, alone = model(**inputs), model(inputs["input_ids"][1:, :7])
    assert found.end_top_index[1].max() < 7
    assert_near(found.end_top_log_probs[1], alone.end_top_log_probs[0])
    assert_near(found.cls_logits[1], alone.cls_logits[0])


def test_a_left_padded_sequence_is_read_from_its_first_token(model):
    ids = batch()["input_ids"][1:, :7]
    left = torch.cat([torch.zeros(1, 2, dtype=torch.long), ids], dim=1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1]])
    found = model(left, mask)
    expected = model(ids, position_ids=torch.arange(2, 9)[None])
    assert_near(found.cls_logits, expected.cls_logits)
    assert torch.equal(found.end_top_index, expected.end_top_index + 2)


def test_a_position_that_is_closed_or_outside_is_ignored(model):
    good = model(**batch(), start_positions=STARTS, end_positions=ENDS).loss
    first = {name: tensor[:1] for name, tensor in batch().items()}
    alone = model(**first, start_positions=STARTS[:1], end_positions=ENDS[:1]).loss
    for outside in (8, 9, 700):
        starts, ends = (torch.tensor([int(t[0]), outside]) for t in (STARTS, ENDS))
        loss = model(**batch(), start_positions=starts, end_positions=ends).loss
        assert_near(loss, alone)
        assert not torch.allclose(loss, good)


def test_fewer_tokens_than_beams_give_fewer_beams(model):
    outputs = model(torch.tensor([[2, 5, 3]]))
    assert outputs.start_top_index.shape == (1, 3)
    assert outputs.end_top_index.shape == (1, 9)


def test_beams_must_be_counted_from_one(tiny):
    with pytest.raises(albatross.AlbatrossError, match=r"at least 1.*Received: 5, 0"):
        albatross.AlbertForBeamQuestionAnswering(tiny, end_n_top=0)


def test_a_saved_beam_model_comes_back_the_same(tmp_path, tiny, shaken):
    model = shaken(albatross.AlbertForBeamQuestionAnswering(tiny))
    model.save_pretrained(tmp_path)
    again = albatross.AlbertForBeamQuestionAnswering.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
