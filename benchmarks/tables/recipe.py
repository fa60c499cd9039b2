"""The search for the recipe of `albatross-mini`: equal processor time, one thing changed at a time.

Lengths in tokens are what each configuration does in eleven minutes on one quiet thread, or, where
shapes are compared, in twenty-three; its speed is what `albatross pretrain --dry-run` says.
"""

from __future__ import annotations

from tables.pretraining import Trial, columns
from tables.table import Table

_SHOWS = ("size", "tokens", "loss", "accuracy", "order")
_TINY = "--variant albatross-tiny --tokens"
_MUON = "--optimizer muon --learning-rate 2e-3"
_192 = "hidden_size=192 intermediate_size=768 num_attention_heads=3 initializer_range=0.04"


def _trial(name: str, options: str) -> Trial:
    return Trial(name, options, 1, (), _SHOWS)


ROWS = (
    _trial("adamw, rate 1e-3", f"{_TINY} 12000000"),
    _trial("adamw, rate 2e-3", f"{_TINY} 12000000 --learning-rate 2e-3"),
    _trial("muon, rate 1e-3", f"{_TINY} 11500000 --optimizer muon"),
    _trial("muon, rate 2e-3", f"{_TINY} 11500000 {_MUON}"),
    _trial("masking 30 percent", f"{_TINY} 10000000 {_MUON} --masking-rate 0.3"),
    _trial("no sentence order", f"{_TINY} 11500000 {_MUON} --objective none"),
    _trial("muon, rate 4e-3", f"{_TINY} 11500000 --optimizer muon --learning-rate 4e-3"),
    _trial("length 32 first", f"{_TINY} 11900000 {_MUON} --length-stages 32:0.8"),
    _trial("adamw, 128 x 4, longer", f"{_TINY} 25000000"),
    _trial("adamw, 256 x 6", "--variant albatross-mini --tokens 6300000 --learning-rate 7e-4"),
    _trial("muon, 128 x 4, longer", f"{_TINY} 23000000 {_MUON}"),
    _trial(
        "muon, 192 x 4",
        f"--variant albatross-mini --tokens 14000000 {_MUON} --shape num_hidden_layers=4 {_192}",
    ),
    _trial(
        "muon, 256 x 4",
        f"--variant albatross-mini --tokens 9300000 {_MUON} --shape num_hidden_layers=4",
    ),
)
TABLE = Table(
    "recipe",
    "The search for a recipe",
    """
Runs of `albatross pretrain WORK/shards OUT` with the options of `COMMON` in
`benchmarks/tables/pretraining.py` and those below, one thread each, of equal processor time: eleven
minutes, and for the shapes at the end twenty-three. Held-out figures have the paper's masking,
whatever a run learns with.
""",
    columns(_SHOWS),
    ROWS,
)
