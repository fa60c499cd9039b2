"""Parts made on this machine, by as many processes as there are cores.

One process reads and the others work, unless there are enough groups for everyone to read for
themselves. Processes are started afresh, because a fork of a program with threads may hang, and
end with the one that started them, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread, current_thread, main_thread
from types import ModuleType, TracebackType
from typing import Self

from albatross.corpus.chunks import Chunk, Group, read_chunks
from albatross.corpus.parts import PartJob, PartMaker
from albatross.corpus.work_folder import WorkFolder
from albatross.data.text_files import OnBytes
from albatross.errors import DataError

# So many groups for each process that none is left waiting long at the end.
_GROUPS_EACH = 4
# One that a worker works at and one that it already has.
_TASKS_EACH = 2


def make_parts(
    job: PartJob, work: WorkFolder, groups: Sequence[Group], workers: int, on_bytes: OnBytes
) -> None:
    """Make all parts of groups that are not there yet.

    Args:
        job: how.
        work: where they go.
        groups: what to read.
        workers: processes; with one, or for a single part, this process does it.
        on_bytes: told how much has been read.

    Raises:
        DataError: a file cannot be read, or a worker died.
    """
    if workers > 1 and len(groups) >= _GROUPS_EACH * workers:
        sizes = {group.number: group.size for group in groups}
        with Workers(job, workers) as pool:
            for number in pool.run(groups):
                on_bytes(sizes[number])
        return
    chunks = missing_chunks(job, work, groups, on_bytes)
    first = list(islice(chunks, 2 if workers > 1 else 0))
    if len(first) < 2:
        maker = PartMaker(job)
        for chunk in chain(first, chunks):
            maker.make(chunk)
        return
    with Workers(job, workers) as pool:
        for _ in pool.run(chain(first, chunks)):
            pass


def missing_chunks(
    job: PartJob, work: WorkFolder, groups: Sequence[Group], on_bytes: OnBytes = lambda count: None
) -> Iterator[Chunk]:
    """Read groups and yield the chunks whose part is not there; note what has been read."""
    for group in groups:
        number = -1
        for chunk in read_chunks(group, text_column=job.text_column, on_bytes=on_bytes):
            number = chunk.number
            if not work.has(chunk.group, chunk.number):
                yield chunk
        work.finish(group.key, number + 1)


class Workers:
    """Processes that make parts of chunks, or of all of a group; none is left behind."""

    def __init__(self, job: PartJob, count: int) -> None:
        """Take the job; `with` starts the processes."""
        self._job, self._count = job, count
        self._waiting: dict[Connection, int] = {}
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        context = multiprocessing.get_context("spawn")
        with _starting():
            for _ in range(self._count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, self._job), daemon=True)
                process.start()
                theirs.close()
                self._waiting[ours] = 0
                self._processes.append(process)
        return self

    def run(self, tasks: Iterable[Chunk] | Iterable[Group]) -> Iterator[int]:
        """Hand tasks to whoever is least busy, and yield the number of each as it is done.

        Raises:
            DataError: a worker died; or whatever error one met.
        """
        try:
            for task in tasks:
                while min(self._waiting.values()) >= _TASKS_EACH:
                    yield from self._answers(None)
                least_busy = min(self._waiting, key=self._waiting.__getitem__)
                least_busy.send(task)
                self._waiting[least_busy] += 1
                yield from self._answers(0)
            while any(self._waiting.values()):
                yield from self._answers(None)
        except (EOFError, ConnectionError) as error:
            raise DataError(
                f"The processes of a build must live until its end. Received: {self._count}, of"
                " which one died, perhaps for want of memory. The parts that are done are kept:"
                " give the same command again, perhaps with fewer --workers."
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pipes, at which the processes end."""
        for connection in self._waiting:
            connection.close()
        for process in self._processes:
            process.join()

    def _answers(self, seconds: float | None) -> Iterator[int]:
        """Wait for workers and yield what they have done; raise the error that one met."""
        for connection in wait(list(self._waiting), seconds):
            assert isinstance(connection, Connection)
            answer = connection.recv()
            self._waiting[connection] -= 1
            if isinstance(answer, BaseException):
                raise answer
            yield answer


@contextmanager
def _starting() -> Iterator[None]:
    """Let processes start that neither run the program's main file again nor heed Ctrl-C."""
    main = sys.modules["__main__"]
    in_main_thread = current_thread() is main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


# === In a worker process ===


def _work(connection: Connection, job: PartJob) -> None:
    """Do what comes until nothing more does; an interruption is for the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["RAYON_NUM_THREADS"] = "1"  # of the tokenizers library: every core has a process
    tasks: Queue[Chunk | Group] = Queue()
    Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    maker: PartMaker | None = None
    while True:
        task = tasks.get()
        answer: int | Exception = task.number
        try:
            maker = maker or PartMaker(job)
            _do(maker, task)
        except Exception as error:
            answer = error
        with suppress(ConnectionError):  # nobody waits for it any more
            connection.send(answer)


def _receive(connection: Connection, tasks: Queue[Chunk | Group]) -> None:
    """Take tasks as they come; when the main process is gone or done, so is this one."""
    try:
        while True:
            tasks.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _do(maker: PartMaker, task: Chunk | Group) -> None:
    """Make the part of a chunk, or the missing parts of a group."""
    if isinstance(task, Chunk):
        maker.make(task)
        return
    for chunk in missing_chunks(maker.job, WorkFolder(maker.job.folder), [task]):
        maker.make(chunk)
