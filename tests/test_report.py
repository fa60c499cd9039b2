import hashlib
import json

import pytest

from albatross.report import data_digest, file_digest, model_card, run_record

CONFIG = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "cross_layer_sharing": "all",
    "num_hidden_groups": 1,
    "embedding_size": 64,
    "vocab_size": 8_192,
}


def record(verb="finetune", metrics=None):
    return run_record(
        verb,
        {"name": "reviews", "seed": 3},
        data={"train": {"file": "t.tsv", "sha256": "0"}},
        metrics={"accuracy": 0.91234, "records": 872} if metrics is None else metrics,
        progress={"step": 1_200, "tokens": 34_567, "seconds": 90.0},
    )


def test_a_record_is_json_and_names_the_versions():
    found = json.loads(json.dumps(record()))
    assert (found["verb"], found["settings"]["seed"]) == ("finetune", 3)
    assert found["versions"]["numpy"].count(".") >= 1
    assert found["versions"].keys() >= {"albatross", "python", "torch", "onnxruntime"}


def test_a_card_says_what_was_done_and_measured():
    lines = model_card(record(), CONFIG, {"reviews": "classification"}).splitlines()
    assert lines[0] == lines[3] == "---"
    assert "pipeline_tag: text-classification" in lines
    assert "# reviews" in lines
    assert "| accuracy | 0.9123 |" in lines
    assert "| records | 872 |" in lines
    assert any("1,200 steps over 34,567 tokens in 1.5 minutes" in line for line in lines)


def test_a_card_without_figures_says_so():
    card = model_card(record("pretrain", metrics={}), CONFIG)
    assert "\nNot measured.\n" in card
    assert "pipeline_tag: fill-mask" in card


@pytest.mark.parametrize(
    ("kinds", "tag"),
    [
        (("tagging",), "token-classification"),
        (("spans",), "question-answering"),
        (("classification", "ordinal"), "text-classification"),
        (("classification", "tagging"), None),
    ],
)
def test_a_card_names_its_tasks_and_one_pipeline_at_most(kinds, tag):
    card = model_card(record(), CONFIG, {f"task-{n}": kind for n, kind in enumerate(kinds)})
    assert f"\n# {', '.join(f'task-{n}' for n in range(len(kinds)))}\n" in card
    assert (f"pipeline_tag: {tag}" if tag else "library_name: albatross\n---") in card


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "4 layers that are one set of weights,"),
        ({"num_hidden_groups": 2}, "4 layers in 2 groups, each one set of weights,"),
        ({"cross_layer_sharing": "ffn"}, "4 layers that share their feed-forward parts,"),
        ({"cross_layer_sharing": "none", "num_hidden_groups": 4}, "with weights of their own,"),
    ],
)
def test_a_card_says_what_layers_share(changes, said):
    assert said in model_card(record(), {**CONFIG, **changes})


def test_cards_of_real_runs_name_their_shape(pretrained, finetuned):
    assert "# albatross-tiny" in (pretrained / "README.md").read_text()
    card = (finetuned / "README.md").read_text()
    assert "hidden size 64, 4 layers that are one set of weights" in card
    assert "pipeline_tag: text-classification" in card
    assert "| accuracy | 1.0000 |" in card


def test_a_digest_is_of_the_content(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    expected = {"file": "a.txt", "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert file_digest(tmp_path / "a.txt") == expected


def test_the_digest_of_a_folder_tells_every_file(tmp_path):
    for name in ("middle", "high"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(json.dumps({"name": name}), encoding="utf-8")
    before = data_digest(tmp_path)
    (tmp_path / "high" / "1.txt").rename(tmp_path / "high" / "2.txt")
    assert data_digest(tmp_path) != before
    assert before["file"] == tmp_path.name
