"""Examples per second and dev scores of fine-tuning, ours against transformers' Trainer.

Needs data: GLUE's SST-2 and MNLI and SQuAD 1.1 in the folders of `--data`.

    python benchmarks/finetuning.py runs/pretrained --data DATA
    python benchmarks/finetuning.py runs/pretrained --data DATA --variant albert-base-v2

With `--variant` a model of that size with random weights takes the folder's place: dev scores say
little then. The same model, the same records, rates and numbers of steps, three seeds, one process
a run, ours and theirs in turn. The Trainer gets the very ids that our task makes, tokenised
beforehand, pads each batch to its longest and groups by length; ours trains from the files, packed.
Seconds are those of the training loops. Both are scored by the same code, from the weights that
they leave.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RATE, WARMUP, DECAY = 3e-4, 0.1, 0.01


@dataclass(frozen=True)
class Row:
    """A task with the folder of its files, and how long both train."""

    task: str
    folder: str
    train: str
    dev: str
    limit: int
    batch_size: int
    max_length: int
    head: str


ROWS = (
    Row("sst2", "glue/SST-2", "train.tsv.gz", "dev.tsv", 20_000, 32, 128, "SequenceClassification"),
    Row(
        *("mnli", "glue/MNLI", "train.tsv.gz", "dev_matched.tsv"),
        *(8_999, 32, 128, "SequenceClassification"),
    ),
    Row(
        *("squad1", "squad/v1.1", "train-v1.1-articles.json.gz", "dev-v1.1-xquad-en.json.gz"),
        *(3_482, 16, 384, "QuestionAnswering"),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=[row.task for row in ROWS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="records of each task, to try it out")
    parser.add_argument("--variant", help="a size, in place of the folder's own")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sides = f"{'ours':>9} {'theirs':>9} examples/s {'ratio':>6}  {'ours':>17} {'theirs':>17}"
    print(f"{'task':<8} {sides}")
    found = []
    for row in (row for row in ROWS if row.task in arguments.tasks):
        sides: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
        with tempfile.TemporaryDirectory() as work:
            model = arguments.model
            if arguments.variant:
                model = _alone(_of_size, (arguments.variant, model, Path(work) / "model"))
            for seed in range(arguments.seeds):
                out = Path(work) / str(seed)
                limit = min(row.limit, arguments.limit or row.limit)
                for side, run in (("ours", _ours), ("theirs", _theirs)):
                    job = row, model, arguments.data / row.folder, out, limit, seed
                    sides[side].append(_alone(run, job))
        found.append({"task": row.task, **sides})
        _print(row, sides)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _alone(run: Any, job: tuple[Any, ...]) -> Any:
    """Run in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, job)


def _of_size(variant: str, source: Path, out: Path) -> Path:
    """Write a model of a published size, with random weights and a folder's vocabulary."""
    from dataclasses import replace

    import albatross
    from albatross.checkpoints.model_folder import read_config
    from albatross.config import variant as config_of
    from albatross.engine.open import open_tokenizer

    tokenizer = open_tokenizer(source, read_config(source))
    config = replace(
        config_of(variant),
        vocab_size=tokenizer.vocab_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    albatross.AlbertForPreTraining(config).save_pretrained(out)
    tokenizer.save(out)
    return out


def _print(row: Row, sides: dict[str, list[dict[str, float]]]) -> None:
    speeds = {side: statistics.median(r["speed"] for r in runs) for side, runs in sides.items()}
    ratio = statistics.median(a["speed"] / b["speed"] for a, b in zip(*sides.values(), strict=True))
    scores = {
        side: f"{statistics.mean(r['score'] for r in runs):.4f}"
        f" +- {statistics.stdev([r['score'] for r in runs]) if len(runs) > 1 else 0:.4f}"
        for side, runs in sides.items()
    }
    print(
        f"{row.task:<8} {speeds['ours']:>9,.1f} {speeds['theirs']:>9,.1f} {'':>10} {ratio:>6.2f}"
        f"  {scores['ours']:>17} {scores['theirs']:>17}",
        flush=True,
    )


def _ours(row: Row, model: Path, data: Path, out: Path, limit: int, seed: int) -> dict[str, float]:
    import albatross

    albatross.finetune(
        *(model, out),
        task=row.task,
        train=data / row.train,
        dev=data / row.dev,
        limit=limit,
        epochs=1.0,
        batch_size=row.batch_size,
        max_length=row.max_length,
        learning_rate=RATE,
        warmup=WARMUP,
        weight_decay=DECAY,
        dropout=0.0,
        seed=seed,
    )
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    examples = len(_examples(row, data, out, limit, seed))
    return {
        "speed": examples / run["progress"]["seconds"],
        "steps": run["progress"]["step"],
        "score": _score(row, data, out, out),
    }


def _theirs(
    row: Row, model: Path, data: Path, out: Path, limit: int, seed: int
) -> dict[str, float]:
    import torch
    import transformers
    from transformers import Trainer, TrainingArguments

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    examples = _examples(row, data, out, limit, seed)
    own = out.with_name(f"{out.name}-theirs")
    kind = getattr(transformers, f"AlbertFor{row.head}")
    torch.manual_seed(seed)
    labels = {"num_labels": 3} if row.task == "mnli" else {}
    # No dropout but the classifier's, as the published models of version 2 have it.
    theirs = kind.from_pretrained(
        model, **labels, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    arguments = TrainingArguments(
        output_dir=str(own),
        num_train_epochs=1,
        per_device_train_batch_size=row.batch_size,
        learning_rate=RATE,
        warmup_steps=WARMUP,
        weight_decay=DECAY,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        seed=seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(theirs, arguments, train_dataset=examples, data_collator=_pad)
    result = trainer.train()
    theirs.save_pretrained(own)
    return {
        "speed": len(examples) / result.metrics["train_runtime"],
        "steps": result.global_step,
        "score": _score(row, data, out, own),
    }


def _examples(row: Row, data: Path, folder: Path, limit: int, seed: int) -> list[dict[str, Any]]:
    """What our task makes of the records that our run of this seed drew, in transformers' words."""
    from albatross.training.task_data import limit_records

    task = _task(folder)
    records = limit_records(task.read(data / row.train), limit, seed)
    found = []
    for record in records:
        for example in task.features(record):
            names = {
                **{name: "labels" for name in example.labels},
                **{name: "start_positions" for name in example.labels if name.endswith(".start")},
                **{name: "end_positions" for name in example.labels if name.endswith(".end")},
            }
            labels = {names[name]: int(value) for name, value in example.labels.items()}
            ids = {"input_ids": example.input_ids, "token_type_ids": example.token_type_ids}
            found.append({**ids, **labels, "length": len(example.input_ids)})
    return found


def _pad(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Pad a batch to its longest sequence, as DataCollatorWithPadding does."""
    import torch

    longest = max(len(example["input_ids"]) for example in examples)
    batch = {}
    for name in ("input_ids", "token_type_ids"):
        rows = torch.zeros(len(examples), longest, dtype=torch.long)
        for row, example in zip(rows, examples, strict=True):
            row[: len(example[name])] = torch.from_numpy(example[name])
        batch[name] = rows
    lengths = torch.tensor([len(example["input_ids"]) for example in examples])
    batch["attention_mask"] = (torch.arange(longest) < lengths[:, None]).long()
    for name in set(examples[0]) - {"input_ids", "token_type_ids", "length"}:
        batch[name] = torch.tensor([example[name] for example in examples])
    return batch


def _task(folder: Path) -> Any:
    from albatross.engine.open import open_model

    return open_model(folder, engine="torch").task


def _score(row: Row, data: Path, folder: Path, weights: Path) -> float:
    """Score the weights of a folder by our task; both sides pass through here."""
    from albatross.checkpoints.model_folder import read_weights
    from albatross.engine.open import open_model
    from albatross.engine.torch_engine import TorchEngine
    from albatross.evaluation.evaluate import score_records
    from albatross.modeling.with_heads import AlbertWithHeads

    opened = open_model(folder, engine="torch")
    heads = opened.task.heads
    model = AlbertWithHeads.from_arrays(opened.config, read_weights(weights), heads=heads)
    records = opened.task.read(data / row.dev)
    metrics = score_records(TorchEngine(model), opened.task, records, 8_192)
    return metrics[opened.task.main_metric]


if __name__ == "__main__":
    main()
