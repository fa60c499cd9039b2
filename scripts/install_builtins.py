"""Put the models that `benchmarks/reproduce.py` made into the package, with a card each.

    python benchmarks/reproduce.py --data DATA --only builtins
    python scripts/install_builtins.py runs/results

A task has layers of its own over the embeddings of `pretrained` if these beat the plain baseline on
every part it was scored on, else weights of its own, if those do; else it is not shipped. The cards
are written from the rows' figures.
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
from tables.builtins import BUILTINS, FORMS, TABLE, Builtin, shipped  # noqa: E402 (no package)

from albatross.atomic import read_json  # noqa: E402
from albatross.checkpoints.base_file import is_delta, move_base  # noqa: E402

PACKAGE = ROOT / "src" / "albatross" / "builtin"
# What the models may take in a wheel, which packs its files.
_ROOM = 12_000_000
# Of a folder, beside weights and graphs.
_COPIED = ("*.safetensors", "*.onnx", "*.json", "spiece.model")
_MADE = {
    "layers": "Layers of its own over the embeddings and the vocabulary of `pretrained`",
    "whole": "`pretrained`, fine-tuned with all its weights",
}
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
    for row in BUILTINS:
        if not TABLE.kept(row).is_file():
            print(f"{row.name:<16} left as it is: not measured")
            continue
        found = read_json(TABLE.kept(row))["figures"]
        shutil.rmtree(PACKAGE / row.name, ignore_errors=True)
        form = shipped(found, row.figure)
        told = ", ".join(f"{each} {_told(found[each], row.figure)}" for each in FORMS)
        plain = " / ".join(f"{value:.4f}" for value in found["baselines"])
        print(f"{row.name:<16} {form or 'not shipped'}: {told}, baseline {plain}")
        if form is not None:
            source = work / "builtins" / f"{row.name}{FORMS[form]}"
            _install(source, PACKAGE / row.name, row, found, form)
    packed = _packed(PACKAGE)
    print(f"The models take {packed / 1e6:.2f} MB in a wheel.")
    if packed > _ROOM:
        raise SystemExit(f"They must take at most {_ROOM / 1e6:.0f} MB. Leave one out.")


def _told(reports: Sequence[Mapping[str, Any]], figure: str) -> str:
    """Return the figure on every part."""
    return " / ".join(f"{report['metrics'][figure]:.4f}" for report in reports)


def _packed(folder: Path) -> int:
    """Return what the files of a folder take in a wheel."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sum(len(zlib.compress(path.read_bytes())) for path in files)


def _install(source: Path, out: Path, row: Builtin, found: Mapping[str, Any], form: str) -> None:
    """Copy a folder, let it find its base if it has one, and write its card."""
    out.mkdir(parents=True)
    for pattern in _COPIED:
        for path in source.glob(pattern):
            shutil.copyfile(path, out / path.name)
    if is_delta(out):
        move_base(out, source, out)
    strip_places(out)
    (out / "README.md").write_text(_card(row, found, form), encoding="utf-8")


def _card(row: Builtin, found: Mapping[str, Any], form: str) -> str:
    """Return the card of a folder."""
    lines = [
        *("---", "library_name: albatross", "language: en", "license: apache-2.0", "---", ""),
        f"# {row.name}",
        "",
        _ABOUT[row.name],
        "",
        f'Opened by its name: `albatross.load("{row.name}")`, `albatross predict {row.name} TEXT`.',
        "",
        "## Model",
        "",
        f"{_MADE[form]}; in 8 bits, for ONNX Runtime, without torch.",
        "",
        "## Figures",
        "",
        "On records that were not learned from, as it is shipped; the baseline knows no language.",
        "",
        "| figure | value | 95 % | baseline | calibration error |",
        "|---|---|---|---|---|",
    ]
    for report, baseline in zip(found[form], found["baselines"], strict=True):
        bounds, error = report["intervals"][row.figure], report["calibration"]
        lines.append(
            f"| {row.figure.replace('_', ' ')} | {report['metrics'][row.figure]:.3f} |"
            f" {bounds['low']:.3f} to {bounds['high']:.3f} | {baseline:.3f} |"
            f" {'-' if error is None else format(error['error'], '.3f')} |"
        )
    lines += [
        "",
        "`python benchmarks/reproduce.py --data DATA --only builtins` makes the models and the"
        " figures again;",
        "`docs/results.md` has them beside those of models whose embeddings learn, too.",
        "",
        "## Data and terms",
        "",
        *(f"- {set_} ({terms})." for set_, terms in row.sets),
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


if __name__ == "__main__":
    main()
