"""The verb convert: any checkpoint of the family to any form, with a report of every tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from albatross.atomic import read_json, write_json, writing
from albatross.checkpoints.delta import check_place, stood_on, vocabulary_files, vocabulary_folder
from albatross.checkpoints.eight_bits import check_floats
from albatross.checkpoints.huggingface import (
    Arrays,
    encoder_shapes,
    masked_lm_shapes,
    sentence_order_shapes,
)
from albatross.checkpoints.model_folder import RUN, warn_of_activation
from albatross.config import AlbertConfig, published_names
from albatross.conversion.report import ConversionReport
from albatross.conversion.source import Source, open_source
from albatross.conversion.structure import restructure
from albatross.conversion.target import Form, Target, copy_companions, formed, write_form
from albatross.errors import FolderError, WeightsError
from albatross.progress import Progress
from albatross.report import file_digest, run_record
from albatross.settings.conversion import ConvertSettings
from albatross.tasks.task_file import TASK_FILE
from albatross.tokenizer.config_file import CONFIG_FILE
from albatross.tokenizer.folder import AnyTokenizer, check_pieces, open_tokenizer

# Of one function two programs may differ by the order of additions: 1e-6 of the outputs' size.
_LARGEST_DIFFERENCE = 1e-3


def convert(settings: ConvertSettings) -> ConversionReport:
    """Read a checkpoint, change its structure if asked to, write it, and compare both.

    Raises:
        FolderError: no such checkpoint, a damaged one, or a result that computes something else.
        WeightsError: something trained would be lost.
        ConfigError: the target cannot hold the model, or values break a rule.
    """
    source = open_source(settings.source, config=settings.config)
    check_floats(source.arrays, settings.source)
    _check_place(settings.out, source)
    if settings.hidden_act is None:
        warn_of_activation(source.files, source.config, source.arrays)
    originals, dropped = _without(source, settings.drop)
    arrays = _stored_as(originals, settings.dtype)
    start, changes = _changed_config(source.config, settings)
    with Progress("layers", total=1) as progress:
        built = restructure(
            start,
            arrays,
            groups=settings.groups,
            layers=settings.layers,
            merge=settings.merge,
            depth_lora_rank=settings.depth_lora_rank,
            progress=progress,
        )
    form = formed(built.config, built.arrays, settings.to)
    _check_nothing_lost(source, form, dropped)
    tokenizer = _vocabulary(source, settings)
    report = ConversionReport(
        source=str(settings.source),
        kind=source.kind,
        target=settings.to,
        out=settings.out,
        model=model_name(source.config),
        vocabulary="none" if tokenizer is None else repr(tokenizer),
        **_tensor_names(source, arrays, form),
        values=sum(array.size for array in form.arrays.values()),
        heads=source.heads,
        skipped=source.skipped,
        dropped=dropped,
        missing=missing_parts(source),
        changes=(
            *changes,
            *_structure_changes(start, built.config, settings),
            *form.changes,
            *_types_unknown_to(settings.to, source.files),
        ),
        preserving=built.preserving and start == source.config and settings.dtype != "float16",
    )
    with writing(settings.out) as folder:
        write_form(folder, form, settings.to, tokenizer, {"verb": "convert"})
        if settings.to != "google":
            copy_companions(source.files, folder)
        report = replace(report, difference=_difference(source, originals, folder))
        _check_same(report)
        _record(folder, source, settings, report)
    return report


def model_name(config: AlbertConfig) -> str:
    """Return the published names of a configuration, or its sizes."""
    sizes = (
        f"hidden {config.hidden_size}, {config.num_hidden_layers} layers in"
        f" {config.num_hidden_groups} groups, vocabulary {config.vocab_size:,}"
    )
    names = " or ".join(published_names(config))
    return f"{names} ({sizes})" if names else sizes


def missing_parts(source: Source) -> tuple[str, ...]:
    """Return the parts of a pre-trained model whose tensors a source has not."""
    config = source.config
    parts = {
        "pooler": encoder_shapes(config).keys() - encoder_shapes(config, pooler=False).keys(),
        "masked-LM head": masked_lm_shapes(config).keys(),
        "sentence-order head": sentence_order_shapes(config).keys(),
    }
    return tuple(part for part, names in parts.items() if not names <= source.arrays.keys())


def _check_place(out: Path, source: Source) -> None:
    """Refuse to write over what is being read, whose tensors are still in the file, or was made."""
    read = [each.resolve() for each in (source.path, *stood_on(source.files))]
    if out.resolve() in (*read, *read[0].parents):
        raise FolderError(
            f"A checkpoint must not be converted onto itself. Received: {str(out)!r} for both."
            " Name another folder."
        )
    check_place(out, [source.files], mark="convert")


def _tensor_names(source: Source, arrays: Arrays, form: Form) -> dict[str, Any]:
    """Return what became of each tensor: kept under a name, or taken into computed ones."""
    kept = [name for name, array in form.arrays.items() if arrays.get(name) is array]
    origins = {name: source.origins.get(name, name) for name in arrays}
    return {
        "tensors": {origins[name]: form.names[name] for name in kept},
        "merged": tuple(origins[name] for name in arrays if name not in kept),
        "computed": tuple(form.names[name] for name in form.arrays if name not in kept),
    }


def _without(source: Source, drop: tuple[str, ...]) -> tuple[Arrays, tuple[str, ...]]:
    """Return the tensors that shall be kept, and the names, here or there, that shall not.

    Raises:
        WeightsError: nothing has such a name, or the encoder could not be without it.
    """
    by_origin = {origin: name for name, origin in source.origins.items()}
    known = {*source.arrays, *by_origin, *source.left}
    unknown = [prefix for prefix in drop if not any(name.startswith(prefix) for name in known)]
    named = sorted(name for name in known if name.startswith(drop)) if drop else []
    gone = {by_origin.get(name, name) for name in named}
    needed = gone & encoder_shapes(source.config, pooler=False).keys()
    if unknown or needed:
        raise WeightsError(
            "`--drop` must begin the names of tensors that the encoder can be without. Received:"
            f" {', '.join([*unknown, *sorted(needed)][:3])}. `albatross info` lists the heads."
        )
    kept = {name: array for name, array in source.arrays.items() if name not in gone}
    return kept, tuple(sorted(gone))


def _stored_as(arrays: Arrays, dtype: str | None) -> Arrays:
    """Return the arrays in another precision; those that are in it stay the same objects."""
    if dtype is None:
        return arrays
    return {name: array.astype(dtype, copy=False) for name, array in arrays.items()}


def _changed_config(
    config: AlbertConfig, settings: ConvertSettings
) -> tuple[AlbertConfig, tuple[str, ...]]:
    """Return the configuration with the activation and the class that are asked for."""
    changes: list[str] = []
    if settings.dtype is not None:
        changes.append(f"weights stored as {settings.dtype}")
    if settings.hidden_act is not None and settings.hidden_act != config.hidden_act:
        changes.append(f"hidden_act {config.hidden_act} -> {settings.hidden_act}")
        config = replace(config, hidden_act=settings.hidden_act)
    if settings.architecture is not None:
        changes.append(f"class {settings.architecture}")
        extra = {**config.extra, "architectures": [settings.architecture]}
        config = replace(config, extra=extra)
    return config, tuple(changes)


def _structure_changes(
    old: AlbertConfig, new: AlbertConfig, settings: ConvertSettings
) -> tuple[str, ...]:
    """Say what became of the layers."""
    changes = []
    if new.num_hidden_layers != old.num_hidden_layers:
        changes.append(f"{old.num_hidden_layers} -> {new.num_hidden_layers} layers")
    if new.num_hidden_groups != old.num_hidden_groups:
        how = f" by {settings.merge}" if new.num_hidden_groups < old.num_hidden_groups else ""
        changes.append(f"{old.num_hidden_groups} -> {new.num_hidden_groups} groups{how}")
    if new.depth_lora_rank != old.depth_lora_rank:
        changes.append(f"depth residuals of rank {old.depth_lora_rank} -> {new.depth_lora_rank}")
    return tuple(changes)


def _types_unknown_to(target: Target, files: Path) -> tuple[str, ...]:
    """Say which token types of a folder's tasks the target's tokenizer does not give."""
    if target != "huggingface" or not (files / TASK_FILE).is_file():
        return ()
    tasks = [task for task in read_json(files / TASK_FILE).values() if isinstance(task, dict)]
    told = {"mark_shared": "what both texts of a pair have", "capitals": "words with capitals"}
    return tuple(
        f"transformers does not mark {what} by token types, so its answers will differ"
        for key, what in told.items()
        if any(task.get(key) for task in tasks)
    )


def _check_nothing_lost(source: Source, form: Form, dropped: tuple[str, ...]) -> None:
    """Refuse a conversion that would leave something trained behind.

    Raises:
        WeightsError: names it.
    """
    lost = sorted({*form.lost, *source.left} - set(dropped))
    if lost:
        raise WeightsError(
            f"Nothing trained may be lost. Received {len(lost)} tensors that the target has no"
            f" place for: {', '.join(lost[:6])}{', ...' if len(lost) > 6 else ''}. Choose another"
            " --to, or give them up with --drop and the beginning of their names."
        )


def _vocabulary(source: Source, settings: ConvertSettings) -> AnyTokenizer | None:
    """Open the vocabulary beside the source, or the one that is named; there may be none."""
    place = settings.vocabulary or vocabulary_folder(source.files)
    names = {path.name for path in vocabulary_files(place)} if place.is_dir() else set()
    if settings.vocabulary is None and not names - {CONFIG_FILE}:
        return None
    tokenizer = open_tokenizer(place)
    check_pieces(tokenizer, source.config.vocab_size, place)
    return tokenizer


def _difference(source: Source, arrays: Arrays, folder: Path) -> dict[str, float]:
    """Compare the source with what stands in the folder, read again; empty without torch."""
    try:
        from albatross.conversion.parity import forward_difference
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return {}
    written = open_source(folder)
    return forward_difference(source.config, arrays, written.config, written.arrays)


def _check_same(report: ConversionReport) -> None:
    """Refuse a result that computes something else where the function should have stayed.

    Raises:
        FolderError: it does.
    """
    worst = max(report.difference.values(), default=0.0)
    if report.preserving and not worst <= _LARGEST_DIFFERENCE:
        raise FolderError(
            f"Both models must compute the same function, within {_LARGEST_DIFFERENCE:g}."
            f" Received: a difference of {worst:g}. Nothing was written. Report this checkpoint's"
            " configuration."
        )


def _record(
    folder: Path, source: Source, settings: ConvertSettings, report: ConversionReport
) -> None:
    """Write into `run.json` where the model came from and what became of each tensor."""
    record: dict[str, Any] = run_record(
        "convert",
        settings.to_dict(),
        data={"source": [file_digest(path) for path in source.weight_files()]},
        metrics={f"difference_{name}": value for name, value in report.difference.items()},
        progress={},
    )
    written = read_json(folder / RUN)
    write_json(folder / RUN, {**written, **record, "conversion": report.to_dict()})
