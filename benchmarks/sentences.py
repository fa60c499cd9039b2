"""Join the sentences of documents with spaces, split them again, and count the breaks recovered.

Needs data: text files with a sentence a line and a blank line between documents (plain, .gz, .xz)

    python benchmarks/sentences.py enwiki-08.txt.xz novels-01.txt.xz --documents 300

Precision, recall and F1 are of breaks inside documents, by the place in the text; MB/s is of UTF-8
on one core, the median of three rounds in shuffled order. pysbd and sentencex take part when they
are installed and named. The lines were split by rule too, so no splitter can reach 1, and one
that thinks like that rule is favoured: that keeps quoted sentences apart, as ours does.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from itertools import accumulate, islice

from albatross.data.documents import corpus_files, read_documents
from albatross.data.sentences import split_sentences

Split = Callable[[str], list[str]]
ROUNDS = 3


def contestants(names: list[str]) -> dict[str, Split]:
    found: dict[str, Split] = {"ours": split_sentences}
    if "pysbd" in names:
        import pysbd

        found["pysbd"] = pysbd.Segmenter(language="en", clean=False).segment
    if "sentencex" in names:
        import sentencex

        found["sentencex"] = lambda text: list(sentencex.segment("en", text))
    return found


def breaks(sentences: list[str]) -> set[int]:
    """Breaks as how many characters other than spaces lie before them; the end is none."""
    return set(accumulate(len("".join(sentence.split())) for sentence in sentences[:-1]))


def scores(split: Split, documents: list[list[str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 over all documents."""
    right = found = wanted = 0
    for document in documents:
        ours = breaks([part for part in split(" ".join(document)) if part.strip()])
        gold = breaks(document)
        right, found, wanted = right + len(ours & gold), found + len(ours), wanted + len(gold)
    precision, recall = right / max(1, found), right / max(1, wanted)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def speeds(splits: dict[str, Split], texts: list[str]) -> dict[str, float]:
    """Median MB/s of each."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    taken: dict[str, list[float]] = {name: [] for name in splits}
    for number in range(ROUNDS):
        for name in random.Random(number).sample(sorted(splits), len(splits)):
            start = time.perf_counter()
            for text in texts:
                splits[name](text)
            taken[name].append(time.perf_counter() - start)
    return {name: megabytes / statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--documents", type=int, default=300, help="from the start of each file")
    parser.add_argument("--rivals", nargs="*", default=[], choices=["pysbd", "sentencex"])
    arguments = parser.parse_args()
    splits = contestants(arguments.rivals)
    print(f"{'':24} {'':10} {'precision':>9} {'recall':>7} {'F1':>7} {'MB/s':>8}")
    for file in corpus_files(arguments.files):
        documents = list(islice(read_documents([file]), arguments.documents))
        rates = speeds(splits, [" ".join(document) for document in documents])
        for name, split in splits.items():
            precision, recall, f1 = scores(split, documents)
            place = file.address.rpartition("/")[2]
            row = f"{precision:9.4f} {recall:7.4f} {f1:7.4f} {rates[name]:8.2f}"
            print(f"{place:24} {name:10} {row}")


if __name__ == "__main__":
    main()
