import numpy as np
import pytest
import torch

from albatross.data.packing import Example, pack
from albatross.errors import DataError
from albatross.modeling.model import AlbertForMaskedLM, AlbertModel
from albatross.modeling.packed import PackedInputs, PackedLayout


@pytest.fixture
def model(tiny, shaken):
    return shaken(AlbertModel(tiny))


def rows_of(model, examples):
    with torch.no_grad():
        return model.encode(PackedInputs.from_batch(pack(examples)))


def test_packed_equals_padded(model, examples, padded, packed):
    inputs = padded(examples)
    with torch.no_grad():
        found = model(**inputs)
        pooled = model.pool(model.encode(packed), packed.layout)
    shown = inputs["attention_mask"].bool()
    torch.testing.assert_close(
        rows_of(model, examples), found.last_hidden_state[shown], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(pooled, found.pooler_output, atol=1e-5, rtol=0)


def test_packed_and_padded_have_equal_gradients(model, examples, padded, packed):
    model.encode(packed).pow(3).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model(**padded(examples)).last_hidden_state.pow(3).sum().backward()
    others = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) == len(others) > 20
    for gradient, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-3, rtol=1e-4)


def test_a_sequence_alone_has_the_answer_it_has_in_company(model, examples):
    together = rows_of(model, examples).split([len(e.input_ids) for e in examples])
    for example, rows in zip(examples, together, strict=True):
        torch.testing.assert_close(rows_of(model, [example]), rows, atol=1e-5, rtol=0)


def test_a_change_in_one_sequence_leaves_the_others_alone(model, examples):
    before = rows_of(model, examples)
    examples[0].input_ids[2] += 1
    after = rows_of(model, examples)
    assert not torch.allclose(before[:5], after[:5], atol=1e-3)
    assert torch.equal(before[5:], after[5:])


def test_rows_survive_the_way_to_a_block_and_back():
    layout = PackedLayout.from_cu_seqlens(np.array([0, 3, 4, 9]), "cpu")
    rows = torch.arange(18.0).view(9, 2)
    block = layout.to_block(rows)
    assert block.shape == (3, 5, 2)
    assert not block[1, 1:].any()
    assert torch.equal(layout.to_rows(block), rows)


def test_sequences_of_one_length_need_no_mask():
    layout = PackedLayout.from_cu_seqlens(np.array([0, 4, 8]), "cpu")
    assert layout.key_mask is None
    assert layout.to_block(torch.zeros(8, 3)).shape == (2, 4, 3)


def test_attention_rows_sum_to_one_where_a_token_is_and_to_zero_elsewhere(model, examples, padded):
    inputs = padded(examples)
    for weights in model(**inputs, output_attentions=True).attentions:
        sums = weights.sum(-1)
        expected = inputs["attention_mask"][:, None].expand_as(sums).float()
        torch.testing.assert_close(sums, expected, atol=1e-5, rtol=0)


def test_attention_has_no_weight_in_the_rows_and_columns_of_pads(model, packed):
    rows = model.encoder.project(model.embeddings(packed))
    weights = model.encoder.attention_of(0).probabilities(rows, packed.layout)
    assert weights.shape == (4, 4, 12, 12)
    assert not weights[0, :, 5:].any()
    assert not weights[0, :, :, 5:].any()
    torch.testing.assert_close(weights[0, :, :5].sum(-1), torch.ones(4, 5))


def test_results_unpack_without_the_absent_ones(tiny, padded, examples):
    outputs = AlbertForMaskedLM(tiny)(**padded(examples))
    (logits,) = outputs.to_tuple()
    assert outputs.loss is None
    assert outputs[0] is outputs["logits"] is logits


# === What the border refuses ===

IDS = torch.ones(2, 3, dtype=torch.long)
REFUSED = {
    "no ids": ({}, "exactly one"),
    "ids and embeddings": ({"input_ids": IDS, "inputs_embeds": torch.ones(2, 3, 8)}, "exactly one"),
    "one dimension": ({"input_ids": IDS[0]}, r"\(batch, tokens\)"),
    "no sequence": ({"input_ids": IDS[:0]}, "at least one sequence"),
    "a mask of another shape": ({"input_ids": IDS, "attention_mask": IDS[:1]}, "shape"),
    "an empty sequence": (
        {"input_ids": IDS, "attention_mask": torch.tensor([[1, 0, 0], [0, 0, 0]])},
        "at least one token",
    ),
    "an id beyond the vocabulary": ({"input_ids": 40 * IDS}, "vocab_size"),
    "a negative id": ({"input_ids": -IDS}, "vocab_size"),
    "an unknown token type": ({"input_ids": IDS, "token_type_ids": 2 * IDS}, "type_vocab_size"),
    "a column beyond the positions": (
        {"input_ids": IDS.repeat(1, 5), "attention_mask": torch.eye(15).flip(0)[:2]},
        "max_position_embeddings",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_do_not_fit_are_refused_by_name(model, case):
    inputs, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        model(**inputs)


def test_a_packed_sequence_longer_than_the_positions_is_refused(model, examples):
    examples.append(Example(np.ones(13, dtype=np.int64), np.zeros(13, dtype=np.int64)))
    with pytest.raises(DataError, match="at most 12 tokens"):
        rows_of(model, examples)
