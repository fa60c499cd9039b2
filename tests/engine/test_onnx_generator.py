"""An exported model that writes: as torch does, alone as in company, over one set of weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from albatross.checkpoints.model_folder import read_config
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.generation import SearchOptions, write
from albatross.engine.onnx_generator import OnnxGenerator
from albatross.engine.torch_generator import TorchGenerator
from albatross.errors import DataError, FolderError
from albatross.export.decoder_graphs import write_decoder_graphs
from albatross.export.step_graphs import write_step_graphs
from albatross.modeling.generation_model import AlbertForGeneration

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
LENGTHS = (9, 4, 1, 9)
KINDS: dict[str, tuple[Any, bool]] = {
    "cross": ("cross", False),
    "tied": ("cross", True),
    "prefix": ("prefix", False),
}
CONFIGS = {
    **{kind: (kind, CONFIG) for kind in KINDS},
    "own attention": ("cross", replace(CONFIG, cross_layer_sharing="ffn", num_hidden_groups=1)),
    "own feed-forward": ("tied", replace(CONFIG, cross_layer_sharing="attention")),
    "residuals": ("prefix", replace(CONFIG, depth_lora_rank=2)),
    "no projection": ("cross", replace(CONFIG, embedding_size=16, embedding_projection=False)),
}


def exported(folder, kind, config):
    """A model with no tensor at its start, and the generator of its exported folder."""
    decoder, tied = KINDS[kind]
    model = AlbertForGeneration(config, decoder=decoder, tied=tied, seed=4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    model.save_pretrained(folder)
    config = read_config(folder)
    write_step_graphs(folder, config, {})
    write_decoder_graphs(folder, config)
    return model, OnnxGenerator(folder, config, threads=1)


@pytest.fixture(params=CONFIGS)
def both(request, tmp_path):
    model, generator = exported(tmp_path, *CONFIGS[request.param])
    return TorchGenerator(model), generator


@pytest.fixture(params=KINDS)
def generator(request, tmp_path):
    return exported(tmp_path, request.param, CONFIG)[1]


def sources(*lengths):
    draw = np.random.default_rng(2)
    return [Example(draw.integers(5, 60, n), np.zeros(n, np.int64)) for n in lengths]


def log_probs(generator, batch, steps, orders=()):
    """What is said over some words, which are the same in each call; rows change place on the way.

    Args:
        generator: what writes.
        batch: the sources.
        steps: how many words.
        orders: by step, the rows that go on.
    """
    draw, said = np.random.default_rng(3), [generator.start(batch)]
    for step in range(steps):
        state, rows = said[-1].state, len(said[-1].log_probs)
        if step in dict(orders):
            rows = len(dict(orders)[step])
            state = generator.reorder(state, np.array(dict(orders)[step]))
        said.append(generator.step(state, draw.integers(5, 60, rows)))
    return [one.log_probs for one in said]


# === As torch ===


def test_every_word_is_as_likely_as_in_torch(both):
    expected, found = (log_probs(one, pack(sources(*LENGTHS)), 25) for one in both)
    assert np.ptp(expected[-1]) > 1
    np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-5, rtol=0)


def test_rows_that_change_place_are_those_of_torch(both):
    orders = {0: [0, 0, 0, 1, 2, 3], 2: [5, 0, 0, 1, 3, 4], 17: [2, 2, 1], 19: [0]}
    expected, found = (log_probs(one, pack(sources(*LENGTHS)), 21, orders) for one in both)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_search_finds_the_texts_of_torch(both, beams):
    options, batch = replace(OPTIONS, beams=beams), pack(sources(*LENGTHS))
    expected, found = (write(one, batch, options) for one in both)
    for ours, theirs in zip(found, expected, strict=True):
        assert [text.ids for text in ours] == [text.ids for text in theirs]
        np.testing.assert_allclose([t.score for t in ours], [t.score for t in theirs], atol=1e-5)


# === States ===


def test_a_source_is_answered_alone_as_in_company(generator):
    several = sources(*LENGTHS)
    together = log_probs(generator, pack(several), 0)[0]
    for row, source in enumerate(several):
        alone = log_probs(generator, pack([source]), 0)[0]
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5, rtol=0)


def test_a_state_can_be_gone_on_from_twice(generator):
    start = generator.start(pack(sources(*LENGTHS)))
    ids = [np.full(len(LENGTHS), word) for word in (7, 8, 9)]
    first = generator.step(start.state, ids[0])
    expected = generator.step(first.state, ids[2]).log_probs
    other = generator.step(generator.step(start.state, ids[1]).state, ids[2]).log_probs
    assert np.abs(other - expected).max() > 1e-3
    np.testing.assert_array_equal(generator.step(first.state, ids[2]).log_probs, expected)


def test_probabilities_of_a_row_add_up_to_one(generator):
    said = log_probs(generator, pack(sources(*LENGTHS)), 1)[-1]
    assert said.dtype == np.float32
    np.testing.assert_allclose(np.exp(said).sum(1), 1, rtol=1e-5)


# === Refusals ===


def test_words_beyond_the_table_of_positions_are_refused(generator):
    with pytest.raises(DataError, match=r"at most 40 tokens.*Received: one that goes on"):
        log_probs(generator, pack(sources(9)), 40)


def test_a_source_beyond_the_table_of_positions_is_refused(generator):
    with pytest.raises(DataError, match=r"at most 40 tokens.*Received: 41"):
        generator.start(pack(sources(9, 41)))


@pytest.mark.parametrize("name", ["memory.0", "decode_layer.1", "predictions", "layer.0", "embed"])
def test_a_graph_that_is_missing_or_cut_short_is_named(tmp_path, name):
    _, generator = exported(tmp_path, "cross", CONFIG)
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FolderError, match=rf"`{name}\.onnx` must be a step graph"):
        OnnxGenerator(tmp_path, generator.config)
    path.unlink()
    with pytest.raises(FolderError, match=rf"An exported folder .*must hold `{name}\.onnx`"):
        OnnxGenerator(tmp_path, generator.config)


def test_graphs_of_the_other_decoder_are_refused(tmp_path):
    _, generator = exported(tmp_path, "cross", CONFIG)
    choice = {"generation_decoder": "prefix"}
    config = replace(generator.config, extra={**generator.config.extra, **choice})
    with pytest.raises(FolderError, match=r"`decode_layer\.0\.onnx` must take"):
        OnnxGenerator(tmp_path, config)
