"""From flags to a fold: what is planned, what flags change, and that a plan or splits of one's own are followed."""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from small_task import change, write_task
from some_spaces import FLAT, SCNAS, uniform_genotype

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.runs.before import check_flags
from scnas_keras.runs.data_config import DataConfig
from scnas_keras.runs.folds import open_fold, open_task
from scnas_keras.runs.run_data import check_data_files
from scnas_keras.tasks.split_files import FoldNames, write_splits

NETWORK = SupernetNetwork(SCNAS, 16)


@pytest.fixture
def config(tmp_path):
    folder = write_task(tmp_path / "task", num_cases=6, shape=(20, 24, 8), spacing=(1.0, 1.0, 2.5))
    return DataConfig(task="custom", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), processes=1, num_folds=3)


def with_flags(config, **flags):
    fold = flags.pop("fold", 0)
    return open_fold(dataclasses.replace(config, **flags), NETWORK, fold)


def test_prepared_cases_patches_and_spacing_have_the_plans_axes(config):
    fold = open_fold(config, NETWORK)
    assert fold.plans.axes == ("z", "x", "y") and fold.configuration.spacing == (2.5, 1.0, 1.0)
    assert fold.cases["case_0"].shape == (6, 18, 22)  # the box of nonzero voxels
    assert fold.patch_size == (8, 24, 24)
    image, label = fold.sampler("train", seed=0, augmented=True).sample(0)
    assert image.shape == (8, 24, 24, 2) and label.shape == (8, 24, 24)


@pytest.mark.parametrize(
    "name, named", [("Task04_Hippocampus", "hippocampus"), ("Task10_Intestines", "colon"), ("Study", None), ("Heart", None)]
)
def test_another_organs_folder_is_told(config, tmp_path, caplog, name, named):
    (tmp_path / "task").rename(tmp_path / name)
    open_task(dataclasses.replace(config, task="heart", data_dir=str(tmp_path / name)))
    told = [line for line in caplog.messages if "--task=heart" in line]
    assert len(told) == (named is not None) and all(f"that of --task={named}" in line for line in told)


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


def test_an_epoch_takes_a_patch_of_each_case_or_slice(config):
    fold = with_flags(config)
    assert fold.patches_of_epoch("train", "held_out") == len(fold.part("train", "held_out")) == 4
    flat = open_fold(dataclasses.replace(config, configuration="2d"), NNUNet(4))
    assert flat.patches_of_epoch("train", "held_out") == 4 * 6  # of 8 slices cropping leaves 6


def test_an_edited_plan_is_followed(config, tmp_path):
    open_fold(config, NETWORK).save(tmp_path)
    content = json.loads((tmp_path / "plans.json").read_text())
    content["configurations"]["3d_fullres"] |= {
        "spacing": [5.0, 1.0, 1.0],
        "normalization_schemes": ["NoNormalization", "ZScoreNormalization"],
    }
    (tmp_path / "plans.json").write_text(json.dumps(content))
    fold = with_flags(config, plan=str(tmp_path / "plans.json"))
    assert fold.cases["case_0"].shape == (3, 18, 22)
    assert fold.cases["case_0"].image()[..., 0].max() > 50 > fold.cases["case_0"].image()[..., 1].max()


def test_what_a_network_can_not_take_is_refused(config, tmp_path):
    open_fold(config, NETWORK).save(tmp_path)
    with pytest.raises(
        ConfigError, match="--configuration=nonsense: the plan of Small has none. Name what it has: --configuration=3d_full"
    ):
        with_flags(config, configuration="nonsense")
    for patch, advice in (((20, 24, 8), "instead of 20 use 16 or 24"), ((8, 8), "has 3 sizes"), ((8, 8, 0), "instead of 0 use 8")):
        with pytest.raises(ConfigError, match=advice):
            with_flags(config, patch_size=patch)
    content = json.loads((tmp_path / "plans.json").read_text())
    content["configurations"]["3d_fullres"] |= {
        "patch_size": [6, 24, 24],
        "strides": [[1, 1, 1]],
        "kernel_sizes": [[3, 3, 3]],
        "features_per_stage": [8],
    }
    (tmp_path / "plans.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"patch_size \[6, 24, 24\] doesn't suit a supernet network; make it \[8, 24, 24\]"):
        with_flags(config, plan=str(tmp_path / "plans.json"))
    with pytest.raises(ConfigError, match=r"patch_size \[6, 24, 24\] doesn't suit a supernet"):  # also before the scans are looked at
        check_flags(dataclasses.replace(config, plan=str(tmp_path / "plans.json")), NETWORK)
    check_flags(dataclasses.replace(config, plan=str(tmp_path / "plans.json"), patch_size=(8, 24, 24)), NETWORK)


@pytest.mark.parametrize("by_plan", [False, True])
def test_a_network_of_other_axes_than_the_patches_is_refused_with_both(config, tmp_path, by_plan):
    """Before the scans are measured; nnU-Net's networks take patches of either number of axes."""
    flat = DerivedNetwork(FLAT, 16, uniform_genotype("conv_3", FLAT))
    if by_plan:
        open_fold(config, NNUNet(4)).save(tmp_path)
        config = dataclasses.replace(config, plan=str(tmp_path / "plans.json"))
    for network, name, rank, other, better in ((flat, "3d_fullres", 3, 2, "2d"), (NETWORK, "2d", 2, 3, "3d_fullres")):
        message = f"={name} has {rank}D patches, and this {network.name} network takes {other}D ones.*--configuration={better}"
        for patch_size in (None, (8, 8), (8, 8, 8)):
            with pytest.raises(ConfigError, match=message):
                open_fold(dataclasses.replace(config, configuration=name, patch_size=patch_size), network)
    assert (tmp_path / "cache").exists() == by_plan
    assert len(open_fold(dataclasses.replace(config, configuration="2d"), flat).patch_size) == 2


def test_flags_over_a_plan_file_are_told(config, tmp_path, caplog):
    open_fold(config, NETWORK).save(tmp_path)
    file = str(tmp_path / "plans.json")
    with_flags(config, plan=file, memory_gb=7.0)
    assert not [message for message in caplog.messages if file in message]
    fold = with_flags(config, plan=file, batch_size=3, patch_size=(16, 24, 8), spacing=(9.0, 9.0, 9.0))
    assert (fold.configuration.batch_size, fold.patch_size, fold.configuration.spacing) == (3, (8, 16, 24), (2.5, 1.0, 1.0))
    told = "\n".join(caplog.messages)
    assert "by --batch_size, 3 is used. --batch_size=auto leaves it to the plan" in told
    assert "patch_size is (8, 24, 24)" in told and "decides what --spacing would" in told


@pytest.mark.parametrize(
    "change, message",
    [
        ({"axes": ["0", "1", "2"]}, "axes 0, 1, 2 of a fingerprint that doesn't say how a patient lies.*Expected axes z, x, y"),
        ({"transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2]}, "axes and transpose_forward disagree. Expected axes x, y, z"),
        ({"channel_names": ["T2", "T1"]}, "is for the channels T2, T1, and .* has T1, T2"),
    ],
)
def test_a_plan_of_other_scans_is_refused(config, tmp_path, change, message):
    open_fold(config, NETWORK).save(tmp_path)
    content = json.loads((tmp_path / "plans.json").read_text())
    (tmp_path / "plans.json").write_text(json.dumps(content | change))
    with pytest.raises(ConfigError, match=message):
        with_flags(config, plan=str(tmp_path / "plans.json"))


def test_a_run_keeps_the_plan_that_it_was_begun_with(config, tmp_path):
    fold = open_fold(config, NETWORK)
    fold.save(tmp_path)
    before = (tmp_path / "plans.json").read_text()
    fold.save(tmp_path)
    with pytest.raises(DataError, match="plans.json: this run was begun with another plan"):
        with_flags(config, batch_size=7).save(tmp_path)
    assert (tmp_path / "plans.json").read_text() == before


def test_a_run_with_other_folds_is_refused_before_anything_is_written(config, tmp_path):
    """Runs of the version before have no data.json, and the digest in their checkpoints isn't compared."""
    names, run = [f"case_{index}" for index in range(6)], tmp_path / "run"
    given = [FoldNames((*names[:4],), (*names[4:],)), FoldNames((*names[2:],), (*names[:2],))]
    write_splits(tmp_path / "given.json", given)
    config = dataclasses.replace(config, splits=str(tmp_path / "given.json"))
    open_fold(config, NETWORK).save(run)
    (run / "data.json").unlink()
    before = {file: file.read_bytes() for file in run.iterdir()}
    write_splits(tmp_path / "given.json", [FoldNames((*names[:3], "case_5"), ("case_3", "case_4")), given[1]])
    moved = "fold 0 now trains on case_5, fold 0 no longer trains on case_3, fold 0 now validates case_3, fold 0 no longer validates case_5"
    with pytest.raises(DataError, match=f"{run}/splits.json: this run was begun with another split.*: {moved}[.].*Nothing was changed"):
        open_fold(config, NETWORK).save(run)
    write_splits(tmp_path / "given.json", given[:1])
    with pytest.raises(DataError, match="there are 1 folds instead of 2"):
        open_fold(config, NETWORK).save(run)
    assert {file: file.read_bytes() for file in run.iterdir()} == before
    write_splits(tmp_path / "given.json", given)
    again = open_fold(config, NETWORK)
    again.check(run)
    (run / "splits.json").write_text("edited")
    with pytest.raises(DataError, match="splits.json.*Restore it from a copy, or name another --workdir"):
        again.save(run)


def test_a_run_goes_on_with_equal_files_wherever_they_lie_and_names_those_that_differ(config, tmp_path):
    run, first = tmp_path / "run", open_fold(config, NETWORK)
    first.save(run)
    os.utime(tmp_path / "task" / "labelsTr" / "case_0.nii.gz", ns=(0, 12345))
    shutil.copytree(tmp_path / "task", tmp_path / "copy")
    for place in ("task", "copy"):
        again = with_flags(config, data_dir=str(tmp_path / place))
        again.check(run)
        assert again.digest == first.digest and again.files == first.files
    change(tmp_path / "copy" / "labelsTr" / "case_2.nii.gz", lambda array: array.__setitem__(slice(5, 9), 1))
    with pytest.raises(DataError, match=r"data.json: this run was begun with other data: labelsTr/case_2.nii.gz has changed\. .*Restore"):
        with_flags(config, data_dir=str(tmp_path / "copy")).save(run)
    with pytest.raises(DataError, match="imagesTr/case_0.nii.gz has changed, the case case_1 is gone"):
        check_data_files(
            run, {"case_0": {"imagesTr/case_0.nii.gz": "x", "y": list(first.files["case_0"].values())[1]}} | _without(first, 1)
        )
    (run / "data.json").write_text("null")
    with pytest.raises(DataError, match="data.json: found null, expected an object.*another --workdir"):
        first.check(run)


def _without(fold, *numbers):
    return {name: found for name, found in fold.files.items() if name not in {"case_0", *(f"case_{number}" for number in numbers)}}


def test_a_runs_digest_changes_with_all_that_a_fold_depends_on(config, tmp_path):
    parts = ({}, {"fold": 1}, {"fold": "all"}, {"split_seed": 1})
    patches = ({"patch_size": (8, 8, 8)}, {"batch_size": 5}, {"mirror_axes": "z"}, {"foreground_share": 0.1}, {"augmentation": "none"})
    changes = (*parts, *patches, {"spacing": (1.0, 1.0, 2.0)}, {"plan": "scnas", "patch_size": (8, 8, 8)})
    digests = [with_flags(config, **dict(flags)).digest for flags in changes]
    assert len(set(digests)) == len(changes) and with_flags(config).digest == digests[0]


@pytest.mark.parametrize(
    "flags", [{"memory_gb": 0.0}, {"memory_gb": float("inf")}, {"spacing": (1.0, 0.0, 1.0)}, {"mirror_axes": "w"}, {"group_pattern": "("}]
)
def test_bad_flags_are_refused_before_a_scan_is_prepared(config, tmp_path, flags):
    with pytest.raises(ConfigError, match=f"--{next(iter(flags))}="):
        with_flags(config, **flags)
    assert not (tmp_path / "cache").exists()


def test_without_a_home_the_cache_has_to_be_named(monkeypatch):
    monkeypatch.delenv("SCNAS_CACHE_DIR", raising=False)

    def homeless(path):
        raise RuntimeError

    monkeypatch.setattr(pathlib.Path, "expanduser", homeless)
    with pytest.raises(ConfigError, match="name a folder for .* with --cache_dir"):
        _ = DataConfig().cache_folder


def test_a_sampler_has_what_the_plan_says(config):
    fold = with_flags(config, foreground_share=0.25)
    sampler = fold.sampler("train", seed=0, augmented=True)
    assert sampler.foreground_share == 0.25 and sampler._spacing == fold.plan.spacing == (2.5, 1.0, 1.0)
    assert fold.plan.mask_channels == (True, True) and sampler._masked == [0, 1]
