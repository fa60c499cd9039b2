from pathlib import Path

import pytest

from albatross.corpus.build_shards import build_shards
from albatross.corpus.train_tokenizer import train_tokenizer
from albatross.errors import FolderError
from albatross.settings.corpus import BuildShardsSettings, TrainTokenizerSettings


@pytest.mark.parametrize("foreign", ["run.json", "notes.txt"])
def test_no_verb_writes_over_a_folder_of_another_kind(tmp_path: Path, foreign: str) -> None:
    corpus, out = tmp_path / "corpus.txt", tmp_path / "out"
    corpus.write_text("One sentence.\n", encoding="utf-8")
    out.mkdir()
    (out / foreign).write_text("{}", encoding="utf-8")
    (out / "spiece.model").write_text("kept", encoding="utf-8")
    with pytest.raises(FolderError, match="another"):
        train_tokenizer(TrainTokenizerSettings(paths=(corpus, out), vocab_size=20))
    with pytest.raises(FolderError, match="another"):
        build_shards(BuildShardsSettings(paths=(corpus, out), tokenizer=out))
    assert (out / "spiece.model").read_text(encoding="utf-8") == "kept"
