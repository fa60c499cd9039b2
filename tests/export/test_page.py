"""The page: its tokenizer and its answers are Python's, under node and in a headless browser."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file
from tests.export.browser import Browser, serving
from tests.tasks.check_task import TOKENIZER

from albatross.atomic import check_free
from albatross.checkpoints.model_folder import write_model
from albatross.config import MARKED_TYPES, AlbertConfig
from albatross.errors import ConfigError
from albatross.export.folder import export
from albatross.export.graph import Graph, Weights
from albatross.export.web_page import PAGE_FILES, character_class, check_page, vocabulary_of
from albatross.modeling.with_heads import AlbertWithHeads
from albatross.pipelines.pipeline import load
from albatross.protobuf import encode_field
from albatross.settings.answering import ExportSettings
from albatross.tasks.choice import ChoiceTask
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.decision import Decision
from albatross.tasks.inputs import Inputs
from albatross.tasks.multi_label import MultiLabelTask
from albatross.tasks.ordinal import OrdinalTask
from albatross.tasks.regression import RegressionTask
from albatross.tasks.similarity import SimilarityTask
from albatross.tasks.spans import SpansTask
from albatross.tasks.tagging import TaggingTask
from albatross.tasks.task_file import write_tasks
from albatross.tokenizer.normalization import Normalizer
from albatross.tokenizer.sentencepiece_file import BYTE, Piece, append_pieces
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.tokenizer.wordpiece import WordPieceTokenizer

SCRIPTS = Path(__file__).parent / "page"
RUNTIME = SCRIPTS / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
INPUTS = Inputs(TOKENIZER, 32)
TEXT = "The gull and the tern didn't fly, in 2,012 storms, over Ærø's harbour 🌊 again"
TASKS = (
    ClassificationTask("one", ("a", "b"), ("a", "b"), INPUTS),
    ClassificationTask(
        "sure",
        ("a", "b", "none"),
        ("a", "b", "none"),
        INPUTS,
        head="heads.sure",
        decision=Decision(True, 2.5, "none", 0.9),
    ),
    MultiLabelTask("many", ("x", "y", "z"), (0.4, 0.5, 0.6), INPUTS, head="heads.many"),
    OrdinalTask("rank", ("1", "2", "4"), replace(INPUTS, stride=7), head="heads.rank"),
    RegressionTask("value", 2.0, 1.5, replace(INPUTS, mark_shared=True), head="heads.value"),
    SpansTask("ask", True, False, INPUTS, threshold=0.5, head="heads.ask"),
    SpansTask("find", False, False, replace(INPUTS, stride=5, mark_shared=True), head="heads.find"),
    TaggingTask("tags", ("O", "B-X", "I-X", "B-Y", "I-Y"), INPUTS, head="heads.tags"),
    TaggingTask("names", ("O", "B-X", "I-X"), INPUTS, head="heads.names", capitals=True),
    SimilarityTask("near", "cosine", 1.0, 5.0, INPUTS),
    SimilarityTask("worded", "cosine", 0.0, 1.0, replace(INPUTS, stride=9), word_share=0.3),
)
CONFIG = AlbertConfig(
    vocab_size=TOKENIZER.vocab_size,
    embedding_size=16,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=32,
    type_vocab_size=MARKED_TYPES,
    initializer_range=0.5,
)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_runtime = pytest.mark.skipif(
    not RUNTIME.is_dir(),
    reason="onnxruntime-web is not there: npm install --no-package-lock --prefix tests/export/page",
)
needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed"
)


def run_node(script, *arguments, given):
    command = ["node", str(SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's own files, which node is told are modules."""
    folder = tmp_path_factory.mktemp("page")
    for name in PAGE_FILES:
        source = Path(character_class.__code__.co_filename).parent / "page" / name
        shutil.copyfile(source, folder / name)
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    heads = {name: spec for task in TASKS for name, spec in task.heads.items()}
    made = AlbertWithHeads(CONFIG, heads=heads)
    write_model(folder, CONFIG, made.to_arrays(), {"verb": "test"})
    TOKENIZER.save(folder)
    write_tasks(folder, TASKS)
    return folder


@pytest.fixture(scope="module")
def exported_page(model, tmp_path_factory):
    out = export(ExportSettings(model, tmp_path_factory.mktemp("out") / "page", page=True))
    (out / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return out


# === Tokens ===

ODD_TEXTS = (
    *("", " ", "A lovely film.", "``quoted'' `text'", "In 2012, 92000, and 1,234,567,", "x" * 300),
    *(
        "ΣΑΣ ΟΔΥΣΣΕΥΣ. \U0001d6ba a\U0001d6ba",
        "İstanbul",
        "ﬁne ﬃ Å",
        "\uff21\uff11\uff0c",
        "中文。",
        "한국어",
    ),
    *(" \t\n x\u00a0y\u3000z\u200b w\ufeff ", "\ud800x\udfff", "e\u0301 \u0301x", "½ ² 5²,"),
    *("👩\u200d👩\u200d👧 🏳", '(born) "a"-b \u2013 £5', "[MASK] <pad> ▁ ▁a▁", "\x1c\x85 a\x1f"),
    *("a\u0327\u0301b", "١٢, ५,", "a\u0345Σ\u0345", "①, ⑳,", "\U0001ccd9 1,", "''' ``` ``''"),
)


def check_tokens(page, tokenizer, texts):
    vocabulary = page / "vocabulary.json"
    vocabulary.write_text(json.dumps(vocabulary_of(tokenizer)), encoding="utf-8")
    found = run_node("tokens.js", page, vocabulary, given=list(texts))
    for text, received in zip(texts, found, strict=True):
        expected = tokenizer.encode_with_offsets(text)
        starts = np.cumsum([0, *(1 + (ord(character) > 0xFFFF) for character in text)])
        assert received["ids"] == expected.ids.tolist(), text
        assert received["offsets"] == starts[expected.offsets].reshape(-1, 2).tolist(), text


@needs_node
@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"keep_accents": True},
        {"do_lower_case": False, "keep_accents": True},
        {"do_lower_case": False},
        {"remove_space": False},
    ],
)
def test_odd_texts_are_cut_as_in_python(page, rules):
    check_tokens(page, UnigramTokenizer(TOKENIZER.model, Normalizer(**rules)), ODD_TEXTS)


def random_texts(count):
    """Characters of all of Unicode among those that texts are made of."""
    draw = np.random.default_rng(0)
    usual = "aeios T0123,,.'`\"(- \u0301\u2581\u03a3"
    for _ in range(count):
        codes = np.r_[draw.integers(0, 0xD800, 3), draw.integers(0xE000, 0x20000, 3)]
        among = [*map(chr, codes), *(usual[at] for at in draw.integers(0, len(usual), 12))]
        yield "".join(among[at] for at in draw.permutation(len(among)))


@needs_node
@pytest.mark.parametrize("keep_accents", [False, True])
def test_random_texts_are_cut_as_in_python(page, keep_accents):
    tokenizer = UnigramTokenizer(TOKENIZER.model, Normalizer(keep_accents=keep_accents))
    check_tokens(page, tokenizer, list(random_texts(1_500)))


def test_a_character_class_holds_what_it_was_made_of():
    assert character_class("\u0300\u0301x".__contains__) == r"\u{78}-\u{78}\u{300}-\u{301}"


# === Answers ===

GIVEN = [
    (name, {"text": text, "text_pair": second})
    for name in ("one", "many", "rank", "value", "near", "worded")
    for text, second in ((TEXT, ""), ("", ""), (TEXT * 4, ""), (TEXT * 3, TEXT), ("a", TEXT * 4))
]
ASKED = [
    (name, {"question": question, "context": context})
    for name in ("ask", "find")
    for question in ("Who?", TEXT * 2)
    for context in (TEXT, TEXT * 4, "", "a", "€ \u2014 \U0001f426 € \u2014 \U0001f426")
]
TAGGED = [
    ("tags", {"text": text})
    for text in (TEXT, TEXT * 5, "", "a_b ''``, 3.5 \u200b", "Jose\u0301 e\u00adf")
]


def python_answers(model, cases):
    pipelines = {task.name: load(model, engine="torch", task=task.name) for task in TASKS}
    found = []
    for name, case in cases:
        record = {key: value for key, value in case.items() if key != "text_pair" or value}
        found.append(pipelines[name](record).to_dict())
    return found


def assert_alike(expected, received):
    """Numbers nearly, all else exactly; what one side has beside is not looked at."""
    for key in expected.keys() & received.keys():
        assert_value_alike(expected[key], received[key])


def assert_value_alike(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        assert_alike(one, other)
    elif isinstance(one, list) and one and isinstance(one[0], dict):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_alike(left, right)
    elif isinstance(one, float) or (isinstance(one, list) and one and isinstance(one[0], float)):
        assert one == pytest.approx(other, abs=1e-4)
    else:
        assert one == other


def in_units(text, answer):
    """The answer with places in UTF-16 units, as a browser counts."""
    starts = np.cumsum([0, *(1 + (ord(character) > 0xFFFF) for character in text)]).tolist()
    moved = {key: starts[answer[key]] for key in ("start", "end") if key in answer}
    entities = [in_units(text, entity) for entity in answer.get("entities", [])]
    return {**answer, **moved, **({"entities": entities} if "entities" in answer else {})}


@needs_node
@needs_runtime
def test_answers_under_node_are_those_of_python(model, exported_page):
    cases = [*GIVEN, *ASKED, *TAGGED]
    found = run_node("answers.js", exported_page, given=cases)["answers"]
    expected = python_answers(model, cases)
    assert {len(answer.get("entities", "")) > 1 for answer in expected} == {True, False}
    for (_, case), one, other in zip(cases, expected, found, strict=True):
        assert_alike(in_units(case.get("context", case.get("text")), one), other)


@needs_node
@needs_runtime
def test_products_in_8_bits_are_exact_in_the_browser(tmp_path):
    draw = np.random.default_rng(0)
    whole = draw.choice([-63, 63], (512, 64)).astype(np.int8)
    whole[:, :2] = 63, -63  # whose sums are the largest
    scale = np.full(64, 0.5, np.float32)
    save_file({"map.weight_int8": whole, "map.weight_scale": scale}, tmp_path / "w.safetensors")
    graph = Graph(Weights.read(tmp_path / "w.safetensors"))
    rows = graph.input("rows", ["rows", 512], onnx.TensorProto.FLOAT)
    graph.output("mapped", graph.product("map", rows, 512, 64), ["rows", 64])
    model = onnx.load_model_from_string(graph.model("product").SerializeToString())
    onnx.external_data_helper.load_external_data_for_model(model, str(tmp_path))
    onnx.save(model, tmp_path / "product.onnx")
    given = draw.choice([-127.0, 127.0], (8, 512))
    given[0] = 127
    found = run_node("product.js", tmp_path / "product.onnx", given=given.tolist())
    np.testing.assert_array_equal(np.reshape(found, (8, 64)), given @ whole * 0.5)


@pytest.fixture
def open_page(exported_page, tmp_path):
    """The page in a browser, its model loaded."""
    folder = shutil.copytree(exported_page, tmp_path / "served")
    (folder / "ort").mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(RUNTIME / name, folder / "ort" / name)
    browser = Browser(tmp_path / "profile")
    try:
        with serving(folder) as address:
            assert browser.open(f"{address}/index.html", "Ready") == "Ready."
            yield browser
    finally:
        browser.close()


def answered(browser, **values):
    """Fill the form, and return what the page shows."""
    for name, value in values.items():
        browser.run(f"document.getElementById('{name}').value = {json.dumps(value)}")
    browser.run("document.getElementById('task').onchange()")
    browser.run("document.getElementById('form').requestSubmit()")
    assert browser.wait("Answered").startswith("Answered in")
    return browser.run("document.getElementById('answer').innerText").split("\n")


@needs_node
@needs_runtime
@needs_browser
def test_the_page_answers_in_a_browser(model, open_page):
    shown = " ".join(answered(open_page, text=TEXT)).split()
    (expected,) = python_answers(model, [("one", {"text": TEXT})])
    assert shown[0] == expected["label"]
    assert float(shown[2]) == pytest.approx(expected["score"], abs=1e-3)


@needs_node
@needs_runtime
@needs_browser
def test_the_page_lists_lines_by_how_alike_they_are(model, open_page):
    lines = ["a gull", "storms over the harbour", TEXT]
    found = answered(open_page, task="worded", text=TEXT, lines="\n\n".join(lines) + "\na gull ")
    found = [line for line in found if line.strip()]
    records = [("worded", {"text": TEXT, "text_pair": line}) for line in lines]
    scores = [answer["score"] for answer in python_answers(model, records)]
    expected = sorted(zip(scores, lines, strict=True), reverse=True)
    assert found[::2] == [line for _, line in expected]
    assert [float(cell) for cell in found[1::2]] == pytest.approx(
        [score for score, _ in expected], abs=1e-3
    )


@needs_browser
@pytest.mark.parametrize(
    ("missing", "said"),
    [("ort", "The folder ort/ must lie beside"), ("task.json", "task.json must")],
)
def test_the_page_says_what_is_missing(exported_page, tmp_path, missing, said):
    folder = shutil.copytree(exported_page, tmp_path / "served")
    if missing != "ort":
        (folder / missing).unlink()
        (folder / "ort").mkdir()
        (folder / "ort" / RUNTIME_FILES[0]).write_text("export const env = {wasm: {}};")
    browser = Browser(tmp_path / "profile")
    try:
        with serving(folder) as address:
            assert said in browser.open(f"{address}/index.html", "must lie beside")
            assert browser.run("document.getElementById('form').hidden")
    finally:
        browser.close()


# === Refusals ===


def test_a_page_for_another_kind_of_task_is_refused():
    check_page(TOKENIZER, TASKS)
    with pytest.raises(ConfigError, match=r"Received: which \(choice\)"):
        check_page(TOKENIZER, (*TASKS, ChoiceTask("which", (), INPUTS)))


def test_a_page_without_a_task_is_refused():
    with pytest.raises(ConfigError, match="Received: no task"):
        check_page(TOKENIZER, [])


def test_a_page_for_a_beam_head_is_refused():
    with pytest.raises(ConfigError, match=r"without beams.*Received: q \(spans\)"):
        check_page(TOKENIZER, [SpansTask("q", True, True, INPUTS, head="beam_qa")])


def test_a_page_for_pieces_of_bytes_is_refused():
    switch = encode_field(2, encode_field(35, 1))  # of the trainer: byte_fallback
    in_bytes = [Piece(f"<0x{number:02X}>", -9.0, BYTE) for number in range(256)]
    model = append_pieces(TOKENIZER.model + switch, in_bytes)
    with pytest.raises(ConfigError, match="Received: one with such pieces"):
        check_page(UnigramTokenizer(model), TASKS)


def test_a_page_may_be_written_again(exported_page, tmp_path):
    left_out = shutil.ignore_patterns("package.json")  # which is put there for node
    check_free(shutil.copytree(exported_page, tmp_path / "page", ignore=left_out))


def test_a_page_for_another_vocabulary_is_refused():
    pieces = Path(__file__).parents[1] / "tokenizer" / "tiny_vocab.txt"
    with pytest.raises(
        ConfigError, match=r"SentencePiece vocabulary .* Received: WordPieceTokenizer"
    ):
        check_page(WordPieceTokenizer.from_file(pieces), TASKS)
