"""Put the encoder that `scripts/train_default.py` made into the package, with its card.

    python scripts/install_encoder.py runs/default

Where a run went on from another (`pretrain --from`), the folders stand in the order of their runs:
the last one's model goes in, and the card counts all of them. Weights go in as 16-bit floats, with
the graphs by which `fill-mask` and `coherence` answer without torch. The models made from it are
made again afterwards: `scripts/install_builtins.py`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from albatross.atomic import read_json, write_json
from albatross.checkpoints.safetensors_file import read_header

PACKAGE = Path(__file__).parents[1] / "src" / "albatross" / "builtin" / "pretrained"
_COPIED = ("*.safetensors", "*.onnx", "*.json", "spiece.model")
_CARD = """\
---
library_name: albatross
pipeline_tag: fill-mask
language: en
license: apache-2.0
---

# pretrained

A small English encoder to fine-tune from: `albatross finetune pretrained runs/mine --train
reviews.csv`. It comes with the package, so that the first fine-tune needs no download, and answers
as it is under the names `fill-mask` and `coherence`.

## Model

`{variant}`: an ALBERT of {parameters:.2f} M parameters with its masked-word and sentence-order
heads: hidden size {hidden_size}, {num_hidden_layers} layers that are one set of weights, embedding
size {embedding_size}, {vocab_size:,} lower-case pieces, positions for 512 tokens (trained on
{max_length}). Weights in 16-bit floats, {megabytes:.1f} MB. Opens in torch and transformers.

## Training

English Wikipedia, articles of 2008 to 2018 (CC BY-SA), and 67 English novels of 1840 to 1920
(public domain): {text:.1f} M tokens, read {passes:.1f} times, {seen:.0f} M in all,
in {hours:.1f} hours on {machine}{runs}. {energy}

`python scripts/train_default.py --text TEXT --out runs/default -- {options}` makes such a model, by
`recipes/albatross-mini.toml`; why so: `docs/results.md` and `docs/log.md`.

## Figures

On half a percent of the documents, held out: masked-word loss {masked_lm_loss:.2f}, {right:.1f} %
of masked words right (15 % masked, in runs of up to three words), order of two stretches
{order:.1f} % right. Fine-tuned: `docs/results.md` (`python benchmarks/reproduce.py --data DATA`).

## Limits

Lower case, no accents, English of encyclopedias and old novels, with their view of the world and
their bias, which nobody has audited; {max_length} tokens of context in training. Of two single
sentences it does not tell the order (`docs/log.md`, 40). Check it on your own data before you rely
on it.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="of the training, in their order")
    parser.add_argument("--on", default="one core", help="the machine, as the card names it")
    arguments = parser.parse_args()
    folders = arguments.folders
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        words = ["export", folders[-1], out, "--dtype", "float16"]
        subprocess.run([sys.executable, "-m", "albatross", *map(str, words)], check=True)
        shutil.rmtree(PACKAGE)
        PACKAGE.mkdir()
        for path in (path for pattern in _COPIED for path in out.glob(pattern)):
            shutil.copyfile(path, PACKAGE / path.name)
    strip_places(PACKAGE)
    (PACKAGE / "README.md").write_text(_card(folders, arguments.on), encoding="utf-8")
    print(f"Wrote {PACKAGE}.")


def _options(settings: dict[str, Any]) -> str:
    """Return the options of a run's length, which the recipe leaves to the machine."""
    named = {"--threads": "threads", "--budget": "budget", "--tokens": "tokens"}
    given = {option: settings[key] for option, key in named.items() if settings[key] is not None}
    return " ".join(f"{option} {value}" for option, value in given.items())


def strip_places(folder: Path) -> None:
    """Keep of the paths in a folder's record no more than the names of files."""
    record = read_json(folder / "run.json")
    settings = record["settings"]
    record["settings"] = {
        key: Path(value).name if isinstance(value, str) and "/" in value else value
        for key, value in settings.items()
    }
    write_json(folder / "run.json", record)


def _card(folders: Sequence[Path], machine: str) -> str:
    """Return the card, with the figures of the runs."""
    runs = [read_json(folder / "run.json") for folder in folders]
    run, config = runs[-1], read_json(PACKAGE / "config.json")
    metrics, settings = run["metrics"], run["settings"]
    tokens_seen, seconds, energy = (
        sum(each["progress"][part] for each in runs) for part in ("tokens", "seconds", "watt_hours")
    )
    weights = PACKAGE / "model.safetensors"
    shapes = [entry.shape for entry in read_header(weights).values()]
    tokens: int = run["data"]["train"]["tokens"]
    figures: dict[str, Any] = {
        **config,
        **settings,
        **metrics,
        "parameters": sum(prod(shape) for shape in shapes) / 1e6,
        "megabytes": weights.stat().st_size / 1e6,
        "text": tokens / 1e6,
        "seen": tokens_seen / 1e6,
        "passes": tokens_seen / tokens,
        "hours": seconds / 3_600,
        "machine": machine,
        "options": _options(settings),
        "runs": f", in {len(runs)} runs" if len(runs) > 1 else "",
        "energy": f"About {energy:.0f} Wh (`energy.py` says how it comes about)." if energy else "",
        "right": 100 * metrics["masked_lm_accuracy"],
        "order": 100 * metrics["sentence_order_accuracy"],
    }
    return _CARD.format(**figures)


if __name__ == "__main__":
    main()
