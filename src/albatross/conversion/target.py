"""Writing a model in one of three forms: ours, transformers' and Google's.

Each writer gets a folder being built. What a form cannot hold is named, never left out in silence.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from albatross.atomic import write_file, write_json
from albatross.checkpoints.bert import bert_config, is_bert, to_bert
from albatross.checkpoints.google import (
    CONFIG_FILE,
    PROJECTION,
    google_config,
    name_pairs,
    to_google,
)
from albatross.checkpoints.huggingface import Arrays
from albatross.checkpoints.model_folder import (
    CARD,
    CONFIG,
    RUN,
    read_run,
    write_model,
    write_weights,
)
from albatross.checkpoints.tensorflow_writer import write_checkpoint
from albatross.config import AlbertConfig
from albatross.conversion.adapter import merge_adapter
from albatross.conversion.structure import Structured, plain
from albatross.errors import AlbatrossWarning, MissingDependencyError, WeightsError
from albatross.tasks.task_file import TASK_FILE
from albatross.tokenizer.config_file import CONFIG_FILE as TOKENIZER_CONFIG
from albatross.tokenizer.config_file import config_bytes, read_config, write_tokenizer_files
from albatross.tokenizer.folder import AnyTokenizer
from albatross.tokenizer.json_export import write_tokenizer_json

Target = Literal["albatross", "huggingface", "google"]
CHECKPOINT = "model.ckpt-best"
_IDENTITY_NOTE = "E = H without a projection: an identity was put there"


@dataclass(frozen=True)
class Form:
    """A model in the shape that a target holds.

    Attributes:
        config: its configuration
        arrays: its tensors under our names
        names: the target's name of each of them
        changes: what was done to get there, in sentences
        lost: tensors that the target has no place for
    """

    config: AlbertConfig
    arrays: Arrays
    names: Mapping[str, str]
    changes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def formed(config: AlbertConfig, arrays: Arrays, target: Target) -> Form:
    """Return a model as a target holds it; the function stays the same.

    Raises:
        ConfigError: the target's code would compute another function.
    """
    if target == "albatross":
        return Form(config, arrays, {name: name for name in arrays})
    merged = merge_adapter(config, arrays)
    whole = plain(merged.config, merged.arrays)
    changes: tuple[str, ...] = ()
    if whole.config != merged.config:
        changes = (f"a group for each of {config.num_hidden_layers} layers, as others know them",)
    if target == "google":
        return _google_form(whole, changes)
    if is_bert(whole.config):
        renamed = to_bert(whole.arrays, whole.config)
        names = dict(zip(whole.arrays, renamed, strict=True))
        return Form(whole.config, whole.arrays, names, (*changes, "written as transformers' BERT"))
    if not whole.config.embedding_projection:
        whole = _with_identity(whole)
        changes = (*changes, _IDENTITY_NOTE)
    if whole.config.cross_layer_sharing == "none":
        whole = replace(whole, config=replace(whole.config, cross_layer_sharing="all"))
    return Form(whole.config, whole.arrays, {name: name for name in whole.arrays}, changes)


def write_form(
    folder: Path, form: Form, target: Target, tokenizer: AnyTokenizer | None, run: dict[str, Any]
) -> None:
    """Write a model into a folder being built, with its vocabulary.

    Raises:
        WeightsError: the model and the form's names do not go together.
    """
    if target == "google":
        _write_google(folder, form, run)
    elif target == "huggingface" and is_bert(form.config):
        write_json(folder / CONFIG, bert_config(form.config))
        digest = write_weights(folder, {form.names[n]: a for n, a in form.arrays.items()})
        write_json(folder / RUN, {**run, "sha256": {"model.safetensors": digest}})
    else:
        write_model(folder, form.config, form.arrays, run)
    if tokenizer is not None:
        tokenizer.save(folder)
        if target == "huggingface":
            _write_for_transformers(folder, tokenizer, form.config)


def copy_companions(files: Path, folder: Path) -> None:
    """Copy the tasks and the card of a folder of ours."""
    for name in (TASK_FILE, CARD):
        if (files / name).is_file() and read_run(files):
            shutil.copyfile(files / name, folder / name)


def _google_form(whole: Structured, changes: tuple[str, ...]) -> Form:
    """Return a model as Google's code holds it, with what it cannot hold named."""
    config, arrays = whole.config, dict(whole.arrays)
    if config.embedding_projection and config.embedding_size == config.hidden_size:
        weight, bias = arrays.pop(f"{PROJECTION}.weight"), arrays.pop(f"{PROJECTION}.bias")
        if np.any(bias) or not np.array_equal(weight, np.eye(config.hidden_size)):
            raise WeightsError(
                "Google's code makes no projection where E equals H. Received one that was trained."
                " It would be lost: convert to huggingface instead."
            )
        config = replace(config, embedding_projection=False)
    google_config(config)
    names = {pair.ours: pair.google for pair in name_pairs(config) if pair.ours in arrays}
    if "AlbertForTokenClassification" in (config.extra.get("architectures") or ()):
        names = {n: google for n, google in names.items() if not n.startswith("classifier.")}
    lost = tuple(sorted(set(arrays) - set(names)))
    return Form(config, {n: arrays[n] for n in names}, names, changes, lost)


def _with_identity(whole: Structured) -> Structured:
    """Return the same function with an identity as the projection that transformers expects."""
    hidden = whole.config.hidden_size
    added: Arrays = {
        f"{PROJECTION}.weight": np.eye(hidden, dtype=np.float32),
        f"{PROJECTION}.bias": np.zeros(hidden, np.float32),
    }
    config = replace(whole.config, embedding_projection=True)
    return Structured(config, {**whole.arrays, **added}, whole.preserving)


def _write_google(folder: Path, form: Form, run: dict[str, Any]) -> None:
    """Write configuration and checkpoint as Google's scripts expect them."""
    write_json(folder / CONFIG_FILE, google_config(form.config))
    arrays = {
        name: np.asarray(array, np.float32)
        for name, array in to_google(form.arrays, form.config).items()
    }
    write_checkpoint(folder / CHECKPOINT, arrays)
    paths = "".join(
        f'{key}: "{CHECKPOINT}"\n'
        for key in ("model_checkpoint_path", "all_model_checkpoint_paths")
    )
    write_file(folder / "checkpoint", paths.encode())
    write_json(folder / RUN, run)


def _write_for_transformers(folder: Path, tokenizer: AnyTokenizer, config: AlbertConfig) -> None:
    """Write `tokenizer.json`, where the library for it is installed, and how long a text may be.

    Without the length transformers' `truncation=True` cuts nothing, and the model fails.
    """
    try:
        write_tokenizer_json(tokenizer, folder)
    except MissingDependencyError as error:
        warnings.warn(
            "A folder for transformers should hold a `tokenizer.json`, or its tokenizer gives other"
            f" ids than the model was trained with. Received: none. {error}",
            AlbatrossWarning,
            stacklevel=2,
        )
    values = read_config(folder / TOKENIZER_CONFIG)
    values["model_max_length"] = config.max_position_embeddings
    write_tokenizer_files(folder, {TOKENIZER_CONFIG: config_bytes(values)})
