"""Fuzz the readers of files that strangers wrote, guided by coverage.

    python scripts/fuzz_readers.py --target tensorflow --seconds 60

A finding is any exception but an AlbatrossError, or more memory than a small file can excuse. Needs
atheris (`pip install atheris`), which is no dependency of albatross.
"""

import argparse
import base64
import json
import multiprocessing
import resource
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "checkpoints" / "tensorflow_files.json"
MOST_GROWTH = 500 * 2**20
Read = Callable[[Path, bytes], None]


def read_tensorflow(folder: Path, data: bytes) -> None:
    """Read a checkpoint: the first byte says which part the rest is.

    Checksums would keep nearly every change out, so mostly the rest becomes records of an index
    with right checksums.
    """
    from albatross.checkpoints.sorted_table import TableWriter
    from albatross.checkpoints.tensorflow import TensorFlowCheckpoint, find_checkpoint

    which, data = data[:1], data[1:]
    values = folder / "m.data-00000-of-00001"
    for old in folder.iterdir():
        old.unlink()
    if which == b"i":
        (folder / "m.index").write_bytes(data)
    elif which == b"c":
        (folder / "checkpoint").write_bytes(data)
        for name in ("a.index", "b.index"):
            (folder / name).touch()
    else:
        with (folder / "m.index").open("wb") as file:
            table = TableWriter(file)
            for key, value in sorted(records_in(data).items()):
                table.add(key, value)
            table.finish()
    values.write_bytes(bytes(range(256)))
    checkpoint = TensorFlowCheckpoint.open(find_checkpoint(folder))
    read_each(checkpoint.variables, checkpoint.read)


def records_in(data: bytes) -> dict[bytes, bytes]:
    """Return keys and values out of any bytes: two lengths before each pair."""
    found = {}
    while len(data) > 2:
        key, value = 2 + data[0], 2 + data[0] + data[1]
        found[data[2:key]] = data[key:value]
        data = data[value:]
    return found


def bytes_of(records: Mapping[bytes, bytes]) -> bytes:
    """Turn records into bytes from which `records_in` makes them again."""
    return b"".join(bytes([len(k), len(v)]) + k + v for k, v in records.items())


def read_each(variables: Mapping[str, Any], read: Callable[[str], Any]) -> None:
    """Read every variable, also after one that is refused."""
    from albatross.errors import AlbatrossError

    for name in variables:
        with suppress(AlbatrossError):
            read(name)


def read_frozen_graph(folder: Path, data: bytes) -> None:
    from albatross.checkpoints.frozen_graph import read_frozen_graph

    path = folder / "frozen.pb"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    read_frozen_graph(path)


def read_safetensors(folder: Path, data: bytes) -> None:
    """Read a file; mostly the length before the header is made right."""
    from albatross.checkpoints.safetensors_file import map_arrays, read_header

    path = folder / "model.safetensors"
    path.unlink(missing_ok=True)
    header, found, values = data.partition(b"\0\0")
    path.write_bytes(struct.pack("<Q", len(header)) + header + values if found else data)
    read_header(path)
    map_arrays(path)


def read_folder(folder: Path, data: bytes) -> None:
    """Read a model folder: the first byte says which file the rest is."""
    from albatross.checkpoints.model_folder import read_config, read_weights
    from albatross.errors import AlbatrossError

    names = ("config.json", "model.safetensors", "model.safetensors.index.json", "run.json")
    for old in folder.iterdir():
        old.unlink()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / names[data[0] % len(names) if data else 0]).write_bytes(data[1:])
    with suppress(AlbatrossError):
        read_config(folder)
    read_weights(folder)


TARGETS: dict[str, Read] = {
    "tensorflow": read_tensorflow,
    "frozen-graph": read_frozen_graph,
    "safetensors": read_safetensors,
    "folder": read_folder,
}


def seeds(target: str) -> list[bytes]:
    """Return what a target starts from: sound files."""
    from albatross.checkpoints.sorted_table import read_table

    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    if target == "safetensors":
        return [header + b"\0\0" + bytes(8)]
    if target == "folder":
        whole = struct.pack("<Q", len(header)) + header + bytes(8)
        shards = b'{"weight_map":{"a":"model-00001-of-00002.safetensors"}}'
        return [b"\0{}", b"\1" + whole, b"\2" + shards, b'\3{"sha256":{}}']
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    if target == "frozen-graph":
        return [base64.b64decode(recorded["frozen_graph"]), graph_of_repeats()]
    files = {name: base64.b64decode(text) for name, text in recorded["files"].items()}
    index = next(content for name, content in files.items() if name.endswith(".index"))
    records = read_table(memoryview(index))
    ours = {b"": b"\x08\x01", **records_of_one_file()}
    return [
        b"i" + index,
        b"c" + files["checkpoint"],
        b"r" + bytes_of(records),
        b"r" + bytes_of(ours),
    ]


def graph_of_repeats() -> bytes:
    """Return a graph whose one constant says a value once that stands in it many times."""
    from albatross.protobuf import encode_field as field

    shape = field(2, field(2, field(1, 2**15)))
    value = field(1, b"value") + field(2, field(8, field(1, 1) + shape + field(5, bytes(4))))
    return field(1, field(1, b"v") + field(2, b"Const") + field(5, value))


def records_of_one_file() -> dict[bytes, bytes]:
    """Return records whose values and checksums are those of the file that the target writes."""
    from albatross.checkpoints.bundle_index import Entry, encode_entry, slice_key
    from albatross.checkpoints.sorted_table import crc32c_masked

    values = bytes(range(256))
    parts = (((0, 2), (0, None)), ((2, 1), (0, None)))
    found = {b"v": encode_entry(Entry(1, (3, 2), slices=parts))}
    for part, start, stop in zip(parts, (0, 16), (16, 24), strict=True):
        rows = part[0][1] or 0
        entry = Entry(1, (rows, 2), 0, start, stop - start, crc32c_masked(values[start:stop]))
        found[slice_key(b"v", part)] = encode_entry(entry)
    for kind, size in ((9, 8), (10, 1), (14, 2)):
        entry = Entry(kind, (), 0, 8 * kind, size, crc32c_masked(values[8 * kind :][:size]))
        found[b"kind %d" % kind] = encode_entry(entry)
    return found


def fuzz(target: str, seconds: int, corpus: Path) -> None:
    """Fuzz in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["albatross"]):
        from albatross.errors import AlbatrossError

        sound = seeds(target)
        for number, data in enumerate(sound):
            (corpus / f"seed-{number}").write_bytes(data)
        folder = Path(tempfile.mkdtemp(dir=corpus.parent))
        for data in sound:  # imports the reader while imports are instrumented
            with suppress(AlbatrossError):
                TARGETS[target](folder, data)
    limit = address_space() + MOST_GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def once(data: bytes) -> None:
        try:
            TARGETS[target](folder, data)
        except AlbatrossError as error:
            if "\n" in str(error):
                raise ValueError("a message of several lines") from error

    options = [f"-max_total_time={seconds}", "-max_len=2000", "-timeout=10", "-print_final_stats=1"]
    options += ["-verbosity=0", f"-artifact_prefix={ROOT}/runs/fuzz-{target}-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def address_space() -> int:
    """Return the bytes of address space that this process has taken."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, required=True)
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        parser.error("atheris is needed for this and is not installed: pip install atheris")
    (ROOT / "runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        corpus = Path(place) / "corpus"
        corpus.mkdir()
        work = (arguments.target, arguments.seconds, corpus)
        process = multiprocessing.get_context("spawn").Process(target=fuzz, args=work)
        process.start()
        process.join()
    result = (
        "no findings" if process.exitcode == 0 else f"a finding, kept in runs/ ({process.exitcode})"
    )
    print(f"{arguments.target}: {result}")
    raise SystemExit(0 if process.exitcode == 0 else 1)


if __name__ == "__main__":
    main()
