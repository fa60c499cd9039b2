import gzip
import json
from pathlib import Path

import pytest

from albatross.tokenizer.unigram import UnigramTokenizer

TINY = Path(__file__).parents[1] / "tokenizer" / "tiny.model"
BIRDS = ["gull", "tern", "skua", "petrel", "fulmar", "gannet", "puffin"]


@pytest.fixture(scope="session")
def documents() -> list[list[str]]:
    """60 documents of one to four sentences."""
    return [
        [f"The {BIRDS[n % 7]} number {n} flew over {m} ships." for m in range(n % 4 + 1)]
        for n in range(60)
    ]


@pytest.fixture
def corpus(tmp_path, documents) -> Path:
    """One folder with a txt file and a packed jsonl file."""
    folder: Path = tmp_path / "corpus"
    folder.mkdir()
    half = len(documents) // 2
    (folder / "a.txt").write_text("\n\n".join("\n".join(d) for d in documents[:half]))
    records = "".join(json.dumps({"text": "\n".join(d)}) + "\n" for d in documents[half:])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(records.encode()))
    return folder


@pytest.fixture
def tokenizer(tmp_path) -> Path:
    """A tokenizer folder."""
    folder: Path = tmp_path / "tokenizer"
    UnigramTokenizer.from_file(TINY).save(folder)
    return folder
