from itertools import pairwise

import numpy as np
import pytest
import torch

from albatross.config import variant
from albatross.data.packing import IGNORED_LABEL, Example, pack
from albatross.data.sampling import StepBatch
from albatross.head_spec import HeadSpec
from albatross.modeling.heads import cross_entropy
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.modeling.replaced_tokens import ReplacedTokenDetector
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.distributed import World
from albatross.training.gradients import Gradients
from albatross.training.head_losses import HeadLosses
from albatross.training.objectives import Draw, MaskedWords, ReplacedTokens

CONFIG = variant("albatross-tiny", vocab_size=60)


def examples(lengths, seed=0):
    """Samples with a few words to predict; the last one has no pair."""
    rng = np.random.default_rng(seed)
    made = []
    for index, length in enumerate(lengths):
        ids = rng.integers(5, 60, length)
        labels = np.where(rng.random(length) < 0.3, ids, IGNORED_LABEL)
        labels[0] = ids[0]
        order = IGNORED_LABEL if index == len(lengths) - 1 else index % 2
        made.append(Example(ids, 0 * ids, {"labels": labels, "sentence_order_label": order}))
    return made


def model():
    return AlbertForPreTraining(CONFIG, seed=0)


def gradients_of(objective, batches, **options):
    """The losses and gradients of a step that is cut into these batches."""
    settings = {"precision": "float32", "clip_norm": 1e9, "seed": 0, **options}
    gradients = Gradients(objective, objective, World(), **settings)
    tokens = sum(len(batch.input_ids) for batch in batches)
    losses = gradients.compute(StepBatch(batches, (0,), tokens, 0), 0, None)
    gradients.clip(dict(objective.named_parameters()))
    found = [p.grad.flatten() for p in objective.parameters() if p.grad is not None]
    return losses, torch.cat(found)


def test_the_loss_is_the_mean_over_words_and_the_mean_over_pairs():
    batch = pack(examples([9, 12, 20]))
    one = model().eval()
    losses, _ = gradients_of(MaskedWords(one), [batch])
    inputs = PackedInputs.from_batch(batch)
    with torch.no_grad():
        rows = one.albert.encode(inputs)
        words = cross_entropy(one.predict_words(rows), torch.from_numpy(batch.labels["labels"]))
        logits = one.sop_classifier(one.albert.pool(rows, inputs.layout))
        pairs = cross_entropy(logits, torch.from_numpy(batch.labels["sentence_order_label"]))
    assert losses["masked_lm_loss"] == pytest.approx(float(words), rel=1e-6)
    assert losses["sentence_order_loss"] == pytest.approx(float(pairs), rel=1e-6)
    assert losses["loss"] == pytest.approx(float(words + pairs), rel=1e-6)


@pytest.mark.parametrize("cuts", [[3, 1, 2], [1, 1, 1, 1, 1, 1]])
def test_micro_batches_of_unlike_size_give_the_gradients_of_the_whole(cuts):
    made = examples([9, 30, 12, 20, 7, 16])
    whole = gradients_of(MaskedWords(model()), [pack(made)])
    ends = np.cumsum([0, *cuts])
    parts = [pack(made[a:b]) for a, b in pairwise(ends)]
    found = gradients_of(MaskedWords(model()), parts)
    assert found[0] == pytest.approx(whole[0], rel=1e-5)
    torch.testing.assert_close(found[1], whole[1], rtol=1e-4, atol=1e-6)


def test_only_masked_positions_pass_the_vocabulary_wide_head():
    batch, one, rows = pack(examples([20, 30])), model(), []
    one.predictions.dense.register_forward_hook(lambda m, given, output: rows.append(len(output)))
    MaskedWords(one)(batch, Draw())
    assert rows == [int((batch.labels["labels"] != IGNORED_LABEL).sum())]


def test_without_pairs_pooler_and_sentence_head_stay_as_they_are():
    objective = MaskedWords(model(), pairs=False)
    losses, _ = gradients_of(objective, [pack(examples([9, 12]))])
    assert set(losses) == {"loss", "masked_lm_loss"}
    untouched = {n for n, p in objective.model.named_parameters() if p.grad is None}
    assert {"albert.pooler.weight", "sop_classifier.classifier.weight"} <= untouched


def test_a_step_without_any_pair_has_no_such_loss():
    losses, _ = gradients_of(MaskedWords(model()), [pack(examples([9]))])
    assert set(losses) == {"loss", "masked_lm_loss"}


def test_checkpointed_activations_give_the_same_gradients():
    batch, found = pack(examples([20, 30])), []
    for enabled in (False, True):
        one = model()
        one.activation_checkpointing(enabled)
        found.append(gradients_of(MaskedWords(one), [batch])[1])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_gives_about_the_same_gradients(precision):
    batch = pack(examples([20, 30, 25]))
    exact = gradients_of(MaskedWords(model()), [batch])
    objective = MaskedWords(model())
    losses, found = gradients_of(objective, [batch], precision=precision)
    assert losses["loss"] == pytest.approx(exact[0]["loss"], rel=1e-2)
    assert float((found - exact[1]).norm() / exact[1].norm()) < 0.05


def test_fewer_depths_are_another_function_of_the_same_weights():
    batch, objective = pack(examples([20])), MaskedWords(model()).eval()
    whole, shallow = objective(batch, Draw()), objective(batch, Draw(depths=(0, 2)))
    assert not torch.equal(whole["masked_lm_loss"], shallow["masked_lm_loss"])
    other = objective(batch, Draw(depths=(1, 3)))  # the layers share their weights
    torch.testing.assert_close(shallow, other)


def test_replaced_tokens_train_generator_and_detector_and_leave_the_old_head_alone():
    one = model()
    objective = ReplacedTokens(ReplacedTokenDetector(one, seed=1))
    losses, _ = gradients_of(objective, [pack(examples([20, 30, 9]))])
    assert set(losses) == {"loss", "masked_lm_loss", "replaced_token_loss", "sentence_order_loss"}
    parts = [losses[n] * w for n, w in objective.weights.items()]
    assert losses["loss"] == pytest.approx(sum(parts))
    assert objective.weights["replaced_token_loss"] == 50
    assert not any(p.requires_grad for p in one.predictions.parameters())
    assert all(p.grad is not None for p in objective.detector.generator.parameters())


def test_heads_without_labels_in_a_batch_get_no_gradient_and_no_loss():
    heads = {"one": HeadSpec("sequence", 3), "two": HeadSpec("sequence", 2)}
    objective = HeadLosses(AlbertWithHeads(CONFIG, heads=heads))
    ids = np.arange(5, 12)
    losses, _ = gradients_of(objective, [pack([Example(ids, 0 * ids, {"one": 2})])])
    assert set(losses) == {"loss", "one_loss"}
    assert losses["one_loss"] == pytest.approx(np.log(3), abs=0.3)
    weight = objective.model.get_parameter("two.weight")
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) == 0
