"""The verb info: what a variant or a model folder is, and what it costs beside a BERT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albatross.checkpoints.base_file import find_base, has_base
from albatross.checkpoints.delta import vocabulary_folder
from albatross.checkpoints.huggingface import published_gelu
from albatross.config import VARIANTS, AlbertConfig, published_names, unshared, variant
from albatross.conversion.source import Source, open_source
from albatross.costs import ModelCost, model_cost
from albatross.errors import FolderError, MissingDependencyError, TokenizerError
from albatross.report import file_digest
from albatross.settings.answering import InfoSettings
from albatross.tokenizer.folder import open_tokenizer

_GELU = (
    "gelu, but the published weights were trained with gelu_new: see"
    " `albatross convert --hidden-act gelu_new`"
)


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
    source = open_source(settings.model)
    return _costs(settings.model, source.config, settings, _source_facts(source))


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
        f"parameters: {part.replace('_', ' ')}": _row(
            costs, lambda c, p=part: c.parameters.get(p, 0)
        )
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


def _source_facts(source: Source) -> dict[str, Any]:
    """Return what a checkpoint's files hold."""
    config = source.config
    dtypes = sorted({str(array.dtype) for array in source.arrays.values()})
    files = source.weight_files()
    graphs = sorted(path.name for path in source.files.glob("*.onnx"))
    return {
        "kind": source.kind,
        "place": str(source.path),
        "variant": " or ".join(published_names(config)) or "none that is published",
        "class": ", ".join(config.extra.get("architectures") or ()) or "not named",
        "heads": ", ".join(source.heads) or "none",
        "tensors": f"{len(source.arrays)} in {', '.join(dtypes)}",
        "optimizer slots": len(source.skipped),
        "unknown tensors": ", ".join(source.left) or "none",
        **({"base": str(find_base(source.files).resolve())} if has_base(source.files) else {}),
        "vocabulary": _vocabulary(source.files),
        "weights on disk": _size(sum(path.stat().st_size for path in files)),
        "checksums": source.verified,
        **{f"sha256 {path.name}": file_digest(path)["sha256"] for path in files},
        "graphs": ", ".join(graphs) or "none",
        **({"hidden_act": _GELU} if published_gelu(config) else {}),
    }


def _vocabulary(folder: Path) -> str:
    """Say which vocabulary lies in a folder."""
    try:
        return repr(open_tokenizer(vocabulary_folder(folder)))
    except (FolderError, TokenizerError, MissingDependencyError) as error:
        return f"none that opens: {error}"


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
