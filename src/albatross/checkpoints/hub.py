"""Models on the Hugging Face hub, fetched by its own library into its own cache.

Where the cache is, whether the network may be used, and who asks are the library's settings:
HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_TOKEN. What a name means is not decided here.
"""

from __future__ import annotations

from pathlib import Path

from albatross.errors import FolderError, MissingDependencyError

_WEIGHTS = "model.safetensors", "model-*.safetensors", "model.safetensors.index.json"
# Asked for only where there are no safetensors: many repositories hold both.
_PICKLES = "pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json"
_VOCABULARIES = "spiece.model", "vocab.txt", "tokenizer.json", "tokenizer_config.json"
# Those of an exported folder: others keep whole models below `onnx/`, which are not asked for.
_GRAPHS = (
    *("embed.onnx", "layer.*.onnx", "heads.onnx", "exits.onnx", "predictions.onnx"),
    *("memory.*.onnx", "decode_layer.*.onnx"),
)
_FILES = (
    *("config.json", *_WEIGHTS, *_VOCABULARIES, "special_tokens_map.json"),
    *("task.json", "run.json", "base.json", "README.md", *_GRAPHS),
)


def download(name: str, revision: str | None = None) -> Path:
    """Return the folder of a model on the hub, fetched unless it is in the cache.

    Args:
        name: `owner/name`, of which there is no folder here.
        revision: a branch, tag or commit; `main` by default.

    Raises:
        FolderError: no such model or revision, no access to it, or no way to the hub.
        MissingDependencyError: `huggingface_hub` is not installed.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise MissingDependencyError("huggingface_hub", "hub") from error
    # The library looks below its cache for a file of this name, whatever path that is.
    if revision is not None and (".." in revision or revision.startswith("/")):
        raise FolderError(
            f"A revision must be a branch, tag or commit. Received: {revision!r} for {name!r}."
            " Name one of the model's, or leave it out for `main`."
        )
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=[*_FILES]))
        if not any(path.suffix in (".safetensors", ".bin") for path in folder.iterdir()):
            snapshot_download(name, revision=revision, allow_patterns=[*_PICKLES])
        return folder
    except Exception as error:  # the library's own, its network library's, or the system's
        reason, remedy = _diagnosis(error)
        shown = f"{name}@{revision}" if revision else name
        raise FolderError(
            "A model must be a folder, a built-in name or a name on the hub. Received:"
            f" {shown!r}: there is no such folder here, and {reason}. {remedy}"
        ) from error


def _diagnosis(error: Exception) -> tuple[str, str]:
    """Return what kept the library from fetching a model, and the remedy."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return (
            "on the hub its owner must let you in first",
            "Accept the terms on the model's page, and log in with `hf auth login` or HF_TOKEN.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return "the hub's model has no such revision", "Name one of its branches, tags or commits."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "the hub shows no model of that name",
            "Check the path or the name; for a private model, log in with `hf auth login`.",
        )
    if isinstance(error, errors.HFValidationError):
        return "the hub has no such names", "Check the path or the name."
    if constants.HF_HUB_OFFLINE:
        return (
            "it is not whole in the hub's cache while HF_HUB_OFFLINE is set",
            "Check the path, or run once online without HF_HUB_OFFLINE.",
        )
    first_line = (str(error).splitlines() or [""])[0].rstrip(".")
    return (
        f"it is not in the hub's cache, nor could the hub be asked ({first_line})",
        "Check the path or the network; a model that was fetched once online opens without it.",
    )
