import json
import os
from pathlib import Path

import pytest

from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """280 pieces, made by scripts/record_tokenizer_ids.py."""
    return HERE / "tiny.model"


@pytest.fixture(scope="session")
def tiny(tiny_model) -> UnigramTokenizer:
    return UnigramTokenizer.from_file(tiny_model)


@pytest.fixture(scope="session")
def tiny_vocab() -> Path:
    """A `vocab.txt`, made by scripts/record_wordpiece_ids.py."""
    return HERE / "tiny_vocab.txt"


@pytest.fixture(scope="session")
def vocabulary(tiny_vocab) -> WordPieceTokenizer:
    return WordPieceTokenizer.from_file(tiny_vocab)


@pytest.fixture(scope="session")
def expected():
    """Ids of the slow tokenizer, made by scripts/record_tokenizer_ids.py."""
    return json.loads((HERE / "expected_ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def published_model() -> Path:
    """The published 30,000 pieces, where this machine has them."""
    data = Path(os.environ.get("ALBATROSS_DATA", HERE.parents[2] / "shared" / "data"))
    path = data / "sentencepiece" / "30k-clean.model"
    if not path.is_file():
        pytest.skip("no sentencepiece/30k-clean.model; set ALBATROSS_DATA to the data folder")
    return path
