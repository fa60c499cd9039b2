from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.data.corpora import varied
from torch.nn.functional import cross_entropy

from albatross.config import variant
from albatross.data.packing import IGNORED_LABEL
from albatross.data.sampling import one_pass
from albatross.data.shards import Shard
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.replaced_tokens import ReplacedTokenDetector
from albatross.training.distributed import World
from albatross.training.held_out import HeldOutText, frequency_bands
from albatross.training.objectives import MaskedWords, ReplacedTokens

CORPUS = varied(24, 2)
VOCABULARY = len(CORPUS.document_of)
CONFIG = variant("albatross-tiny", vocab_size=VOCABULARY)


def held_out(**options):
    source = CORPUS.source(max_length=64)
    bands = np.arange(VOCABULARY) * 3 // VOCABULARY
    return HeldOutText(source, bands, batch_tokens=512, **{"most_tokens": 10**6, **options})


def objective():
    return MaskedWords(AlbertForPreTraining(CONFIG)).eval()


@torch.no_grad()
def test_figures_are_those_of_every_sequence_by_itself():
    one = objective()
    losses, right, pairs = [], [], []
    for batch in one_pass(CORPUS.source(max_length=64), 512):
        for begin, end in pairwise(batch.cu_seqlens.tolist()):
            ids, types = (
                torch.from_numpy(part[begin:end])[None]
                for part in (batch.input_ids, batch.token_type_ids)
            )
            found = one.model(ids, token_type_ids=types)
            labels = torch.from_numpy(batch.labels["labels"][begin:end])
            logits = found.prediction_logits[0]
            losses.append(cross_entropy(logits, labels, reduction="sum"))
            right += (logits.argmax(-1) == labels)[labels != IGNORED_LABEL].tolist()
            pairs.append(int(found.sop_logits[0].argmax()))
    figures = held_out().measure(one, World())
    assert figures["masked_lm_loss"] == pytest.approx(float(sum(losses)) / len(right), rel=1e-5)
    assert figures["masked_lm_accuracy"] == pytest.approx(np.mean(right))
    orders = CORPUS.source(max_length=64).plan(0).order
    known = orders != IGNORED_LABEL
    assert figures["sentence_order_accuracy"] == pytest.approx(
        np.mean((np.array(pairs) == orders)[known])
    )


@torch.no_grad()
def test_two_processes_measure_what_one_does_each_a_part():
    one, parts = objective(), []

    class Kept(World):
        def sum(self, values):
            parts.append(values)
            return list(values)

    for rank, size in ((0, 1), (0, 2), (1, 2)):
        held_out().measure(one, Kept(rank=rank, size=size))
    assert np.sum(parts[1:], axis=0) == pytest.approx(parts[0])
    assert 0 < parts[1][0] < parts[0][0]


@torch.no_grad()
def test_a_detector_is_measured_too():
    model = ReplacedTokenDetector(AlbertForPreTraining(CONFIG), seed=0)
    found = held_out(most_tokens=1_500).measure(ReplacedTokens(model).eval(), World())
    assert 0 < found["replaced_token_accuracy"] < 1
    assert found["masked_lm_loss"] > 0


def test_bands_part_the_text_by_how_common_its_pieces_are():
    tokens = np.repeat(np.arange(6), [45, 36, 10, 5, 4, 0]).astype(np.uint16)
    shard = Shard(tokens, np.array([0, len(tokens)]), np.array([0, 1]))
    assert frequency_bands([shard], 7).tolist() == [0, 0, 1, 2, 2, 2, 2]
    tie = replace(shard, tokens=np.repeat(np.arange(4), 10).astype(np.uint16))
    assert frequency_bands([tie], 4).tolist() == [0, 0, 1, 1]


def test_all_text_is_masked_by_the_papers_rule_whatever_it_is_trained_with():
    batch = next(one_pass(CORPUS.source(max_length=64), 4_096))
    share = (batch.labels["labels"] != IGNORED_LABEL).mean()
    assert share == pytest.approx(0.15 * 61 / 64, abs=0.01)
