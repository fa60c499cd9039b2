"""The command line: one table of verbs, from which help, Python functions and documents derive.

A verb's code is imported when the verb is called; `albatross --help` imports neither torch nor
numpy. Results go to standard output, progress to standard error. Exit codes: 0 done, 1 a fault,
2 misuse.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from inspect import cleandoc, signature
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from albatross.errors import AlbatrossError, AlbatrossWarning, ConfigError, MissingDependencyError

# The extra that brings each library which the base install lacks.
_EXTRAS = {"torch": "train", "matplotlib": "train", "onnx": "export", "tokenizers": "hub"}
# Characters of an error; what was received may be a whole file.
_LONGEST_LINE = 2_000


@dataclass(frozen=True)
class Verb:
    """One command: its function, its settings, and what to do after it."""

    function: str
    """Where the function lives, as `module:name`."""
    settings: str
    """Its settings' class, likewise."""
    summary: str
    """One line for the list of verbs."""
    following: str = ""
    """The next command, with `{out}` for the folder that was written."""


VERBS: dict[str, Verb] = {
    "train-tokenizer": Verb(
        "albatross.corpus.train_tokenizer:train_tokenizer",
        "albatross.settings.corpus:TrainTokenizerSettings",
        "text -> a vocabulary",
        "albatross build-shards CORPUS... runs/shards --tokenizer {out}",
    ),
    "build-shards": Verb(
        "albatross.corpus.build_shards:build_shards",
        "albatross.settings.corpus:BuildShardsSettings",
        "text -> tokenised shards",
    ),
    "inspect": Verb(
        "albatross.inspection.inspect:inspect",
        "albatross.settings.inspection:InspectSettings",
        "shards -> samples as training sees them, their figures, and a probe",
    ),
    "pretrain": Verb(
        "albatross.training.pretrain:pretrain",
        "albatross.settings.training:PretrainSettings",
        "shards -> a pre-trained model folder",
        "albatross finetune {out} runs/finetuned --train train.tsv --dev dev.tsv",
    ),
    "finetune": Verb(
        "albatross.training.finetune:finetune",
        "albatross.settings.training:FinetuneSettings",
        "model folder + records -> a model folder",
        "albatross evaluate {out} dev.tsv",
    ),
    "few-shot": Verb(
        "albatross.training.few_shot:few_shot",
        "albatross.settings.few_shot:FewShotSettings",
        "model folder + a few labelled texts -> a model folder",
        "albatross evaluate {out} dev.tsv",
    ),
    "evaluate": Verb(
        "albatross.evaluation.evaluate:evaluate",
        "albatross.settings.answering:EvaluateSettings",
        "model folder + records -> a report",
    ),
    "tune": Verb(
        "albatross.evaluation.tune:tune",
        "albatross.settings.answering:TuneSettings",
        "model folder + records -> a model folder with a temperature or thresholds that suit them",
        "albatross evaluate {out} dev.tsv",
    ),
    "predict": Verb(
        "albatross.pipelines.predict:predict",
        "albatross.settings.answering:PredictSettings",
        "model folder + text -> answers",
    ),
    "export": Verb(
        "albatross.export.folder:export",
        "albatross.settings.answering:ExportSettings",
        "model folder -> a folder that needs no torch",
        'albatross predict {out} "Some text."',
    ),
    "convert": Verb(
        "albatross.conversion.convert:convert",
        "albatross.settings.conversion:ConvertSettings",
        "any ALBERT or BERT checkpoint -> ours, transformers' or Google's",
        "albatross info {out}",
    ),
    "extend-vocabulary": Verb(
        "albatross.conversion.vocabulary:extend_vocabulary",
        "albatross.settings.conversion:ExtendVocabularySettings",
        "model folder + words -> a model folder that has a piece for each",
        "albatross finetune {out} runs/finetuned --train train.tsv --dev dev.tsv",
    ),
    "swap-vocabulary": Verb(
        "albatross.conversion.vocabulary:swap_vocabulary",
        "albatross.settings.conversion:SwapVocabularySettings",
        "model folder + tokenizer folder -> a model folder with that vocabulary",
        "albatross pretrain SHARDS runs/pretrained --from {out}",
    ),
    "info": Verb(
        "albatross.info:info",
        "albatross.settings.answering:InfoSettings",
        "what a variant or folder is and costs",
    ),
    "bench": Verb(
        "albatross.bench.bench:bench",
        "albatross.settings.answering:BenchSettings",
        "how fast a model answers here, and what it takes",
    ),
    "demo": Verb(
        "albatross.demo:demo",
        "albatross.settings.answering:DemoSettings",
        "the built-in model, then the whole path",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a text may hold what the terminal cannot show
    try:
        with _warnings_in_one_line():
            code = _run(words)
        sys.stdout.flush()
        return code
    except AlbatrossError as error:
        if debug:
            raise
        return _report(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _report("interrupted; nothing half-written is left behind.", 1)
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`; that is no fault of ours. What is
        # still buffered goes nowhere when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        return _report(f"The system refused: {error}.", 1)


def function_of(verb: str) -> Any:
    """Return a verb's function, which takes its settings."""
    module, name = VERBS[verb].function.split(":")
    return getattr(import_home(module), name)


def import_home(module: str) -> ModuleType:
    """Import a module of the house, with the remedy where a library of an extra is missing.

    Raises:
        MissingDependencyError: it is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        raise MissingDependencyError(error.name, _EXTRAS[error.name]) from error


def settings_of(verb: str) -> Any:
    """Return a verb's settings class."""
    module, name = VERBS[verb].settings.split(":")
    return getattr(import_module(module), name)


def python_function(name: str) -> Any:
    """Return a verb as a function of its settings' fields: `finetune(model, out, train=...)`."""
    verb = name.replace("_", "-")
    settings = settings_of(verb)

    def call(*values: Any, **options: Any) -> Any:
        if options.get("recipe") is not None:
            from albatross.settings.settings import read_recipe

            recipe = read_recipe(Path(options["recipe"]), settings, options)
            options = {**recipe, **options}
        return function_of(verb)(settings(*values, **options))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = settings.__doc__
    call.__signature__ = signature(settings)  # type: ignore[attr-defined]
    return call


def parse(verb: str, words: Sequence[str]) -> Any:
    """Turn the words after a verb into its settings; leaves the program for `--help` or misuse.

    Raises:
        ConfigError: the verb does not exist, or values break a rule.
    """
    if verb not in VERBS:
        raise ConfigError(
            f"A verb must be one of {', '.join(VERBS)}. Received: {verb!r}."
            " `albatross --help` says what each does."
        )
    import tyro

    settings = settings_of(verb)
    about, _, example = cleandoc(settings.__doc__).partition("\n\nExample:\n")
    try:
        found = tyro.cli(
            _unchecked(settings),
            args=words,
            prog=f"albatross {verb}",
            description=about,
            default=_unchecked(settings)(**_defaults(settings, words)),
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
        )
    except SystemExit as leaving:
        if leaving.code in (None, 0):
            print(f"Example:\n{example}")
        raise
    return settings(**vars(found))


def _run(words: Sequence[str]) -> int:
    """Answer for the program itself, or call a verb and print what it gives."""
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(import_module("albatross").__version__)
        return 0
    verb, settings = words[0], parse(words[0], words[1:])
    if verb == "predict":
        _predict(settings)
        return 0
    result = function_of(verb)(settings)
    if os.environ.get("RANK", "0") != "0":  # of several processes of a run, the first one speaks
        return 0
    if isinstance(result, Path):
        print(f"Wrote {result}")
    elif getattr(settings, "json", False):
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    elif result is not None:
        print(result)
    following = getattr(settings, "following", VERBS[verb].following)
    following = getattr(result, "following", following)
    if following and not getattr(settings, "dry_run", False):
        out = shlex.quote(str(getattr(settings, "out", "")))
        told = following.replace("{out}", out)
        if getattr(settings, "dev", None) is not None:
            told = told.replace("dev.tsv", shlex.quote(str(settings.dev)))
        print(f"Next: {told}", file=sys.stderr)
    return 0


def _predict(settings: Any) -> None:
    """Answer the texts of the command, or the records of a file or of standard input."""
    from albatross.pipelines.predict import answered, predict
    from albatross.pipelines.requests import parts_of, title_of

    if not settings.texts and settings.file is None and sys.stdin.isatty():
        raise ConfigError(
            "Texts must be given as words, with --file, or on standard input. Received: none."
            ' Try: albatross predict sentiment "A lovely film."'
        )
    if settings.submission is not None:
        answers = predict(settings)
        print(f"Wrote {settings.submission}: {len(answers):,} answers.")
        return
    for record, answer in answered(settings):
        if settings.json:
            print(json.dumps({**parts_of(record), **answer.to_dict()}))
        else:
            print(f"{_printable(answer.line())}  {_shown(title_of(record))}")


def _shown(text: str) -> str:
    """Return the beginning of a text in one line that no terminal takes for commands."""
    line = " ".join(text[:1_000].split())
    return _printable(line if len(line) <= 80 else line[:77] + "...")


def _printable(text: str) -> str:
    """Return a text in which nothing is a command to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _unchecked(settings: Any) -> Any:
    """Return the settings' class without its checks: tyro would put our errors in boxes."""
    return type(
        settings.__name__,
        (settings,),
        {"__doc__": settings.__doc__, "__post_init__": lambda self: None},
    )


def _defaults(settings: Any, words: Sequence[str]) -> dict[str, Any]:
    """Return the fields' defaults, with the values of the recipe that the words name."""
    import tyro

    from albatross.settings.settings import read_recipe

    values = {f.name: tyro.MISSING if f.default is MISSING else f.default for f in fields(settings)}
    if "recipe" in values:
        # A path may have an equals sign of its own.
        cut = (word.split("=", 1) if word.startswith("--") else [word] for word in words)
        split = [part for parts in cut for part in parts]
        paths = [path for option, path in pairwise(split) if option == "--recipe"]
        given = {part[2:].replace("-", "_") for part in split if part.startswith("--")}
        for path in paths:
            values |= read_recipe(Path(path), settings, given)
    return values


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print our own warnings as people read them, without the line of code that gave them."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, AlbatrossWarning):
            print(f"albatross: warning: {' '.join(str(message).split())}", file=sys.stderr)
        else:
            usual(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", AlbatrossWarning)
        warnings.showwarning = show
        yield


def _report(message: str, code: int) -> int:
    """Print an error as one line, without the middle of a very long one; return the exit code."""
    line = " ".join(message.split())
    if len(line) > _LONGEST_LINE:  # the rule stands first, the remedy last
        half = _LONGEST_LINE // 2
        line = f"{line[:half]} [... {len(line) - 2 * half:,} characters ...] {line[-half:]}"
    print(f"albatross: {line}", file=sys.stderr)
    return code


def _overview() -> str:
    """Return the list of verbs."""
    lines = ["usage: albatross VERB ...", ""]
    lines += [f"  {verb:<18} {entry.summary}" for verb, entry in VERBS.items()]
    lines += [
        "",
        "albatross VERB --help says more of each; --debug shows the traceback of an error.",
        'Try: albatross predict sentiment "A lovely film."',
    ]
    return "\n".join(lines)
