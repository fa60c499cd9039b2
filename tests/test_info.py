import json

import pytest
from transformers import AlbertConfig as TransformersConfig
from transformers import AlbertModel as TransformersAlbert

from albatross.cli import main
from albatross.config import VARIANTS
from albatross.errors import FolderError
from albatross.info import info
from albatross.settings.answering import InfoSettings

TOTAL = "parameters with pooler, no heads"


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_stands_beside_a_bert(name):
    found = info(InfoSettings(name))
    ours, theirs = (int(figure.replace(",", "")) for figure in found.rows[TOTAL])
    assert ours == theirs if name.startswith("bert-") else ours < theirs
    assert found.columns == ("this", "BERT of that size")


@pytest.mark.parametrize(
    ("name", "column", "total"),
    [
        ("albert-base-v2", 0, "11,683,584"),
        ("albert-xxlarge-v2", 0, "222,595,584"),
        ("bert-base", 0, "109,482,240"),
        # Of base's shape with ALBERT's 30,000 pieces: 522 rows of 768 fewer than bert-base.
        ("albert-base-v2", 1, "109,081,344"),
    ],
)
def test_parameters_are_the_published_ones(name, column, total):
    assert info(InfoSettings(name)).rows[TOTAL][column] == total


def test_parts_add_up_to_the_total():
    rows = info(InfoSettings("albert-base-v2")).rows
    for column in (0, 1):
        parts = {k: int(v[column].replace(",", "")) for k, v in rows.items() if "parameters" in k}
        assert sum(parts.values()) - parts["parameters: heads"] == 2 * parts[TOTAL]


def test_the_table_names_every_variant():
    found = info(InfoSettings())
    assert tuple(found.rows) == VARIANTS
    assert str(found).splitlines()[0] == "Variants"


def test_a_folder_over_a_base_is_described_with_its_vocabulary():
    found = info(InfoSettings("question-type")).facts
    assert found["base"].endswith("pretrained")
    assert "16384 pieces" in found["vocabulary"]
    assert found["graphs"] == "heads.onnx, layer.0.onnx"


def test_folders_of_each_kind_are_described(pretrained, finetuned, exported):
    facts = {folder: info(InfoSettings(str(folder))).facts for folder in (pretrained, finetuned)}
    assert facts[pretrained]["heads"] == "predictions, sop_classifier"
    assert facts[finetuned]["heads"] == "classifier"
    assert facts[finetuned]["graphs"] == "none"
    found = info(InfoSettings(str(exported))).facts
    assert found["graphs"] == "embed.onnx, heads.onnx, layer.0.onnx"
    assert found["tensors"] == "27 in float32"


def test_a_folder_of_transformers_is_described(tmp_path):
    config = TransformersConfig(
        vocab_size=50, hidden_size=16, num_attention_heads=2, intermediate_size=32
    )
    TransformersAlbert(config).save_pretrained(tmp_path)
    found = info(InfoSettings(str(tmp_path)))
    assert found.facts["heads"] == "none"
    expected = sum(p.numel() for p in TransformersAlbert(config).parameters())
    assert found.rows[TOTAL][0] == f"{expected:,}"


def test_json_holds_what_the_table_shows(capsys):
    assert main(["info", "albatross-tiny", "--json", "--sequence-length", "64"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["title"] == "albatross-tiny"
    assert found["rows"][TOTAL][0] == "1,345,920"
    assert "MFLOPs per token at 64" in found["rows"]


def test_what_is_neither_variant_nor_folder_is_refused(tmp_path, shards):
    with pytest.raises(FolderError, match="must be a folder, a built-in name"):
        info(InfoSettings(str(tmp_path / "none")))
    with pytest.raises(FolderError, match=r"must hold `config\.json`"):
        info(InfoSettings(str(shards)))
