"""A torch model that writes: from its folder as live, alone as in company, kept as read anew."""

import numpy as np
import pytest
import torch

from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.generation import SearchOptions, write
from albatross.engine.torch_generator import TorchGenerator
from albatross.modeling.generation_model import AlbertForGeneration
from albatross.modeling.packed import PackedInputs

CONFIG = AlbertConfig(
    vocab_size=60,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=4,
    num_hidden_groups=2,
    inner_group_num=2,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=40,
    initializer_range=0.3,
)
OPTIONS = SearchOptions(end_id=3, beams=3, max_length=12)


@pytest.fixture(params=[("cross", False), ("cross", True), ("prefix", False)])
def model(request):
    kind, tied = request.param
    return AlbertForGeneration(CONFIG, decoder=kind, tied=tied, seed=4)


def sources(*lengths):
    draw = np.random.default_rng(2)
    return [Example(draw.integers(5, 60, n), np.zeros(n, np.int64)) for n in lengths]


def read_anew(model, source, words):
    """Logits over every next word by a forward pass over source and words, (words + 1, vocab)."""
    start = source.input_ids
    if model.decoder_kind == "cross":
        ids = np.array([start[0], *words])
        batch = pack([Example(start, 0 * start, target=Example(ids, 0 * ids))])
        assert batch.target is not None
        beside = PackedInputs.from_batch(batch.target)
    else:
        types = np.repeat([0, 1], [len(start), len(words)])
        batch = pack([Example(np.array([*start, *words]), types)])
        beside = None
    with torch.no_grad():
        logits = model(PackedInputs.from_batch(batch), beside)
    return logits.log_softmax(-1)[-len(words) - 1 :].numpy()


def test_what_is_kept_says_what_a_forward_pass_says(model):
    generator, words = TorchGenerator(model), [7, 8, 9, 7]
    for source in sources(9, 4):
        said = [generator.start(pack([source]))]
        for word in words:
            said.append(generator.step(said[-1].state, np.array([word])))
        found = np.concatenate([one.log_probs for one in said])
        np.testing.assert_allclose(found, read_anew(model, source, words), atol=1e-5)


def test_probabilities_of_a_row_add_up_to_one(model):
    said = TorchGenerator(model).start(pack(sources(9, 4, 6)))
    assert said.log_probs.dtype == np.float32
    np.testing.assert_allclose(np.exp(said.log_probs).sum(1), 1, rtol=1e-5)


def test_a_source_is_answered_alone_as_in_company(model):
    generator, several = TorchGenerator(model), sources(9, 4, 6, 9)
    together = write(generator, pack(several), OPTIONS)
    for source, expected in zip(several, together, strict=True):
        (found,) = write(generator, pack([source]), OPTIONS)
        assert [text.ids for text in found] == [text.ids for text in expected]
        np.testing.assert_allclose([t.score for t in found], [t.score for t in expected], atol=1e-5)


def test_scores_are_those_of_a_forward_pass(model):
    for source in sources(9, 4):
        for text in write(TorchGenerator(model), pack([source]), OPTIONS)[0]:
            words = [*text.ids, OPTIONS.end_id][: len(text.ids) + text.ended]
            logs = read_anew(model, source, text.ids)
            total = sum(logs[at, word] for at, word in enumerate(words))
            assert text.score == pytest.approx(total / len(words), abs=1e-5)


def test_a_folder_writes_as_the_live_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    batch = pack(sources(9, 4))
    found = write(TorchGenerator.from_folder(tmp_path), batch, OPTIONS)
    assert found == write(TorchGenerator(model), batch, OPTIONS)


def test_dropout_is_off_when_writing():
    config = AlbertConfig.from_dict({**CONFIG.to_dict(), "hidden_dropout_prob": 0.5})
    generator = TorchGenerator(AlbertForGeneration(config).train())
    first, again = (generator.start(pack(sources(9))).log_probs for _ in range(2))
    np.testing.assert_array_equal(first, again)
