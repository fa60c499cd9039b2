from dataclasses import replace
from pathlib import Path

import pytest

from albatross.errors import ConfigError
from albatross.settings.few_shot import FewShotSettings, usual_patterns

PLAIN = FewShotSettings(Path("model"), Path("out"), train=Path("few.tsv"), method="plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "cloze"}, "neither --unlabeled nor --augment"),
        ({"rounds": 2}, "--rounds 2 without --unlabeled"),
        ({"rounds": 0}, "`--rounds` must lie between 1 and 10"),
        ({"mlm_weight": 1.0}, "`--mlm-weight` must lie between"),
        ({"verbalizer": ("a=b",)}, "`--verbalizer` goes with --method cloze"),
        ({"models": 3}, "`--models` goes with --method cloze"),
        ({"weighting": "equal"}, "`--weighting` goes with --method cloze"),
        ({"pairs": 3}, "`--pairs` goes with --method contrastive"),
        ({"decay": 0.5}, "`--decay` goes with --schedule wsd"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(PLAIN, **changes)


def test_copies_may_take_the_place_of_texts_without_labels():
    assert replace(PLAIN, method="cloze", augment=2).augment == 2


def test_patterns_follow_from_pairs_and_names_of_labels():
    assert usual_patterns(["Good", "bad"], are_pairs=False) == "sentiment"
    assert usual_patterns(["sports", "bad"], are_pairs=False) == "topic"
    assert usual_patterns(["good", "bad"], are_pairs=True) == "pair"
