"""Show what half and 8-bit weights cost fine-tuned models, each on the dev records of its own run.

Needs data: folders of `albatross finetune`, with the records that their `run.json` names.

    python benchmarks/quantization.py runs/results/models/sst-2 runs/results/models/mrpc
    python benchmarks/quantization.py runs/results/models/mrpc --depths 2 4 8 12 24

Figures are on all dev records, or on the first `--limit`; thresholds stay those of the model.
Beside the task's own figure stands how far the outputs move, as a share of their spread: that shows
long before the figure does. With `--depths` the same layer is applied so many times, and the
outputs of 8 bits are compared with those of floats at each: rounded plainly, and with error
feedback by what the first records make of all depths. So errors compound, and so much of it can be
had back.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import read_json
from albatross.checkpoints.model_folder import read_config, read_weights, write_weights
from albatross.engine.engine import Outputs, join_outputs
from albatross.engine.onnx_engine import OnnxEngine
from albatross.engine.open import open_model, open_tokenizer
from albatross.export.accuracy import difference
from albatross.export.calibration import calibration_texts, second_moments
from albatross.export.folder import export
from albatross.export.quantization import quantise
from albatross.export.step_graphs import write_step_graphs
from albatross.pipelines.pipeline import answers_of, engine_outputs
from albatross.settings.answering import ExportSettings
from albatross.settings.training import FinetuneSettings
from albatross.tasks.task import score
from albatross.training.task_data import read_task_data

DTYPES = ("float32", "float16", "int8")
HEAD = (
    "| task | records | metric | float32 | float16 | int8 | points lost: float16 | int8"
    " | outputs moved | bytes: float32 | float16 | int8 |"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch-tokens", type=int, default=4_096)
    parser.add_argument("--depths", type=int, nargs="+")
    arguments = parser.parse_args()
    if arguments.depths:
        print("| task | depths | outputs moved | with error feedback |\n|---|---|---|---|")
        for model in arguments.models:
            for depths in arguments.depths:
                moved = moved_at(model, depths, arguments.limit, arguments.batch_tokens)
                cells = " | ".join(f"{share:.1%}" for share in moved)
                print(f"| {model.name} | {depths} | {cells} |", flush=True)
        return
    print(HEAD)
    print("|---" * HEAD.count(" | ") + "|---|")
    for model in arguments.models:
        print(line_of(model, arguments.limit, arguments.batch_tokens), flush=True)


def dev_of(model: Path, limit: int | None) -> tuple[Any, list[Any]]:
    """Return the task of a fine-tuned folder, and what it was scored on."""
    settings = FinetuneSettings(**{**read_json(model / "run.json")["settings"], "recipe": None})
    data = read_task_data(settings, open_tokenizer(model, read_config(model)))
    return data.task, next(iter(data.dev.values()))[:limit]


def moved_at(model: Path, depths: int, limit: int | None, batch_tokens: int) -> list[float]:
    """Apply a model's layer so many times; return how far 8 bits move it, plainly and corrected."""
    task, records = dev_of(model, limit)
    config = replace(read_config(model), num_hidden_layers=depths)
    kept = ("albert.", *(f"{name}." for name in task.heads))
    arrays = {n: np.array(a) for n, a in read_weights(model).items() if n.startswith(kept)}
    examples = [example for record in records for example in task.features(record)]

    def outputs(stored: dict[str, NDArray[np.generic]]) -> Outputs:
        write_weights(folder, stored)
        write_step_graphs(folder, config, task.heads)
        return join_outputs(engine_outputs(OnnxEngine(folder, config), examples, batch_tokens))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        expected = outputs(arrays)
        moments = second_moments(folder, config, calibration_texts(task, records))
        found = [outputs(quantise(arrays, known)) for known in (None, moments)]
    return [difference(expected, each) for each in found]


def line_of(model: Path, limit: int | None, batch_tokens: int) -> str:
    """Export a model three times, score each, and return its line of the table."""
    _, records = dev_of(model, limit)
    figures, sizes, outputs = [], [], []
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory() as temporary:
            out = export(ExportSettings(model, Path(temporary) / dtype, dtype))
            files = (out / "model.safetensors", *out.glob("*.onnx"))
            sizes.append(sum(file.stat().st_size for file in files))
            opened = open_model(out, engine="onnx")
            task = opened.task
            features = [task.features(record) for record in records]
            examples = [example for parts in features for example in parts]
            outputs.append(engine_outputs(opened.engine, examples, batch_tokens))
        answers = answers_of(task, records, features, outputs[-1])
        figures.append(float(score(task, answers, records)[task.main_metric]))
    lost = [100 * (figures[0] - figure) for figure in figures[1:]]
    moved = difference(join_outputs(outputs[0]), join_outputs(outputs[-1]))
    cells = [
        *(model.name, f"{len(records):,}", task.main_metric.replace("_", " ")),
        *(f"{figure:.4f}" for figure in figures),
        *(f"{points + 0.0:.2f}" for points in lost),
        f"{moved:.1%}",
        *(f"{size:,}" for size in sizes),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
