"""No test reaches the network: caches are made by hand, and the hub is a server of this process."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest
from huggingface_hub import constants

from albatross.checkpoints.hub import download
from albatross.checkpoints.model_folder import read_config, read_weights, write_model
from albatross.config import AlbertConfig
from albatross.engine import onnx_engine
from albatross.engine.onnx_generator import decode_files, memory_files
from albatross.errors import FolderError, MissingDependencyError

OLD, NEW = "a" * 40, "b" * 40
NAME = "albert/albert-base-v2"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Two revisions of one model in the hub's own layout, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = tmp_path / f"models--{NAME.replace('/', '--')}"
    for commit, value in ((OLD, 1), (NEW, 2)):
        blobs = model / "blobs" / commit
        blobs.mkdir(parents=True)
        arrays = {"classifier.bias": np.full(2, value, np.float32)}
        write_model(blobs, AlbertConfig(), arrays, {})
        snapshot = model / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for blob in blobs.iterdir():
            (snapshot / blob.name).symlink_to(blob)
    (model / "refs").mkdir()
    for revision, commit in (("main", NEW), ("v1", OLD)):
        (model / "refs" / revision).write_text(commit)
    return tmp_path


class Hub(BaseHTTPRequestHandler):
    """Answers what the test wrote into `answers`, by path; anything else is not there."""

    answers: ClassVar[dict] = {}

    def do_GET(self):
        status, headers, body = self.answers.get(self.path.split("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine alone, to be filled."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(Hub, "answers", {})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Hub.answers
        server.shutdown()
        thread.join()


def publish(answers, files):
    """Puts a repository of these files on the hub."""
    api = f"/api/models/{NAME}"
    info = {"id": NAME, "sha": NEW, "siblings": [{"rfilename": name} for name in files]}
    tree = [
        {"type": "file", "path": name, "size": len(body), "oid": name}
        for name, body in files.items()
    ]
    kind = {"Content-Type": "application/json"}
    for revision in ("main", NEW):
        answers[f"{api}/revision/{revision}"] = (200, kind, json.dumps(info).encode())
        answers[f"{api}/tree/{revision}"] = (200, kind, json.dumps(tree).encode())
        for name, body in files.items():
            tags = {"ETag": f'"{name}"', "X-Repo-Commit": NEW}
            answers[f"/{NAME}/resolve/{revision}/{name}"] = (200, tags, body)


# === The cache ===


@pytest.mark.parametrize(
    ("revision", "value"), [(None, 2), ("main", 2), ("v1", 1), (OLD, 1), (NEW, 2)]
)
def test_a_cached_model_opens_offline_at_its_revision(cache, revision, value):
    folder = download(NAME, revision)
    assert read_config(folder) == AlbertConfig()
    assert read_weights(folder)["classifier.bias"].tolist() == [value] * 2


@pytest.mark.parametrize("name", [f"{NAME}-large", f"{NAME}@v2"])
def test_what_is_not_in_the_cache_says_how_to_fetch_it(cache, name):
    with pytest.raises(
        FolderError, match=r"while HF_HUB_OFFLINE is set.*run once online"
    ) as caught:
        download(*name.split("@"))
    assert f"Received: {name!r}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cached_model_opens_where_there_is_no_network(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert download(NAME, "v1").name == OLD


# === The hub ===


def test_only_the_files_of_a_model_folder_are_fetched(hub):
    wanted = {"config.json": b"{}", "model.safetensors": b"weights", "spiece.model": b"pieces"}
    config = AlbertConfig(num_hidden_layers=2, num_hidden_groups=2)
    graphs = {name for key, name in vars(onnx_engine).items() if key.endswith("_FILE")}
    graphs |= {*onnx_engine.layer_files(config), *memory_files(config), *decode_files(config)}
    wanted |= {
        name: b"graph" for name in graphs - {onnx_engine.SINGLE_FILE} if name.endswith(".onnx")
    }
    other = {"pytorch_model.bin": b"pickle", "tf_model.h5": b"keras", "onnx/model.onnx": b"graph"}
    publish(hub, wanted | other)
    folder = download(NAME)
    assert {path.name: path.read_bytes() for path in folder.rglob("*")} == wanted


def test_a_pickle_is_fetched_where_there_are_no_safetensors(hub):
    publish(hub, {"config.json": b"{}", "pytorch_model.bin": b"pickle", "rust_model.ot": b"rust"})
    assert {path.name for path in download(NAME).iterdir()} == {"config.json", "pytorch_model.bin"}


REFUSALS = {
    "RepoNotFound": (404, "shows no model of that name.*Check the path or the name"),
    "RevisionNotFound": (404, "no such revision.*branches, tags or commits"),
    "GatedRepo": (403, "must let you in first.*Accept the terms"),
    "Broken": (500, "nor could the hub be asked .*500"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_the_hub_refuses_is_one_clear_line(hub, code):
    status, message = REFUSALS[code]
    hub[f"/api/models/{NAME}/revision/main"] = (status, {"X-Error-Code": code}, b"{}")
    with pytest.raises(FolderError, match=f"no such folder here, and .*{message}") as caught:
        download(NAME)
    assert "\n" not in str(caught.value)


def test_no_network_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FolderError, match=r"nor could the hub be asked.*the network") as caught:
        download(NAME)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a/b/c", "a/-b", "a/b..c"])
def test_what_cannot_be_a_name_is_refused(cache, name):
    with pytest.raises(FolderError, match=r"the hub has no such names"):
        download(name)


@pytest.mark.parametrize("revision", ["..", "../../main", "refs/../main", "/main"])
def test_a_revision_that_leads_out_of_the_cache_is_refused(cache, revision):
    with pytest.raises(FolderError, match=r"must be a branch, tag or commit. Received: "):
        download(NAME, revision)


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"`huggingface_hub`.*albatross\[hub\]"):
        download(NAME)
