"""The recipes of `docs/ecosystem.md`, run as they stand there, once, and without the network."""

import contextlib
import re
import shutil
import socket
import warnings
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "ecosystem.md"
FIRST = "transformers"
# What the libraries say of machines without a GPU, and of each other.
_NOT_OURS = {"'pin_memory' argument": UserWarning, "`is_gradient_checkpointing`": FutureWarning}


def blocks_of(section: str) -> list[str]:
    """The python blocks under a heading of the page."""
    _, found = PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")
    return re.findall(r"```python\n(.*?)```", found.split("\n## ")[0], flags=re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def offline():
    """Refuses every connection that leaves this machine, and fails when one was tried."""
    constants = pytest.importorskip("huggingface_hub").constants
    tried, connect = [], socket.socket.connect

    def refuse(one, address):
        if one.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"):
            return connect(one, address)
        tried.append(address)
        raise OSError(f"no network here: {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(constants, "HF_HUB_OFFLINE", True)  # read from the variable at import
        patch.setattr(socket.socket, "connect", refuse)
        yield
    assert not tried


@pytest.fixture(scope="session")
def place(tmp_path_factory, pretrained, finetuned, train_file):
    """Where the page is read: `runs/pretrained`, `runs/sst2` and `train.tsv`, as it names them."""
    folder = tmp_path_factory.mktemp("ecosystem")
    shutil.copytree(pretrained, folder / "runs" / "pretrained")
    shutil.copytree(finetuned, folder / "runs" / "sst2")
    shutil.copy(train_file, folder / "train.tsv")
    return folder


@pytest.fixture(scope="session")
def recipe(place):
    """Runs a section of the page, and the first before it; returns what its names stand for."""
    done: dict[str, dict] = {}

    def run(section):
        if section not in done:
            names = {} if section == FIRST else dict(run(FIRST))
            blocks = blocks_of(section)
            assert blocks, f"docs/ecosystem.md needs python blocks under {section}"
            with (
                contextlib.chdir(place),
                warnings.catch_warnings(),
                torch.random.fork_rng(devices=[]),
            ):
                torch.manual_seed(0)  # the libraries draw new heads from the global one
                for message, category in _NOT_OURS.items():
                    warnings.filterwarnings("ignore", message, category)
                for block in blocks:
                    exec(compile(block, f"{PAGE.name}, {section}", "exec"), names)
            done[section] = names
        return done[section]

    return run


@pytest.fixture(scope="session")
def texts(reviews):
    """A dozen of both labels, and what tokenizers stumble over."""
    return [text for text, _ in reviews[::4]] + [
        "",
        '(really) "x" - é',
        "1000 films, really!",
        "z" * 30,
    ]
