"""Make every table of docs/results.md again, from commands and seeds.

Needs data: the benchmarks' files below `--data`, laid out as their publishers do, and
`pip install 'albatross[bench]'` for the baselines.

    python benchmarks/reproduce.py --data DATA

Each row runs the commands that it shows, as anybody would run them. A finished row is kept in
`benchmarks/rows` with its definition, the machine and the day it was finished, so that a stopped
run goes on, on another machine too. What the commands make is kept in `--work` with the command,
and made again by another one. To measure a row again, remove its file, and what it made in `--work`
as well unless that shall count. A row that is not there is counted as missing; one that was
measured by other commands, or with another encoder inside the package, is measured again, and
marked until then.

`--only` names tables or rows, `--render` writes the page from the rows there are, `--streams 2`
measures two rows at a time, each on one thread, but where speed is measured. `--limit 60` tries all
of it in minutes; its rows and its page stay in `--work`.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tables import against_bert, builtins, little_text, recipe, tasks
from tables.table import Place, Row, Table

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
TABLES = (
    *(tasks.TABLE, builtins.TABLE, recipe.SCREENS_TABLE, recipe.CANDIDATES_TABLE),
    *(against_bert.RIVALS_TABLE, against_bert.ABLATIONS_TABLE, little_text.TABLE),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/results"))
    parser.add_argument("--only", nargs="+", default=[], help="keys of tables, names of rows")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no row after so many")
    parser.add_argument("--streams", type=int, default=1, help="rows at a time, a thread each")
    parser.add_argument("--limit", type=int, help="records and steps of each row, to try it")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    place = Place(arguments.data, arguments.work, limit=arguments.limit)
    if arguments.limit is not None:
        work = arguments.work / str(arguments.limit)
        place = replace(place, work=work, rows=work / "rows")
    if arguments.streams > 1:
        place = replace(place, threads=1)
    if not arguments.render:
        if not find_spec("pycrfsuite"):  # asked for after the hours that a row may learn
            raise SystemExit("Baselines need `pip install 'albatross[bench]'`.")
        measure(place, arguments.only, arguments.streams, arguments.minutes)
    page = PAGE if arguments.limit is None else place.work / PAGE.name
    page.write_text(_page(place.rows, page.parent), encoding="utf-8")
    print(f"Wrote {page}.")


def measure(place: Place, only: list[str], streams: int, minutes: float) -> None:
    """Measure the rows that are asked for and not there, in their order."""
    known = {name for table in TABLES for name in (table.key, *(row.name for row in table.rows))}
    if unknown := set(only) - known:
        raise SystemExit(f"No such table or row: {', '.join(sorted(unknown))}.")
    start = time.monotonic()

    def one(table: Table, row: Row) -> None:
        if time.monotonic() - start < minutes * 60:
            print(row.name, table.measure(row, place), flush=True)

    asked = [
        (table, row)
        for table in TABLES
        for row in table.rows
        if not only or {table.key, row.name} & {*only}
        if not table.is_measured(row, place.rows)
    ]
    for at_once, is_timed in ((streams, False), (1, True)):
        with ThreadPoolExecutor(at_once) as pool:
            running = [pool.submit(one, *pair) for pair in asked if pair[0].is_timed == is_timed]
            try:
                for done in as_completed(running):
                    done.result()
            except BaseException:  # a command that failed, or Ctrl-C: the others are not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _page(rows: Path, folder: Path) -> str:
    return "\n".join(
        [
            "# Results",
            "",
            "`python benchmarks/reproduce.py --data DATA` makes this page; its last column and the"
            " line below each table say",
            "on what and when a row was run. A row below its baseline is shown as one.",
            "",
            *(line for table in TABLES for line in table.section(rows, folder)),
        ]
    )


if __name__ == "__main__":
    main()
