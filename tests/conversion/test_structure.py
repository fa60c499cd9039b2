"""Layers merged, un-shared and grown."""

from dataclasses import replace

import numpy as np
import pytest

from albatross.config import unshared
from albatross.conversion.structure import plain, restructure
from albatross.errors import ConfigError


def floats(array):
    return np.asarray(array, np.float32)


QUERY = "albert.encoder.albert_layer_groups.{}.albert_layers.0.attention.query.weight"


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("inner", [1, 2])
def test_more_groups_compute_exactly_the_same(tiny, arrays_of, outputs, groups, inner):
    config = replace(tiny, inner_group_num=inner)
    arrays = arrays_of(config)
    grown = restructure(config, arrays, groups=groups)
    assert grown.preserving
    assert grown.config.num_hidden_groups == groups
    np.testing.assert_array_equal(outputs(grown.config, grown.arrays), outputs(config, arrays))


def test_nothing_asked_for_changes_nothing(tiny, arrays_of):
    arrays = arrays_of(tiny)
    same = restructure(tiny, arrays)
    assert (same.config, same.preserving) == (tiny, True)
    assert same.arrays.keys() == arrays.keys()


def test_merged_layers_are_the_mean_of_the_old_ones(tiny, arrays_of):
    config = replace(tiny, num_hidden_groups=4)
    arrays = arrays_of(config)
    merged = restructure(config, arrays, groups=2)
    first, second = arrays[QUERY.format(2)], arrays[QUERY.format(3)]
    np.testing.assert_allclose(
        floats(merged.arrays[QUERY.format(1)]), (first + second) / 2, rtol=1e-6
    )
    assert not merged.preserving


def test_a_mean_counts_how_often_each_layer_was_used(tiny, arrays_of):
    config = replace(tiny, num_hidden_groups=2, num_hidden_layers=6)
    arrays = arrays_of(config)
    merged = restructure(config, arrays, groups=1, layers=3)
    first, second = arrays[QUERY.format(0)], arrays[QUERY.format(1)]
    np.testing.assert_allclose(
        floats(merged.arrays[QUERY.format(0)]), (first * 2 + second) / 3, rtol=1e-5
    )


@pytest.mark.parametrize(("merge", "layer"), [("first", 0), ("middle", 2), ("last", 3)])
def test_a_layer_can_be_picked(tiny, arrays_of, merge, layer):
    config = replace(tiny, num_hidden_groups=4)
    arrays = arrays_of(config)
    picked = restructure(config, arrays, groups=1, merge=merge)
    np.testing.assert_array_equal(picked.arrays[QUERY.format(0)], arrays[QUERY.format(layer)])


def test_a_shared_model_grows_in_depth_without_new_weights(tiny, arrays_of):
    arrays = arrays_of(tiny)
    deeper = restructure(tiny, arrays, layers=7)
    assert (deeper.config.num_hidden_layers, deeper.config.num_hidden_groups) == (7, 1)
    assert all(np.array_equal(deeper.arrays[name], array) for name, array in arrays.items())
    assert not deeper.preserving


def test_an_unshared_model_grows_in_depth_by_copies(tiny, arrays_of):
    config = unshared(tiny)
    arrays = arrays_of(config)
    deeper = restructure(config, arrays, layers=8)
    assert (deeper.config.num_hidden_groups, deeper.config.cross_layer_sharing) == (8, "none")
    for layer in range(8):
        np.testing.assert_array_equal(
            deeper.arrays[QUERY.format(layer)], arrays[QUERY.format(layer // 2)]
        )


def test_residuals_of_full_rank_keep_the_function_of_a_bert(tiny, arrays_of, outputs):
    config = unshared(tiny)
    arrays = arrays_of(config)
    merged = restructure(config, arrays, groups=1, depth_lora_rank=config.hidden_size)
    assert (merged.config.num_hidden_groups, merged.preserving) == (1, True)
    found, wanted = outputs(merged.config, merged.arrays), outputs(config, arrays)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_a_higher_rank_comes_nearer(tiny, arrays_of, outputs):
    config = unshared(tiny)
    arrays = arrays_of(config)
    wanted = outputs(config, arrays)
    errors = []
    for rank in (0, 4, 8, 12, 16):
        merged = restructure(config, arrays, groups=1, depth_lora_rank=rank)
        errors.append(np.abs(outputs(merged.config, merged.arrays) - wanted).mean())
    assert errors[-1] < 1e-4 < errors[0]
    assert errors[3] < errors[1]


@pytest.mark.parametrize("name", ["attention.query", "ffn", "ffn_output"])
def test_residuals_are_the_nearest_of_their_rank(tiny, arrays_of, name):
    config = replace(tiny, num_hidden_groups=4)
    arrays = arrays_of(config)
    merged = restructure(config, arrays, groups=1, depth_lora_rank=3).arrays
    layer = "albert.encoder.albert_layer_groups.{}.albert_layers.0." + name + ".weight"
    residual = "albert.encoder.depth_residuals.2." + name + ".lora_{}.weight"
    difference = arrays[layer.format(2)] - merged[layer.format(0)]
    left, values, right = np.linalg.svd(difference, full_matrices=False)
    best = (left[:, :3] * values[:3]) @ right[:3]
    product = floats(merged[residual.format("B")]) @ floats(merged[residual.format("A")])
    np.testing.assert_allclose(product, best, atol=1e-5)


def test_residuals_go_along_when_groups_and_depth_grow(tiny, arrays_of, outputs):
    config = replace(tiny, depth_lora_rank=2)
    arrays = arrays_of(config)
    grown = restructure(config, arrays, groups=2)
    assert (grown.config.depth_lora_rank, grown.preserving) == (2, True)
    np.testing.assert_array_equal(outputs(grown.config, grown.arrays), outputs(config, arrays))
    deeper = restructure(config, arrays, layers=8)
    name = "albert.encoder.depth_residuals.{}.ffn.lora_A.weight"
    np.testing.assert_array_equal(deeper.arrays[name.format(7)], arrays[name.format(3)])


@pytest.mark.parametrize(
    "values",
    [
        {"depth_lora_rank": 2},
        {"cross_layer_sharing": "attention"},
        {"cross_layer_sharing": "ffn", "inner_group_num": 2},
    ],
    ids=str,
)
def test_plain_layers_compute_the_same(tiny, arrays_of, outputs, values):
    config = replace(tiny, **values)
    arrays = arrays_of(config)
    whole = plain(config, arrays)
    assert whole.config.is_transformers_albert
    np.testing.assert_allclose(
        outputs(whole.config, whole.arrays), outputs(config, arrays), atol=2e-5
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"groups": 3}, "must be divisible"),
        ({"groups": 1, "depth_lora_rank": 17}, "at most the hidden size"),
        ({"groups": 4, "depth_lora_rank": 2}, "Give `--groups 1`"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(tiny, arrays_of, asked, words):
    config = replace(tiny, num_hidden_groups=4)
    with pytest.raises(ConfigError, match=words):
        restructure(config, arrays_of(config), **asked)
