import json
import re
from dataclasses import fields, replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest

from albatross.cli import main
from albatross.data.shards import ShardFolder
from albatross.errors import ConfigError, DataError, FolderError
from albatross.inspection.inspect import _verdict, inspect
from albatross.inspection.page import page
from albatross.inspection.probe import ProbeResult
from albatross.inspection.terminal import render, sample_text
from albatross.settings.inspection import InspectSettings
from albatross.settings.training import PretrainSettings


@pytest.fixture(scope="module")
def found(shards):
    return inspect(InspectSettings(shards, samples=4, max_length=48))


def test_what_is_inspected_is_what_pretrain_draws():
    kinds = (InspectSettings, PretrainSettings)
    shown, learned = ({f.name: f.default for f in fields(kind)} for kind in kinds)
    both = shown.keys() & learned.keys() - {"json"}
    assert "masking_rate" in both
    assert {name: shown[name] for name in both} == {name: learned[name] for name in both}


def with_index(folder, **values):
    path = folder / "shards.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(index | values), encoding="utf-8")


# === What is found ===


def test_facts_are_those_of_the_folder(found, shards):
    folder = ShardFolder(shards)
    documents = sum(len(shard.documents) - 1 for shard in folder.train)
    assert found.facts["training"].startswith(f"{documents:,} documents of ")
    assert found.facts["training"].endswith(f" {folder.num_tokens:,} tokens")
    assert "280 pieces" in found.facts["vocabulary"]


def test_samples_are_the_first_that_training_sees(found):
    assert [sample.index for sample in found.samples] == [0, 1, 2, 3]
    assert all(sample.length <= 48 for sample in found.samples)
    kinds = {s.kind for sample in found.samples for part in sample.segments for s in part}
    assert kinds <= {"plain", "masked", "random", "kept"}
    assert {"plain", "masked"} <= kinds


def test_labels_are_balanced_and_lengths_are_shares(found):
    labels = found.labels
    assert set(labels) == {"in order", "swapped", "one segment"}
    assert labels["in order"] == pytest.approx(labels["swapped"], abs=0.1)
    assert sum(labels.values()) == pytest.approx(1)
    assert sum(found.lengths.bars.values()) == pytest.approx(1)
    assert list(found.lengths.bars)[-1] == 48
    assert 8 < found.lengths.mean < 48


def test_a_cap_shows_in_the_effective_rate(shards):
    capped = inspect(InspectSettings(shards, samples=0, max_length=48, max_predictions=1))
    assert capped.masking.most_in_a_sample == 1
    assert capped.masking.effective < 0.06 < capped.masking.asked


def test_true_sentence_order_is_found_to_be_sound(shards):
    made = inspect(InspectSettings(shards, samples=0, max_length=64))
    assert made.verdict.startswith("topic does not give sentence labels away: ")
    assert [result is None for result in made.probes.values()] == [False] * 3


@pytest.mark.parametrize(
    ("objective", "low", "verdict"),
    [
        ("sop", 0.505, "topic does not give"),
        ("sop", 0.52, "TOPIC GIVES SENTENCE LABELS AWAY"),
        ("nsp", 0.84, "TOPIC GIVES SENTENCE LABELS AWAY"),
        ("sop", None, "too few pairs"),
        ("none", 0.84, "no sentence labels"),
    ],
)
def test_the_verdict_is_of_the_objective(objective, low, verdict):
    result = None if low is None else ProbeResult(low + 0.01, low, low + 0.02, 900, 0.6)
    other = ProbeResult(0.7, 0.68, 0.72, 900, 0.6)
    probes = {f"({name})": result if name == objective else other for name in ("sop", "nsp")}
    assert _verdict(objective, probes).startswith(verdict)


def test_counts_of_cleaning_are_shown(shards, copy_of):
    folder = copy_of(shards)
    with_index(folder, cleaning={"documents": {"kept": 1_200, "too_short": 7}, "steps": []})
    made = inspect(InspectSettings(folder, samples=0, max_length=32))
    assert made.facts["cleaning"] == "documents: kept 1,200, documents: too short 7"


# === How it is shown ===


def test_text_for_a_file_has_marks_and_no_colours(found):
    text = render(found, in_colour=False)
    assert "\x1b" not in text
    assert re.search(r"\{[^|{}]+\|(\[MASK\])+\}", text)
    assert text.splitlines()[-1].startswith("Verdict: ")
    assert "A  " in text


def test_text_for_a_terminal_has_the_same_words_in_colour(found):
    plain, coloured = (render(found, in_colour=colour) for colour in (False, True))
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert bare != coloured
    assert bare.split() == plain.split()


def test_words_masked_in_a_sample_are_all_marked(found):
    for sample in found.samples:
        spans = [span for part in sample.segments for span in part if span.kind != "plain"]
        assert sample_text(sample).plain.count("|") == len(spans) > 0


class _Tags(HTMLParser):
    """Checks that tags close in the order in which they opened, and collects the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        assert not any(name in ("src", "href") for name, _ in attributes)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(found, shards, tmp_path):
    out = tmp_path / "samples.html"
    inspect(InspectSettings(shards, samples=4, max_length=48, page=out))
    parser = _Tags()
    parser.feed(out.read_text(encoding="utf-8"))
    assert parser.open == []
    assert found.verdict in parser.text
    for sample in found.samples:
        for span in (span for part in sample.segments for span in part):
            assert span.text in parser.text


def test_text_that_looks_like_tags_is_shown_as_text(found):
    span = replace(found.samples[0].segments[0][0], text="<script>x</script>")
    sample = replace(found.samples[0], segments=[[span]])
    assert "<script" not in page(replace(found, samples=[sample], folder="<script>"))


# === The verb ===


def test_the_verb_prints_json(shards, capsys):
    words = ["inspect", str(shards), "--samples", "2", "--max-length", "32", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["samples"]) == 2
    assert {"facts", "labels", "masking", "lengths", "probes", "verdict"} <= found.keys()
    assert found["masking"]["asked"] == 0.3


def test_the_verb_prints_text(shards, capsys):
    assert main(["inspect", str(shards), "--samples", "1", "--max-length", "32"]) == 0
    assert "Verdict: " in capsys.readouterr().out


# === Refusals ===


def test_a_folder_without_shards_is_one_clear_line(tmp_path):
    with pytest.raises(FolderError, match=r"must hold `shards.json`.*build-shards"):
        inspect(InspectSettings(tmp_path))


def test_a_model_folder_is_told_from_shards(pretrained):
    with pytest.raises(FolderError, match=r"must hold `shards.json`"):
        inspect(InspectSettings(pretrained))


def test_a_flipped_byte_is_found(shards, copy_of):
    folder = copy_of(shards)
    path = folder / "train-00000.tokens.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FolderError, match="checksum differs"):
        inspect(InspectSettings(folder))


def test_documents_too_short_for_a_sample_are_one_clear_line(shards, copy_of):
    folder = copy_of(shards)
    arrays = {"tokens": np.array([7, 8, 9]), "sentences": [0, 3], "documents": [0, 1]}
    index = json.loads((folder / "shards.json").read_text())
    entry = index["train"][0]
    for part, values in arrays.items():
        path = folder / f"{entry['name']}.{part}.npy"
        np.save(path, np.array(values, dtype=np.uint16 if part == "tokens" else np.int64))
        entry["sha256"][part] = sha256(path.read_bytes()).hexdigest()
    with_index(folder, train=[entry | {"tokens": 3, "sentences": 1, "documents": 1}])
    with pytest.raises(DataError, match=r"at least 4 tokens.*Give more text"):
        inspect(InspectSettings(folder))


def test_a_page_in_a_folder_that_is_not_there_is_refused_at_once(shards, tmp_path):
    with pytest.raises(ConfigError, match=r"`--page` must lie in a folder that exists"):
        inspect(InspectSettings(shards, page=tmp_path / "none" / "page.html"))
