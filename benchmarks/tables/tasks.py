"""The built-in encoder, fine-tuned on every task there is data for, beside what counts words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albatross.atomic import read_json
from tables.baselines import baseline_score
from tables.files import write_sentences, write_tables, write_translation
from tables.table import Figures, Place, Table, seeds_of, slug


@dataclass(frozen=True)
class TaskRow:
    """One task.

    Attributes:
        name: what it is called
        options: of `albatross finetune`, with {data} and {work} for the folders
        baseline: a key of BASELINES
        seeds: how many
        note: what a reader must know
        model: what is fine-tuned
        start: the row whose model is fine-tuned, in place of `model`
    """

    name: str
    options: str
    baseline: str = "words"
    seeds: int = 3
    note: str = ""
    model: str = "pretrained"
    start: TaskRow | None = None

    def measure(self, place: Place) -> Figures:
        """Run the command, and the baseline on the same records."""
        out = self._made(place)
        run = read_json(out / "run.json")
        baseline = baseline_score(self.baseline, out, run)
        task = next(iter(read_json(out / "task.json").values()))
        metric = task.get("metric", "accuracy")
        return {"seeds": seeds_of(run, metric), "baseline": baseline[metric]}

    def cells(self, found: Mapping[str, Any]) -> list[str]:
        """Return name, metric, mean, deviation, seeds, baseline and command."""
        seeds, count = found["seeds"], len(found["seeds"]["by_seed"])
        model = self.model if self.start is None else f"WORK/models/{slug(self.start.name)}"
        shown = f"{model} OUT {self.options}".replace("{data}", "DATA")
        return [
            f"{self.name} ({self.note})" if self.note else self.name,
            seeds["metric"].replace("_", " "),
            f"{seeds['mean']:.4f}",
            f"{seeds['deviation']:.4f}" if count > 1 else "-",
            str(count),
            f"{found['baseline']:.4f}",
            f"`{shown.replace('{work}', 'WORK')} --seeds {count}`",
        ]

    def _made(self, place: Place) -> Path:
        """Fine-tune, from what another row fine-tuned where it starts from that."""
        write_tables(place)
        if "/sst2/" in self.options:
            write_sentences(place)
        if "multi30k" in self.model:
            write_translation(place)
        (model,) = place.filled(self.model)
        source = model if self.start is None else self.start._made(place)
        words = [*place.filled(self.options), "--seeds", self.seeds]
        if place.limit is not None:
            words += ["--limit", place.limit, "--epochs", 1, "--seeds", 2]
        return place.make("finetune", source, place.work / "models" / slug(self.name), *words)


_MNLI = TaskRow("MNLI", "--task mnli --data {data}/glue", note="9,000 of 393,000 rows")
ROWS = (
    TaskRow("CoLA", "--task cola --data {data}/glue"),
    TaskRow("SST-2", "--task sst2 --data {data}/glue --epochs 2"),
    TaskRow(
        "SST-2, whole sentences",
        "--task sst2 --train {work}/sst2/train.tsv --dev {work}/sst2/dev.tsv --epochs 2",
        note="2,000 of its training part, no phrase of which is learned from",
    ),
    TaskRow("MRPC", "--task mrpc --data {data}/glue", seeds=5),
    TaskRow("STS-B", "--task stsb --data {data}/glue", "overlap"),
    TaskRow("QQP", "--task qqp --data {data}/glue", note="9,000 of 364,000 rows"),
    _MNLI,
    TaskRow("QNLI", "--task qnli --data {data}/glue", note="10,000 of 105,000 rows"),
    TaskRow("RTE", "--task rte --data {data}/glue"),
    TaskRow("SNLI", "--task snli --data {data}/glue", note="9,000 of 549,000 rows"),
    TaskRow(
        "SQuAD 1.1",
        "--task squad1 --train {data}/squad/v1.1/train-v1.1-articles.json.gz"
        " --dev {data}/squad/v1.1/dev-v1.1-xquad-en.json.gz --epochs 8 --max-length 256",
        "sentence",
        seeds=2,
        note="14 articles of 442",
    ),
    TaskRow(
        "SQuAD 2.0",
        "--task squad2 --train {data}/squad/v2.0/train-v2.0-small.json.gz"
        " --dev {data}/squad/v2.0/dev-v2.0-small.json.gz --epochs 8 --max-length 256",
        "none",
        seeds=2,
        note="10 articles of 442",
    ),
    TaskRow("TREC, 6 classes", "--train {work}/trec/train.tsv --dev {work}/trec/test.tsv", seeds=5),
    TaskRow(
        "AG News",
        "--train {data}/ag-news/train-5000.csv.gz --dev {data}/ag-news/test.csv.gz"
        " --columns label=1 text=2 text_pair=3",
        note="5,000 of 120,000 rows",
    ),
    TaskRow(
        "IMDB",
        "--train {data}/imdb-small/train.jsonl.gz --dev {data}/imdb-small/test.jsonl.gz",
        note="1,000 of 25,000 rows",
    ),
    TaskRow(
        "SMS spam",
        "--train {data}/sms-spam/SMSSpamCollection.tsv.gz --columns label=1 text=2"
        " --hold-out 0.2 --metric macro_f1",
        note="a fifth held out",
    ),
    TaskRow(
        "Banking77",
        "--train {data}/banking77/train.csv.gz --dev {data}/banking77/test.csv"
        " --columns label=category",
    ),
    TaskRow("CLINC150", "--train {work}/clinc150/train.jsonl --dev {work}/clinc150/test.jsonl"),
    TaskRow("SNIPS, intents", "--train {work}/snips/train.tsv --dev {work}/snips/valid.tsv"),
    TaskRow(
        "SNIPS, slots",
        "--task tagging --format slots --train {data}/snips/train --dev {data}/snips/valid",
        "crf",
    ),
    TaskRow(
        "WNUT-17",
        "--task conll --train {data}/wnut17/wnut17train.conll.gz"
        " --dev {data}/wnut17/emerging.dev.conll",
        "crf",
    ),
    TaskRow(
        "WikiGold",
        "--task conll --train {data}/wikigold/wikigold.conll.txt.gz",
        "crf",
        note="a tenth of its sentences held out, of documents that are learned from",
    ),
    TaskRow(
        "STS-B, cosine",
        "--task similarity --format stsb --train {data}/glue/STS-B/train.tsv.gz"
        " --dev {data}/glue/STS-B/dev.tsv.gz",
        "overlap",
    ),
    TaskRow("RTE, from MNLI", "--task rte --data {data}/glue", start=_MNLI),
    TaskRow("MRPC, from MNLI", "--task mrpc --data {data}/glue", start=_MNLI),
    TaskRow("STS-B, from MNLI", "--task stsb --data {data}/glue", "overlap", start=_MNLI),
    TaskRow(
        "RACE, from MNLI",
        "--task race --data {data}/race --epochs 1 --max-length 256 --batch-size 8",
        "choice",
        seeds=1,
        note="900 passages of 25,000, their first 256 tokens",
        start=_MNLI,
    ),
    TaskRow(
        "Multi30k, English to German",
        "--task generation --train {work}/multi30k/train.jsonl --dev {work}/multi30k/test.jsonl"
        " --fresh-decoder --learning-rate 1.5e-3 --beta2 0.98 --label-smoothing 0.1 --epochs 5"
        " --batch-size 64 --max-length 64",
        "copy",
        seeds=1,
        note="test 2016, beam of 4",
        model="{work}/multi30k/start",
    ),
)


TABLE = Table(
    "tasks",
    "Every task",
    """
The built-in encoder `pretrained`, as it was when a row was run (below the table), fine-tuned on
what could be had of each benchmark, and scored on its development part. Figures are means over
seeds of the last checkpoint, with their standard deviation; no checkpoint or seed was chosen on the
part it is scored on, but how to train was, here and there: the eight passes of SQuAD and the marks
of words that both texts of a pair have (`--mark-shared`) by development parts (`docs/log.md`, 50),
the vocabulary and the learning of `sentiment` by the 2,000 whole sentences of SST-2 (32, 37 to 39).
Published ALBERTs are four times as large or more and saw a thousand times the text;
`docs/checkpoints.md` says how to open them, and the same commands fine-tune them.

The baseline knows no language. It counts words: TF-IDF with logistic regression for texts, the
cosine of TF-IDF vectors for similarity and for choices beside their passage, a conditional random
field for tags, the sentence with most words of the question for SQuAD 1.1, no answer for
2.0, and for a translation the source.

Each command begins with `albatross finetune`; DATA is the folder of data, WORK that of `--work`,
where the script writes as tables what is published otherwise.
""",
    ("task", "metric", "mean", "deviation", "seeds", "baseline", "command"),
    ROWS,
    of_encoder=True,
)
