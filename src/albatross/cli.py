"""The command line: one table of verbs, from which help, Python functions and documents derive.

A verb's code is imported when the verb is called; `albatross --help` imports neither torch nor
numpy. Results go to standard output, progress to standard error. Exit codes: 0 done, 1 a fault,
2 misuse.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from albatross.errors import AlbatrossError, ConfigError


@dataclass(frozen=True)
class Verb:
    """One command: its function, its settings, and what to do after it."""

    function: str
    """Where the function lives, as `module:name`."""
    settings: str
    """Its settings' class in `albatross.settings`."""
    summary: str
    """One line for the list of verbs."""
    following: str = ""
    """The next command, with `{out}` for the folder that was written."""


VERBS: dict[str, Verb] = {
    "train-tokenizer": Verb(
        "albatross.corpus:train_tokenizer",
        "TrainTokenizerSettings",
        "text -> a vocabulary",
        "albatross build-shards CORPUS... runs/shards --tokenizer {out}",
    ),
    "build-shards": Verb(
        "albatross.corpus:build_shards",
        "BuildShardsSettings",
        "text -> tokenised shards",
        "albatross pretrain {out} runs/pretrained --variant albatross-tiny",
    ),
    "pretrain": Verb(
        "albatross.training.pretrain:pretrain",
        "PretrainSettings",
        "shards -> a pre-trained model folder",
        "albatross finetune {out} runs/finetuned --train train.tsv --dev dev.tsv",
    ),
    "finetune": Verb(
        "albatross.training.finetune:finetune",
        "FinetuneSettings",
        "model folder + records -> a model folder",
        "albatross evaluate {out} dev.tsv",
    ),
    "evaluate": Verb(
        "albatross.evaluation:evaluate",
        "EvaluateSettings",
        "model folder + records -> a report",
    ),
    "predict": Verb(
        "albatross.pipelines.pipeline:predict",
        "PredictSettings",
        "model folder + text -> answers",
    ),
    "export": Verb(
        "albatross.export.folder:export",
        "ExportSettings",
        "model folder -> a folder that needs no torch",
        'albatross predict {out} "Some text."',
    ),
    "info": Verb("albatross.info:info", "InfoSettings", "what a variant or folder is and costs"),
    "demo": Verb("albatross.demo:demo", "DemoSettings", "the built-in model, then the whole path"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(import_module("albatross").__version__)
        return 0
    try:
        return _run(words[0], words[1:])
    except AlbatrossError as error:
        if debug:
            raise
        print(f"albatross: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("albatross: interrupted; nothing half-written is left behind.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`; that is no fault of ours.
        sys.stderr.close()
        return 0


def function_of(verb: str) -> Any:
    """Return a verb's function, which takes its settings."""
    module, name = VERBS[verb].function.split(":")
    return getattr(import_module(module), name)


def settings_of(verb: str) -> Any:
    """Return a verb's settings class."""
    return getattr(import_module("albatross.settings"), VERBS[verb].settings)


def python_function(name: str) -> Any:
    """Return a verb as a function of its settings' fields: `finetune(model, out, train=...)`."""
    verb = name.replace("_", "-")
    settings = settings_of(verb)

    def call(*values: Any, **options: Any) -> Any:
        recipe = options.get("recipe")
        if recipe is not None:
            from albatross.settings import read_recipe

            options = {**read_recipe(Path(recipe), settings), **options}
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
    return tyro.cli(
        settings,
        args=[*_recipe_words(settings, words), *words],
        prog=f"albatross {verb}",
        description=_description(settings),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _run(verb: str, words: Sequence[str]) -> int:
    """Call a verb and print what it gives."""
    settings = parse(verb, words)
    if verb == "predict":
        _predict(settings)
        return 0
    result = function_of(verb)(settings)
    if isinstance(result, Path):
        print(f"Wrote {result}")
        if VERBS[verb].following:
            print(f"Next: {VERBS[verb].following.format(out=result)}", file=sys.stderr)
    elif getattr(settings, "json", False):
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    elif result is not None:
        print(result)
    return 0


def _predict(settings: Any) -> None:
    """Answer the texts of the command, or the lines of a file or of standard input."""
    from albatross.pipelines.pipeline import load, text_lines

    texts: Iterable[str] = settings.texts
    if not settings.texts:
        if settings.file is None and sys.stdin.isatty():
            raise ConfigError(
                "Texts must be given as words, with --file, or on standard input. Received: none."
                ' Try: albatross predict sentiment "A lovely film."'
            )
        texts = text_lines(settings.file)
    pipeline = load(settings.model, engine=settings.engine, batch_tokens=settings.batch_tokens)
    for text, answer in pipeline.stream(texts):
        if settings.json:
            print(json.dumps({"text": text, **answer.to_dict()}))
        else:
            shown = " ".join(text.split())
            shown = shown if len(shown) <= 80 else shown[:77] + "..."
            printable = shown.encode("utf-8", "replace").decode("utf-8")
            print(f"{answer.label:<12} {answer.score:.3f}  {printable}", flush=True)


def _recipe_words(settings: Any, words: Sequence[str]) -> list[str]:
    """Return a recipe's settings as options, to stand before those of the command."""
    if "--recipe" not in words or words[-1] == "--recipe":
        return []
    from albatross.settings import read_recipe

    path = Path(words[words.index("--recipe") + 1])
    given: list[str] = []
    for name, value in read_recipe(path, settings).items():
        option = "--" + name.replace("_", "-")
        if option in words or value is False:
            continue
        values = [] if value is True else value if isinstance(value, list) else [value]
        given += [option, *map(str, values)]
    return given


def _description(settings: Any) -> str:
    """Return the class's docstring with its example in one block."""
    return str(settings.__doc__).replace("\n    ", "\n").strip()


def _overview() -> str:
    """Return the list of verbs."""
    lines = ["usage: albatross VERB ...", ""]
    lines += [f"  {verb:<16} {entry.summary}" for verb, entry in VERBS.items()]
    lines += [
        "",
        "albatross VERB --help says more of each; --debug shows the traceback of an error.",
        'Try: albatross predict sentiment "A lovely film."',
    ]
    return "\n".join(lines)

