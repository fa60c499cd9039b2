"""Equality with transformers' ALBERT in double precision: forward, loss and every gradient."""

from dataclasses import replace

import pytest
import torch

import albatross
from albatross.checkpoints.huggingface import canonical
from albatross.config import unshared

transformers = pytest.importorskip("transformers", reason="the oracle is not installed")

GRID = [(1, 1), (1, 2), (2, 1), (2, 2)]
MASKS = ["full", "right", "left", "holes"]
SHOWN = {
    "full": [[1] * 7] * 3,
    "right": [[1] * 7, [1] * 2 + [0] * 5, [1] * 4 + [0] * 3],
    "left": [[0] * 3 + [1] * 4, [1] * 7, [0] * 6 + [1]],
    "holes": [[1, 0, 1, 1, 0, 0, 1], [1] * 7, [1, 0, 0, 0, 0, 1, 0]],
}
grid = pytest.mark.parametrize(("groups", "inner"), GRID)
masks = pytest.mark.parametrize("mask", MASKS)


@pytest.fixture
def twins(tmp_path, tiny, shaken):
    """A model of transformers with random weights, and ours opened from the folder it wrote."""

    def make(name, groups=1, inner=1, **values):
        config = replace(tiny, num_hidden_groups=groups, inner_group_num=inner)
        theirs_config = transformers.AlbertConfig(**config.to_dict(), **values)
        theirs_config._attn_implementation = "eager"
        theirs = shaken(getattr(transformers, name)(theirs_config))
        theirs.save_pretrained(tmp_path)
        ours = getattr(albatross, name).from_pretrained(tmp_path)
        return ours.double(), theirs.double()

    return make


def batch(mask="full"):
    """Ids from 1 up where the mask shows a token and 0 elsewhere, with two token types."""
    generator = torch.Generator().manual_seed(5)
    shown = torch.tensor(SHOWN[mask])
    ids = torch.randint(1, 40, shown.shape, generator=generator) * shown
    types = torch.randint(0, 2, shown.shape, generator=generator)
    return {"input_ids": ids, "attention_mask": shown, "token_type_ids": types}


def words(mask="full"):
    """Labels at about half of the shown cells."""
    generator = torch.Generator().manual_seed(6)
    labels = torch.randint(1, 40, (3, 7), generator=generator)
    drawn = torch.rand(3, 7, generator=generator) < 0.5
    return labels.where(drawn & torch.tensor(SHOWN[mask]).bool(), -100)


def assert_near(ours, theirs):
    assert theirs.abs().max() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def assert_equal_gradients(ours, theirs, ours_loss, theirs_loss):
    """Compare the losses, and the gradient of every parameter by name."""
    assert_near(ours_loss, theirs_loss)
    ours_loss.backward()
    theirs_loss.backward()
    found = canonical({n: p.grad.numpy() for n, p in ours.named_parameters()})
    expected = canonical({n: p.grad.numpy() for n, p in theirs.named_parameters()})
    assert found.keys() == expected.keys()
    # A bias that moves all starts, all ends or all choices alike has no gradient but rounding.
    moves_all_alike = {"qa_outputs.bias", "classifier.bias"}
    assert all(gradient.any() for name, gradient in found.items() if name not in moves_all_alike)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-9, rtol=1e-7, msg=name)


def scalar(outputs, shown):
    """A number that every shown cell of a bare model's outputs has a say in."""
    states = outputs.last_hidden_state[shown.bool()]
    weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype).view_as(states)
    total = (states * weights).sum()
    return total + outputs.pooler_output.pow(3).sum() if shown[:, 0].all() else total


# === The encoder ===


@masks
@grid
def test_hidden_states_and_all_gradients_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertModel", groups, inner)
    inputs = batch(mask)
    found, expected = ours(**inputs), theirs(**inputs)
    shown = inputs["attention_mask"].bool()
    assert_near(found.last_hidden_state[shown], expected.last_hidden_state[shown])
    if shown[:, 0].all():
        assert_near(found.pooler_output, expected.pooler_output)
        losses = scalar(found, shown), scalar(expected, shown)
        assert_equal_gradients(ours, theirs, *losses)


@pytest.mark.parametrize("mask", ["right", "holes"])
def test_cells_that_the_mask_hides_are_zero(twins, mask):
    ours, _ = twins("AlbertModel")
    inputs = batch(mask)
    states = ours(**inputs).last_hidden_state
    assert not states[inputs["attention_mask"] == 0].any()


def test_a_left_padded_sequence_pools_its_first_token_and_not_a_pad(twins):
    ours, theirs = twins("AlbertModel")
    inputs = batch("left")
    alone = {name: tensor[:1, 3:] for name, tensor in inputs.items()}
    positions = torch.arange(3, 7)[None]
    expected = theirs(**alone, position_ids=positions).pooler_output
    assert_near(ours(**inputs).pooler_output[:1], expected)


@grid
def test_position_ids_are_used_as_given(twins, groups, inner):
    ours, theirs = twins("AlbertModel", groups, inner)
    positions = torch.tensor([[11, 3, 5, 0, 1, 2, 7]])
    found = ours(**batch(), position_ids=positions).last_hidden_state
    assert_near(found, theirs(**batch(), position_ids=positions).last_hidden_state)
    assert not torch.allclose(found, ours(**batch()).last_hidden_state, atol=1e-2)


@masks
def test_inputs_embeds_take_the_place_of_ids_and_have_equal_gradients(twins, mask):
    ours, theirs = twins("AlbertModel", 2, 2)
    inputs = batch(mask)
    del inputs["input_ids"]
    embeds = [torch.linspace(-2, 2, 168).view(3, 7, 8).double().requires_grad_() for _ in "12"]
    shown = inputs["attention_mask"].bool()
    for model, given in zip((ours, theirs), embeds, strict=True):
        model(**inputs, inputs_embeds=given).last_hidden_state[shown].pow(3).sum().backward()
    assert_near(embeds[0].grad, embeds[1].grad)


@masks
@grid
def test_hidden_states_of_every_depth_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertModel", groups, inner)
    inputs = batch(mask)
    found = ours(**inputs, output_hidden_states=True).hidden_states
    expected = theirs(**inputs, output_hidden_states=True).hidden_states
    assert len(found) == len(expected) == 4 * inner + 1
    for state, theirs_state in zip(found, expected, strict=True):
        shown = inputs["attention_mask"].bool()
        assert_near(state[shown], theirs_state[shown])


@masks
@grid
def test_attentions_of_every_depth_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertModel", groups, inner)
    inputs = batch(mask)
    found = ours(**inputs, output_attentions=True).attentions
    expected = theirs(**inputs, output_attentions=True).attentions
    assert len(found) == len(expected) == 4 * inner
    shown = inputs["attention_mask"][:, None, :, None]
    for weights, theirs_weights in zip(found, expected, strict=True):
        assert_near(weights, theirs_weights * shown)


# === The heads ===


@pytest.mark.parametrize("mask", ["full", "right", "holes"])
@grid
def test_pretraining_loss_and_all_gradients_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertForPreTraining", groups, inner)
    inputs = {**batch(mask), "labels": words(mask)}
    inputs["sentence_order_label"] = torch.tensor([1, 0, 1])
    found, expected = ours(**inputs), theirs(**inputs)
    shown = inputs["attention_mask"].bool()
    assert_near(found.prediction_logits[shown], expected.prediction_logits[shown])
    assert_near(found.sop_logits, expected.sop_logits)
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


@masks
@grid
def test_masked_lm_loss_and_all_gradients_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertForMaskedLM", groups, inner)
    inputs = {**batch(mask), "labels": words(mask)}
    found, expected = ours(**inputs), theirs(**inputs)
    shown = inputs["attention_mask"].bool()
    assert_near(found.logits[shown], expected.logits[shown])
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


PROBLEMS: dict[str, tuple[dict, torch.Tensor]] = {
    "single label": ({"num_labels": 4}, torch.tensor([3, 0, 1])),
    "multi label": ({"num_labels": 3}, torch.eye(3, dtype=torch.double)),
    "regression": ({"num_labels": 1}, torch.tensor([0.5, -2.0, 1.0], dtype=torch.double)),
    "regression of several numbers": (
        {"num_labels": 2, "problem_type": "regression"},
        torch.tensor([[0.5, 1.0], [-2.0, 0.0], [1.0, 3.0]], dtype=torch.double),
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@grid
def test_classification_loss_and_all_gradients_are_equal(twins, groups, inner, problem):
    values, labels = PROBLEMS[problem]
    ours, theirs = twins("AlbertForSequenceClassification", groups, inner, **values)
    inputs = {**batch("right"), "labels": labels}
    found, expected = ours(**inputs), theirs(**inputs)
    assert_near(found.logits, expected.logits)
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


def token_labels(mask, classes=5):
    """Classes at about half of the shown cells."""
    labels = words(mask)
    return (labels % classes).where(labels != -100, -100)


@masks
@grid
def test_token_classification_loss_and_all_gradients_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertForTokenClassification", groups, inner, num_labels=5)
    inputs = {**batch(mask), "labels": token_labels(mask)}
    found, expected = ours(**inputs), theirs(**inputs)
    shown = inputs["attention_mask"].bool()
    assert_near(found.logits[shown], expected.logits[shown])
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


@pytest.mark.parametrize("mask", ["full", "right", "holes"])
@grid
def test_multiple_choice_loss_and_all_gradients_are_equal(twins, groups, inner, mask):
    ours, theirs = twins("AlbertForMultipleChoice", groups, inner)
    inputs = {
        name: torch.stack([rows, rows.flip(0), rows.roll(1, 0)], dim=1)
        for name, rows in batch(mask).items()
    }
    inputs["labels"] = torch.tensor([2, 0, 1])
    found, expected = ours(**inputs), theirs(**inputs)
    assert found.logits.shape == (3, 3)
    assert_near(found.logits, expected.logits)
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


def test_choices_may_be_embeddings(twins):
    ours, theirs = twins("AlbertForMultipleChoice")
    embeds = torch.linspace(-2, 2, 3 * 2 * 7 * 8).view(3, 2, 7, 8).sin().double()
    assert_near(ours(inputs_embeds=embeds).logits, theirs(inputs_embeds=embeds).logits)


@pytest.mark.parametrize(
    ("starts", "ends"), [([2, 0, 6], [3, 6, 6]), ([7, 1, -1], [5, 700, 2]), ([3, 9, 9], [9, 9, 4])]
)
@grid
def test_answer_loss_and_all_gradients_are_equal(twins, groups, inner, starts, ends):
    ours, theirs = twins("AlbertForQuestionAnswering", groups, inner)
    inputs = {**batch(), "start_positions": torch.tensor(starts)}
    inputs["end_positions"] = torch.tensor(ends)
    found, expected = ours(**inputs), theirs(**inputs)
    assert_near(found.start_logits, expected.start_logits)
    assert_near(found.end_logits, expected.end_logits)
    assert_equal_gradients(ours, theirs, found.loss, expected.loss)


@pytest.mark.parametrize("mask", ["right", "left", "holes"])
@grid
def test_answers_of_a_padded_batch_are_those_of_its_sequences_alone(twins, groups, inner, mask):
    ours, theirs = twins("AlbertForQuestionAnswering", groups, inner)
    shown = torch.tensor(SHOWN[mask]).bool()
    starts, ends = shown.int().argmax(1), 6 - shown.flip(1).int().argmax(1)
    found = ours(**batch(mask), start_positions=starts, end_positions=ends)
    losses = []
    for row, kept in enumerate(shown):
        columns = kept.nonzero().T
        alone = {name: tensor[row : row + 1, kept] for name, tensor in batch(mask).items()}
        places = {"start_positions": torch.tensor([0])}
        places["end_positions"] = torch.tensor([columns.shape[1] - 1])
        expected = theirs(**alone, **places, position_ids=columns)
        assert_near(found.start_logits[row, kept], expected.start_logits[0])
        losses.append(expected.loss)
    assert_equal_gradients(ours, theirs, found.loss, torch.stack(losses).mean())


# === Other settings, and folders ===


@pytest.mark.parametrize("activation", ["gelu_new", "gelu", "relu", "tanh"])
def test_every_activation_means_the_same(tiny, tmp_path, shaken, activation):
    values = {**tiny.to_dict(), "hidden_act": activation}
    theirs = shaken(transformers.AlbertForMaskedLM(transformers.AlbertConfig(**values)))
    theirs.save_pretrained(tmp_path)
    ours = albatross.AlbertForMaskedLM.from_pretrained(tmp_path)
    assert_near(ours.double()(**batch()).logits, theirs.double()(**batch()).logits)


@pytest.mark.parametrize("sharing", ["all", "none"])
def test_a_folder_of_ours_opens_in_transformers_with_equal_logits(tiny, tmp_path, shaken, sharing):
    config = replace(tiny, num_hidden_groups=4, cross_layer_sharing=sharing)
    ours = shaken(albatross.AlbertForPreTraining(config))
    ours.save_pretrained(tmp_path)
    theirs = transformers.AlbertForPreTraining.from_pretrained(tmp_path)
    found, expected = ours(**batch("right")), theirs(**batch("right"))
    shown = batch("right")["attention_mask"].bool()
    difference = (found.prediction_logits - expected.prediction_logits)[shown].abs().max()
    assert difference < 1e-5
    torch.testing.assert_close(found.sop_logits, expected.sop_logits, atol=1e-5, rtol=0)


def test_a_half_precision_folder_comes_back_in_the_precision_it_was_saved_in(tiny, tmp_path):
    theirs = transformers.AlbertForMaskedLM(transformers.AlbertConfig(**tiny.to_dict())).half()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = albatross.AlbertForMaskedLM.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.AlbertForMaskedLM.from_pretrained(tmp_path / "ours")
    assert again.dtype == ours.predictions.bias.dtype == torch.float32


# === BERT ===

BERT_NAMES = {
    "attention.self.": "attention.",
    "attention.output.": "attention.",
    "intermediate.dense": "ffn",
    "output.dense": "ffn_output",
    "output.LayerNorm": "full_layer_layer_norm",
    "pooler.dense": "pooler",
}


def from_bert(name):
    """Return our name of a tensor of transformers' BertModel."""
    for theirs, ours in BERT_NAMES.items():
        name = name.replace(theirs, ours)
    if name.startswith("encoder.layer."):
        _, _, number, rest = name.split(".", 3)
        return f"encoder.albert_layer_groups.{number}.albert_layers.0.{rest}"
    return name


@masks
def test_the_bert_variant_equals_transformers_bert(tiny, shaken, mask):
    config = replace(unshared(tiny), hidden_act="gelu")
    values = {**config.to_dict(), "model_type": "bert"}
    theirs = shaken(transformers.BertModel(transformers.BertConfig(**values))).double()
    ours = albatross.AlbertModel(config).eval().double()
    ours.load_state_dict({from_bert(n): t for n, t in theirs.state_dict().items()})
    shown = batch(mask)["attention_mask"].bool()
    found, expected = ours(**batch(mask)), theirs(**batch(mask))
    assert_near(found.last_hidden_state[shown], expected.last_hidden_state[shown])
