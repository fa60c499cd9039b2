"""Put the models that `benchmarks/reproduce.py` made into the package, with a card each.

    python benchmarks/reproduce.py --data DATA --only builtins
    python scripts/install_builtins.py runs/results

A task that does not beat its plain baseline on every part it was scored on is not shipped. One that
scores as well with the others as alone is answered by the encoder that they share; of the rest, as
many as twelve megabytes of a wheel have room for have weights of their own. The cards are written
from the rows' figures.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from install_encoder import strip_places  # noqa: E402
from tables.builtins import BUILTINS, TABLE, Builtin  # noqa: E402 (benchmarks are no package)

from albatross.atomic import read_json, write_json  # noqa: E402

PACKAGE = ROOT / "src" / "albatross" / "builtin"
SHARED = "everyday"
# A figure may fall by so much where tasks share an encoder: less than seeds differ.
_NOTHING = 0.003
# What the models may take in a wheel, which packs its files; and what goes in first where not all
# fits: names are what counting words does worst at.
_ROOM = 12_000_000
_FIRST = ("entities", "question-type", "sentiment", "intent", "spam", "embed")
# Of a folder, beside weights and graphs.
_COPIED = ("*.safetensors", "*.onnx", "*.json", "spiece.model")
_ABOUT = {
    "sentiment": "Whether an English sentence, such as one of a film review, is `positive` or"
    " `negative`.",
    "spam": "Whether an English text message is `spam` or not (`ham`).",
    "question-type": "What an English question asks for: an abbreviation, an entity, a"
    " description, a human, a location or a number (TREC's six classes).",
    "intent": "Which of 150 everyday intents an English request to an assistant has, or none of"
    " them (`oos`).",
    "entities": "Names in English text: persons, locations, organizations and others.",
    "embed": "A vector of an English sentence, and how alike two sentences are.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="the folder `--work` of benchmarks/reproduce.py")
    work = parser.parse_args().work
    found = {row.name: _figures(row) for row in BUILTINS if TABLE.kept(row).is_file()}
    shared, alone_ones = [], []
    for row in sorted(BUILTINS, key=lambda row: _FIRST.index(row.name)):
        figures = found.get(row.name)
        if figures is None:
            print(f"{row.name:<16} left as it is: not measured")
            continue
        shutil.rmtree(PACKAGE / row.name, ignore_errors=True)
        beats = {
            key: _beats(figures[key], figures["baselines"], row.figure)
            for key in ("alone", "together")
        }
        if not any(beats.values()):
            print(f"{row.name:<16} not shipped: no better than its baseline")
            continue
        alone, together = (_main(figures[key], row.figure) for key in ("alone", "together"))
        if beats["together"] and (together >= alone - _NOTHING or not beats["alone"]):
            shared.append(row)
            print(f"{row.name:<16} shared: {together:.4f}, alone {alone:.4f}")
        else:
            alone_ones.append(row)
            print(f"{row.name:<16} alone: {alone:.4f}, shared {together:.4f}")
    shutil.rmtree(PACKAGE / SHARED, ignore_errors=True)
    if shared:
        _install(work / "builtins" / "together", PACKAGE / SHARED, shared, found, "together")
    for row in alone_ones:
        _install(work / "builtins" / row.name, PACKAGE / row.name, [row], found, "alone")
        if _packed(PACKAGE) > _ROOM:
            shutil.rmtree(PACKAGE / row.name)
            print(f"{row.name:<16} not shipped: no room")
    print(f"The models take {_packed(PACKAGE) / 1e6:.2f} MB in a wheel.")


def _packed(folder: Path) -> int:
    """Return what the files of a folder take in a wheel."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(len(zlib.compress(path.read_bytes())) for path in files)


def _install(
    source: Path, out: Path, rows: Sequence[Builtin], found: Mapping[str, Any], key: str
) -> None:
    """Copy a folder with the tasks that are shipped, and write its card."""
    out.mkdir(parents=True)
    for pattern in _COPIED:
        for path in source.glob(pattern):
            shutil.copyfile(path, out / path.name)
    strip_places(out)
    tasks = read_json(source / "task.json")
    names = [row.name for row in rows]
    write_json(out / "task.json", {name: tasks[name] for name in names})
    (out / "README.md").write_text(_card(out.name, rows, found, key), encoding="utf-8")


def _card(name: str, rows: Sequence[Builtin], found: Mapping[str, Any], key: str) -> str:
    """Return the card of a folder."""
    lines = [
        *("---", "library_name: albatross", "language: en", "license: apache-2.0", "---", ""),
        f"# {name}",
        "",
    ]
    for row in rows:
        lines += [f"- `{row.name}`: {_ABOUT[row.name]}"]
    lines += [
        "",
        "Opened by those names: `albatross.load(NAME)`, `albatross predict NAME TEXT`.",
        "",
        "## Model",
        "",
        "The encoder `pretrained` of this package, fine-tuned; weights in 8 bits, for ONNX Runtime,"
        " without torch.",
        *(["One encoder for all tasks: a text is read once."] if len(rows) > 1 else []),
        "",
        "## Figures",
        "",
        "On records that were not learned from, as it is shipped; the baseline knows no language.",
        "",
        "| task | figure | value | 95 % | baseline | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = found[row.name]
        for report, baseline in zip(figures[key], figures["baselines"], strict=True):
            bounds, error = report["intervals"][row.figure], report["calibration"]
            lines.append(
                f"| {row.name} | {row.figure.replace('_', ' ')} |"
                f" {report['metrics'][row.figure]:.3f} | {bounds['low']:.3f} to"
                f" {bounds['high']:.3f} | {baseline:.3f} |"
                f" {'-' if error is None else format(error['error'], '.3f')} |"
            )
    lines += [
        "",
        "`python benchmarks/reproduce.py --data DATA --only builtins` makes the models and the"
        " figures again;",
        "`docs/results.md` has them beside those of models that learned one task alone.",
        "",
        "## Data and terms",
        "",
        *(f"- {row.name}: {set_} ({terms})." for row in rows for set_, terms in row.sets),
        "- Pre-training: English Wikipedia (CC BY-SA) and novels of 1840-1920 (public domain).",
        "- No text of these sets is in the package. The weights are Apache-2.0 as far as they are"
        " ours to license;",
        "  where a set was given out for research, check whether your use is covered.",
        "",
        "## Limits",
        "",
        "- English, lower case; short texts of the kinds above. Longer ones are read in windows.",
        "- Not audited for bias. Do not use it to decide about people.",
        "",
    ]
    return "\n".join(lines)


def _figures(row: Builtin) -> dict[str, Any]:
    """Return the figures that were kept of a row."""
    found: dict[str, Any] = read_json(TABLE.kept(row))["figures"]
    return found


def _main(reports: Sequence[Mapping[str, Any]], figure: str) -> float:
    """Return the mean of the figure over the parts."""
    return sum(float(report["metrics"][figure]) for report in reports) / len(reports)


def _beats(reports: Sequence[Mapping[str, Any]], baselines: Sequence[float], figure: str) -> bool:
    """Whether a model is better than its baseline on every part."""
    pairs = zip(reports, baselines, strict=True)
    return all(report["metrics"][figure] > baseline for report, baseline in pairs)


if __name__ == "__main__":
    main()
