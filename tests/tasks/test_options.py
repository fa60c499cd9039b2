import pytest

from albatross.errors import ConfigError, LabelError
from albatross.tasks.options import TaskOptions, chosen_metric, index_of, listed, read_back


def test_every_option_that_is_not_used_is_refused_by_name():
    options = TaskOptions(max_length=64, stride=8, beam=True)
    with pytest.raises(ConfigError, match=r"ordinal has no use for `beam`\. Received: True"):
        options.refuse_others("ordinal", "labels")
    options.refuse_others("spans", "beam")


def test_lengths_and_files_are_options_of_every_kind():
    TaskOptions(max_length=9, stride=3, format="text", columns={"text": "a"}).refuse_others("any")


def test_a_stride_is_for_kinds_that_cut():
    with pytest.raises(ConfigError, match="fill-mask has no use for `stride`"):
        TaskOptions(stride=3).refuse_others("fill-mask", cuts=False)


def test_a_metric_is_one_of_the_kinds_own():
    assert (chosen_metric("", ("f1", "exact")), chosen_metric("exact", ("f1", "exact"))) == (
        "f1",
        "exact",
    )
    with pytest.raises(ConfigError, match=r"one of f1, exact\. Received: 'bleu'"):
        chosen_metric("bleu", ("f1", "exact"))


@pytest.mark.parametrize("fault", [KeyError("labels"), TypeError("no list"), ValueError("long")])
def test_what_is_wrong_with_a_stored_task_names_it(fault):
    with (
        pytest.raises(ConfigError, match=r"kind spans .* Received for 'qa': "),
        read_back("spans", "qa"),
    ):
        raise fault


def test_an_unknown_label_names_its_place():
    known = {"a": 0, "b": 1}
    assert index_of("b", known, "line 2") == 1
    with pytest.raises(LabelError, match=r"one of a, b\. Received: 'c' in line 2\. Correct"):
        index_of("c", known, "line 2")
    with pytest.raises(LabelError, match=r"Received: 'c'\. Correct"):
        index_of("c", known, "")


def test_no_more_labels_are_listed_than_a_line_holds():
    assert listed(map(str, range(23))).endswith("18, 19 and 3 more")
