"""Parts made by a Ray cluster: the functions that work on one machine, as a Ray Data job.

Reading groups are shared out to tasks that yield chunks; actors with an open tokenizer turn chunks
into parts. All machines must see the folder of the output, and the corpus, under one name. Which
parts come to be depends on neither.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from albatross.corpus.chunks import Chunk, Group
from albatross.corpus.parts import PartJob, PartMaker
from albatross.corpus.work_folder import WorkFolder
from albatross.corpus.workers import missing_chunks
from albatross.data.documents import CorpusFile
from albatross.data.text_files import OnBytes
from albatross.errors import AlbatrossError, DataError, MissingDependencyError


def make_parts_on_ray(
    job: PartJob, work: WorkFolder, groups: Sequence[Group], on_bytes: OnBytes
) -> None:
    """Make all parts of groups that are not there yet, on the cluster that Ray finds.

    A cluster that the caller is connected to is used, or the one that `RAY_ADDRESS` names, or one
    is started on this machine.

    Raises:
        MissingDependencyError: Ray is not installed.
        DataError: a file cannot be read, or the job failed.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingDependencyError("ray", "ray") from error
    if not groups:
        return
    with _connected(ray):
        _be_quiet(ray)
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
        rows = [{"group": json.dumps(_plain(group))} for group in groups]
        done = (
            ray.data.from_items(rows, override_num_blocks=len(rows))
            .flat_map(_chunk_rows, fn_args=(job,))
            .map(_PartActor, fn_constructor_args=(job,), concurrency=(1, workers))
        )
        try:
            for row in done.iter_rows():
                if row["error"]:
                    raise _error(json.loads(row["error"]))
                on_bytes(row["size"])
        except ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise DataError(
                f"A job on Ray must run to its end. Received: {lines[-1] if lines else error!r}."
                " The parts that are done are kept: give the same command again."
            ) from error


def _chunk_rows(row: dict[str, Any], job: PartJob) -> Iterator[dict[str, Any]]:
    """Yield the missing chunks of a group as Ray carries them, with the bytes read for each.

    An error is a row too: Ray would wrap it in pages of text.
    """
    group = _group(json.loads(row["group"]))
    read = [0]

    def count(size: int) -> None:
        read[0] += size

    try:
        for chunk in missing_chunks(job, WorkFolder(job.folder), [group], count):
            size, read[0] = read[0], 0
            # JSON's escapes carry what UTF-8 cannot, such as half of a surrogate pair.
            documents = json.dumps(chunk.documents).encode()
            yield _row(chunk.group, chunk.number, documents, size)
    except (AlbatrossError, OSError) as error:
        yield _row(group.key, 0, b"", 0, error)


class _PartActor:
    """Keeps a tokenizer open on some machine of the cluster."""

    def __init__(self, job: PartJob) -> None:
        """Get ready."""
        self._maker = PartMaker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Make one part, unless its text could not be read."""
        group, number, size = row["group"], row["number"], row["size"]
        if not row["error"]:
            try:
                self._maker.make(Chunk(group, number, json.loads(row["documents"])))
            except (AlbatrossError, OSError) as error:
                return _row(group, number, b"", size, error)
        return {**row, "documents": b""}


def _row(
    group: str, number: int, documents: bytes, size: int, error: Exception | None = None
) -> dict[str, Any]:
    """Return one chunk, or one error, in the columns that all rows have."""
    told = "" if error is None else json.dumps([getattr(error, "errno", None), str(error)])
    return {"group": group, "number": number, "documents": documents, "size": size, "error": told}


def _error(told: list[Any]) -> Exception:
    """Return the error that a row tells of: the file system's, or one of ours."""
    number, message = told
    return DataError(message) if number is None else OSError(number, os.strerror(number))


def _plain(group: Group) -> list[Any]:
    """Return a group as JSON holds it."""
    return [group.number, group.key, [[file.address, file.size] for file in group.files]]


def _group(values: list[Any]) -> Group:
    """Return the group that `_plain` made plain."""
    return Group(values[0], values[1], tuple(CorpusFile(*file) for file in values[2]))


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Connect to a cluster unless the caller is connected, and then leave it again."""
    if ray.is_initialized():
        yield
        return
    # Its core tells of actors that could not be restarted, which the parts make up for.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"A Ray cluster must be reachable. Received: {error}. Start one with `ray start"
            " --head`, or set RAY_ADDRESS to the right place."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _be_quiet(ray: Any) -> None:
    """Leave the progress to the build's own bar."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
