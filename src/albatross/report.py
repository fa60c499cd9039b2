"""What a run leaves to be read: `run.json` for programs, the model card for people."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What Hugging Face calls a kind of task.
_PIPELINES = {
    "choice": "multiple-choice",
    "coherence": "text-classification",
    "fill-mask": "fill-mask",
    "generation": "text-generation",
    "similarity": "sentence-similarity",
    "spans": "question-answering",
    "tagging": "token-classification",
}
_SHARING = {
    "all": "that are one set of weights",
    "attention": "that share their attention",
    "ffn": "that share their feed-forward parts",
    "none": "with weights of their own",
}
_PACKAGES = ("albatross", "torch", "numpy", "sentencepiece", "safetensors", "onnxruntime")


def run_record(
    verb: str,
    settings: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    metrics: Mapping[str, float],
    progress: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the contents of `run.json`: enough to make the folder again."""
    return {
        "verb": verb,
        "settings": dict(settings),
        "data": dict(data),
        "metrics": dict(metrics),
        "progress": dict(progress),
        "versions": {name: _version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        "machine": {"processor": platform.machine(), "system": platform.system()},
    }


def model_card(
    run: Mapping[str, Any], config: Mapping[str, Any], tasks: Mapping[str, str] | None = None
) -> str:
    """Return a model card in Markdown: what was trained, with which figures and limits.

    Args:
        run: the contents of `run.json`.
        config: those of `config.json`.
        tasks: the kind of each task by its name; a model without tasks fills gaps.
    """
    progress, kinds = run["progress"], tasks or {"": "fill-mask"}
    pipelines = {_PIPELINES.get(kind, "text-classification") for kind in kinds.values()}
    lines = [
        "---",
        "library_name: albatross",
        *(f"pipeline_tag: {pipeline}" for pipeline in pipelines if len(pipelines) == 1),
        "---",
        "",
        f"# {', '.join(tasks or ()) or run['settings'].get('variant') or 'model'}",
        "",
        f"An ALBERT made by `albatross {run['verb']}`:"
        f" hidden size {config['hidden_size']}, {config['num_hidden_layers']} layers"
        f" {_sharing(config)}, embedding size {config['embedding_size']},"
        f" {config['vocab_size']:,} pieces.",
        "",
        "## Training",
        "",
        f"{progress['step']:,} steps over {progress['tokens']:,} tokens in"
        f" {progress['seconds'] / 60:.1f} minutes on {run['machine']['processor']}."
        " Settings, data and versions: see `run.json`.",
        *_restarts(run.get("restarts", [])),
        "",
        "## Figures",
        "",
        *_table(run["metrics"]),
        *_seeds(run.get("seeds")),
        "",
        "## Limits",
        "",
        "The model knows what its training text held, with that text's language, time and bias."
        " Check it on your own data before you rely on it.",
        "",
    ]
    return "\n".join(lines)


def file_digest(path: Path) -> dict[str, str]:
    """Return a file's name and SHA-256, as `run.json` names data."""
    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def data_digest(path: Path) -> dict[str, str]:
    """Return a file's name and SHA-256; a folder's is that of its files' names and digests."""
    if not path.is_dir():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            line = f"{file.relative_to(path).as_posix()} {file_digest(file)['sha256']}\n"
            digest.update(line.encode())
    return {"file": path.name, "sha256": digest.hexdigest()}


def _sharing(config: Mapping[str, Any]) -> str:
    """Say what the layers share."""
    sharing, groups = config["cross_layer_sharing"], config["num_hidden_groups"]
    if sharing == "all" and groups > 1:
        return f"in {groups} groups, each one set of weights"
    return _SHARING[sharing]


def _table(metrics: Mapping[str, float]) -> list[str]:
    """Return the figures as a Markdown table."""
    if not metrics:
        return ["Not measured."]
    shown = {k: f"{v:,}" if isinstance(v, int) else f"{v:.4f}" for k, v in metrics.items()}
    rows = [f"| {name.replace('_', ' ')} | {figure} |" for name, figure in shown.items()]
    return ["| figure | value |", "| --- | --- |", *rows]


def _restarts(restarts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say at which rates the run collapsed before."""
    if not restarts:
        return []
    rates = ", ".join(f"{restart['learning_rate']:.2g}" for restart in restarts)
    return [f"It collapsed at a learning rate of {rates} and began anew at half of that."]


def _seeds(seeds: Mapping[str, Any] | None) -> list[str]:
    """Say how the figure differs between runs that differ in their seed alone."""
    if not seeds:
        return []
    name = str(seeds["metric"]).replace("_", " ")
    return [
        "",
        f"This is the median run: {name} was {seeds['mean']:.4f} +- {seeds['deviation']:.4f} over"
        f" {len(seeds['by_seed'])} seeds, from {seeds['min']:.4f} to {seeds['max']:.4f}.",
    ]


@cache
def _version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
