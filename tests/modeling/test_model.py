"""The parts that a model can be made without."""

import pytest
import torch

from albatross.errors import ConfigError
from albatross.modeling.model import AlbertForPreTraining, AlbertModel

IDS = torch.tensor([[2, 7, 4, 9], [2, 5, 3, 1]])
ORDER = torch.tensor([1, 0])
PARTS = {"albert.pooler": {"add_pooling_layer": False}}
PARTS["sop_classifier"] = {"add_sentence_order_head": False}


def parts_of(model):
    return {name.rpartition(".")[0].removesuffix(".classifier") for name in model.state_dict()}


def test_the_sentence_order_head_goes_with_the_pooler_and_not_the_other_way(tiny):
    whole = parts_of(AlbertForPreTraining(tiny))
    without = {part: parts_of(AlbertForPreTraining(tiny, **PARTS[part])) for part in PARTS}
    assert whole - without["sop_classifier"] == {"sop_classifier"}
    assert whole - without["albert.pooler"] == {"sop_classifier", "albert.pooler"}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_absent_gives_none_and_the_rest_stays(tiny, shaken, part):
    whole = shaken(AlbertForPreTraining(tiny))
    model = AlbertForPreTraining(tiny, **PARTS[part]).eval()
    model.load_state_dict({name: whole.state_dict()[name] for name in model.state_dict()})
    found, expected = (m(IDS, labels=IDS) for m in (model, whole))
    assert found.sop_logits is None
    assert expected.sop_logits is not None
    assert torch.equal(found.prediction_logits, expected.prediction_logits)
    assert torch.equal(found.loss, expected.loss)


@pytest.mark.parametrize("part", PARTS)
def test_a_label_for_an_absent_head_is_refused(tiny, part):
    with pytest.raises(ConfigError, match="`sentence_order_label` needs"):
        AlbertForPreTraining(tiny, **PARTS[part])(IDS, sentence_order_label=ORDER)


@pytest.mark.parametrize("kind", [AlbertModel, AlbertForPreTraining])
def test_every_optional_part_is_an_option_that_leaves_its_tensors_out(tiny, kind):
    assert kind.optional_parts
    for prefix, option in kind.optional_parts.items():
        bare = prefix.removeprefix("albert.")
        assert any(bare in name for name in kind(tiny).state_dict())
        assert not any(bare in name for name in kind(tiny, **{option: False}).state_dict())


def test_every_other_weight_starts_as_it_does_in_a_whole_model(tiny):
    whole, part = AlbertModel(tiny, seed=3), AlbertModel(tiny, add_pooling_layer=False, seed=3)
    for name, tensor in part.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name]), name
