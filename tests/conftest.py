"""One small model for all tests: composed text, a ready vocabulary, seconds of training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from albatross.corpus.build_shards import build_shards
from albatross.data.records import TextRecord
from albatross.rehearsal.grammar import compose_documents, compose_reviews
from albatross.settings.answering import ExportSettings
from albatross.settings.corpus import BuildShardsSettings
from albatross.settings.training import FinetuneSettings, PretrainSettings
from albatross.tokenizer.unigram import UnigramTokenizer

VOCABULARY = Path(__file__).parent / "tokenizer" / "tiny.model"

# Rooms with files of many seconds begin first: else one process ends alone with the last of them.
_FIRST = ("training", "corpus", "ecosystem", "bench", "export", "modeling")

# No test asserts a time: an example may take as long as it takes beside other work.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Put the rooms that take long first; within a room all stays in its order."""
    rooms = {name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: rooms.get(item.path.parent.name, len(rooms)))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Where the session's folders stand; tests copy what they change."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def reviews() -> list[tuple[str, str]]:
    """32 short ones: few words, so that a model learns them in seconds."""
    composed = sorted(compose_reviews(400, seed=0), key=lambda review: len(review[0]))
    by_label = [[r for r in composed if r[1] == name][:16] for name in ("negative", "positive")]
    return [*by_label[0], *by_label[1]]


@pytest.fixture(scope="session")
def train_file(runs, reviews):
    path = runs / "train.tsv"
    rows = "".join(f"{text}\t{label}\n" for text, label in reviews)
    path.write_text(f"sentence\tlabel\n{rows}", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def shards(runs):
    UnigramTokenizer.from_file(VOCABULARY).save(runs / "tokenizer")
    corpus = runs / "corpus.txt"
    stories = ["\n".join(story) for story in compose_documents(120, seed=0)]
    corpus.write_text("\n\n".join(stories), encoding="utf-8")
    paths = (corpus, runs / "shards")
    return build_shards(BuildShardsSettings(paths, runs / "tokenizer", held_out=0.1, workers=1))


@pytest.fixture(scope="session")
def pretrain_settings(shards, runs) -> PretrainSettings:
    return PretrainSettings(
        shards,
        runs / "pretrained",
        variant="albatross-tiny",
        shape=("hidden_size=64", "intermediate_size=256"),
        steps=25,
        batch_tokens=512,
        max_length=64,
        learning_rate=1e-3,
    )


@pytest.fixture(scope="session")
def pretrained(pretrain_settings) -> Path:
    from albatross.training.pretrain import pretrain

    return pretrain(pretrain_settings)


@pytest.fixture(scope="session")
def finetune_settings(pretrained, runs, train_file) -> FinetuneSettings:
    """Enough to know the reviews by heart."""
    return FinetuneSettings(
        pretrained,
        runs / "finetuned",
        train=train_file,
        dev=train_file,
        name="reviews",
        epochs=60,
        batch_size=32,
        max_length=48,
        learning_rate=2e-3,
        beta2=0.98,
    )


@pytest.fixture(scope="session")
def finetuned(finetune_settings) -> Path:
    from albatross.training.finetune import finetune

    return finetune(finetune_settings)


@pytest.fixture(scope="session")
def exported(finetuned, runs) -> Path:
    from albatross.export.folder import export

    return export(ExportSettings(finetuned, runs / "exported"))


@pytest.fixture
def copy_of(tmp_path):
    """Copies a folder to where a test may spoil it."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / folder.name))

    return copy


@pytest.fixture
def change_json():
    """Sets keys of a JSON file."""

    def change(path: Path, **values) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | values), encoding="utf-8")

    return change


@pytest.fixture
def with_tokenizer_json(copy_of):
    """Copies a folder and gives it a small `tokenizer.json` in place of its `spiece.model`."""
    tokenizers = pytest.importorskip("tokenizers")

    def change(folder):
        changed = copy_of(folder)
        (changed / "spiece.model").unlink()
        pieces = {name: i for i, name in enumerate(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))}
        vocabulary = tokenizers.Tokenizer(tokenizers.models.WordLevel(pieces, unk_token="<unk>"))
        vocabulary.save(str(changed / "tokenizer.json"))
        return changed

    return change


@pytest.fixture
def untrained(tmp_path, pretrained):
    """Writes a model with the task that is made for its vocabulary, its weights drawn at random.

    It has the shape of `pretrained` but for what is given.
    """
    from albatross.checkpoints.model_folder import read_config, write_model
    from albatross.engine.open import open_tokenizer
    from albatross.modeling.with_heads import AlbertWithHeads
    from albatross.tasks.inputs import Inputs
    from albatross.tasks.task_file import write_tasks

    def write(task_for, **shape):
        config = replace(read_config(pretrained), **shape)
        tokenizer = open_tokenizer(pretrained, config)
        task = task_for(Inputs(tokenizer, 64))
        folder = tmp_path / "untrained"
        folder.mkdir()
        model = AlbertWithHeads(config, heads=task.heads)
        write_model(folder, config, model.to_arrays(), {})
        tokenizer.save(folder)
        write_tasks(folder, [task])
        return folder

    return write


@pytest.fixture
def delta_of(tmp_path):
    """Writes a delta folder over a model, with what it added drawn at random, as if trained."""
    from albatross.atomic import writing
    from albatross.checkpoints.delta import write_delta
    from albatross.engine.open import open_tokenizer
    from albatross.tasks.classification import ClassificationTask
    from albatross.tasks.options import TaskOptions
    from albatross.tasks.task_file import write_tasks
    from albatross.training.transfer import freeze, starting_point

    def write(source, name, adaptation, labels=("no", "yes"), max_length=32, place=tmp_path):
        import torch

        start = starting_point(source, adaptation)
        tokenizer = open_tokenizer(source, start.config)
        options = TaskOptions(labels=labels, max_length=max_length)
        records = [TextRecord("", label=label) for label in sorted(labels)]
        task = ClassificationTask.from_records(name, records, tokenizer, options)
        model = start.model(task.heads, seed=len(name))
        freeze(model, adaptation)
        assert start.base is not None
        generator = torch.Generator().manual_seed(len(name))
        with torch.no_grad():
            for p in filter(lambda p: p.requires_grad, model.parameters()):
                p.add_(torch.randn(p.shape, generator=generator), alpha=0.1)
        out = place / name
        with writing(out) as folder:
            arrays = model.to_arrays()
            run = {"verb": "finetune"}
            write_delta(folder, model.config, arrays, run, place=out, base=start.base)
            write_tasks(folder, [task])
        return out

    return write
