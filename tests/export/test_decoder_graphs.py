import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from albatross.checkpoints.model_folder import read_config
from albatross.config import AlbertConfig
from albatross.data.packing import Example, pack
from albatross.engine.onnx_generator import OnnxGenerator, decode_files, memory_files
from albatross.errors import WeightsError
from albatross.export.decoder_graphs import write_decoder_graphs
from albatross.export.quantization import quantise
from albatross.export.step_graphs import write_step_graphs
from albatross.modeling.generation_model import AlbertForGeneration

# Wide enough for 8 bits.
CONFIG = AlbertConfig(
    vocab_size=140,
    embedding_size=128,
    hidden_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=256,
    max_position_embeddings=40,
    initializer_range=0.1,
)
SHARINGS = {"all": (1, 1), "attention": (1, 4), "ffn": (4, 4), "none": (4, 4)}
"""Of four depths, how many keys and values of sources are distinct, and how many layers."""


@pytest.fixture(params=["cross", "prefix"])
def folder(request, tmp_path):
    """A model folder whose graphs are not written yet."""
    AlbertForGeneration(CONFIG, decoder=request.param, seed=4).save_pretrained(tmp_path)
    return tmp_path


def written(folder):
    config = read_config(folder)
    write_decoder_graphs(folder, config)
    return sorted({*decode_files(config), *memory_files(config)})


def log_probs(folder):
    """What an exported folder says of a word and the one after it, two rows each."""
    ids = np.arange(5, 25)
    generator = OnnxGenerator(folder, read_config(folder), threads=1)
    start = generator.start(pack([Example(part, 0 * part) for part in (ids[:13], ids[13:])]))
    after = generator.step(start.state, np.array([30, 31]))
    return np.concatenate([start.log_probs, after.log_probs])


def test_graphs_hold_no_weights_of_their_own(folder):
    for name in written(folder):
        graph = onnx.load(folder / name, load_external_data=False).graph
        places = {e.value for t in graph.initializer for e in t.external_data[:1]}
        assert places == {"model.safetensors"}
        assert (folder / name).stat().st_size < 10_000


def test_graphs_pass_the_checker_of_onnx(folder):
    for name in written(folder):
        onnx.checker.check_model(folder / name)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_what_is_shared_is_written_once(tmp_path, sharing):
    config = AlbertConfig.from_dict(
        {
            **CONFIG.to_dict(),
            "cross_layer_sharing": sharing,
            "num_hidden_groups": 4 if sharing == "none" else 1,
        }
    )
    AlbertForGeneration(config, seed=4).save_pretrained(tmp_path)
    written(tmp_path)
    found = [len(list(tmp_path.glob(f"{kind}.*.onnx"))) for kind in ("memory", "decode_layer")]
    assert tuple(found) == SHARINGS[sharing]


def test_in_8_bits_words_are_nearly_as_likely(folder, tmp_path_factory):
    rounded = tmp_path_factory.mktemp("rounded")
    arrays = quantise(load_file(folder / "model.safetensors"))
    assert arrays["albert.embeddings.word_embeddings.weight_int8"].dtype == np.int8
    save_file(arrays, rounded / "model.safetensors")
    (rounded / "config.json").write_bytes((folder / "config.json").read_bytes())
    for each in (folder, rounded):
        write_step_graphs(each, read_config(each), {})
        write_decoder_graphs(each, read_config(each))
    expected = log_probs(folder)
    assert 0 < (log_probs(rounded) - expected).std() < 0.1 * expected.std()


def test_a_missing_tensor_is_named_and_nothing_is_written(folder):
    weights = load_file(folder / "model.safetensors")
    name = max(name for name in weights if name.endswith("attention.key.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=rf"{name} .*no such tensor"):
        written(folder)
    assert not list(folder.glob("*.onnx"))
