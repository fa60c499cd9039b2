import errno
import os
import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.test_progress import shown

from albatross.corpus import chunks
from albatross.corpus.build_shards import build_shards
from albatross.corpus.parts import Part
from albatross.data.segments import SamplePlan, SampleRule
from albatross.data.shards import Shard, ShardFolder
from albatross.errors import DataError, FolderError
from albatross.settings.corpus import BuildShardsSettings
from albatross.tokenizer.unigram import UnigramTokenizer


def texts(shards: list[Shard], folder: Path) -> list[list[str]]:
    """The documents that shards hold, normalised."""
    decode = UnigramTokenizer.from_folder(folder).decode
    found = []
    for shard in shards:
        sentences = [decode(ids) for ids in np.split(shard.tokens, shard.sentences[1:-1])]
        for begin, end in zip(shard.documents, shard.documents[1:], strict=False):
            found.append(sentences[begin:end])
    return found


def test_shards_hold_the_corpus_and_its_tokenizer(documents, corpus, tokenizer, tmp_path):
    out = tmp_path / "out"
    assert (
        build_shards(BuildShardsSettings((corpus, out), tokenizer=tokenizer, held_out=0.2)) == out
    )
    folder = ShardFolder(out)
    found = texts(folder.train, out) + texts(folder.held_out, out)
    assert sorted(found) == sorted([[s.lower() for s in d] for d in documents])
    assert 3 < len(texts(folder.held_out, out)) < 30


@pytest.mark.parametrize("name", ["pretrained", "sentiment"])
def test_a_built_in_model_is_a_tokenizer_by_its_name(corpus, tmp_path, name):
    paths = (corpus, tmp_path / "out")
    out = build_shards(BuildShardsSettings(paths, tokenizer=Path(name), held_out=0))
    assert ShardFolder(out).tokenizer().vocab_size > 16_000


def test_running_text_can_be_split_by_rules(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text("The gull flew. The tern did not.\n")
    out = build_shards(
        BuildShardsSettings(
            (tmp_path / "a.txt", tmp_path / "out"),
            tokenizer=tokenizer,
            sentence_breaks="rules",
            held_out=0,
        )
    )
    assert texts(ShardFolder(out).train, out) == [["the gull flew.", "the tern did not."]]


@pytest.mark.parametrize("text", ["The gull flew over.\n", "gull " * 200_000 + "\n"])
def test_one_sentence_is_a_corpus(tokenizer, tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    paths = (tmp_path / "a.txt", tmp_path / "out")
    out = build_shards(BuildShardsSettings(paths, tokenizer=tokenizer, held_out=0))
    (shard,) = ShardFolder(out).train
    assert shard.sentences.tolist() == [0, len(shard.tokens)]
    plan = SamplePlan([shard], SampleRule(max_length=128), 0)
    assert (plan.end - plan.begin).sum() > len(shard.tokens) - 4


def test_progress_reaches_the_end_of_the_corpus(corpus, tokenizer, tmp_path, monkeypatch):
    settings = BuildShardsSettings((corpus, tmp_path / "out"), tokenizer=tokenizer)
    assert "100%" in shown(monkeypatch, lambda: build_shards(settings))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\xff\n", "byte 0xff in line 2"),
        ("a.txt.xz", b"\xfd7zXZ\x00\x00", "breaks after line 0"),
        ("a.jsonl", b'{"txt": "One."}\n', "line 1"),
        ("a.txt", b"\n \n", "at least one document"),
    ],
)
def test_a_corpus_that_cannot_be_read_leaves_nothing(tokenizer, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    settings = BuildShardsSettings((tmp_path / name, tmp_path / "out"), tokenizer=tokenizer)
    with pytest.raises(DataError, match=message):
        build_shards(settings)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "tokenizer"])


def shards_of(tmp_path, tokenizer, documents, name="out", **options) -> ShardFolder:
    """Build the shards of some documents."""
    path = tmp_path / f"{name}.txt"
    text = "\n\n".join("\n".join(document) for document in documents)
    if not path.exists() or path.read_text() != text:  # a file written again is another corpus
        path.write_text(text)
    chosen = {"held_out": 0.0, "workers": 1, **options}
    paths = (path, tmp_path / name)
    return ShardFolder(build_shards(BuildShardsSettings(paths, tokenizer=tokenizer, **chosen)))


def test_a_document_is_held_out_for_its_text_wherever_it_stands(documents, tokenizer, tmp_path):
    shuffled = random.Random(1).sample(documents, len(documents))
    found = [
        texts(shards_of(tmp_path, tokenizer, some, name, held_out=0.2).held_out, tokenizer)
        for name, some in (("a", documents), ("b", shuffled))
    ]
    assert sorted(found[0]) == sorted(found[1])
    assert 3 < len(found[0]) < 30


def test_a_larger_share_holds_out_the_same_documents_and_more(documents, tokenizer, tmp_path):
    shares = (0.0, 0.1, 0.2, 0.5)
    found = [
        texts(shards_of(tmp_path, tokenizer, documents, str(s), held_out=s).held_out, tokenizer)
        for s in shares
    ]
    for small, large in pairwise(found):
        assert {*map(tuple, small)} < {*map(tuple, large)}


@pytest.mark.parametrize(("how", "count"), [("keep", 5), ("exact", 3), ("near", 2)])
def test_documents_that_repeat_others_go_as_far_as_asked(tokenizer, tmp_path, how, count):
    story = [f"The gull number {n} flew over {n + 7} ships and {n * 3} rocks." for n in range(40)]
    other = [sentence.replace("gull", "tern").replace("flew", "dived") for sentence in story]
    alike = [*story[:39], "But the last one stayed at home."]
    folder = shards_of(tmp_path, tokenizer, [story, other, story, alike, story], duplicates=how)
    assert len(texts(folder.train, folder.folder)) == count
    counted = folder.index["cleaning"]["documents"]
    assert (counted["equal"], counted["alike"]) == (0 if how == "keep" else 2, int(how == "near"))


def test_the_index_counts_every_step(tokenizer, tmp_path):
    documents = [["A gull flew over the sea."]] * 3 + [["Oh."], ["x" * 500], ["\u200b" * 20]]
    documents += [[f"The ship number {n} is at sea."] for n in range(50)]
    limits = {"min_characters": 5, "max_characters": 400}
    folder = shards_of(tmp_path, tokenizer, documents, held_out=0.2, **limits)
    counted = folder.index["cleaning"]["documents"]
    found = [sum(e["documents"] for e in folder.index[p]) for p in ("train", "held_out")]
    assert counted["read"] == 56
    assert [counted[step] for step in ("too_short", "too_long", "equal")] == [1, 1, 2]
    assert counted["without_tokens"] == 1
    assert [counted["kept"] - counted["held_out"], counted["held_out"]] == found
    assert counted["kept"] == 51
    assert folder.index["settings"]["min_characters"] == 5


def test_the_table_at_the_end_shows_the_steps_that_met_a_document(tokenizer, tmp_path, capsys):
    documents = [["A gull flew over the sea."]] * 3 + [["Oh."]]
    shards_of(tmp_path, tokenizer, documents, min_characters=5)
    table = capsys.readouterr().err
    assert re.search(r"^read +4 +78$", table, re.MULTILINE)
    assert re.search(r"^equal to an earlier one +2$", table, re.MULTILINE)
    assert re.search(r"^kept +1 +25$", table, re.MULTILINE)
    assert "too long" not in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_characters": 1_000}, r"60 read, 60 too short\. Check"),
        ({"languages": ("ja",)}, "60 of another language"),
        ({"max_characters": 1}, "60 too long"),
    ],
)
def test_a_corpus_of_which_nothing_is_kept_leaves_nothing(
    documents, tokenizer, tmp_path, options, message
):
    if "languages" in options:
        pytest.importorskip("py3langid")
    with pytest.raises(DataError, match=message):
        shards_of(tmp_path, tokenizer, documents, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.txt", "tokenizer"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_keeps_the_parts_and_what_stood_there(
    documents, tokenizer, tmp_path, monkeypatch, workers
):
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 400)
    before = shards_of(tmp_path, tokenizer, documents).index
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 300)  # another build
    room_for(monkeypatch, 4)
    with pytest.raises(FolderError, match=r"No space left.*make room") as caught:
        shards_of(tmp_path, tokenizer, documents, workers=1)
    assert "\n" not in str(caught.value)
    assert ShardFolder(tmp_path / "out").index == before
    monkeypatch.undo()
    monkeypatch.setattr(chunks, "CHUNK_CHARACTERS", 300)
    assert len(list((tmp_path / ".out.parts").glob("*.npz"))) == 4
    assert shards_of(tmp_path, tokenizer, documents, workers=workers).index == before


def room_for(monkeypatch, count: int) -> None:
    """Let the disk be full after some parts."""
    written = []
    save = Part.save

    def write(part: Part, path: Path) -> None:
        written.append(path)
        if len(written) > count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(part, path)

    monkeypatch.setattr(Part, "save", write)


def test_a_disk_that_is_full_at_the_shards_keeps_what_stood_there(documents, tokenizer, tmp_path):
    code = (
        "import resource, sys\n"
        "from albatross.corpus.build_shards import build_shards\n"
        "from albatross.settings.corpus import BuildShardsSettings\n"
        "from albatross.data import shards\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))\n"
        "build_shards(BuildShardsSettings(sys.argv[1:3], tokenizer=sys.argv[3], workers=1))\n"
    )
    before = shards_of(tmp_path, tokenizer, documents).index
    (tmp_path / "more.txt").write_text("The gull flew over the ships.\n\n" * 20_000)
    command = [sys.executable, "-c", code, str(tmp_path / "more.txt"), str(tmp_path / "out")]
    done = subprocess.run(
        [*command, str(tokenizer), "300000"], capture_output=True, text=True, check=False
    )
    assert "FolderError" in done.stderr
    assert "File too large" in done.stderr.splitlines()[-1]
    assert ShardFolder(tmp_path / "out").index == before


def test_a_folder_of_the_users_is_refused_and_kept(corpus, tokenizer):
    before = sorted(corpus.iterdir())
    with pytest.raises(FolderError, match=r"holds 'a\.txt'"):
        build_shards(BuildShardsSettings((corpus, corpus), tokenizer=tokenizer))
    assert sorted(corpus.iterdir()) == before


def test_a_missing_tokenizer_is_named(corpus, tmp_path):
    settings = BuildShardsSettings((corpus, tmp_path / "out"), tokenizer=tmp_path / "nowhere")
    with pytest.raises(FolderError, match="nowhere"):
        build_shards(settings)


def test_the_next_command_goes_on_with_the_model_of_the_vocabulary(tokenizer, corpus):
    own = BuildShardsSettings((corpus, corpus / "out"), tokenizer=tokenizer)
    assert own.following.endswith("--budget 45m")
    known = BuildShardsSettings((corpus, corpus / "out"), tokenizer=Path("pretrained"))
    assert known.following.endswith("--from pretrained")
