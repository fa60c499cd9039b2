"""Any checkpoint of the family, opened one way: configuration, tensors, and their origins.

Tensors are memory-mapped wherever the file allows it. What kind a path is, its files tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albatross.atomic import read_json
from albatross.checkpoints.bert import from_bert, read_bert_config
from albatross.checkpoints.eight_bits import holds_int8, stand_ins
from albatross.checkpoints.frozen_graph import read_frozen_graph
from albatross.checkpoints.google import (
    CONFIG_FILE,
    from_google,
    name_pairs,
    names_used,
    read_google_config,
    recognize,
)
from albatross.checkpoints.huggingface import (
    KNOWN_PREFIXES,
    Arrays,
    encoder_shapes,
    fit,
)
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import CONFIG, read_run, read_stored_weights, weight_files
from albatross.checkpoints.tensorflow import TensorFlowCheckpoint, find_checkpoint
from albatross.config import AlbertConfig
from albatross.errors import FolderError

# Heads by the first part of their tensors' names, and the class that carries them.
HEAD_CLASSES = {
    "beam_qa": "AlbertForBeamQuestionAnswering",
    "qa_outputs": "AlbertForQuestionAnswering",
    "classifier": "AlbertForSequenceClassification",
    "sop_classifier": "AlbertForPreTraining",
    "predictions": "AlbertForMaskedLM",
}


@dataclass(frozen=True)
class Source:
    """An opened checkpoint.

    Attributes:
        path: what was opened: a folder, a checkpoint's prefix, or a frozen graph
        kind: whose format it is, for people
        config: its configuration
        arrays: its tensors under our names
        origins: the name that each of them has in the file
        skipped: what only training needs: optimizer slots and counters
        left: tensors of the file that have no name here
        files: the folder where vocabulary, configuration and task files lie
        verified: what the tensors were checked by
    """

    path: Path
    kind: str
    config: AlbertConfig
    arrays: Arrays
    origins: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    files: Path = Path()
    verified: str = "none to compare with"

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads whose tensors are there."""
        return tuple(sorted({n.split(".")[0] for n in self.arrays} - {"albert"}))

    def weight_files(self) -> list[Path]:
        """Return the files that hold the tensors."""
        if self.path.is_dir():
            return weight_files(self.path)
        if self.path.is_file():
            return [self.path]
        return sorted(self.path.parent.glob(f"{self.path.name}.data-*-of-*"))


def open_source(source: str | Path, *, config: Path | None = None) -> Source:
    """Open a folder of transformers or ours, a TF1 checkpoint of Google's, or a frozen graph.

    Args:
        source: a folder, a hub name, the prefix or `.index` file of a checkpoint, or a `.pb` file.
        config: Google's `albert_config.json`, when it does not lie beside the checkpoint.

    Raises:
        FolderError: no such checkpoint, or a damaged one.
        WeightsError: tensors that do not fit the configuration, or another model's.
        ConfigError: a configuration that breaks a rule.
    """
    path = Path(source)
    if path.suffix in (".safetensors", ".bin") and path.is_file():
        raise FolderError(
            f"Weights are opened by their folder, with `{CONFIG}`. Received the file {str(path)!r}."
            f" Give {str(path.parent)!r}."
        )
    if _is_google(path):
        return _open_google(path, config)
    folder = find_model(source)
    has_checkpoint = any(folder.glob("*.index")) or (folder / "variables").is_dir()
    if has_checkpoint and not (folder / CONFIG).is_file():
        return _open_google(folder, config)
    return _open_folder(folder)


def _is_google(path: Path) -> bool:
    """Whether a path is a checkpoint's file or prefix."""
    return path.is_file() or Path(f"{path}.index").is_file()


def _open_folder(folder: Path) -> Source:
    """Open a folder with `config.json`."""
    values = read_json(folder / CONFIG)
    arrays = read_stored_weights(folder)
    if values.get("model_type") == "bert":
        config = read_bert_config(values)
        named = from_bert(arrays, config)
        kind = "BERT folder of transformers"
    else:
        config = AlbertConfig.from_dict(values)
        named = dict(arrays)
        kind = "ALBERT folder of albatross" if read_run(folder) else "ALBERT folder"
    left = tuple(sorted(name for name in named if not name.startswith(KNOWN_PREFIXES)))
    named = {name: array for name, array in named.items() if name not in left}
    _check_encoder(named, config, folder)
    by_identity = {id(array): name for name, array in arrays.items()}
    origins = {name: by_identity.get(id(array), name) for name, array in named.items()}
    has_sum = "sha256" in read_run(folder)
    verified = "SHA-256 of the weights, as run.json has it" if has_sum else Source.verified
    return Source(folder, kind, config, named, origins, left=left, files=folder, verified=verified)


def _open_google(path: Path, config: Path | None) -> Source:
    """Open a TF1 checkpoint or a frozen graph with the configuration beside it."""
    is_graph = path.is_file() and path.suffix == ".pb"
    place = path if is_graph else find_checkpoint(path)
    checkpoint = None if is_graph else TensorFlowCheckpoint.open(place)
    constants = read_frozen_graph(place) if checkpoint is None else {}
    names = constants.keys() if checkpoint is None else checkpoint.variables.keys()
    found = recognize(names)
    config_file = config or _config_beside(place)
    read = read_google_config(read_json(config_file), found.layout)
    used = names_used(read, found.layout)
    kept = {n.removeprefix(found.prefix): n for n in names if n.startswith(found.prefix)}
    kept = {short: full for short, full in kept.items() if short in used}
    variables = {
        short: constants[full] if checkpoint is None else checkpoint.read(full)
        for short, full in kept.items()
    }
    # A graph's other constants are shapes and axes; a checkpoint's other variables are weights.
    others = set() if is_graph else set(names) - set(kept.values()) - set(found.optimizer)
    arrays = from_google(variables, read, found.layout)
    _check_encoder(arrays, read, place)
    read = replace(read, extra={**read.extra, **_head_keys(arrays)})
    pairs = name_pairs(read, found.layout)
    return Source(
        place,
        f"Google {'frozen graph' if is_graph else 'TF1 checkpoint'} ({found.layout} names)",
        read,
        arrays,
        origins={pair.ours: kept[pair.google] for pair in pairs if pair.google in kept},
        skipped=found.optimizer,
        left=tuple(sorted(others)),
        files=config_file.parent,
        verified="none in a frozen graph" if is_graph else "crc32c of the index and every tensor",
    )


def _config_beside(place: Path) -> Path:
    """Return the `albert_config.json` of a checkpoint: beside it, or where hub modules have it.

    Raises:
        FolderError: there is none.
    """
    for folder in (place.parent, place.parent / "assets", place.parent.parent / "assets"):
        if (folder / CONFIG_FILE).is_file():
            return folder / CONFIG_FILE
    raise FolderError(
        f"A Google checkpoint needs its `{CONFIG_FILE}`. Received: {str(place)!r} without one"
        " beside it. Name the file with --config."
    )


def _check_encoder(arrays: Arrays, config: AlbertConfig, place: Path) -> None:
    """Refuse tensors that are not those of the configuration's encoder; heads may be any."""
    if holds_int8(arrays):
        arrays = stand_ins({name: array.shape for name, array in arrays.items()})
    pooler = "albert.pooler.weight" in arrays
    fit(arrays, encoder_shapes(config, pooler=pooler), source=str(place))


def _head_keys(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    """Return what transformers must know of the heads: the class, and the number of labels."""
    heads = {name.split(".")[0] for name in arrays}
    kind = next((kind for head, kind in HEAD_CLASSES.items() if head in heads), "AlbertModel")
    keys: dict[str, Any] = {"architectures": [kind]}
    if kind == "AlbertForSequenceClassification":
        size = len(arrays["classifier.weight"])
        keys["id2label"] = {str(number): f"LABEL_{number}" for number in range(size)}
        keys["label2id"] = {f"LABEL_{number}": number for number in range(size)}
    return keys
