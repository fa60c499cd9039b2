"""Clean a corpus by each rule and time it; tell the language of texts whose language is known.

Needs data: a corpus file, and text files of one language each, a sentence a line (plain, .gz, .xz)

    python benchmarks/cleaning.py enwiki-00.txt.xz --known en=test.en.gz de=test.de.gz fr=test.fr.gz

MB/s is of UTF-8 on one core. Lines of a known language are also joined by twos and by tens.
"""

import argparse
import time

import py3langid

from albatross.corpus.cleaning import Cleaner, CleaningRule
from albatross.data.documents import Document, corpus_files, read_documents
from albatross.data.text_files import read_lines

RULES = {
    "lengths": CleaningRule(min_characters=200, max_characters=100_000),
    "repair": CleaningRule(repair_unicode=True),
    "language": CleaningRule(languages=("en",)),
}


def time_rules(documents: list[Document]) -> None:
    megabytes = sum(len(text.encode()) for document in documents for text in document) / 1e6
    print(f"{len(documents)} documents, {megabytes:.1f} MB")
    for name, rule in RULES.items():
        cleaner = Cleaner(rule)
        cleaner.clean(["The first call opens what the rule needs."])
        cleaner.counts.clear()
        start = time.perf_counter()
        for document in documents:
            cleaner.clean(document)
        speed = megabytes / (time.perf_counter() - start)
        print(f"{name:10} {speed:8.1f} MB/s  {dict(cleaner.counts)}")


def tell_languages(known: list[str]) -> None:
    for entry in known:
        code, path = entry.split("=", 1)
        lines = [line.strip() for line in read_lines(path)]
        for count in (1, 2, 10):
            texts = [" ".join(lines[at : at + count]) for at in range(0, len(lines), count)]
            right = sum(py3langid.classify(text)[0] == code for text in texts)
            length = sum(map(len, texts)) / len(texts)
            print(f"{code}: {right} of {len(texts)} right at {length:.0f} characters")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--known", nargs="*", default=[], metavar="CODE=FILE")
    arguments = parser.parse_args()
    time_rules(list(read_documents(corpus_files(arguments.files))))
    tell_languages(arguments.known)


if __name__ == "__main__":
    main()
