"""From flags to a fold: what is planned, what flags change, and that a plan or splits of one's own are followed."""

import dataclasses
import json

import numpy as np
import pytest
from small_task import write_task

from scnas_keras.data.config import DataConfig
from scnas_keras.data.folds import open_fold
from scnas_keras.errors import ConfigError
from scnas_keras.planning.searched import SupernetNetwork
from scnas_keras.spaces.space import SCNAS

NETWORK = SupernetNetwork(SCNAS, 16)


@pytest.fixture
def config(tmp_path):
    folder = write_task(tmp_path / "task", num_cases=6, shape=(20, 24, 8), spacing=(1.0, 1.0, 2.5))
    return DataConfig(task="custom", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), processes=1, num_folds=3)


def with_flags(config, **flags):
    return open_fold(dataclasses.replace(config, **flags), NETWORK)


def test_prepared_cases_patches_and_spacing_have_the_plans_axes(config):
    fold = open_fold(config, NETWORK)
    assert fold.plans.axes == ("z", "x", "y") and fold.configuration.spacing == (2.5, 1.0, 1.0)
    assert fold.cases["case_0"].shape == (6, 18, 22)  # the box of nonzero voxels
    assert fold.patch_size == (8, 24, 24)
    image, label = fold.sampler("weights", seed=0, augmented=True).sample(0)
    assert image.shape == (8, 24, 24, 2) and label.shape == (8, 24, 24)


def test_flags_are_given_along_x_y_z(config):
    fold = with_flags(config, patch_size=(16, 24, 8), spacing=(1.0, 2.0, 1.0), batch_size=3, foreground_share=0.25)
    assert fold.plans.axes == ("y", "x", "z") and fold.configuration.spacing == (2.0, 1.0, 1.0)
    assert fold.patch_size == (24, 16, 8)
    assert (fold.configuration.batch_size, fold.configuration.foreground_share) == (3, 0.25)


def test_only_training_patches_are_augmented_and_they_follow_the_seed(config):
    fold = with_flags(config, augmentation="v2")
    plain, same, other, augmented = (
        [fold.sampler("validation", seed=seed, augmented=flag).sample(index)[0] for index in range(8)]
        for seed, flag in ((0, False), (0, False), (1, False), (0, True))
    )
    np.testing.assert_array_equal(plain, same)
    assert not np.array_equal(plain, other) and not np.array_equal(plain, augmented)
    unchanged = with_flags(config, augmentation="none").sampler("validation", seed=0, augmented=True)
    np.testing.assert_array_equal(plain, [unchanged.sample(index)[0] for index in range(8)])


def test_a_saved_plan_and_splits_give_the_same_fold_again(config, tmp_path):
    first = with_flags(config, patch_size=(16, 24, 8), batch_size=2, split_seed=5)
    first.save(tmp_path / "run")
    again = with_flags(config, plan=str(tmp_path / "run" / "plans.json"), splits=str(tmp_path / "run" / "splits.json"), split_seed=5)
    assert (again.configuration, again.split, again.digest) == (first.configuration, first.split, first.digest)


def test_an_edited_plan_is_followed(config, tmp_path):
    open_fold(config, NETWORK).save(tmp_path)
    content = json.loads((tmp_path / "plans.json").read_text())
    content["configurations"]["3d_fullres"] |= {"spacing": [5.0, 1.0, 1.0], "normalization_schemes": ["NoNormalization", "ZScoreNormalization"]}
    (tmp_path / "plans.json").write_text(json.dumps(content))
    fold = with_flags(config, plan=str(tmp_path / "plans.json"))
    assert fold.cases["case_0"].shape == (3, 18, 22)
    assert fold.cases["case_0"].image()[..., 0].max() > 50 > fold.cases["case_0"].image()[..., 1].max()


def test_what_a_network_can_not_take_is_refused(config, tmp_path):
    open_fold(config, NETWORK).save(tmp_path)
    with pytest.raises(ConfigError, match="--configuration=2d.*has 3d_fullres"):
        with_flags(config, configuration="2d")
    for patch, advice in (((20, 24, 8), "instead of 20 use 16 or 24"), ((8, 8), "has 3 sizes"), ((8, 8, 0), "instead of 0 use 8")):
        with pytest.raises(ConfigError, match=advice):
            with_flags(config, patch_size=patch)
    content = json.loads((tmp_path / "plans.json").read_text())
    content["configurations"]["3d_fullres"] |= {"patch_size": [6, 24, 24], "strides": [[1, 1, 1]], "kernel_sizes": [[3, 3, 3]], "features_per_stage": [8]}
    (tmp_path / "plans.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"patch_size \[6, 24, 24\] doesn't suit a supernet network; make it \[8, 24, 24\]"):
        with_flags(config, plan=str(tmp_path / "plans.json"))


@pytest.mark.parametrize("flags", [{"memory_gb": 0.0}, {"spacing": (1.0, 0.0, 1.0)}, {"mirror_axes": "w"}, {"group_pattern": "("}])
def test_bad_flags_are_refused_before_a_scan_is_prepared(config, tmp_path, flags):
    with pytest.raises(ConfigError, match=f"--{next(iter(flags))}|spacing"):
        with_flags(config, **flags)
    assert not (tmp_path / "cache").exists()
