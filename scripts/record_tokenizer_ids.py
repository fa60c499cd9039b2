# ruff: noqa: RUF001 - letters that look like others are what is recorded here
"""Record the ids of the slow `AlbertTokenizer` for sentences full of traps.

The one oracle is transformers 4.57.6; transformers 5 has no slow tokenizer any more. Run it with
an interpreter that has that version, sentencepiece and numpy:

    PYTHONPATH=src python scripts/record_tokenizer_ids.py 30k-clean.model

It writes tests/tokenizer/tiny.model, trained on these sentences alone, and
tests/tokenizer/expected_ids.json: per model and setting, the ids of each sentence.
"""

import json
import sys
from pathlib import Path
from typing import Any

import sentencepiece
import transformers

from albatross.tokenizer.training import train_unigram
from albatross.tokenizer.unigram import UnigramTokenizer

TESTS = Path(__file__).parents[1] / "tests" / "tokenizer"
TINY_SIZE = 280
SETTINGS = [
    {"do_lower_case": True, "keep_accents": False, "remove_space": True},
    {"do_lower_case": True, "keep_accents": True, "remove_space": True},
    {"do_lower_case": False, "keep_accents": True, "remove_space": False},
    {"do_lower_case": False, "keep_accents": False, "remove_space": True},
]
NUMBERS = """
9,9
92000,
2012/2013,
In 2012, and in 2013, the gulls came back; by 2014, none were left.
He was born in 92000, she in 9, and they met in 1,000,000.
It cost 1,5 or 1.5, not 15,
1,2,3,4,5
 ,9 9, ,9,
(2012, 2013, and 2014,)
"12," said the clerk, "then 13, and then 1,"
version 3.11, 3.12, and 3.13,
on the 3rd, 4th, and 10th, of May 1998,
page 7, line 10, column 100,
٣, and ٤٥, are Arabic digits
x², y³, and z¹,
½, ¾, ⅓, and 5½,
①, ②, and ⒊,
🄁🄂 0, 1,
12,345,678.90, exactly
-5, −6, –7, 8,
A1, B2, C3,
2012,2013,
1999,and 2000,or 2001,
９，９ and ９,
"""
MARKS = """
Hello, world!
This is a test.
The keeper (an old man) lit the lamp (again).
[brackets] {braces} <angles> (parentheses) ((nested))
(a) (b) (c)
a(b)c
"Quoted," she said.
''quoted''
``quoted''
```three``` ''''four''''
`one` 'one'
He said ''(wait)'' and ``(go)``.
“curly” and ‘single’ and «French» and „German“
rock-'n'-roll
well-known, half-hearted, twenty-one
a - b – c — d ― e
-dash at the start
–en dash at the start
end-
pages 10–12
...
wait . . . what
wait… what…
e.g. i.e. U.S.A. a.m.
Dr. Mr. Mrs. St. No. 5.
https://example.org/a_b?c=d&e=f#g
someone@example.org
C:\\folder\\file.txt
£5, €10, $15, ¥20, ₹25
5£ 10€ 15$
100 % or 100% or 100 ‰
a+b=c; x<y>z; p&q|r^s~t
#hashtag @mention *bold* _under_
!?!?!? ??? !!!
it's, don't, we'd, they'll
it’s, don’t, we’d, they’ll
§ 5 ¶ 6 † ‡ • ·
© ® ™ ℠ № ℃ ℉ Å Ω K
← → ↑ ↓ ⇒ ∀ ∃ ∑ √ ∞ ≠ ≤
"(-.–£€)"
"" '' `` "" ''
.(-).
"""
LETTERS = """
falsé café naïve façade coöperate
I was there, and this is falsé.
ÀÁÂÃÄÅ ÇÈÉÊË ÌÍÎÏ ÑÒÓÔÕÖ ÙÚÛÜÝ
Ångström Øresund Æsir Þór Œuvre
ﬁre ﬂy oﬃce aﬄuent ﬅop
ĳsland Ǆ ǅ ǆ Ŀ ŀ ŉ
Straße GROẞ ẞ ß SS
İstanbul Istanbul ısı I i
ΣΊΣΥΦΟΣ Σ ΟΔΟΣ Σσς σας
ὈΔΥΣΣΕΎΣ, ὁ Λαέρτου
𝚺 𝛴 ΑΒ𝚺 𝐀𝐁𝐂 𝒜ℬ𝒞 𝟏𝟐,
Ϲ ϲ ϴ ϕ ϑ
Привет, мир! Ёлка и йод.
ШЩЪЫЬЭЮЯ ІЇЄҐ
Ａｌｂａｔｒｏｓｓ　１２３，４
ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ ガギグ パピ
日本語のテキストです。
漢字かな交じり文、１２，３４。
我们在海边看见了信天翁。
한국어 문장입니다. 각 가 힣
กำลังเดินทางไปทะเล
नमस्ते दुनिया, क़िला
বাংলা ভাষা
தமிழ் மொழி
مرحبا بالعالم، كيف الحال؟
السَّلَامُ عَلَيْكُمْ
שָׁלוֹם עוֹלָם
Tiếng Việt có dấu
Zażółć gęślą jaźń
Příliš žluťoučký kůň
Ꮳꮃꮍ Ꭰꭰ Ⴀⴀ ა Ა
Ǆungla ǈubav ǋiva
ſhip loſs ſs
ªº ₁₂ ˣʸ ᵃᵇ ⁿ
㍿ ㎏ ㎞ ㌔ ㈱ Ⅳ ⅻ
ℌ ℑ ℕ ℝ ℤ ℵ
e\u0301 e\u0301\u0323 e\u0323\u0301 \u0301e
o\u0308\u0304 \u1e69 s\u0323\u0307 a\u0344
\u0f73 \u0f75 \u0f81 \u0fb2\u0f81
Z\u0334\u0335\u0336a\u0321\u0322l\u0330g\u0359o\u0362
\u00b4 \u00a8 \u00af \u00b8 \u02d8 \u1fbd
\uff9e \uff9f \u3099 \u309b
"""
REST = """
😀 😃 smile 👍🏽 👩‍👩‍👧 🇫🇷 ❤️ ☂
text😀text, 😀,😀
\u200bzero\u200bwidth\u200c\u200djoiner\ufeff
soft\u00adhyphen word\u2060joiner
no\u00a0break\u202fspace\u2009thin\u2003em
\tTabs\tand\t\ttabs\t
  leading and trailing  \x20
many     spaces      here
line\x0bfeed\x0cform\x1cfile\x0dreturn\x1dgroup\x1erecord\x1funit\x85next\u2028line\u2029paragraph
nul\x00inside \x00 alone
bell\x07 escape\x1b[0m delete\x7f start\x01
c1\x80\x9f controls
replacement \ufffd character a\ufffdb
private \ue000 use \U000f0000
unassigned \u0378 \U000e0fff
bidi \u202aleft\u202c \u200e\u200f marks
variation \ufe0f selector \U000e0100
word▁mark ▁ ▁▁start
tag \U000e0041 \U000e007f
[cls] [sep] [mask]
A
z
.
,
(
"
-
–
£
€
\x20
\x20\x20\x20

\x00
\u3000
The quick brown fox jumps over the lazy dog.
An albatross can glide for hours without a single beat of its wings.
UPPER CASE, Title Case, camelCase, snake_case, kebab-case
supercalifragilisticexpialidocious antidisestablishmentarianism
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
The ship left port at 6 a.m. on 12 March 1887, bound for the Cape.
"Is it far?" asked the boy. "Very far," said the mate, "but the wind is with us."
Of the 1,204 birds ringed in 2010, 87 (7.2 %) were seen again by 2015, most of them at sea.
"""


def sentences() -> list[str]:
    """Return every sentence of the four groups, one a line."""
    found = []
    for group in (NUMBERS, MARKS, LETTERS, REST):
        found += group[1:-1].split("\n")
    return found


def write_tiny_model(path: Path) -> None:
    """Train the small model; more weight on the numbers gives it pieces such as `2012,`."""
    lines = [*sentences(), *(40 * NUMBERS[1:-1].split("\n"))]
    path.write_bytes(train_unigram(lines, TINY_SIZE, character_coverage=0.98).model)


def record(model: Path, texts: list[str]) -> dict[str, Any]:
    """Ask the oracle for the ids of each text under each setting."""
    runs = []
    for setting in SETTINGS:
        oracle = transformers.AlbertTokenizer(str(model), **setting)
        tokens = [oracle.tokenize(text, split_special_tokens=True) for text in texts]
        runs.append({"setting": setting, "ids": list(map(oracle.convert_tokens_to_ids, tokens))})
    return {"sha256": UnigramTokenizer.from_file(model).sha256, "runs": runs}


def to_json(value: Any, depth: int = 0) -> str:
    """Write the outer three levels on lines of their own, so that a change shows as one line."""
    if depth == 5 or not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    if isinstance(value, dict):
        rows = [f"{json.dumps(key)}: {to_json(item, depth + 1)}" for key, item in value.items()]
    elif all(isinstance(item, int) for item in value):
        return json.dumps(value, separators=(",", ":"))
    else:
        rows = [to_json(item, depth + 1) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(rows) + f"\n{closing}"


def main(published: Path) -> None:
    if transformers.__version__ != "4.57.6":
        sys.exit(f"The oracle is transformers 4.57.6. Found: {transformers.__version__}.")
    tiny, texts = TESTS / "tiny.model", sentences()
    write_tiny_model(tiny)
    expected = {
        "made_by": "scripts/record_tokenizer_ids.py",
        "transformers": transformers.__version__,
        "sentencepiece": sentencepiece.__version__,
        "texts": texts,
        "models": {"published": record(published, texts), "tiny": record(tiny, texts)},
    }
    (TESTS / "expected_ids.json").write_text(to_json(expected) + "\n", encoding="utf-8")
    print(f"{len(texts)} sentences, {len(SETTINGS)} settings, 2 models")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: record_tokenizer_ids.py PUBLISHED_SPIECE_MODEL")
    main(Path(sys.argv[1]))
