"""Put the models that `benchmarks/reproduce.py` made into the package, with a card each.

    python benchmarks/reproduce.py --data DATA --only builtins
    python scripts/install_builtins.py runs/results

A task ships in a way that beats its plain baseline on every part it was scored on: layers over the
embeddings of `pretrained`, or, where these lose more than a point, weights of its own; or not at
all. The cards are written from the rows' figures. `--only` leaves the other models as they are.
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
from tables.builtins import BUILTINS, TABLE, WAYS, Builtin, Folded, shipped  # noqa: E402 (no package)
from tables.table import is_finished  # noqa: E402

from albatross.atomic import read_json, write_json  # noqa: E402
from albatross.checkpoints.base_file import BASE, has_base  # noqa: E402

PACKAGE = ROOT / "src" / "albatross" / "builtin"
# What the models may take in a wheel, which packs its files.
_ROOM = 12_000_000
# Of a folder, beside weights and graphs.
_COPIED = ("*.safetensors", "*.onnx", "*.json", "spiece.model")
_MADE = {
    "layers": "Layers of its own over the embeddings and the vocabulary of `pretrained`",
    "whole": "`pretrained`, all of whose weights learned the task. The folder has what changed; the"
    " vocabulary, and the rows of words that did not, are read from `pretrained`",
}
_OTHER = {"layers": "all of whose weights", "whole": "whose layers alone"}
# What is known of a task beyond its figures.
_LIMITS = {
    "spam": "The figures are those of five models made by the command of this one, each scored on a"
    " fifth of the messages that it had not learned from; this one learned from all five. The"
    " messages are from before 2012: what later spam says in other words may pass as `ham`.",
    "embed": "The baseline is the mean of word vectors. The cosine of TF-IDF is nearer: .72 to .75"
    " by words, .776 by runs of letters. To search documents, words counted in these are better:"
    " nDCG at 10 on Cranfield .352, `embed` .240 (`docs/log.md`, 64).",
}
_CASE = {"entities": "; capitals tell names"}
_ENDINGS = {"layers": "-layers", "whole": ""}
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
    parser.add_argument("--only", nargs="+", choices=[row.name for row in BUILTINS])
    arguments = parser.parse_args()
    work, only = arguments.work, arguments.only or [row.name for row in BUILTINS]
    if missing := [row.name for row in BUILTINS if not TABLE.is_measured(row)]:
        raise SystemExit(f"All tasks must be measured first. Not so: {', '.join(missing)}.")
    figures = {row: read_json(TABLE.kept(row))["figures"] for row in BUILTINS}
    ways = {row: shipped(found, row.figure) for row, found in figures.items()}
    sources: dict[Builtin | Folded, Path] = {}
    for row, found in figures.items():
        way = ways[row]
        told = ", ".join(f"{w} {_told(found[w], row.figure)}" for w in WAYS if w in found)
        plain = " / ".join(f"{value:.4f}" for value in found["baselines"])
        print(f"{row.name:<16} {way or 'not shipped'}: {told}, baseline {plain}")
        if way is not None and row.name in only:
            sources[row] = work / "builtins" / f"{row.name}{_ENDINGS[way]}"
    if unmade := [str(each) for each in sources.values() if not is_finished(each)]:
        raise SystemExit(f"Nothing was changed: there is no finished {', '.join(unmade)}.")
    for row in BUILTINS:
        if row.name in only:
            shutil.rmtree(PACKAGE / row.name, ignore_errors=True)
    for row, source in sources.items():
        _install(source, row, figures[row])
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


def _install(source: Path, row: Builtin | Folded, found: Mapping[str, Any]) -> None:
    """Copy a task's folder, let it find its base, and write its card."""
    out = PACKAGE / row.name
    out.mkdir(parents=True)
    for pattern in _COPIED:
        for path in source.glob(pattern):
            shutil.copyfile(path, out / path.name)
    if has_base(out):
        base = read_json(out / BASE)
        write_json(out / BASE, {**base, "path": f"../{base['name']}"})
    strip_places(out)
    (out / "README.md").write_text(_card(row, found), encoding="utf-8")


def _card(row: Builtin | Folded, found: Mapping[str, Any]) -> str:
    """Return the card of a task's folder."""
    way = shipped(found, row.figure) or ""
    made, beside = "as it is shipped", f"models {_OTHER[way]} learn"
    if isinstance(row, Folded):
        made, beside = "by models made as this one", "other tasks"
    lines = [
        *("---", "library_name: albatross", "language: en", "license: apache-2.0", "---", ""),
        f"# {row.name}",
        "",
        _ABOUT[row.name],
        "",
        "Opened by that name: `albatross.load(NAME)`, `albatross predict NAME TEXT`.",
        "",
        "## Model",
        "",
        f"{_MADE[way]}; in 8 bits, for ONNX Runtime, without torch.",
        "",
        "## Figures",
        "",
        f"On records that were not learned from, {made}; the baseline knows no language.",
        "",
        "| task | scored on | figure | value | 95 % | baseline | calibration error |",
        "|---|---|---|---|---|---|---|",
    ]
    parts = zip(row.scored_on, found[way], found["baselines"], strict=True)
    for part, report, baseline in parts:
        bounds, error = report["intervals"][row.figure], report["calibration"]
        lines.append(
            f"| {row.name} | {part} | {row.figure.replace('_', ' ')} |"
            f" {report['metrics'][row.figure]:.3f} | {bounds['low']:.3f} to"
            f" {bounds['high']:.3f} | {baseline:.3f} |"
            f" {'-' if error is None else format(error['error'], '.3f')} |"
        )
    lines += [
        "",
        "`python benchmarks/reproduce.py --data DATA --only builtins` makes the models and the"
        " figures again;",
        f"`docs/results.md` has them beside those of {beside}.",
        "",
        "## Data and terms",
        "",
        *(f"- {row.name}: {set_} ({terms})." for set_, terms in row.sets),
        "- Pre-training: English Wikipedia (CC BY-SA) and novels of 1840-1920 (public domain).",
        "- No text of these sets is in the package. The weights are Apache-2.0 as far as they are"
        " ours to license;",
        "  where a set was given out for research, check whether your use is covered.",
        "",
        "## Limits",
        "",
        f"- English{_CASE.get(row.name, ', lower case')}; short texts of the kinds above."
        " Longer ones are read in windows.",
        *([f"- {_LIMITS[row.name]}"] if row.name in _LIMITS else []),
        "- Not audited for bias. Do not use it to decide about people.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
