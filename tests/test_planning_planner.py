"""Plans against nnU-Net's own, and the rules by hand."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from small_task import REAL_DATA
from some_spaces import SCNAS

from scnas_keras.architectures.auto_deeplab import AutoDeepLab
from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.resenc import ResidualEncoderUNet
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.planning.checks import warn_of_memory
from scnas_keras.planning.planner import Wishes, make_plans
from scnas_keras.planning.rules import target_spacing
from scnas_keras.preprocessing.fingerprint import Fingerprint, Intensities, load_fingerprint

NETWORKS = {
    "ExperimentPlanner": NNUNet(),
    "nnUNetPlannerResEncM": ResidualEncoderUNet("m"),
    "nnUNetPlannerResEncL": ResidualEncoderUNet("l"),
    "nnUNetPlannerResEncXL": ResidualEncoderUNet("xl"),
}
GOLDEN = sorted((REAL_DATA.parent / "reference" / "nnunet_plans").glob("*.json"))
# Random datasets, and what nnU-Net 2.8.1's planners make of them.
RANDOM = json.loads((Path(__file__).parent / "data" / "nnunet_plans.json").read_text())
CT = Intensities(max=1000.0, mean=40.0, median=50.0, min=-900.0, percentile_00_5=-500.0, percentile_99_5=300.0, std=120.0)


def fingerprint(shapes, spacings, channels=("MRI",), relative_size=1.0, labels=None, count=None):
    labels = labels or {"background": 0, "tumour": 1}
    intensities = tuple(CT for _ in channels)
    return Fingerprint(
        "Made",
        tuple(channels),
        labels,
        count or len(shapes),
        tuple(map(tuple, spacings)),
        tuple(map(tuple, shapes)),
        relative_size,
        intensities,
    )


MEASURED = ("spacing", "median_image_size_in_voxels")
WITHOUT_COUNTERPART = {"n_stages": "how many strides there are, and those are compared"}
"""Keys of nnU-Net's configurations that ours lack, and why."""


def assert_equal_plans(plans, transpose, expected):
    found = json.loads(plans.to_json())
    assert found["transpose_forward"] == transpose
    assert set(found["configurations"]) == set(expected)
    for name, entries in expected.items():
        ours = found["configurations"][name]
        compared = entries.keys() - WITHOUT_COUNTERPART.keys()
        assert compared <= ours.keys(), f"{name}: no counterpart of {sorted(compared - ours.keys())}"
        for key in compared - set(MEASURED):
            assert ours[key] == entries[key], (name, key)
        for key in compared & set(MEASURED):
            np.testing.assert_allclose(ours[key], entries[key], rtol=1e-6, err_msg=f"{name}, {key}")


@pytest.mark.skipif(not GOLDEN, reason="the reference plans of nnU-Net aren't here")
@pytest.mark.parametrize(
    "key, network",
    [("plans", NNUNet()), ("residual_encoder_M", ResidualEncoderUNet("m")), ("residual_encoder_L", ResidualEncoderUNet("l"))],
)
@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_plans_of_real_datasets_are_those_of_nnunet(file, key, network):
    reference = json.loads(file.read_text())
    assert_equal_plans(make_plans(load_fingerprint(file), network), reference["transpose_forward"], reference[key])


def test_a_key_that_ours_lack_is_no_equal_plan():
    plans = make_plans(fingerprint([(200, 180, 140)] * 3, [(1, 1, 1)] * 3), NNUNet())
    expected = {name: configuration.to_dict() for name, configuration in plans.configurations.items()}
    expected["2d"]["unheard_of"] = 1
    with pytest.raises(AssertionError, match="2d: no counterpart of .'unheard_of'"):
        assert_equal_plans(plans, list(plans.transpose_forward), expected)


@pytest.mark.parametrize("index", range(len(RANDOM)))
def test_plans_of_random_datasets_are_those_of_nnunet(index):
    dataset, measured = RANDOM[index]["dataset_json"], RANDOM[index]["fingerprint"]
    names = [dataset["channel_names"][key] for key in sorted(dataset["channel_names"], key=int)]
    made = fingerprint(
        measured["shapes_after_crop"],
        measured["spacings"],
        names,
        measured["median_relative_size_after_cropping"],
        dataset["labels"],
        dataset["numTraining"],
    )
    for run in RANDOM[index]["runs"]:
        plans = make_plans(made, NETWORKS[run["planner"]], wishes=Wishes(run["memory_gb"], run["spacing"]))
        assert_equal_plans(plans, run["transpose_forward"], run["configurations"])


def test_a_coarse_short_axis_takes_its_tenth_percentile_but_nothing_finer_than_the_others():
    spacings = [(0.5, 0.5, thick) for thick in (2, 4, 5, 5, 6)]
    thin = fingerprint([(300, 300, 20)] * 5, spacings)
    np.testing.assert_allclose(target_spacing(thin), (0.5, 0.5, np.percentile([2, 4, 5, 5, 6], 10)))
    long = fingerprint([(300, 300, 200)] * 5, spacings)
    np.testing.assert_allclose(target_spacing(long), (0.5, 0.5, 5))
    finer = fingerprint([(300, 300, 20)] * 5, [(1.5, 1.5, thick) for thick in (0.2, 0.2, 5, 5, 6)])
    np.testing.assert_allclose(target_spacing(finer), (1.5, 1.5, 1.5 + 1e-5))


def test_the_coarsest_axis_comes_first_and_preprocessing_knows():
    made = fingerprint([(200, 180, 40)] * 3, [(0.7, 0.8, 3.0)] * 3, ("CT", "MRI"), relative_size=0.5)
    plans = make_plans(made, NNUNet())
    assert (plans.transpose_forward, plans.axes) == ((2, 0, 1), ("z", "x", "y"))
    assert plans.configuration("3d_fullres").spacing == (3.0, 0.7, 0.8)
    plan = plans.preprocessing("3d_fullres", {0: "background", 1: "tumour"})
    assert (plan.spacing, plan.transpose) == ((3.0, 0.7, 0.8), (2, 0, 1))
    ct, mri = plan.channels
    assert (ct.scheme, ct.use_mask, ct.low, ct.high, ct.mean, ct.std) == ("ct", False, -500, 300, 40, 120)
    assert (mri.scheme, mri.use_mask, mri.low) == ("zscore", True, None)
    assert plans.preprocessing("2d", {0: "background", 1: "tumour"}).spacing == (None, 0.7, 0.8)


def papers(made, network=SupernetNetwork(SCNAS, 48), **wishes):
    plans = make_plans(made, network, "scnas", Wishes(**wishes))
    assert list(plans.configurations) == ["3d_fullres"]
    return plans.configuration("3d_fullres")


def test_the_papers_setting():
    """SCNAS, section 3: 0.7 mm, resampled and then z-normalised channel by channel, CT too, patches anywhere in the nonzero region."""
    made = fingerprint([(138, 170, 138)] * 10, [(1.0, 1.0, 1.0)] * 10, ("CT", "T1"), relative_size=0.7)
    found = papers(made)
    assert (found.spacing, found.batch_size, found.foreground_share) == ((0.7, 0.7, 0.7), 1, 0.0)
    assert found.normalization_schemes == ("ZScoreAfterResampling",) * 2 and found.use_mask_for_norm == (True, True)
    assert papers(dataclasses.replace(made, relative_size=0.8)).use_mask_for_norm == (False, False)
    nnunet = make_plans(made, NNUNet(), wishes=Wishes(augmentation="2018")).configuration("3d_fullres")
    kinds = [[type(transform) for transform in one.augmentation.transforms] for one in (found, nnunet)]
    assert kinds[0] == kinds[1] and found.augmentation.mirror_axes == (0, 1, 2)


@pytest.mark.parametrize(
    "shape, patch",
    [
        ((300, 300, 300), (128, 128, 128)),
        ((360, 360, 115), (192, 192, 56)),  # 187.5 x 187.5 x 59.9 has 128^3 voxels, 192 x 192 x 64 more
        ((138, 170, 138), (120, 144, 120)),  # brain: 197 x 243 x 197 at 0.7 mm, 119.2 x 147.1 x 119.2
        ((36, 50, 35), (56, 72, 56)),  # a whole scan of 51 x 71 x 50
    ],
)
def test_the_papers_patch_is_of_the_median_scans_proportions_and_has_128_cubed_voxels_at_most(shape, patch):
    assert papers(fingerprint([shape] * 3, [(0.7 if max(shape) > 200 else 1.0,) * 3] * 3)).patch_size == patch
    assert np.prod(patch) <= 128**3


def test_the_papers_patch_is_smaller_where_the_memory_is_told():
    made = fingerprint([(300, 300, 300)] * 3, [(0.7,) * 3] * 3)
    network = SupernetNetwork(SCNAS, 48)
    found = papers(made, memory_gb=6)
    assert max(found.patch_size) < 128 and network.elements(found.topology, 1, 2) <= network.reference(3).elements_for(6)
    with pytest.raises(ConfigError, match="--memory_gb=1 is too little to train supernet"):
        papers(made, memory_gb=1)


@pytest.mark.parametrize("network", [SupernetNetwork(SCNAS, 16), SupernetNetwork(SCNAS, 48), DerivedNetwork(SCNAS, 64)])
def test_searched_networks_fill_the_memory_and_no_more(network):
    made = fingerprint([(300, 300, 200)] * 40, [(0.8, 0.8, 1.0)] * 40)
    batches, voxels = [], []
    for memory in (4, 8, 24):
        found = make_plans(made, network, wishes=Wishes(memory)).configuration("3d_fullres")
        assert all(size % 8 == 0 for size in found.patch_size)
        elements = network.elements(found.topology, 1, 2) * found.batch_size
        assert elements <= network.reference(3).elements_for(memory)
        assert network.reference(3).gigabytes_for(network.elements(found.topology, 1, 2), found.batch_size) <= memory * (1 + 1e-9)
        voxels.append(np.prod(found.patch_size) * found.batch_size)
        batches.append(found.batch_size)
    assert voxels == sorted(voxels) and voxels[0] < voxels[-1]
    assert max(batches) <= network.largest_batch


def test_too_little_memory_and_2d_images_for_a_3d_network_are_refused():
    made = fingerprint([(300, 300, 200)] * 40, [(0.8, 0.8, 1.0)] * 40)
    with pytest.raises(ConfigError, match="--memory_gb=1 is too little to train supernet"):
        make_plans(made, SupernetNetwork(SCNAS, 48), wishes=Wishes(memory_gb=1))
    with pytest.raises(ConfigError, match="--memory_gb=1.701 is too little to train auto_deeplab"):  # which has a least patch
        make_plans(made, AutoDeepLab(), wishes=Wishes(memory_gb=1.701))
    flat = fingerprint([(300, 300, 1)] * 40, [(1, 1, 999)] * 40)
    assert list(make_plans(flat, NNUNet()).configurations) == ["2d"]
    with pytest.raises(ConfigError, match="Made holds 2D images, and a supernet network is for 3D scans"):
        make_plans(flat, SupernetNetwork(SCNAS, 48))
    with pytest.raises(ConfigError, match="--plan=scnas is for 3D scans"):
        make_plans(flat, NNUNet(), rules="scnas")


def test_left_and_right_classes_are_not_mirrored():
    made = fingerprint([(200, 180, 40)] * 3, [(0.7, 0.8, 3.0)] * 3, labels={"background": 0, "left kidney": 1, "right kidney": 2})
    plans = make_plans(made, NNUNet())
    assert plans.configuration("3d_fullres").augmentation.mirror_axes == (0, 2)  # z and y of z, x, y
    assert plans.configuration("2d").augmentation.mirror_axes == (1,)
    wished = make_plans(made, NNUNet(), wishes=Wishes(mirror_axes="x,z"))
    assert wished.configuration("3d_fullres").augmentation.mirror_axes == (0, 1)


def test_axes_of_other_names_and_order():
    """A fingerprint in z, y, x gives the same plan; one of nnU-Net's doesn't say which axis is left to right."""
    labels = {"background": 0, "left kidney": 1, "right kidney": 2}
    made = fingerprint([(200, 180, 40)] * 3, [(0.7, 0.8, 3.0)] * 3, labels=labels)
    turned = dataclasses.replace(made, axes=("z", "y", "x"), shapes=((40, 180, 200),) * 3, spacings=((3.0, 0.8, 0.7),) * 3)
    for wishes in (Wishes(), Wishes(spacing=(0.5, 1.0, 2.0)), Wishes(spacing=(2.0, 1.0, 0.5), mirror_axes="x")):
        found, plain = (make_plans(one, NNUNet(), wishes=wishes) for one in (turned, made))
        assert found.axes[0] == plain.axes[0]
        for plans in (found, plain):
            spacing = dict(zip(plans.axes, plans.configuration("3d_fullres").spacing))
            assert spacing == dict(zip("xyz", wishes.spacing or (0.7, 0.8, 3.0)))
            mirrored = {plans.axes[axis] for axis in plans.configuration("3d_fullres").augmentation.mirror_axes}
            assert mirrored == ({"x"} if wishes.mirror_axes == "x" else {"y", "z"})
    unnamed = make_plans(dataclasses.replace(made, axes=("0", "1", "2")), NNUNet(), wishes=Wishes(spacing=(1.0, 2.0, 3.0)))
    assert unnamed.configuration("3d_fullres").spacing == (3.0, 1.0, 2.0)
    assert unnamed.configuration("3d_fullres").augmentation.mirror_axes == ()


@pytest.mark.parametrize(
    "spacing, shape",
    [((1e4, 1e-3, 1), (5, 5, 5)), ((1e-6, 1e-6, 1e4), (3, 900, 9)), ((1, 1, 1), (2, 2, 900_000)), ((40, 1, 1), (2, 9000, 9000))],
)
@pytest.mark.parametrize("network", [NNUNet(), ResidualEncoderUNet("l"), DerivedNetwork(SCNAS, 16)])
def test_odd_scans_get_patches_of_a_voxel_at_least(network, spacing, shape):
    plans = make_plans(fingerprint([shape], [spacing]), network, wishes=Wishes(memory_gb=4))
    for configuration in plans.configurations.values():
        assert min(configuration.patch_size) >= 1 and configuration.batch_size >= 1


def test_thin_scans_leave_the_reduction_to_the_other_axes():
    """Six slices are one patch of eight, which a searched network can't make any thinner."""
    made = fingerprint([(400, 400, 6)] * 20, [(0.8, 0.8, 8.0)] * 20)
    patch = make_plans(made, DerivedNetwork(SCNAS, 64), wishes=Wishes(4)).configuration("3d_fullres").patch_size
    assert patch[0] == 8 and 8 < patch[1] < 400 and abs(patch[1] - patch[2]) <= 8


def test_a_batch_that_takes_more_than_the_memory_is_warned_of(caplog):
    made = fingerprint([(210, 210, 210)] * 10, [(1.0, 1.0, 1.0)] * 10)
    network = DerivedNetwork(SCNAS, 64)
    plans = make_plans(made, network, "scnas")
    configuration = plans.configuration("3d_fullres")
    warn_of_memory(configuration, network, plans, 1000)
    assert not caplog.messages
    warn_of_memory(configuration, network, plans, 8)
    need = network.reference(3).gigabytes_for(network.elements(configuration.topology, 1, 2), 1)
    assert (
        f"1 patches of 128x128x128 voxels takes about {need:.0f} GiB to train a genotype network, more than --memory_gb=8"
        in caplog.messages[0]
    )


def test_labels_count_as_heads():
    many = dataclasses.replace(fingerprint([(200, 180, 140)] * 3, [(1, 1, 1)] * 3), labels={str(value): value for value in range(100)})
    few = dataclasses.replace(many, labels={"background": 0, "tumour": 1})
    patches = [np.prod(make_plans(made, NNUNet()).configuration("3d_fullres").patch_size) for made in (many, few)]
    assert patches[0] < patches[1]


@pytest.mark.parametrize("rules", ["nnunet", "scnas"])
def test_a_spacing_that_makes_scans_of_millions_is_refused_at_once(rules):
    scans = fingerprint([(200, 180, 140)] * 3, [(1, 1, 1)] * 3)
    with pytest.raises(ConfigError, match=r"--spacing=1e-06,1,1: the median scan .* 65536 at most"):
        make_plans(scans, NNUNet(), rules, Wishes(spacing=(1e-6, 1, 1)))


def test_the_papers_batch_grows_with_the_dataset():
    """A batch may hold a twentieth of all training voxels."""
    batches = [papers(fingerprint([(36, 50, 35)] * n, [(1.0,) * 3] * n), NNUNet(), memory_gb=24).batch_size for n in (3, 400)]
    assert batches == [2, 16]


def test_slices_that_are_brought_to_a_size_are_planned_by_it():
    """The configuration of slices alone; its spacing is what the size usually makes of theirs."""
    made = fingerprint([(500, 300, 1), (512, 512, 1), (700, 400, 1)], [(1.0, 1.0, 999.0)] * 3, ("red", "green", "blue"))
    plans = make_plans(made, NNUNet(), wishes=Wishes(slice_size=(256, 128)))
    found = plans.configuration("2d")
    assert list(plans.configurations) == ["2d"] and plans.axes == ("z", "x", "y")
    assert found.slice_size == (256, 128) and found.median_image_size_in_voxels == found.patch_size == (256, 128)
    assert found.spacing == (2.0, 3.125)  # 512 by 400 pixels at the median
    plan = plans.preprocessing("2d", {0: "background", 1: "tumour"})
    assert (plan.spacing, plan.slice_size, plan.transpose) == ((None, 2.0, 3.125), (256, 128), (2, 0, 1))
    turned = fingerprint([(1, 500, 300)] * 3, [(5.0, 1.0, 1.0)] * 3)
    assert make_plans(turned, NNUNet(), wishes=Wishes(slice_size=(64, 32))).configuration("2d").slice_size == (64, 32)  # along y, z


@pytest.mark.parametrize("rules, network", [("scnas", SupernetNetwork(SCNAS, 48)), ("nnunet", DerivedNetwork(SCNAS, 16))])
def test_networks_and_rules_of_volumes_bring_nothing_to_a_size(rules, network):
    made = fingerprint([(138, 170, 138)] * 10, [(1.0, 1.0, 1.0)] * 10)
    with pytest.raises(ConfigError, match=f"--resize=64,64 is for pictures and slices.*--plan={rules} and a .* network of 3D"):
        make_plans(made, network, rules, Wishes(slice_size=(64, 64)))


@pytest.mark.parametrize("rules", ["nnunet", "scnas"])
def test_fixed_numbers_and_denoising_are_of_all_configurations(rules):
    made = fingerprint([(138, 170, 138)] * 10, [(1.0, 1.0, 1.0)] * 10, ("CT", "T1"), relative_size=0.5)
    plans = make_plans(made, SupernetNetwork(SCNAS, 48), rules, Wishes(normalization="fixed", denoise=True))
    for name, found in plans.configurations.items():
        assert found.normalization_schemes == ("FixedNormalization",) * 2 and found.use_mask_for_norm == (False, False)
        plan = plans.preprocessing(name, {0: "background", 1: "tumour"})
        assert [(channel.scheme, channel.mean, channel.std) for channel in plan.channels] == [("fixed", 0.3667, 0.3533)] * 2
        assert (plan.denoising.iterations, plan.denoising.time_step) == (5, 0.125)
