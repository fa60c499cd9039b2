"""Learning to write: what is counted, what the loss is, and that pairs are learned by heart."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from albatross.checkpoints.model_folder import read_config, read_weights
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.data.records import SourceRecord
from albatross.engine.generation import SearchOptions, write
from albatross.engine.torch_generator import TorchGenerator
from albatross.errors import ConfigError, LabelError
from albatross.modeling.generation_model import AlbertForGeneration, DecoderKind
from albatross.modeling.packed import PackedInputs
from albatross.tasks.generation import GenerationTask
from albatross.tokenizer.folder import open_tokenizer
from albatross.training.generation_objective import (
    TargetWords,
    expected_words,
    generation_parts,
)
from albatross.training.objectives import Draw

CLS, SEP = 2, 3
WAYS: list[tuple[DecoderKind, bool]] = [("cross", False), ("cross", True), ("prefix", False)]
CONFIG = AlbertConfig(
    vocab_size=24,
    embedding_size=16,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=32,
    initializer_range=0.1,
)


def pair(kind, source, target):
    """What a task makes of two texts; see its `features`."""
    read = np.array([CLS, *source, SEP])
    if kind == "cross":
        told = np.array([CLS, *target, SEP])
        return Example(read, 0 * read, target=Example(told, 0 * told))
    types = np.repeat([0, 1], [len(read), len(target) + 1])
    return Example(np.array([*read, *target, SEP]), types)


def reversals(count, seed=0):
    """Sources of 3 to 6 words, and the same words from the last to the first."""
    rng = np.random.default_rng(seed)
    sources = [rng.integers(5, 24, rng.integers(3, 7)).tolist() for _ in range(count)]
    return [(source, source[::-1]) for source in sources]


@pytest.fixture(params=WAYS, ids=["cross", "tied", "prefix"], scope="module")
def learned(request):
    """A model that was shown eight reversals until it knew them."""
    kind, tied = request.param
    model = AlbertForGeneration(CONFIG, decoder=kind, tied=tied)
    objective = TargetWords(model)
    batch = pack([pair(kind, *both) for both in reversals(8)])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(250):
        loss = objective(batch, Draw())["target_loss"] / objective.counts(batch)["target_loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    return model.eval()


@pytest.mark.parametrize("beams", [1, 3])
def test_eight_reversals_are_learned_and_written(learned, beams):
    read = [np.array([CLS, *source, SEP]) for source, _ in reversals(8)]
    options = SearchOptions(SEP, beams=beams, max_length=9)
    found = write(TorchGenerator(learned), pack([Example(r, 0 * r) for r in read]), options)
    assert [list(texts[0].ids) for texts in found] == [target for _, target in reversals(8)]
    assert all(len(texts) == beams and texts[0].ended for texts in found)


def test_scores_are_those_of_the_whole_text_read_at_once(learned):
    """The search goes word by word over what is kept; a forward pass needs none of it."""
    generator = TorchGenerator(learned)
    for source, _ in reversals(3, seed=4):
        read = np.array([CLS, *source, SEP])
        options = SearchOptions(SEP, beams=4, max_length=6)
        (texts,) = write(generator, pack([Example(read, 0 * read)]), options)
        for text in (text for text in texts if text.ended):
            batch = pack([pair(learned.decoder_kind, source, text.ids)])
            with torch.no_grad():
                total = -TargetWords(learned)(batch, Draw())["target_loss"]
            assert text.score * (len(text.ids) + 1) == pytest.approx(float(total), abs=1e-4)


def test_words_of_targets_and_their_ends_are_counted():
    for kind, tied in WAYS:
        objective = TargetWords(AlbertForGeneration(CONFIG, decoder=kind, tied=tied))
        batch = pack([pair(kind, [5, 6], [7, 8, 9]), pair(kind, [5], [7])])
        assert objective.counts(batch) == {"target_loss": 4 + 2}


def test_every_row_tells_the_word_after_it():
    told = expected_words(
        pack([pair("prefix", [5, 6], [7, 8]), pair("prefix", [9], [])]), prefix=True
    )
    assert told.rows.tolist() == [3, 4, 5, 9]
    assert told.ids.tolist() == [7, 8, SEP, SEP]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_summed_cross_entropy_of_the_targets(smoothing):
    model = AlbertForGeneration(CONFIG, decoder="prefix").eval()
    batch = pack([pair("prefix", [5, 6], [7, 8, 9]), pair("prefix", [5], [7])])
    told = expected_words(batch, prefix=True)
    with torch.no_grad():
        found = TargetWords(model, smoothing=smoothing)(batch, Draw())["target_loss"]
        logs = functional.log_softmax(model(PackedInputs.from_batch(batch)), -1)[told.rows]
    right = logs[torch.arange(len(told.ids)), told.ids].sum()
    expected = (1 - smoothing) * right + smoothing * logs.mean(1).sum()
    assert float(found) == pytest.approx(-float(expected), rel=1e-5)


def test_every_weight_is_learned_from():
    for kind, tied in WAYS:
        objective = TargetWords(AlbertForGeneration(CONFIG, decoder=kind, tied=tied))
        objective(pack([pair(kind, *both) for both in reversals(4)]), Draw())[
            "target_loss"
        ].backward()
        assert all(p.grad is not None and p.grad.any() for p in objective.parameters())


@pytest.mark.parametrize(("kind", "tied"), WAYS)
def test_half_precision_gives_nearly_the_same_loss(kind, tied):
    objective = TargetWords(AlbertForGeneration(CONFIG, decoder=kind, tied=tied))
    batch = pack([pair(kind, *both) for both in reversals(4)])
    expected = objective(batch, Draw())["target_loss"]
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(batch, Draw())["target_loss"]
    found.backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)


# === What the verb asks for ===


@pytest.fixture(scope="module")
def task_of(pretrained):
    def make(decoder, **options):
        tokenizer = open_tokenizer(pretrained)
        return GenerationTask("w", tokenizer, decoder=decoder, max_length=32, **options)

    return make


RECORDS = [SourceRecord("the small dog", ("the dog is small",)), SourceRecord("a cat", ("cats",))]


@pytest.fixture(scope="module")
def config(pretrained):
    return read_config(pretrained)


@pytest.mark.parametrize(("decoder", "tied"), WAYS)
def test_a_run_starts_from_a_pretrained_folder(pretrained, config, task_of, decoder, tied):
    task = task_of(decoder, tied=tied, target_length=16)
    parts = generation_parts(pretrained, config, task, RECORDS)
    model = parts.objective.model
    assert isinstance(model, AlbertForGeneration)
    assert (model.decoder_kind, hasattr(model, "decoder") and model.decoder.tied) == (decoder, tied)
    assert parts.objective.smoothing == 0.1
    assert len(parts.examples) == 2
    assert parts.objective(pack(parts.examples), Draw())["target_loss"].isfinite()


def test_a_run_from_scratch_takes_no_weights(pretrained, config, task_of):
    task = task_of("prefix", target_length=16)
    warm, first, other = (
        generation_parts(pretrained, config, task, RECORDS, from_scratch=anew, seed=seed)
        for anew, seed in ((False, 0), (True, 0), (True, 1))
    )
    name = "albert.embeddings.word_embeddings.weight"
    tables = [parts.objective.model.state_dict()[name] for parts in (warm, first, other)]
    assert torch.equal(tables[0], torch.from_numpy(np.array(read_weights(pretrained)[name])))
    assert not torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[1], tables[2])


@pytest.mark.parametrize("tied", [False, True])
def test_a_fresh_decoder_stands_on_the_encoder_as_it_was(pretrained, config, task_of, tied):
    task = task_of("cross", tied=tied, target_length=16)
    warm, fresh, again, other = (
        generation_parts(
            pretrained, config, task, RECORDS, fresh_decoder=anew, seed=seed
        ).objective.model.state_dict()
        for anew, seed in ((False, 0), (True, 0), (True, 0), (True, 1))
    )
    matrices = [name for name in warm if warm[name].ndim == 2]
    drawn = {name for name in matrices if not torch.equal(warm[name], fresh[name])}
    assert drawn == {name for name in matrices if name.startswith("decoder.")}
    assert all(torch.equal(fresh[name], again[name]) for name in warm)
    assert not any(torch.equal(fresh[name], other[name]) for name in drawn)


def test_what_a_run_cannot_learn_is_refused(pretrained, task_of):
    config = AlbertConfig(max_position_embeddings=40)
    with pytest.raises(ConfigError, match="at most 40 tokens"):
        generation_parts(pretrained, config, task_of("prefix", target_length=16), RECORDS)
    with pytest.raises(LabelError, match="must have a text"):
        generation_parts(
            pretrained, config, task_of("cross", target_length=16), [SourceRecord("a")]
        )
