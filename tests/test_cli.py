import io
import json
import os
import shlex
import subprocess
import sys

import pytest

from albatross import cli
from albatross.cli import VERBS, main, parse, python_function
from albatross.errors import ConfigError, FolderError


@pytest.fixture
def call(capsys):
    """Runs a command in this process; gives its code, what it printed, and its complaint."""

    def run(*words):
        code = main([str(word) for word in words])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


@pytest.fixture
def standard_input(monkeypatch):
    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def fresh(*words, **options):
    command = [sys.executable, "-m", "albatross", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, **options)


# === Help ===


def test_help_lists_every_verb(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert all(f"  {verb} " in out for verb in VERBS)
    assert call() == (code, out, err)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_ends_with_an_example_that_parses(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    out = capsys.readouterr().out
    *_, title, example = out.strip().splitlines()
    assert (left.value.code, title) == (0, "Example:")
    program, named, *words = shlex.split(example)
    assert (program, named) == ("albatross", verb)
    assert parse(verb, words)


@pytest.mark.parametrize(
    ("verb", "paths"),
    [
        ("pretrain", "SHARDS OUT"),
        ("finetune", "MODEL OUT"),
        ("predict", "MODEL TEXT..."),
        ("evaluate", "MODEL FILE"),
        ("build-shards", "CORPUS... OUT"),
        ("info", "VARIANT|MODEL"),
    ],
)
def test_help_names_the_paths(verb, paths, capsys):
    with pytest.raises(SystemExit):
        main([verb, "-h"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"usage: albatross {verb} [-h] [OPTIONS] {paths}"


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["--version"]])
def test_help_brings_neither_torch_nor_numpy(words):
    code = (
        "import sys\nfrom albatross.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'onnxruntime', 'sentencepiece'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


# === Words to settings ===


def test_options_of_the_command_win_over_the_recipe(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('epochs = 9\nlabels = ["no", "yes"]\nfrom_scratch = true\nseed = 5\n')
    words = ["m", "o", "--train", "t", "--epochs=2", "--no-from-scratch"]
    for form in (["--recipe", str(recipe)], [f"--recipe={recipe}"]):
        found = parse("finetune", [*form, *words])
        assert (found.epochs, found.labels, found.from_scratch) == (2.0, ("no", "yes"), False)
        assert (found.seed, found.recipe) == (5, recipe)


def test_a_length_of_the_command_replaces_the_recipes(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text("tokens = 1000\n")
    words = ["a", "b", "--recipe", str(recipe)]
    assert parse("pretrain", words).tokens == 1000
    for form in (["--budget", "25m"], ["--budget=25m"]):
        found = parse("pretrain", [*words, *form])
        assert (found.tokens, found.budget) == (None, "25m")


def test_a_recipe_may_have_an_equals_sign_in_its_name(tmp_path):
    recipe = tmp_path / "lr=1e-3.toml"
    recipe.write_text("learning_rate = 1e-3\n")
    for form in (["--recipe", str(recipe)], [f"--recipe={recipe}"]):
        assert parse("pretrain", ["shards", "out", *form]).learning_rate == 1e-3


def test_a_recipe_may_hold_the_paths(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "m"\nout = "o"\ntrain = "t"\n')
    assert parse("finetune", ["--recipe", str(recipe)]).model.name == "m"
    assert parse("finetune", ["other", "--recipe", str(recipe)]).model.name == "other"


def test_texts_may_begin_with_a_hyphen_after_two():
    assert parse("predict", ["m", "--", "-1 star"]).texts == ("-1 star",)


@pytest.mark.parametrize(
    "words",
    [
        ("pretrain", "a", "b", "--steps", "0"),
        ("pretrain", "a", "b", "--variant", "none"),
        ("pretrain", "a", "b", "--recipe", "/no/such.toml"),
        ("train-tokenizer", "a"),
        ("sing",),
    ],
)
def test_broken_rules_are_one_line_and_misuse(call, words):
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("albatross: ")
    assert "Received: " in err


@pytest.mark.parametrize(
    "words", [("predict",), ("predict", "m", "--nope"), ("pretrain", "a", "b", "--steps", "x")]
)
def test_words_that_make_no_command_are_misuse(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert f"albatross {words[0]} --help" in capsys.readouterr().err


# === Verbs as functions ===


def test_a_verb_is_a_function_of_its_settings(exported):
    answers = python_function("predict")(exported, "Not a stale line.")
    assert [answer.label in ("negative", "positive") for answer in answers] == [True]
    with pytest.raises(ConfigError, match="`--batch-tokens` must lie between"):
        python_function("predict")(exported, "text", batch_tokens=1)


def test_a_function_takes_a_recipe_too(tmp_path, pretrained, train_file):
    recipe = tmp_path / "r.toml"
    recipe.write_text('epochs = 0.1\nlabels = ["bad", "good"]\n')
    out = python_function("finetune")(pretrained, tmp_path / "o", train=train_file, recipe=recipe)
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert (settings["epochs"], settings["labels"]) == (0.1, ["bad", "good"])


# === Faults ===


def test_a_fault_is_one_line_and_debug_shows_it_whole(call, tmp_path):
    code, out, err = call("predict", tmp_path / "none", "text")
    assert (code, out, err.count("\n")) == (1, "", 1)
    with pytest.raises(FolderError):
        main(["predict", str(tmp_path / "none"), "text", "--debug"])


def test_of_a_very_long_error_rule_and_remedy_are_left(call, exported):
    code, _, err = call("predict", exported, "a film", "--task", "x" * 100_000)
    assert (code, len(err) < 2_200) == (2, True)
    assert err.startswith("albatross: `--task` must be one of")
    assert "characters ...]" in err
    assert err.endswith("xxx'.\n")


def test_what_the_system_refuses_is_one_line(call):
    code, out, err = call("predict", "sentiment", "--file", "x" * 5_000)
    assert (code, out) == (1, "")
    assert err.startswith("albatross: The system refused: [Errno 36] File name too long")


def test_an_interrupt_is_one_line(call, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    code, _, err = call("info")
    assert (code, err) == (1, "albatross: interrupted; nothing half-written is left behind.\n")


def test_a_written_folder_is_named_with_the_next_command(call, finetuned, tmp_path):
    code, out, err = call("export", finetuned, tmp_path / "two words")
    assert (code, out) == (0, f"Wrote {tmp_path / 'two words'}\n")
    assert err == f"Next: albatross predict '{tmp_path / 'two words'}' \"Some text.\"\n"


# === predict ===


def test_predict_prints_a_line_for_each_text(call, exported):
    code, out, err = call("predict", exported, "first\ntext", "", "x" * 200, "\x1b[31mred")
    assert (code, err) == (0, "")
    shown = [line.split(maxsplit=2)[2:] for line in out.splitlines()]
    assert shown == [["first text"], [], ["x" * 77 + "..."], ["?[31mred"]]


def test_predict_prints_json_lines(call, exported):
    code, out, _ = call("predict", exported, "é", "second", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, [line["text"] for line in lines]) == (0, ["é", "second"])
    assert all(set(line) == {"text", "label", "score", "probabilities"} for line in lines)
    assert all(set(line["probabilities"]) == {"negative", "positive"} for line in lines)


def test_predict_reads_standard_input(call, exported, standard_input):
    standard_input("one\ntwo é\n".encode())
    code, out, _ = call("predict", exported)
    assert (code, [line.split()[2] for line in out.splitlines()]) == (0, ["one", "two"])


def test_no_text_on_standard_input_gives_no_answer(call, exported, standard_input):
    standard_input(b"")
    assert call("predict", exported) == (0, "", "")


def test_bytes_that_are_no_text_are_one_line(call, exported, standard_input):
    standard_input(b"good\n\xff\n")
    code, _, err = call("predict", exported)
    assert (code, err.count("\n")) == (1, 1)
    assert "byte 0xff in line 2" in err


def test_without_a_text_a_person_is_told_how_to_give_one(call, exported, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, _, err = call("predict", exported)
    assert (code, err.count("\n")) == (2, 1)
    assert "--file, or on standard input" in err


def test_words_that_no_terminal_can_show_are_answered(exported):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = fresh("predict", exported, "b\udce9d é", env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"b?d ?\n")


@pytest.mark.parametrize(("count", "reader", "lines"), [(3_000, "head -n 1", 1), (1, "true", 0)])
def test_a_reader_that_leaves_is_no_fault(exported, tmp_path, count, reader, lines):
    (tmp_path / "texts").write_text("short\n" * count)
    command = f"{sys.executable} -m albatross predict {exported} --json --file {tmp_path}/texts"
    script = f"set -o pipefail; {command} | {reader}"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == lines


def test_a_model_to_go_on_from_may_be_named_by_the_shorter_option():
    settings = parse("pretrain", ["shards", "out", "--from", "model"])
    assert str(settings.from_model) == "model"
