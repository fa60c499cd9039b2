"""The house itself: floors, rings, torch upstairs, sizes, names, the public face, and the README.

The first parts read the code; the last ones import it in a fresh process or run what is written.
"""

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from albatross.cli import parse, settings_of
from albatross.settings.settings import read_recipe
from albatross.settings.training import PretrainSettings

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "albatross"
FACE = "albatross"

# From the roof down: a room imports from the floors below its own.
ROOMS_BY_FLOOR = {
    11: "__init__ __main__ cli",
    10: "export serving bench demo",
    9: "analysis",
    8: "training",
    7: "evaluation info",
    6: "pipelines",
    5: "engine conversion corpus inspection",
    4: "modeling tasks",
    3: "data checkpoints rehearsal",
    2: "config costs settings tokenizer energy report",
    1: "adapter_spec head_spec atomic rng metrics progress protobuf rules",
    0: "errors",
}
FLOORS = {room: floor for floor, rooms in ROOMS_BY_FLOOR.items() for room in rooms.split()}
# Neighbours who may meet: settings and costs read the config, and the roof is one flat.
OPEN_DOORS = {
    *(("settings", "config"), ("costs", "config")),
    *(("__main__", "cli"), ("__init__", "cli"), ("cli", "__init__")),
}
TORCH_ROOMS = {"modeling", "training", "analysis"}
TORCH_FILES = {
    "albatross.checkpoints.pickle_file",
    "albatross.conversion.parity",
    "albatross.engine.torch_engine",
    "albatross.engine.torch_generator",
}
NAMES_WITHOUT_A_SUBJECT = {"utils", "common", "helpers", "misc", "base"}
LONGEST_FUNCTION = 70
LONGEST_FILE = 400


@dataclass(frozen=True)
class Import:
    """One imported module, and whether it is imported as soon as its importer is."""

    target: str
    line: int
    at_once: bool


@cache
def files() -> dict[str, Path]:
    """Every module of the house, `albatross.data.packing` for `data/packing.py`."""
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room(module: str) -> str:
    return "__init__" if module == FACE else module.split(".")[1]


def floor(module: str) -> int:
    """The floor of a module's room; a room without one is above the roof, so nobody may enter."""
    return FLOORS.get(room(module), 12)


def is_torch_module(module: str) -> bool:
    return room(module) in TORCH_ROOMS or module in TORCH_FILES


@cache
def imports(module: str) -> tuple[Import, ...]:
    """Everything a module imports: inside functions, under TYPE_CHECKING and by name too."""
    return tuple(_imports_below(tree(files()[module]), at_once=True))


def _imports_below(node: ast.AST, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        for target in _targets(child):
            yield Import(target, child.lineno, at_once)  # type: ignore[attr-defined]
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        later = later or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield from _imports_below(child, at_once and not later)


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        source = "." * node.level + (node.module or "")
        submodules = [f"{source}.{alias.name}" for alias in node.names]
        return [name if name in files() else source for name in submodules]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        name = node.args[0]
        return [str(name.value) if isinstance(name, ast.Constant) else "computed at run time"]
    return []


def imported_files(module: str, at_once_only: bool = False) -> set[str]:
    """Modules of the house that `module` imports; importing itself is not counted."""
    wanted = [found for found in imports(module) if found.at_once or not at_once_only]
    return {found.target for found in wanted if found.target in files()} - {module}


def reachable(module: str, at_once_only: bool = False) -> set[str]:
    """Every module of the house that comes along with `module`, itself included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(imported_files(current, at_once_only))
    return seen


def run_python(code: str) -> str:
    """What a fresh interpreter prints for `code`; it sees this source tree alone."""
    program = f"import sys; sys.path.insert(0, {str(HOUSE.parent)!r})\n{code}"
    command = [sys.executable, "-I", "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


# === Floors ===


def test_every_room_has_a_floor():
    homeless = {room(module) for module in files()} - FLOORS.keys()
    assert not homeless, f"give these rooms a floor in ROOMS_BY_FLOOR: {sorted(homeless)}"


def test_rooms_import_from_lower_floors_only():
    upward = [
        f"{module} -> {target}"
        for module in files()
        for target in imported_files(module)
        if room(module) != room(target)
        and floor(target) >= floor(module)
        and (room(module), room(target)) not in OPEN_DOORS
    ]
    assert not upward


def test_nobody_imports_the_face():
    guests = [
        f"{module}:{found.line}"
        for module in files()
        for found in imports(module)
        if found.target == FACE and floor(module) < 11
    ]
    assert not guests, f"import from the file that defines the name: {guests}"


def test_files_do_not_import_each_other_in_a_ring():
    graph = {module: imported_files(module) - {FACE} for module in files() if module != FACE}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError and names the ring
    assert set(order) == graph.keys()


def test_imports_are_absolute_and_written_out():
    hidden = [
        f"{module}:{found.line} {found.target}"
        for module in files()
        for found in imports(module)
        if found.target.startswith(".")
        or (found.target == "computed at run time" and floor(module) < 11)
    ]
    assert not hidden


def test_serving_never_brings_training():
    servers = [module for module in files() if room(module) == "serving"]
    trained = {name for module in servers for name in reachable(module) if room(name) == "training"}
    assert not trained


# === Torch stays upstairs ===


def test_torch_is_imported_upstairs_only():
    strays = [
        f"{module}:{found.line}"
        for module in files()
        for found in imports(module)
        if found.target.split(".")[0] == "torch" and not is_torch_module(module)
    ]
    assert not strays


def test_no_torch_file_comes_along_when_a_torch_free_file_is_imported():
    downstairs = [module for module in files() if not is_torch_module(module)]
    arrivals = {
        f"{module} => {name}"
        for module in downstairs
        for name in reachable(module, at_once_only=True)
        if is_torch_module(name)
    }
    assert not arrivals


def test_everything_downstairs_imports_while_torch_is_blocked():
    downstairs = [name for name in files() if not is_torch_module(name) and "__main__" not in name]
    code = "import importlib\nsys.modules['torch'] = None\nsys.modules['transformers'] = None\n"
    code += f"for name in {downstairs!r}: importlib.import_module(name)\nprint('all in')"
    assert run_python(code) == "all in"


# === Habits ===


def test_no_file_is_named_after_nothing():
    nameless = [
        str(path.relative_to(HOUSE))
        for path in HOUSE.rglob("*")
        if path.stem.strip("_") in NAMES_WITHOUT_A_SUBJECT and "builtin" not in path.parts
    ]
    assert not nameless


def test_no_file_unpickles():
    opened = []
    for module, path in files().items():
        foreign = {found.target for found in imports(module)} - files().keys()
        opened += [f"{module}: {target}" for target in foreign if "pickle" in target]
        for node in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            called = ast.unparse(node.func)
            if called == "torch.load" and given.get("weights_only") != "True":
                opened.append(f"{module}:{node.lineno} torch.load without weights_only=True")
            if given.get("allow_pickle") == "True":
                opened.append(f"{module}:{node.lineno} allow_pickle")
    assert not opened


def test_functions_fit_a_screen_or_two():
    long = [
        f"{module}.{node.name}: {lines} lines"
        for module, path in files().items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long


def test_files_keep_to_one_subject():
    lengths = {module: len(path.read_text().splitlines()) for module, path in files().items()}
    assert not {module: length for module, length in lengths.items() if length > LONGEST_FILE}


# === The public face ===


def test_importing_the_face_brings_neither_torch_nor_numpy():
    heavy = "{'torch', 'numpy', 'onnxruntime', 'sentencepiece', 'tyro', 'rich'}"
    assert run_python(f"import albatross\nprint({heavy} & sys.modules.keys())") == "set()"


def test_public_names_are_sorted_and_listed_once():
    names = importlib.import_module(FACE).__all__
    assert all(first < second for first, second in pairwise(names)), names


def test_every_public_name_can_be_had():
    face = importlib.import_module(FACE)
    missing = [name for name in face.__all__ if getattr(face, name, None) is None]
    assert not missing


# === What the README and the recipes say ===


def bash_blocks() -> list[tuple[bool, list[str]]]:
    """Each bash block of the README: whether it stands under the mark `quick`, and its commands."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    found = re.findall(r"^(<!-- quick -->\n+)?```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(bool(mark), _commands(block)) for mark, block in found]


def _commands(block: str) -> list[str]:
    """The lines of a block, joined where they go on, that are no comments."""
    lines = (line.strip() for line in block.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def parts_of(line: str) -> list[list[str]]:
    """The words of each command in a line; redirections are left out."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    parts: list[list[str]] = [[]]
    for before, word in pairwise(["", *words]):
        if set(word) <= set("|&;"):
            parts.append([])
        elif not {*before, *word} & set("<>"):
            parts[-1].append(word)
    return parts


COMMANDS = [line for is_quick, block in bash_blocks() if not is_quick for line in block]


def test_the_readme_has_commands_to_run_and_to_read():
    quick = [block for is_quick, block in bash_blocks() if is_quick]
    assert quick, "README.md needs a ```bash block under `<!-- quick -->`, which this test runs"
    assert COMMANDS, "README.md needs a ```bash block with the whole path"


@pytest.mark.parametrize("block", [block for is_quick, block in bash_blocks() if is_quick])
def test_quick_commands_of_the_readme_run(tmp_path, block):
    program = tmp_path / "bin" / "albatross"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m albatross "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(block)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(HOUSE.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_readme_parse(line, monkeypatch):
    monkeypatch.chdir(ROOT)  # recipes are named from there
    if line.startswith(("make ", "pip ")):
        pytest.skip("sets an environment up: .ci/run does so")
    for program, *words in parts_of(line):
        if program == "albatross":
            assert parse(words[0], words[1:])
        elif program == "python":
            assert (ROOT / words[0]).is_file()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_recipes_parse_by_the_command_in_their_first_line(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, verb, *words = shlex.split(path.read_text(encoding="utf-8").splitlines()[0][1:])
    assert program == "albatross"
    assert read_recipe(path, settings_of(verb))
    assert f"recipes/{path.name}" == str(parse(verb, words).recipe)


def test_the_recipe_of_the_search_is_the_default():
    recipe = read_recipe(ROOT / "recipes" / "albatross-mini.toml", PretrainSettings)
    machine = ("tokens", "precision")
    default = PretrainSettings(Path("shards"), Path("out"))
    assert recipe.pop("position_start") == "sinusoidal"  # unless a model goes on with its own
    assert {k: v for k, v in recipe.items() if k not in machine} == {
        k: getattr(default, k) for k in recipe if k not in machine
    }


@pytest.mark.parametrize("size", ["base", "large", "xlarge", "xxlarge"])
def test_the_papers_recipes_have_nothing_of_our_own(size, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = parse("pretrain", ["shards", "out", "--recipe", f"recipes/albert-{size}.toml"])
    assert (settings.masking_rate, settings.max_ngram, settings.max_length) == (0.15, 3, 512)
    assert (settings.position_start, settings.length_stages) == ("normal", ())
    assert settings.optimizer == "lamb-google"
