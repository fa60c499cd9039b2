"""The verb info: what a variant or a model folder is, and what it costs beside a BERT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albatross.checkpoints.model_folder import WEIGHTS, read_config, read_weights
from albatross.config import (
    VARIANTS,
    AlbertConfig,
    unshared,
    variant,
)
from albatross.costs import ModelCost, model_cost
from albatross.engine.open import find_model
from albatross.settings import InfoSettings


@dataclass(frozen=True)
class Info:
    """A title, columns of figures by row name, and what else is known of a folder."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": {name: list(values) for name, values in self.rows.items()},
            **self.facts,
        }

    def __str__(self) -> str:
        """Return a table."""
        cells = [("", *self.columns), *((name, *values) for name, values in self.rows.items())]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = [self.title, *(f"  {name}: {value}" for name, value in self.facts.items())]
        for row in cells:
            figures = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            lines.append(f"  {row[0].ljust(widths[0])}  {'  '.join(figures)}")
        return "\n".join(lines)


def info(settings: InfoSettings) -> Info:
    """Return the table of variants, or the figures of one variant or model folder.

    Raises:
        FolderError: neither a variant nor a model folder.
    """
    if settings.model is None:
        return _variants(settings)
    if settings.model in VARIANTS:
        return _costs(settings.model, variant(settings.model), settings, {})
    folder = find_model(settings.model)
    return _costs(str(settings.model), read_config(folder), settings, _folder_facts(folder))


def _variants(settings: InfoSettings) -> Info:
    """Return one row for each variant."""
    rows: dict[str, tuple[str, ...]] = {}
    for name in VARIANTS:
        config = variant(name)
        cost = _cost(config, settings)
        rows[name] = (
            f"{cost.encoder_parameters:,}",
            _size(cost.file_bytes("float32")),
            _size(cost.file_bytes("int8")),
            f"{config.hidden_size} x {config.depth}",
            f"{cost.flops_per_token / 1e6:,.0f}",
        )
    columns = ("parameters", "fp32", "int8", "hidden x depth", "MFLOPs/token")
    return Info("Variants", columns, rows, {})


def _costs(title: str, config: AlbertConfig, settings: InfoSettings, facts: dict[str, Any]) -> Info:
    """Return the figures of a configuration and of BERT of the same size."""
    costs = [_cost(config, settings), _cost(unshared(config), settings)]
    rows = {
        f"parameters: {part.replace('_', ' ')}": _row(costs, lambda c, p=part: c.parameters[p])
        for part in costs[0].parameters
    }
    rows["parameters with pooler, no heads"] = _row(costs, lambda c: c.encoder_parameters)
    for dtype, label in (("float32", "fp32"), ("float16", "fp16"), ("int8", "int8")):
        rows[f"file in {label}"] = tuple(_size(cost.file_bytes(dtype)) for cost in costs)
    batch = f"{settings.batch_size} x {settings.sequence_length}"
    rows[f"training memory, batch {batch}"] = tuple(_size(cost.training_bytes) for cost in costs)
    rows[f"MFLOPs per token at {settings.sequence_length}"] = tuple(
        f"{cost.flops_per_token / 1e6:,.1f}" for cost in costs
    )
    shape = (
        f"hidden {config.hidden_size}, depth {config.depth}, heads {config.num_attention_heads},"
        f" embedding {config.embedding_size}, vocabulary {config.vocab_size:,},"
        f" sharing {config.cross_layer_sharing}, groups {config.num_hidden_groups}"
    )
    return Info(title, ("this", "BERT of that size"), rows, {"shape": shape, **facts})


def _folder_facts(folder: Path) -> dict[str, Any]:
    """Return what the files of a folder hold."""
    arrays = read_weights(folder)
    heads = sorted({n.split(".")[0] for n in arrays if not n.startswith("albert.")})
    return {
        "folder": str(folder),
        "heads": ", ".join(heads) or "none",
        "tensors": f"{len(arrays)} in {', '.join(sorted({str(a.dtype) for a in arrays.values()}))}",
        "weights on disk": _size((folder / WEIGHTS).stat().st_size),
        "graphs": ", ".join(sorted(path.name for path in folder.glob("*.onnx"))) or "none",
    }


def _cost(config: AlbertConfig, settings: InfoSettings) -> ModelCost:
    """Count the costs with the settings' batch."""
    return model_cost(
        config,
        sequence_length=settings.sequence_length,
        batch_size=settings.batch_size,
        activation_checkpointing=settings.activation_checkpointing,
    )


def _row(costs: list[ModelCost], figure: Any) -> tuple[str, ...]:
    """Return one figure of each column."""
    return tuple(f"{figure(cost):,}" for cost in costs)


def _size(count: float) -> str:
    """Return bytes for people: megabytes below a thousand, else gigabytes."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"
