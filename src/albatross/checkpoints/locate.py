"""Where a model is: a folder, a name inside the package, or a name on the Hugging Face hub."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from albatross.atomic import read_json
from albatross.checkpoints.hub import download
from albatross.checkpoints.huggingface import ENGLISH
from albatross.errors import FolderError, MissingDependencyError

# The hub keeps them under this owner.
_PUBLISHED = {name: f"albert/{name}" for name in ENGLISH}
_TASKS = "task.json"
_HUB_NAME = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*", re.ASCII | re.IGNORECASE)


def builtin_folders() -> dict[str, Path]:
    """Return the models inside the package by their names: that of a folder, or of a task in it."""
    root = Path(str(files("albatross") / "builtin"))
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    of_tasks = {
        task: folder
        for folder in folders
        if (folder / _TASKS).is_file()
        for task in read_json(folder / _TASKS)
    }
    return of_tasks | {folder.name: folder for folder in folders}


def builtin_names() -> list[str]:
    """Return the names of the models inside the package."""
    return sorted(builtin_folders())


def builtin_task(model: str | Path) -> str | None:
    """Return the task that a name inside the package stands for; None of all else."""
    text = model.as_posix() if isinstance(model, Path) else model
    if _is_folder(Path(model)):
        return None
    folder = builtin_folders().get(text)
    tasks = read_json(folder / _TASKS) if folder and (folder / _TASKS).is_file() else {}
    return text if text in tasks else None


def find_model(model: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a path, a built-in name or a name on the hub, in this order.

    A name on the hub is `owner/name` or a published variant such as `albert-base-v2`; `@` and a
    branch, tag or commit may follow. What begins with a folder that is here is never looked for
    there.

    Args:
        model: the folder or the name.
        revision: branch, tag or commit of a model on the hub, in place of `@`.

    Raises:
        FolderError: there is no such model.
        MissingDependencyError: it is on the hub, and `huggingface_hub` is not installed.
    """
    if not isinstance(model, str | Path):
        raise FolderError(f"{_rule()} Received: {model!r}. Give a path or a name.")
    text = model.as_posix() if isinstance(model, Path) else model
    name, at, after = text.partition("@")
    if _is_folder(Path(model)):
        found = Path(model)
    elif (inside := builtin_folders().get(text)) is not None:
        found = inside
    elif name in _PUBLISHED:
        return download(_PUBLISHED[name], revision or after or None)
    elif _HUB_NAME.fullmatch(name) and not Path(name).parent.exists():
        return _from_hub(name, revision or after or None, is_sure=bool(revision or at))
    else:
        raise FolderError(
            f"{_rule()} Received: {text!r}, which is not there. Check the path, or run"
            " `albatross finetune` to make one."
        )
    if revision is not None:
        raise FolderError(
            "A revision must be that of a model on the hub. Received:"
            f" revision={revision!r} for the folder {str(found)!r}. Leave it out."
        )
    return found


def _from_hub(name: str, revision: str | None, *, is_sure: bool) -> Path:
    """Fetch what may be a name on the hub; without a revision it may be a wrong path as well."""
    try:
        return download(name, revision)
    except MissingDependencyError as error:
        if is_sure:
            raise
        raise FolderError(
            f"{_rule()} Received: {name!r}, and there is no such folder. If it is a name on the"
            f" hub: {error}"
        ) from error


def _rule() -> str:
    """Say what a model may be."""
    names = ", ".join(builtin_names()) or "none in this installation"
    return f"A model must be a folder, a built-in name ({names}) or a name on the hub."


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder; a text that is too long for a path is none."""
    try:
        return path.is_dir()
    except OSError:
        return False
