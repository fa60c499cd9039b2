"""Exports over another exported model: what they hold, what they answer, and what is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from albatross.checkpoints.delta import stood_on
from albatross.checkpoints.huggingface import EMBEDDINGS
from albatross.checkpoints.model_folder import (
    read_config,
    read_own_weights,
    read_stored_weights,
    read_weights,
    write_weights,
)
from albatross.checkpoints.word_rows import IDS, ROWS, SCALES, TABLE, WHOLE
from albatross.conversion.convert import convert
from albatross.engine.open import open_tokenizer
from albatross.errors import ConfigError, FolderError
from albatross.evaluation.tune import tune
from albatross.export.folder import export
from albatross.info import info
from albatross.pipelines.pipeline import load
from albatross.settings.answering import ExportSettings, InfoSettings, TuneSettings
from albatross.settings.conversion import ConvertSettings
from albatross.training.finetune import finetune
from albatross.training.transfer import Adaptation

LABELS = ("negative", "positive")


def shares(folder, reviews, **options):
    answers = load(folder, **options)([text for text, _ in reviews])
    return [answer.probabilities["positive"] for answer in answers]


@pytest.fixture(scope="module")
def exports(pretrained, runs):
    """The pre-trained model, exported in each precision."""
    return {
        dtype: export(ExportSettings(pretrained, runs / f"below-{dtype}", dtype))
        for dtype in ("float32", "float16", "int8")
    }


@pytest.fixture(params=["float32", "float16", "int8"])
def below(request, exports, tmp_path):
    return shutil.copytree(exports[request.param], tmp_path / "below")


@pytest.fixture
def whole(exports, tmp_path):
    return shutil.copytree(exports["float32"], tmp_path / "below")


@pytest.fixture(scope="module")
def learned(finetune_settings, runs):
    """A model whose layers alone have learned."""
    out = runs / "learned-layers"
    return finetune(replace(finetune_settings, out=out, adapt="layers"))


# === What it is ===


def test_layers_alone_learn_what_all_weights_learn(learned, reviews):
    right = [
        (share > 0.5) == (label == "positive")
        for share, (_, label) in zip(shares(learned, reviews), reviews, strict=True)
    ]
    assert sum(right) / len(right) > 0.95


def test_it_answers_as_the_model(learned, below, tmp_path, reviews):
    dtype = json.loads((below / "run.json").read_text())["export"]["dtype"]
    out = export(ExportSettings(learned, tmp_path / "out", dtype, over=below))
    near = {"float32": 1e-5, "float16": 2e-2, "int8": 0.1}[dtype]
    assert shares(out, reviews) == pytest.approx(shares(learned, reviews), abs=near)


def test_torch_opens_one_in_floats(learned, whole, tmp_path, reviews):
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    expected = pytest.approx(shares(learned, reviews), abs=1e-5)
    assert shares(out, reviews, engine="torch") == expected


def test_in_eight_bits_it_is_as_near_as_a_whole_export(learned, whole, tmp_path, reviews):
    out = export(ExportSettings(learned, tmp_path / "out", "int8", over=whole))
    alone = export(ExportSettings(learned, tmp_path / "alone", "int8"))
    expected = shares(learned, reviews)
    off = [
        max(abs(a - b) for a, b in zip(shares(each, reviews), expected, strict=True))
        for each in (out, alone)
    ]
    assert off[0] <= off[1] + 0.01
    with pytest.raises(FolderError, match="Weights in 8 bits"):
        read_weights(out)


def test_floats_do_not_stand_over_eight_bits(learned, exports, tmp_path):
    with pytest.raises(FolderError, match="needs embeddings in floats"):
        export(ExportSettings(learned, tmp_path / "out", over=exports["int8"]))


def test_it_holds_neither_embeddings_nor_a_vocabulary(learned, whole, tmp_path):
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    assert not any(name.startswith(EMBEDDINGS) for name in read_own_weights(out))
    names = {path.name for path in out.iterdir()}
    assert {"base.json", "layer.0.onnx", "heads.onnx"} <= names
    assert not names & {"embed.onnx", "spiece.model"}


def test_a_low_rank_adapter_is_merged_into_the_layers_that_stay(
    delta_of, pretrained, whole, tmp_path, reviews
):
    adapted = delta_of(pretrained, "adapted", Adaptation("lora", 4), labels=LABELS)
    out = export(ExportSettings(adapted, tmp_path / "out", over=whole))
    assert shares(out, reviews) == pytest.approx(shares(adapted, reviews), abs=1e-5)


def test_it_is_measured_on_records_beside_the_model(learned, whole, tmp_path, reviews):
    rows = "\n".join(f"{text}\t{label}" for text, label in reviews)
    dev = tmp_path / "dev.tsv"
    dev.write_text(f"text\tlabel\n{rows}\n", encoding="utf-8")
    out = export(
        ExportSettings(
            learned, tmp_path / "out", "int8", over=whole, dev=(str(dev),), max_loss=100.0
        )
    )
    (figures,) = json.loads((out / "run.json").read_text())["export"]["dev"].values()
    assert {"float32", "int8"} <= figures.keys()


# === Over another model, or none ===


def test_a_base_that_has_moved_is_named(learned, whole, tmp_path, reviews):
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    expected = shares(out, reviews)
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    shutil.move(whole, moved)
    with pytest.raises(FolderError, match="`base=`"):
        load(out)
    assert shares(out, reviews, base=moved) == expected


@pytest.mark.parametrize("name", ["embed.onnx", "model.safetensors", "spiece.model"])
def test_a_base_that_has_changed_is_not_answered_with(learned, whole, tmp_path, name):
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    file = whole / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(FolderError, match="checksum"):
        load(out)


# === Rows of the word table ===


@pytest.fixture(scope="module")
def over_rows(finetuned, exports, runs):
    out = runs / "over-rows" / "out"
    below = shutil.copytree(exports["float32"], out.with_name("below"))
    return export(ExportSettings(finetuned, out, "int8", over=below)).parent


@pytest.fixture
def with_rows(over_rows, whole, tmp_path):
    """A model all of whose weights have learned, in 8 bits over the one that it started from."""
    return shutil.copytree(over_rows / "out", tmp_path / "out")


def test_the_rows_that_learning_has_moved_are_those_of_its_pieces(with_rows, finetuned, reviews):
    tokenizer = open_tokenizer(finetuned, read_config(finetuned))
    met = {piece for text, _ in reviews for piece in tokenizer.encode(text)}
    own = read_own_weights(with_rows)
    moved = {*own[IDS].tolist()}
    assert met <= moved
    # A number that lies between two steps may fall to the other one by decay.
    assert len(moved - met - {tokenizer.cls_id, tokenizer.sep_id}) <= 3
    assert own[ROWS].shape == (len(own[IDS]), read_config(finetuned).embedding_size)
    assert not {TABLE, WHOLE, SCALES} & own.keys()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_over_any_floats_it_answers_as_a_whole_export(
    finetuned, pretrained, tmp_path, reviews, dtype, capsys
):
    below = export(ExportSettings(pretrained, tmp_path / "below", dtype))
    out = export(ExportSettings(finetuned, tmp_path / "out", "int8", over=below))
    assert "rows of its word table that learning has moved" in capsys.readouterr().err
    alone = export(ExportSettings(finetuned, tmp_path / "alone", "int8"))
    assert shares(out, reviews) == pytest.approx(shares(alone, reviews), abs=1e-3)
    assert (out / "model.safetensors").stat().st_size < (alone / "model.safetensors").stat().st_size


def test_the_joined_table_is_that_of_a_whole_export(with_rows, finetuned, tmp_path):
    alone = export(ExportSettings(finetuned, tmp_path / "alone", "int8"))
    found, expected = read_stored_weights(with_rows), read_stored_weights(alone)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        near = 0.01 if name == SCALES else 0  # decay took less from a row's scale
        ours, whole = (np.asarray(each, np.float32) for each in (found[name], array))
        np.testing.assert_allclose(ours, whole, rtol=near, err_msg=name)
    told = [info(InfoSettings(str(each))).facts for each in (with_rows, alone)]
    assert all(told[0][key] == told[1][key] for key in ("tensors", "heads", "unknown tensors"))


def test_a_table_of_rows_needs_its_own_base(with_rows, whole, tmp_path, reviews):
    expected = shares(with_rows, reviews)
    moved = tmp_path / "moved"
    shutil.move(whole, moved)
    with pytest.raises(FolderError, match="`base=`"):
        load(with_rows)
    assert shares(with_rows, reviews, base=moved) == expected
    file = moved / "model.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(FolderError, match="checksum"):
        load(with_rows, base=moved)


@pytest.mark.parametrize("spoilt", [-1, 10**6])
def test_rows_that_the_table_has_not_are_refused(with_rows, spoilt):
    arrays = {name: array.copy() for name, array in read_own_weights(with_rows).items()}
    arrays[IDS][0] = spoilt
    write_weights(with_rows, arrays)
    run = json.loads((with_rows / "run.json").read_text())
    del run["sha256"]["model.safetensors"]
    (with_rows / "run.json").write_text(json.dumps(run))
    with pytest.raises(FolderError, match="must hold rows of it by their numbers"):
        load(with_rows)


def test_over_a_table_with_fewer_steps_none_is_left(finetuned, pretrained, tmp_path, capsys):
    """That of a model in 8 bits that predicts words."""
    below = export(ExportSettings(pretrained, tmp_path / "below", "int8"))
    out = export(ExportSettings(finetuned, tmp_path / "out", "int8", over=below))
    assert "keeps embeddings of its own" in capsys.readouterr().err
    assert WHOLE in read_own_weights(out)


# === The vocabulary alone ===


def test_embeddings_that_have_learned_stay_and_the_vocabulary_does_not(
    finetuned, below, tmp_path, reviews, capsys
):
    """Whatever the precision of the two."""
    out = export(ExportSettings(finetuned, tmp_path / "out", over=below))
    assert "keeps embeddings of its own, and leaves there the vocabulary" in capsys.readouterr().err
    names = {path.name for path in out.iterdir()}
    assert {"base.json", "embed.onnx"} <= names
    assert "spiece.model" not in names
    expected = pytest.approx(shares(finetuned, reviews), abs=1e-5)
    assert shares(out, reviews) == expected
    assert shares(out, reviews, engine="torch") == expected
    read_weights(out)


def test_a_vocabulary_that_has_moved_is_named(finetuned, whole, tmp_path, reviews):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    expected = shares(out, reviews)
    moved = tmp_path / "moved"
    shutil.move(whole, moved)
    with pytest.raises(FolderError, match="`base=`"):
        load(out)
    for engine in ("onnx", "torch"):
        assert shares(out, reviews, base=moved, engine=engine) == pytest.approx(expected, abs=1e-5)


def test_of_a_vocabularys_base_the_vocabulary_alone_must_stay(finetuned, whole, tmp_path, reviews):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    expected = shares(out, reviews)
    for name, is_read in (
        ("embed.onnx", False),
        ("model.safetensors", False),
        ("spiece.model", True),
    ):
        file = whole / name
        file.write_bytes(file.read_bytes() + b" ")
        if is_read:
            with pytest.raises(FolderError, match="checksum"):
                load(out)
        else:
            assert shares(out, reviews) == expected


def test_what_lends_its_vocabulary_is_not_written_over(finetuned, whole, tmp_path):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    before = (whole / "model.safetensors").read_bytes()
    with pytest.raises(FolderError, match="must not write over what it reads"):
        export(ExportSettings(out, whole))
    with pytest.raises(FolderError, match="must not be converted onto itself"):
        convert(ConvertSettings(out, whole))
    assert (whole / "model.safetensors").read_bytes() == before


def test_layers_learn_over_a_model_that_has_left_its_vocabulary(
    finetune_settings, finetuned, whole, tmp_path, reviews
):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    settings = replace(finetune_settings, model=out, out=tmp_path / "more", epochs=1)
    more = finetune(replace(settings, adapt="layers"))
    assert [path.name for path in stood_on(more)] == ["more", "out", "below"]
    assert not any(name.startswith(EMBEDDINGS) for name in read_own_weights(more))
    assert len(shares(more, reviews)) == len(reviews)


def test_a_folder_that_lends_itself_its_vocabulary_is_refused(finetuned, whole, tmp_path):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    base = json.loads((out / "base.json").read_text())
    (out / "base.json").write_text(json.dumps({**base, "path": "../out"}))
    with pytest.raises(FolderError, match="must have itself what is left there"):
        load(out)


def test_temperatures_are_chosen_for_one_that_has_left_its_vocabulary(
    finetuned, whole, tmp_path, reviews
):
    out = export(ExportSettings(finetuned, tmp_path / "out", over=whole))
    wrong = [(text, LABELS[label == LABELS[0]]) for text, label in reviews[:4]]
    rows = "\n".join(f"{text}\t{label}" for text, label in [*reviews * 2, *wrong])
    dev = tmp_path / "dev.tsv"
    dev.write_text(f"text\tlabel\n{rows}\n", encoding="utf-8")
    place = tmp_path / "further" / "tuned"
    tune(TuneSettings(out, place, dev))
    assert len(shares(place, reviews)) == len(reviews)


# === Refused ===


def test_another_vocabulary_is_refused(learned, whole, tmp_path):
    file = whole / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"do_lower_case": not settings["do_lower_case"]}))
    with pytest.raises(FolderError, match="with the vocabulary of the exported"):
        export(ExportSettings(learned, tmp_path / "out", over=whole))


@pytest.mark.parametrize(
    "values", [{"layer_norm_eps": 1e-5}, {"embedding_projection": False, "embedding_size": 64}]
)
def test_embeddings_that_are_computed_otherwise_stay(learned, whole, tmp_path, change_json, values):
    change_json(whole / "config.json", **values)
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    assert any(name.startswith(EMBEDDINGS) for name in read_own_weights(out))


def test_the_model_below_is_not_written_over(learned, whole):
    before = (whole / "model.safetensors").read_bytes()
    with pytest.raises(FolderError, match="must not write over what it reads"):
        export(ExportSettings(learned, whole, over=whole))
    assert (whole / "model.safetensors").read_bytes() == before


def test_a_model_that_is_not_exported_or_has_a_base_is_refused(
    learned, finetuned, pretrained, whole, tmp_path
):
    over = export(ExportSettings(learned, tmp_path / "one", over=whole))
    beside = export(ExportSettings(finetuned, tmp_path / "two", over=whole))
    for below in (pretrained, over, beside):
        with pytest.raises(FolderError, match="an exported model that stands on its own"):
            export(ExportSettings(learned, tmp_path / "out", over=below))


def test_a_model_that_predicts_words_keeps_its_embeddings(pretrained, whole, tmp_path):
    out = export(ExportSettings(pretrained, tmp_path / "out", over=whole))
    assert any(name.startswith(EMBEDDINGS) for name in read_own_weights(out))
    assert load(out)("a [MASK] film.") == load(whole)("a [MASK] film.")


@pytest.mark.parametrize(("single_file", "page"), [(True, False), (True, True), (False, True)])
def test_one_file_has_all_weights(tmp_path, single_file, page):
    out, over = tmp_path / "out", tmp_path / "below"
    with pytest.raises(ConfigError, match="has all its weights"):
        ExportSettings(tmp_path, out, over=over, single_file=single_file, page=page)


def test_weights_of_another_shape_are_told(learned, whole, tmp_path):
    out = export(ExportSettings(learned, tmp_path / "out", over=whole))
    run = json.loads((out / "run.json").read_text())
    arrays = {n: a for n, a in read_own_weights(out).items() if "pooler" not in n}
    write_weights(out, arrays)
    (out / "run.json").write_text(json.dumps(run | {"sha256": {}}))
    with pytest.raises(FolderError, match="exported from"):
        load(out)
