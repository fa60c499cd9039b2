from pathlib import Path

import numpy as np
import pytest
import torch

from albatross.config import variant
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import pack
from albatross.data.records import TextRecord
from albatross.modeling.model import AlbertForPreTraining
from albatross.tasks.cloze import Cloze, Pattern
from albatross.tasks.verbalizer import Verbalizer
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.cloze_losses import ClozeBatches, ClozeLosses, packed_units
from albatross.training.example_batches import ExampleBatches
from albatross.training.masked_text import masked_examples
from albatross.training.objectives import Draw

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
WORDS = Verbalizer.from_words({"yes": ("the", "bad"), "no": ("it",)}, TOKENIZER)
CLOZE = Cloze(Pattern("{text} It was [MASK]."), WORDS, TOKENIZER, 32)
RECORDS = [TextRecord("the gull flew"), TextRecord("it was a storm"), TextRecord("no")]
CLASSES = [0, 1, 1]


def units():
    return [CLOZE.features(r, c) for r, c in zip(RECORDS, CLASSES, strict=True)]


def mask(texts, key):
    table = PieceTable.from_tokenizer(TOKENIZER)
    return masked_examples(texts, TOKENIZER, table, MaskingRule(rate=0.5), key)


@pytest.fixture
def losses():
    config = variant("albatross-tiny", vocab_size=TOKENIZER.vocab_size)
    model = AlbertForPreTraining(config, add_pooling_layer=False, seed=0)
    return ClozeLosses(model, WORDS.table, TOKENIZER.mask_id, 0.25).eval()


def score_by_hand(model, record):
    """The classes' scores by padded tensors of each sentence alone."""
    words = []
    for example in CLOZE.features(record):
        logits = model(torch.from_numpy(example.input_ids)[None]).prediction_logits[0]
        gaps = torch.from_numpy(example.input_ids == TOKENIZER.mask_id)
        words.append(logits[gaps].log_softmax(-1))
    bad = words[1][range(3), TOKENIZER.encode("bad")].mean()
    the, it = (words[0][0, TOKENIZER.encode(word)[0]] for word in ("the", "it"))
    return torch.stack([(the + bad) / 2, it])


def test_classes_are_scored_by_the_words_in_the_gap(losses):
    with torch.no_grad():
        expected = torch.stack([score_by_hand(losses.model, record) for record in RECORDS])
        found = losses.scores(packed_units(units()))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_loss_is_the_cross_entropy_over_records(losses):
    batch = packed_units(units())
    scores = losses.scores(batch)
    expected = -scores.log_softmax(1)[range(3), CLASSES].sum()
    found = losses(batch, Draw())
    torch.testing.assert_close(found["cloze_loss"], expected)
    assert float(found["masked_lm_loss"]) == 0
    assert losses.counts(batch) == {"cloze_loss": 3, "masked_lm_loss": 0}


def test_masked_words_of_texts_are_learned_beside(losses):
    batch = pack(mask([TOKENIZER.encode("the gull flew over it")], (0,)))
    labels = batch.labels["labels"].astype(int)
    logits = (
        losses.model(torch.from_numpy(batch.input_ids)[None]).prediction_logits[0].log_softmax(-1)
    )
    at = np.flatnonzero(labels >= 0)
    found = losses(batch, Draw())
    torch.testing.assert_close(found["masked_lm_loss"], -logits[at, labels[at]].sum())
    assert losses.counts(batch) == {"cloze_loss": 0, "masked_lm_loss": len(at)}
    assert losses.weights == {"cloze_loss": 0.75, "masked_lm_loss": 0.25}


def test_a_step_holds_gaps_and_as_many_texts_as_asked_for():
    texts = [TOKENIZER.encode(f"the gull {i}") for i in range(9)]
    source = ClozeBatches(ExampleBatches(units(), 2, seed=0), texts, 4, 0, mask)
    first, again = source.step(source.start, 0.0), source.step((0, 0), 0.5)
    gaps, beside = first.batches
    assert (gaps.num_sequences, beside.num_sequences) == (4, 4)
    assert first.tokens == len(gaps.input_ids) + len(beside.input_ids)
    assert beside.input_ids.tolist() == again.batches[1].input_ids.tolist()
    later = source.step(first.position, 0.0).batches[1]
    assert beside.input_ids.tolist() != later.input_ids.tolist()
