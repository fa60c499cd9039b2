"""Train the package's encoder from text, wherever there is a machine for an hour: one command.

    python scripts/train_default.py --text DATA/pretraining --out runs/default

makes the vocabulary, the shards and the model of `recipes/albatross-mini.toml`, on the GPU if torch
sees one; stopped, the same command goes on. What comes after `--` goes to `albatross pretrain`:
`-- --budget 25m --batch-tokens 65536`.

`--parts FOLDER` then packs the model, with the state of a run that has not ended, into parts of
15 MB with a checksum each, for ways that take no large files; `--join FOLDER` makes the folder
`--out` of them again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

PART_BYTES = 15_000_000
RECIPE = Path(__file__).parents[1] / "recipes" / "albatross-mini.toml"
SUMS = "SHA256SUMS"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="folder with the text, in .txt.xz or .txt.zst")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--parts", type=Path, help="pack what there is into parts, in this folder")
    parser.add_argument("--join", type=Path, help="make the folder of parts; nothing is trained")
    parser.add_argument("options", nargs="*", help="after --, for albatross pretrain")
    arguments = parser.parse_args()
    if arguments.join is not None:
        join(arguments.join, arguments.out)
        return
    if arguments.text is None:
        parser.error("--text or --join is needed")
    try:
        train(arguments)
    finally:  # the time may be up before the run is
        if arguments.parts is not None and arguments.out.is_dir():
            split(arguments.out, arguments.parts)


def train(given: argparse.Namespace) -> None:
    """Make vocabulary and shards beside the model if they are not there, and pre-train."""
    text, out = given.text, given.out
    tokenizer, shards = (out.with_name(f"{out.name}-{part}") for part in ("tokenizer", "shards"))
    files = sorted(path for path in text.iterdir() if path.name.endswith((".txt.xz", ".txt.zst")))
    if not files:
        raise SystemExit(f"The text must be in .txt.xz or .txt.zst. There is none in {text}.")
    if not (tokenizer / "spiece.model").is_file():
        sizes = ["--vocab-size", "16384", "--max-sentences", "200000"]
        _albatross("train-tokenizer", *files, tokenizer, *sizes)
    if not (shards / "shards.json").is_file():
        held_out = ["--held-out", "0.005"]
        _albatross("build-shards", *files, shards, "--tokenizer", tokenizer, *held_out)
    _albatross("pretrain", shards, out, "--recipe", given.recipe, *given.options)


def split(folder: Path, parts: Path) -> None:
    """Pack a folder into parts of 15 MB, each with its checksum."""
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.glob("part-*"):
        old.unlink()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        archive.add(folder, arcname=".")
    content = packed.getvalue()
    sums = []
    for number, start in enumerate(range(0, len(content), PART_BYTES)):
        name, part = f"part-{number:03}", content[start : start + PART_BYTES]
        (parts / name).write_bytes(part)
        sums.append(f"{hashlib.sha256(part).hexdigest()}  {name}")
    (parts / SUMS).write_text("\n".join(sums) + "\n", encoding="utf-8")
    print(f"Wrote {parts}: {len(sums)} parts, {len(content):,} bytes.")


def join(parts: Path, folder: Path) -> None:
    """Make the folder of its parts again, if all of them are there and whole."""
    content = b""
    for line in (parts / SUMS).read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        part = (parts / name).read_bytes() if (parts / name).is_file() else b""
        if hashlib.sha256(part).hexdigest() != digest:
            raise SystemExit(f"{name} is not there, or not as it was written. Copy it again.")
        content += part
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        archive.extractall(folder, filter="data")
    print(f"Wrote {folder}.")


def _albatross(*words: object) -> None:
    code = subprocess.run([sys.executable, "-m", "albatross", *map(str, words)]).returncode
    if code:  # said why already
        raise SystemExit(code)


if __name__ == "__main__":
    main()
