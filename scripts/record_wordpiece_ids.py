# ruff: noqa: RUF001 - letters that look like others are what is recorded here
"""Record the ids of the slow `BertTokenizer` for sentences full of traps.

The one oracle is transformers 4.57.6; transformers 5 has no slow tokenizer any more. Run it with
an interpreter that has that version:

    python scripts/record_wordpiece_ids.py

It writes tests/tokenizer/tiny_vocab.txt and tests/tokenizer/expected_wordpiece_ids.json: per
setting, the ids of each sentence.
"""

import json
import sys
from pathlib import Path

import transformers

TESTS = Path(__file__).parents[1] / "tests" / "tokenizer"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SINGLE = (
    "abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-—…$+<=^`~|#&%"
    "ABCDEÉéßσςıя海鸟信天翁在上飞了三日。，！？「」（）가각ᄀ ᅡᆨ"
)
WHOLE = (
    "the gull sea wind and in of a keeper light ship 2012 cafe Café Gull The ##s ##ing ##ed ##er"
    " ##ull ##ight ##house ##2 ##12 ##海 ##鸟 ##天翁 海鸟 信天翁 un ##aff ##able over ##fly"
)
SETTINGS: list[dict[str, bool | None]] = [
    {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None},
    {"do_lower_case": False, "tokenize_chinese_chars": True, "strip_accents": None},
    {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": False},
    {"do_lower_case": False, "tokenize_chinese_chars": False, "strip_accents": True},
]
TEXTS = """
The gulls, over the sea!
unaffable lighthouses
The keeper's light (2012) went out; the ship sailed on.
Café CAFÉ cafe\u0301 CAFE\u0301
信天翁在海上飞了三日。
海鸟在海上，「信天翁」也在！
我们看见了海鸟（gull）和信天翁。
the海鸟gull信天翁2012
Straße ẞ ß İstanbul ısı
ΣΊΣΥΦΟΣ σς
ЯяЁё й
가 각 각 ᄀ ᄀ가
ガ ギ カ\u3099
wait... what?! — yes… no
a$b a+b a<b a=b a^b `a` ~a |b| #c & 50%
a≠b a=\u0338b <\u0338
¿que? «oui» „ja“ ‹ne› ،لا
tab\there\nline\rreturn\u00a0space\u3000wide\u2009thin
line\u2028separated\u2029paragraph\u0085next
bell\u0007nul\u0000del\u007f c1\u0080 soft\u00adhyphen zero\u200bwidth\u200djoiner
replacement\ufffdcharacter \ufeffbom private\ue000use unassigned\u0378here
中\u0301 海\u0323鸟
\uf900\u4e00\u3400\U00020000\U0002f800
e\u0323\u0301\u0308 o\u0302\u0323
कि क़ ক\u09c7\u09be
😀 the 👍🏽 gull❤️
x\u302ey a\u20ddb
\x20
\u0301
-
"""
LONG = ["a" * 100, "a" * 101, "the " + "ab" * 50 + " " + "b" * 101 + "."]


def sentences() -> list[str]:
    """Return every sentence, and words about as long as a word may be."""
    return [*TEXTS[1:-1].split("\n"), *LONG, ""]


def vocabulary() -> list[str]:
    """Return special pieces, characters at a word's start and inside it, and whole words."""
    letters = [character for character in SINGLE if character != " "]
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *WHOLE.split()]
    return list(dict.fromkeys(pieces))


def main() -> None:
    if transformers.__version__ != "4.57.6":
        sys.exit(f"The oracle is transformers 4.57.6. Found: {transformers.__version__}.")
    path = TESTS / "tiny_vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in vocabulary()), encoding="utf-8")
    texts, runs = sentences(), []
    for setting in SETTINGS:
        oracle = transformers.BertTokenizer(str(path), **setting)
        ids = [oracle.convert_tokens_to_ids(oracle.tokenize(text)) for text in texts]
        runs.append({"setting": setting, "ids": ids})
    expected = {
        "made_by": "scripts/record_wordpiece_ids.py",
        "transformers": transformers.__version__,
        "texts": texts,
    }
    rows = [
        f'{{"setting": {json.dumps(run["setting"])}, "ids": [\n'
        + ",\n".join(json.dumps(ids, separators=(",", ":")) for ids in run["ids"])
        + "\n]}"
        for run in runs
    ]
    head = json.dumps(expected, indent=0).removesuffix("\n}")
    content = f'{head},\n"runs": [\n' + ",\n".join(rows) + "\n]\n}\n"
    (TESTS / "expected_wordpiece_ids.json").write_text(content, encoding="utf-8")
    print(f"{len(texts)} sentences, {len(SETTINGS)} settings, {len(vocabulary())} pieces")


if __name__ == "__main__":
    main()
