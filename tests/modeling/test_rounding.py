"""Maps that learn in 8 bits: what they compute, what they learn, and which they are."""

import copy

import numpy as np
import pytest
import torch

from albatross.checkpoints import eight_bits
from albatross.checkpoints.eight_bits import HALF, LARGEST_ACTIVATION, LARGEST_WEIGHT
from albatross.checkpoints.model_folder import write_weights
from albatross.config import variant
from albatross.data.packing import Example, pack
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.torch_engine import TorchEngine
from albatross.export.quantization import quantise
from albatross.export.step_graphs import write_step_graphs
from albatross.head_spec import HeadSpec
from albatross.modeling import rounding
from albatross.modeling.beam_head import BeamQuestionHead
from albatross.modeling.heads import ClassHead
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.rounding import RoundedLinear, round_weights, rounded
from albatross.modeling.with_heads import AlbertWithHeads

HEADS = {"classifier": HeadSpec("sequence", 3)}
CONFIG = variant("albatross-tiny", vocab_size=300)


def model():
    return AlbertWithHeads(CONFIG, heads=HEADS, seed=0)


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def test_a_map_computes_in_whole_numbers():
    torch.manual_seed(0)
    plain, rows = torch.nn.Linear(200, 150), torch.randn(7, 200) * torch.rand(7, 1) * 100
    plain.__class__ = RoundedLinear
    weight, rows_of = plain.weight.detach().double(), rows.double()
    of_weight = weight.abs().amax(1, keepdim=True) / LARGEST_WEIGHT
    of_rows = rows_of.abs().amax(1, keepdim=True) / LARGEST_ACTIVATION
    whole = (rows_of / of_rows).round() @ (weight / of_weight).round().T
    expected = whole * of_rows * of_weight.T + plain.bias.double()
    torch.testing.assert_close(plain(rows).double(), expected, rtol=1e-4, atol=1e-4)


def test_gradients_pass_as_if_nothing_had_been_rounded():
    torch.manual_seed(0)
    given = torch.randn(5, 40, requires_grad=True)
    part = torch.nn.Linear(40, 30)
    part.__class__ = RoundedLinear
    weights = torch.randn(5, 30)
    (part(given) * weights).sum().backward()
    torch.testing.assert_close(given.grad, weights @ rounded(part.weight.detach(), LARGEST_WEIGHT))
    of_rows = rounded(given.detach(), LARGEST_ACTIVATION)
    torch.testing.assert_close(part.weight.grad, weights.T @ of_rows)


def test_maps_learn_to_bear_what_they_would_not_have_borne(monkeypatch):
    monkeypatch.setattr(rounding, "LARGEST_WEIGHT", 1)  # weights are -1, 0 and 1 times a scale
    torch.manual_seed(0)
    rows = torch.randn(256, 20)
    wanted = torch.tanh(rows @ torch.randn(20, 3))

    def loss_of(model):
        return torch.nn.functional.mse_loss(model(rows), wanted)

    def learn(model):
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(300):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()

    def round_maps(model):
        for at in (0, 2):
            model[at].__class__ = RoundedLinear

    plain = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.Tanh(), torch.nn.Linear(64, 3))
    aware = copy.deepcopy(plain)
    learn(plain)
    round_maps(plain)
    round_maps(aware)
    learn(aware)
    assert loss_of(aware).item() < 0.5 * loss_of(plain).item()


def test_a_row_of_zeros_stays_one():
    assert rounded(torch.zeros(2, 3), 63).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("heads", "count"),
    [
        (HEADS, 9),
        ({"classifier": HeadSpec("sequence", 128)}, 10),
        ({"tags": HeadSpec("token", 128)}, 9),
        ({"beam_qa": HeadSpec("beam_span", 0)}, 10),
    ],
    ids=["few classes", "many classes", "many tags", "beams"],
)
def test_what_the_export_has_in_8_bits_is_rounded(heads, count):
    given = AlbertWithHeads(CONFIG, heads=heads, seed=0)
    before = list(given.state_dict())
    stored = quantise(arrays_of(given))
    expected = {name.removesuffix("_int8") for name in stored if name.endswith("_int8")}
    assert set(round_weights(given)) == expected
    assert len(expected) == count
    assert list(given.state_dict()) == before


def test_a_head_of_many_classes_is_multiplied_in_8_bits():
    given = AlbertWithHeads(CONFIG, heads={"tags": HeadSpec("token", 128)}, seed=0).eval()
    round_weights(given)
    head, rows = given.get_submodule("tags"), torch.randn(5, CONFIG.hidden_size)
    assert isinstance(head, ClassHead)
    whole = rounded(rows, LARGEST_ACTIVATION) @ rounded(head.weight, LARGEST_WEIGHT).T
    torch.testing.assert_close(head(rows), whole + head.bias)


def test_ends_of_beams_are_told_by_the_rounded_matrix():
    heads = {"beam_qa": HeadSpec("beam_span", 0)}
    models = [AlbertWithHeads(CONFIG, heads=heads, seed=0).eval() for _ in range(2)]
    round_weights(models[1])
    plain, small = (model.get_submodule("beam_qa") for model in models)
    assert isinstance(plain, BeamQuestionHead)
    assert isinstance(small, BeamQuestionHead)
    matrix = plain.end_dense.weight
    given = torch.randn(1, 9, CONFIG.hidden_size), torch.tensor([[2, 5]]), torch.zeros(1, 9) > 0
    before = plain.end_logits(*given)
    with torch.no_grad():
        matrix.copy_(rounded(matrix, LARGEST_WEIGHT))
    found = small.end_logits(*given)
    torch.testing.assert_close(found, plain.end_logits(*given))
    assert not torch.equal(found, before)


def test_words_are_told_from_a_table_in_8_bits():
    given = AlbertForPreTraining(CONFIG)
    rows, table = torch.randn(4, CONFIG.hidden_size), given.albert.embeddings.word_embeddings
    round_weights(given)
    stored, scales = eight_bits.rounded(table.weight.detach().numpy(), LARGEST_WEIGHT)
    whole = torch.from_numpy(stored * scales[:, None])
    torch.testing.assert_close(table(torch.arange(len(whole))), whole)
    told = rounded(given.predictions.transformed(rows), LARGEST_ACTIVATION)
    torch.testing.assert_close(given.predict_words(rows), told @ whole.T + given.predictions.bias)


def test_a_model_of_rounded_weights_says_what_its_export_in_8_bits_says(tmp_path):
    plain, small = model(), model()
    write_weights(tmp_path, quantise(arrays_of(plain)))
    write_step_graphs(tmp_path, CONFIG, HEADS)
    round_weights(small)
    with torch.no_grad():  # what is in 16 bits there is left as it is in training
        small.get_parameter(HALF).copy_(small.get_parameter(HALF).half())
    draw = np.random.default_rng(0)
    ids = [draw.integers(0, CONFIG.vocab_size, length) for length in (3, 17, 40, 64)]
    batch = pack([Example(each, np.zeros_like(each)) for each in ids])

    def after_one_depth(engine):
        return np.asarray(engine.layer(engine.embed(batch), batch.cu_seqlens, 0))

    # At deeper ones a number that lies between two steps may fall to either of them.
    expected = after_one_depth(OnnxEngine(tmp_path, CONFIG))
    np.testing.assert_allclose(after_one_depth(TorchEngine(small)), expected, atol=1e-5)
    assert np.abs(after_one_depth(TorchEngine(plain)) - expected).max() > 1e-2
