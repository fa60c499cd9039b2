"""Files made in a test, and real data where a machine has it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Write a file below the test's folder."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Published data sets, where this machine has them."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("ALBATROSS_DATA", beside))
    if not path.is_dir():
        pytest.skip("no folder of published data; set ALBATROSS_DATA to one")
    return path
