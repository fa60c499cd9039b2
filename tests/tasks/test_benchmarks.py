"""Where the files of benchmarks are found; and the published data, where a machine has it."""

import os
from pathlib import Path

import pytest

from albatross.data.formats import FORMATS, read_records
from albatross.errors import AlbatrossWarning, ConfigError, DataError
from albatross.tasks import choice, classification, regression, spans, tagging
from albatross.tasks.benchmarks import BENCHMARKS, benchmark_of, find_files
from albatross.tasks.task_file import TASK_KINDS

NAMES = "cola sst2 mrpc stsb qqp mnli qnli rte wnli ax snli squad1 squad2 race dream swag conll"


@pytest.fixture
def lay(tmp_path: Path):
    """Make empty files, or a file in a folder for a name that ends with a slash."""

    def lay_files(*names: str) -> Path:
        for name in names:
            path = tmp_path / (f"{name}1.txt" if name.endswith("/") else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return lay_files


@pytest.fixture(scope="module")
def real_data() -> Path:
    beside = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("ALBATROSS_DATA", beside))
    if not path.is_dir():
        pytest.skip("no folder of published data; set ALBATROSS_DATA to one")
    return path


def test_every_benchmark_is_registered_under_its_name():
    assert list(BENCHMARKS) == NAMES.split()
    assert all(benchmark.name == name for name, benchmark in BENCHMARKS.items())


def test_every_benchmark_has_a_format_and_a_submission_for_each_test():
    for benchmark in BENCHMARKS.values():
        assert benchmark.format in FORMATS
        if benchmark.submission.endswith(".tsv"):
            assert len(benchmark.submission.split()) == len(benchmark.test)


# Figures of each kind's task; F1 needs the two labels of a benchmark.
FIGURES = {
    "classification": {*classification.METRICS, "f1"},
    "regression": regression.METRICS,
    "choice": choice.METRICS,
    "spans": spans.METRICS,
    "tagging": tagging.METRICS,
}


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=list(BENCHMARKS))
def test_every_benchmark_names_a_kind_of_task_and_a_figure_of_it(benchmark):
    assert benchmark.kind in TASK_KINDS
    assert benchmark.metric in FIGURES[benchmark.kind]
    assert benchmark.metric != "f1" or len(benchmark.labels) in (0, 2)


def test_a_name_that_is_no_benchmark_names_those_that_there_are():
    assert benchmark_of("rte") is BENCHMARKS["rte"]
    with pytest.raises(ConfigError, match=r"cola, sst2.*Received: 'glue'"):
        benchmark_of("glue")


@pytest.mark.parametrize("home", ["", "SST-2/", "sst-2/", "glue/SST-2/", "GLUE/SST-2/"])
def test_data_stands_in_its_own_folder_or_below_the_one_of_all(lay, home):
    data = lay(f"{home}train.tsv", f"{home}dev.tsv.gz", f"{home}test.tsv")
    files = find_files(BENCHMARKS["sst2"], data)
    assert files.train == data / home / "train.tsv"
    assert files.dev == {"dev": data / home / "dev.tsv.gz"}
    assert files.test == {"test": data / home / "test.tsv"}


def test_a_benchmarks_folder_goes_before_files_beside_it(lay):
    data = lay("train.tsv", "RTE/train.tsv", "CoLA/dev.tsv")
    assert find_files(BENCHMARKS["rte"], data).train == data / "RTE" / "train.tsv"


def test_a_plain_file_goes_before_a_packed_one(lay):
    data = lay("train.tsv.gz", "train.tsv", "dev.tsv.xz")
    files = find_files(BENCHMARKS["rte"], data)
    assert files.train == data / "train.tsv"
    assert files.dev == {"dev": data / "dev.tsv.xz"}


def test_mnli_has_two_sets_to_develop_on_and_two_to_test(lay):
    names = [f"{part}_{kind}" for part in ("dev", "test") for kind in ("matched", "mismatched")]
    data = lay(*(f"MNLI/{name}.tsv" for name in names))
    files = find_files(BENCHMARKS["mnli"], data)
    assert files.train is None
    assert [*files.dev, *files.test] == names


def test_race_is_folders(lay):
    data = lay("RACE/train/high/", "RACE/train/middle/", "RACE/dev/high/")
    files = find_files(BENCHMARKS["race"], data)
    assert files.train == data / "RACE" / "train"
    assert files.dev == {"dev": data / "RACE" / "dev"}
    assert files.test == {}


def test_the_first_of_a_files_other_names_is_taken(lay):
    data = lay("train.txt", "dev.txt", "valid.txt", "eng.testb")
    files = find_files(BENCHMARKS["conll"], data)
    assert (files.train, files.dev, files.test) == (
        data / "train.txt",
        {"valid": data / "valid.txt"},
        {"eng.testb": data / "eng.testb"},
    )


def test_two_files_that_fit_one_name_are_told(lay):
    data = lay("squad/train-v1.1-b.json", "squad/train-v1.1-a.json.gz")
    with pytest.warns(AlbatrossWarning, match=r"train-v1\.1-b\.json is taken"):
        files = find_files(BENCHMARKS["squad1"], data)
    assert files.train == data / "squad" / "train-v1.1-b.json"


def test_the_published_name_goes_before_others_without_a_word(lay):
    data = lay("train-v1.1.json", "train-v1.1-a.json", "train-v1.1-b.json")
    assert find_files(BENCHMARKS["squad1"], data).train == data / "train-v1.1.json"


def test_the_two_squads_do_not_mix(lay):
    data = lay("squad/train-v1.1.json", "squad/dev-v2.0.json")
    assert find_files(BENCHMARKS["squad1"], data).dev == {}
    assert find_files(BENCHMARKS["squad2"], data).train is None


def test_data_that_is_not_there_is_named_with_what_was_looked_for(lay, tmp_path):
    with pytest.raises(DataError, match=r"`rte` must stand in RTE.*without any of train\.tsv"):
        find_files(BENCHMARKS["rte"], lay("train.txt"))
    with pytest.raises(DataError, match="which is no folder"):
        find_files(BENCHMARKS["rte"], tmp_path / "nowhere")


# === Published data ===

PUBLISHED = {
    "cola": (8551, [522], [1063]),
    "sst2": (67_349, [436], [1821]),
    "mrpc": (3668, [408], []),
    "stsb": (5749, [1500], []),
    "qqp": (8999, [500], []),
    "mnli": (8999, [1000], []),
    "qnli": (9999, [2463], []),
    "rte": (2490, [139], [3000]),
    "snli": (8999, [1000], []),
    "squad2": (3627, [1388], []),
    "race": (3204, [908], []),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_data_is_found_and_read(real_data, name):
    benchmark = BENCHMARKS[name]
    files = find_files(benchmark, real_data)
    assert files.train is not None
    sets = [files.train, *files.dev.values(), *files.test.values()]
    train, dev, test = PUBLISHED[name]
    assert [len(read_records(path, benchmark.format)) for path in sets] == [train, *dev, *test]


def test_a_tagging_set_of_another_name_is_found_in_its_own_folder(real_data):
    files = find_files(BENCHMARKS["conll"], real_data / "wnut17")
    assert files.train == real_data / "wnut17" / "wnut17train.conll.gz"
    assert list(files.dev) == ["emerging.dev"]
