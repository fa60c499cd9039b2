"""The one artefact of the house: a model folder, read with care and written whole or not at all.

`config.json`, `model.safetensors`, `spiece.model`, `task.json`, `run.json`, `README.md`, and while
training `training_state/`. A new folder is built beside its place and moved there when it is
complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from albatross.atomic import read_json, write_json
from albatross.checkpoints.base_file import check_base, find_base, has_base, is_delta
from albatross.checkpoints.eight_bits import check_floats, stand_ins
from albatross.checkpoints.huggingface import Arrays, canonical, published_gelu
from albatross.checkpoints.safetensors_file import map_arrays, write_arrays
from albatross.checkpoints.word_rows import PARTS, holds_rows, joined_table
from albatross.config import AlbertConfig
from albatross.errors import AlbatrossWarning, FolderError, MissingDependencyError

CONFIG, WEIGHTS, TASKS, RUN, CARD = (
    "config.json",
    "model.safetensors",
    "task.json",
    "run.json",
    "README.md",
)
TRAINING_STATE = "training_state"
# Where weights may stand, the best first: in one file or in shards that an index names.
_PICKLE = "pytorch_model.bin"
_INDEX = ".index.json"
_PLACES = (WEIGHTS, f"{WEIGHTS}{_INDEX}", _PICKLE, f"{_PICKLE}{_INDEX}")
_SHARD = re.compile(r"\w[\w.-]*\.(safetensors|bin)")


def read_config(folder: Path) -> AlbertConfig:
    """Read a model folder's `config.json`.

    Raises:
        FolderError: no model folder, or its file cannot be read.
        ConfigError: the values break a rule.
    """
    if not folder.is_dir():
        raise FolderError(
            f"A model must be a folder or a built-in name. Received: {str(folder)!r}, which is"
            f" {'a file' if folder.exists() else 'not there'}. Run `albatross pretrain` or"
            " `albatross finetune` to make one."
        )
    return AlbertConfig.from_dict(read_json(folder / CONFIG))


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights: the first kind that is there.

    `model.safetensors`, its shards, `pytorch_model.bin`, or that one's shards.

    Raises:
        FolderError: there are none, or the index of the shards is damaged or leads elsewhere.
    """
    place = _place(folder)
    if not place.name.endswith(_INDEX):
        return [place]
    return [folder / name for name in sorted(set(_shards(place).values()))]


def read_weights(folder: Path, base: str | Path | None = None) -> Arrays:
    """Read a folder's weights under present names, in the dtype of the file.

    A delta folder's come over those of its base's encoder.

    Safetensors are mapped, not read: a page comes from the disk when it is first touched. The
    arrays may be written to, and the files stay as they are; bfloat16 comes as float32. A pickle is
    read only where there are no safetensors, and nothing in it is run.

    Args:
        folder: the model's.
        base: where the base of a delta folder is, when it is not where the folder says.

    Raises:
        WeightsError: tied tensors differ.
        FolderError: a file is missing, damaged, or not the one that `run.json` describes; a delta
            folder's base is not there, or another model; or the weights are in 8 bits.
        MissingDependencyError: the folder has a pickle alone, and torch is not installed.
    """
    arrays = read_stored_weights(folder, base)
    check_floats(arrays, folder)
    return arrays


def read_stored_weights(folder: Path, base: str | Path | None = None) -> Arrays:
    """Read a folder's weights as `read_weights`, but those in 8 bits too, as they are stored.

    Raises:
        WeightsError, FolderError, MissingDependencyError: as `read_weights`.
    """
    own = read_own_weights(folder)
    if is_delta(folder):
        below = find_base(folder, base)
        check_base(folder, below, [path.name for path in weight_files(below)])
        kept = {n: a for n, a in _read(below).items() if n.startswith("albert.")}
        if holds_rows(own):
            own = {n: a for n, a in own.items() if n not in PARTS} | joined_table(own, kept)
        replaced = {*own, *stand_ins({name: array.shape for name, array in own.items()})}
        return {n: a for n, a in kept.items() if n not in replaced} | own
    if base is not None and not has_base(folder):
        raise FolderError(
            "A base is what a folder leaves weights or vocabulary in. Received: base="
            f"{str(base)!r} for {str(folder)!r}, which has all its own. Leave it out."
        )
    return own


def read_own_weights(folder: Path) -> Arrays:
    """Read the tensors that lie in a folder itself, for a delta folder those it has over its base.

    Raises:
        WeightsError: tied tensors differ.
        FolderError: a file is missing, damaged, or not the one that `run.json` describes.
    """
    check_digest(folder)
    return _read(folder)


def write_weights(folder: Path, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Write `model.safetensors` and return the SHA-256 of the file."""
    path = folder / WEIGHTS
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # The library leaves a file that its writer alone may read; a new file has what the umask says.
    path.unlink(missing_ok=True)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    write_arrays(path, contiguous)
    path.chmod(mode)
    return _digest(path)


def write_model(
    folder: Path,
    config: AlbertConfig,
    arrays: Mapping[str, NDArray[np.generic]],
    run: Mapping[str, Any],
) -> None:
    """Write configuration, weights and `run.json` with the checksum into a folder being built."""
    write_json(folder / CONFIG, _config_of(config, arrays))
    digest = write_weights(folder, arrays)
    write_json(folder / RUN, {**run, "sha256": {WEIGHTS: digest}})


def warn_of_activation(
    folder: Path, config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Say that a published checkpoint's configuration names another GELU than it was trained with.

    Not of a folder of ours, which says what it means, nor of what was fine-tuned with this form.
    """
    fine_tuned = any(name.startswith(("classifier.", "qa_outputs.")) for name in arrays)
    if published_gelu(config) and not fine_tuned and not (folder / RUN).is_file():
        warnings.warn(
            "A published English ALBERT should be run with the tanh form of GELU, with which"
            f" Google trained all of them. Received: {str(folder)!r} with hidden_act='gelu'. Pass"
            ' `config=replace(config, hidden_act="gelu_new")`, or run'
            " `albatross convert FOLDER OUT --hidden-act gelu_new`.",
            AlbatrossWarning,
            stacklevel=3,
        )


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `run.json` holds; nothing for a folder that others wrote.

    Raises:
        FolderError: the file is damaged.
    """
    return read_json(folder / RUN) if (folder / RUN).is_file() else {}


def check_digest(folder: Path) -> None:
    """Compare the weights with the checksums in `run.json`, where there are any.

    Every byte is read for it, piece by piece: some 30 ms for a base model, 0.6 s for xxlarge. That
    is the price of noticing a disk's or a copy's fault before it is answered with; folders of
    other programs have no checksums and are opened without.

    Raises:
        FolderError: a file is missing, or its bytes have changed.
    """
    digests = read_run(folder).get("sha256")
    if not isinstance(digests, dict):
        return
    names = {path.name for path in weight_files(folder)} | {WEIGHTS}
    for name in sorted(names & digests.keys()):
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise FolderError(
                f"A model folder must hold `{name}`. Received: {str(folder)!r} without it."
                " Copy the folder again."
            ) from error
        if found != digests[name]:
            raise FolderError(
                f"`{name}` must have the checksum that `{RUN}` names. Received in {str(folder)!r}:"
                " other bytes. Copy the folder again; if you changed the weights on purpose,"
                f" remove `sha256` from `{RUN}`."
            )


def update_model(
    folder: Path, config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]
) -> None:
    """Write configuration and weights into a folder that may hold other files, each in one step.

    Raises:
        FolderError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".", suffix=".writing", dir=folder))
        try:
            digest = write_weights(draft, arrays)
            # The arrays may be mapped from the old file, whose bytes live on without its name.
            # Windows keeps the name too, and refuses this until no model is open from the folder.
            os.replace(draft / WEIGHTS, folder / WEIGHTS)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        write_json(folder / CONFIG, _config_of(config, arrays))
        if (folder / RUN).is_file():
            write_json(folder / RUN, {**read_json(folder / RUN), "sha256": {WEIGHTS: digest}})
    except (OSError, SafetensorError) as error:
        raise FolderError(
            f"A model's folder must be writable. Received: {str(folder)!r}: {error}."
            " Name another place."
        ) from error


def _place(folder: Path) -> Path:
    """Return the file to begin with: the weights, or the index of their shards."""
    for name in _PLACES:
        if (folder / name).is_file():
            return folder / name
    raise FolderError(
        f"A model folder must hold `{WEIGHTS}` or `{_PICKLE}`. Received: {str(folder)!r} without a"
        " readable one. Write the folder again, or copy the file into it; a TensorFlow checkpoint"
        " becomes a folder by `albatross convert`."
    )


def _read(folder: Path) -> Arrays:
    """Return the tensors that lie in a folder under present names, unchecked."""
    place = _place(folder)
    if place.name.endswith(_INDEX):
        return canonical(_read_shards(place))
    return canonical(_read_file(place))


def _read_file(path: Path) -> Arrays:
    """Return the tensors of one file by the names in it."""
    if path.suffix == ".safetensors":
        return map_arrays(path)
    try:
        from albatross.checkpoints.pickle_file import read_bin
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("torch", "train") from error
    return read_bin(path)


def _read_shards(index: Path) -> Arrays:
    """Return the tensors of all shards, each in the shard that the index names."""
    places = _shards(index)
    arrays: Arrays = {}
    for file in sorted(set(places.values())):
        expected = {name for name, place in places.items() if place == file}
        found = _read_file(index.with_name(file))
        if found.keys() != expected:
            name = min(found.keys() ^ expected)
            raise FolderError(
                f"`{file}` must hold the tensors that `{index.name}` looks for there."
                f" Received in {str(index.parent)!r}: {name!r} in one of them alone."
                " Copy all files of one save."
            )
        arrays |= found
    return arrays


def _shards(index: Path) -> dict[str, str]:
    """Return the shard of every tensor; a shard must be a file beside the index."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise FolderError(
            f"`{index.name}` must hold a `weight_map` of tensors to files. Received in"
            f" {str(index.parent)!r}: {type(places).__name__}. Copy it again."
        )
    for name in places.values():
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise FolderError(
                f"`{index.name}` must name .safetensors or .bin files of its own folder."
                f" Received in {str(index.parent)!r}: {name!r}. Copy the folder from its source."
            )
    return places


def _config_of(config: AlbertConfig, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    """Return the configuration as written beside these weights.

    transformers computes in the dtype that the file names, so it must not be that of older weights.
    """
    values = config.to_dict()
    dtypes = {str(a.dtype) for a in arrays.values() if np.issubdtype(a.dtype, np.floating)}
    for key in {"dtype", "torch_dtype"} & set(values):
        values[key] = max(dtypes, default="float32")
    return values


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
