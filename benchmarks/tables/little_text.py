"""How much text pre-training needs: 1, 10 and 100 % of it; and what the task's own text adds."""

from __future__ import annotations

from dataclasses import dataclass

from tables.files import one_at_a_time, read_table, write_sentences, write_shards
from tables.pretraining import FOUND, Trial, columns
from tables.table import Figures, Place, Table

_PROBED = ("SST-2, 2,000 rows", "SST-2")
_SHOWS = ("tokens", "loss", "accuracy", *_PROBED)
_LENGTH = "--variant albatross-tiny --tokens 6000000"
_MORE = "--from {work}/pretraining/text-100-0 --tokens 1000000 --learning-rate 5e-4"
_SHARES = tuple(
    Trial(f"text {percent}", f"{_LENGTH} --text-share {percent / 100}", 2, _PROBED, _SHOWS)
    for percent in (1, 10, 100)
)


@dataclass(frozen=True)
class Continued(Trial):
    """Going on from the run on all text, with more of it or with the sentences of SST-2."""

    def measure(self, place: Place) -> Figures:
        """Cut the task's training part, without its labels, into shards; train and probe."""
        _SHARES[-1].made(place, seed=0)
        _write_own_shards(place)
        return super().measure(place)


@one_at_a_time
def _write_own_shards(place: Place) -> None:
    """Make shards of the sentences of SST-2's training part."""
    write_sentences(place)
    text, shards = place.work / "sst2.txt", place.work / "sst2-shards"
    if (shards / "shards.json").is_file():
        return
    rows = read_table(place.work / "sst2" / "train.tsv")
    sentences = dict.fromkeys(row["sentence"] for row in rows)
    text.write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    tokenizer = ["--tokenizer", write_shards(place), "--held-out", 0.01]
    place.albatross("build-shards", text, shards, *tokenizer)


ROWS = (
    *_SHARES,
    Continued("text 100, then more of it", _MORE, 2, _PROBED, _SHOWS),
    Continued(
        "text 100, then SST-2's own",
        f"{_MORE} --objective none",
        2,
        _PROBED,
        _SHOWS,
        shards="{work}/sst2-shards",
    ),
)
TABLE = Table(
    "text",
    "Little text",
    f"""
Equal steps on 1, 10 and 100 % of the documents: 6 M tokens, which are half a million seen twelve
times, five million seen 1.2 times, and a part of all. Held-out figures are of the same documents.
Below, the first run on all text goes on for a sixth of its length: with more of the same, or with
the sentences of SST-2's training part, without their labels, whose held-out figures are of such
sentences. SST-2 is scored on 2,000 whole sentences, where one standard error is .9 points.

After so few steps a tenth of the text is as good as all of it; what counts is that it is not seen
over and over. A hundredth costs .2 of the loss, three points of SST-2 after 2,000 rows (two seeds,
each within 1.4 of their mean), and less than one after all 45,000. Going on for a sixth wins
nothing there: .793 before, .792 after the task's own text, .782 after more of the same, as finished
runs lose when they are taken up again (`docs/log.md`, 38). All have

    {FOUND}
""",
    columns(_SHOWS),
    ROWS,
)
