from collections import Counter

import pytest

from albatross.config import AlbertConfig, variant
from albatross.data.sampling import Stage
from albatross.errors import ConfigError
from albatross.training.depths import DepthPlan

BASE = AlbertConfig()


def count(depths):
    assert depths is not None
    return len(depths)


def test_without_stages_and_draws_all_depths_are_applied():
    assert DepthPlan(BASE)(3, 0.5) is None


def test_a_model_grows_from_stage_to_stage():
    plan = DepthPlan(BASE, stages=[Stage(3, 0.25), Stage(6, 0.5)])
    found = [plan(0, fraction) for fraction in (0.0, 0.3, 0.5, 0.9)]
    assert found == [(0, 4, 8), (0, 2, 4, 6, 8, 10), tuple(range(12)), tuple(range(12))]


def test_every_group_takes_part_in_a_shallow_pass():
    config = AlbertConfig(num_hidden_groups=3, inner_group_num=2)
    plan = DepthPlan(config, stages=[Stage(3, 0.5)])
    depths = plan(0, 0.0) or ()
    assert {config.group_of(depth // 2) for depth in depths} == {0, 1, 2}
    assert depths == (0, 1, 8, 9, 16, 17)


def test_random_depth_draws_evenly_from_the_least_to_all_by_seed_and_step():
    plan = DepthPlan(BASE, least=9, seed=3)
    drawn = [plan(step, 0.5) for step in range(4_000)]
    counts = Counter(count(depths) for depths in drawn)
    assert set(counts) == {9, 10, 11, 12}
    assert min(counts.values()) > 900
    assert [DepthPlan(BASE, least=9, seed=3)(step, 0.1) for step in range(50)] == drawn[:50]
    assert [DepthPlan(BASE, least=9, seed=4)(step, 0.1) for step in range(50)] != drawn[:50]


def test_random_depth_stays_below_the_stage():
    plan = DepthPlan(BASE, stages=[Stage(4, 0.5)], least=2)
    assert max(count(plan(step, 0.1)) for step in range(50)) == 4


def test_layers_of_their_own_cannot_be_left_out():
    with pytest.raises(ConfigError, match="need layers that share weights"):
        DepthPlan(variant("bert-base"), least=6)


@pytest.mark.parametrize("options", [{"least": 13}, {"stages": [Stage(13, 0.5)]}])
def test_more_layers_than_there_are_are_refused(options):
    with pytest.raises(ConfigError, match=r"from 1, .* to 12, .*Received: 13"):
        DepthPlan(BASE, **options)


@pytest.mark.parametrize("options", [{"least": 1}, {"stages": [Stage(1, 0.5)]}])
def test_a_depth_at_which_a_group_takes_no_part_is_refused(options):
    """Processes would wait for its gradients."""
    with pytest.raises(ConfigError, match=r"from 2, the model's groups.*Received: 1"):
        DepthPlan(variant("albert-base-v2", num_hidden_groups=2), **options)
