import numpy as np
import pytest

from albatross.config import variant
from albatross.data.packing import Example
from albatross.errors import AlbatrossWarning
from albatross.head_spec import HeadSpec
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.training.contrastive import (
    HEAD,
    bring_together,
    embedding_head,
    pairs_of,
    similarity,
)
from albatross.training.distributed import World
from albatross.training.schedules import Extent
from albatross.training.short_run import ShortRun
from albatross.training.trainer import Optimization

CONFIG = variant("albatross-tiny", vocab_size=40)
CLASSES = [0, 0, 1, 1]


def examples():
    """Texts of four tokens each; half of them tell the class."""
    rows = [[2, 10 + 5 * own, 10 + 5 * own, 30 + i, 3] for i, own in enumerate(CLASSES)]
    return [Example(np.array(row), np.zeros(5, dtype=np.int64)) for row in rows]


def run(rate=1e-3):
    return ShortRun(World(), Optimization(Extent(steps=1), rate, 0.1, 0.01, 0.98, 1.0, 0))


def together(rate=1e-3, steps=None):
    heads = {"classifier": HeadSpec("sequence", 2), **embedding_head(CONFIG.hidden_size)}
    model = AlbertWithHeads(CONFIG, heads=heads, seed=0)
    options = {"pairs": 10, "batch_size": 8, "steps": steps, "seed": 0}
    return model, bring_together(model, examples(), CLASSES, run(rate), **options)


def test_a_text_is_paired_with_its_class_and_with_others():
    given = examples()
    number = {example.input_ids[3]: i for i, example in enumerate(given)}
    pairs = pairs_of(given, CLASSES, 3, seed=0)
    assert len(pairs) == 4 * 2 * 3
    for first, second in pairs:
        a, b = (number[one.input_ids[3]] for one in (first, second))
        assert a != b
        assert first.labels[HEAD] == second.labels[HEAD] == float(CLASSES[a] == CLASSES[b])
        assert (first.labels[f"{HEAD}.side"], second.labels[f"{HEAD}.side"]) == (0, 1)


def test_pairs_are_drawn_by_the_seed():
    def drawn(seed):
        pairs = pairs_of(examples(), CLASSES, 3, seed)
        return [second.input_ids.tolist() for _, second in pairs]

    assert drawn(0) == drawn(0) != drawn(1)


def test_texts_of_a_class_come_together_and_others_part():
    _, (before, after) = together()
    assert before.within - before.overall < 0.2
    assert after.within > 0.9
    assert after.overall < 0.5


def test_the_embedding_leaves_no_tensors_in_the_model():
    model, _ = together(steps=1)
    plain = AlbertWithHeads(CONFIG, heads={"classifier": HeadSpec("sequence", 2)})
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_similarity_leaves_out_a_text_with_itself():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    found = similarity(vectors, CLASSES)
    assert (found.within, found.overall) == pytest.approx((1.0, 4 / 12))


def test_a_collapse_is_said():
    with pytest.warns(AlbatrossWarning, match="the encoder has collapsed"):
        together(rate=1.0, steps=12)
