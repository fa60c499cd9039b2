"""A cluster of three nodes in one process group; needs Ray."""

import logging
import os

import pytest

from albatross.corpus import chunks
from albatross.corpus.build_shards import build_shards
from albatross.corpus.work_folder import WorkFolder
from albatross.data.shards import ShardFolder
from albatross.errors import DataError
from albatross.settings.corpus import BuildShardsSettings

ray = pytest.importorskip("ray", reason="needs ray: pip install 'albatross[ray]'")


@pytest.fixture(scope="module")
def cluster():
    """Three nodes with a core each, and a driver connected to them."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    head = {"num_cpus": 1, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    ray.init(nodes.address, log_to_driver=False, logging_level=logging.ERROR)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def many_chunks(monkeypatch):
    """A group for each file, which the driver cuts; chunks are cut on the nodes, as they are."""
    monkeypatch.setattr(chunks, "GROUP_BYTES", 1)


@pytest.fixture
def files(tmp_path, documents):
    """Five files of twelve documents."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for at in range(0, len(documents), 12):
        text = "\n\n".join("\n".join(document) for document in documents[at : at + 12])
        (folder / f"{at:02d}.txt").write_text(text)
    return folder


def built(files, tokenizer, out, **options) -> dict[str, bytes]:
    chosen = {"held_out": 0.2, "duplicates": "near", **options}
    build_shards(BuildShardsSettings((files, out), tokenizer=tokenizer, **chosen))
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_cluster_builds_the_same_bytes_as_one_machine(
    cluster, files, tokenizer, tmp_path, many_chunks
):
    one, two = (built(files, tokenizer, tmp_path / str(n), workers=n) for n in (1, 2))
    assert len(ray.nodes()) == 3
    assert built(files, tokenizer, tmp_path / "ray", runner="ray") == one == two
    assert len(ShardFolder(tmp_path / "ray").train) == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_job_that_failed_goes_on_with_its_parts(
    cluster, files, tokenizer, tmp_path, many_chunks, monkeypatch
):
    wrong, out = files / "36.txt", tmp_path / "out"
    text = wrong.read_bytes()
    wrong.write_bytes(b"fine\n\xff\n" + text)
    with pytest.raises(DataError, match=r"byte 0xff in line 2 of .*36\.txt.*iconv\.$") as caught:
        built(files, tokenizer, out, runner="ray")
    assert "\n" not in str(caught.value)
    assert not out.exists()
    kept = list((tmp_path / ".out.parts").glob("*.npz"))
    assert len(kept) >= 3
    times = {path: path.stat().st_mtime_ns for path in kept}
    wrong.write_bytes(text)
    monkeypatch.setattr(WorkFolder, "remove", lambda work: None)
    built(files, tokenizer, out, runner="ray")
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert len(list((tmp_path / ".out.parts").glob("*.npz"))) == 5
