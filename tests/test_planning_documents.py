"""fingerprint.json and plans.json: written, edited, read, refused."""

import json

import pytest
from test_planning_planner import fingerprint

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.planning.footprints import NNUNet
from scnas_keras.planning.planner import make_plans
from scnas_keras.planning.plans import load_plans
from scnas_keras.preprocessing.fingerprint import load_fingerprint
from scnas_keras.preprocessing.plan import PreprocessingPlan, parse_spacing

MADE = fingerprint([(600, 600, 400)] * 3, [(0.7, 0.8, 3.0)] * 3, ("CT", "MRI"), 0.5)


def edited(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def plans_file(tmp_path):
    make_plans(MADE, NNUNet()).save(tmp_path / "plans.json")
    return tmp_path / "plans.json"


@pytest.fixture
def fingerprint_file(tmp_path):
    MADE.save(tmp_path / "fingerprint.json")
    return tmp_path / "fingerprint.json"


def test_documents_read_back_equal(plans_file, fingerprint_file):
    assert load_plans(plans_file) == make_plans(MADE, NNUNet())
    assert load_fingerprint(fingerprint_file) == MADE


def test_an_edited_plan_is_honoured(plans_file):
    def edit(content):
        content["configurations"]["3d_fullres"]["batch_size"] = 7
        content["configurations"]["mine"] = {"inherits_from": "3d_fullres", "spacing": [3, 1, 1], "patch_size": [32, 64, 64]}

    plans = load_plans(edited(plans_file, edit))
    assert plans.configuration("3d_fullres").batch_size == 7
    assert plans.configuration("3d_cascade_fullres").batch_size == 7  # inherits
    assert plans.configuration("mine").spacing == (3, 1, 1) and plans.configuration("mine").batch_size == 7
    assert plans.preprocessing("mine", {0: "background"}).spacing == (3, 1, 1)


@pytest.mark.parametrize("change, message", [
    ({"patch_size": [33, 64, 64]}, r"configuration 3d_fullres: patch_size \[33, 64, 64\] must be divisible"),
    ({"patch_size": [64, 64]}, "3d_fullres: patch_size needs 3 whole numbers"),
    ({"batch_size": 0}, "batch_size must be a whole number above 0, found 0"),
    ({"batch_size": 2.5}, "batch_size must be a whole number"),
    ({"spacing": [1, 0, 1]}, "spacing needs 2 or 3 numbers of mm above 0"),
    ({"foreground_share": 2}, "foreground_share must be from 0 to 1"),
    ({"normalization_schemes": ["zscore", "CTNormalization"]}, "normalization_schemes and use_mask_for_norm need an entry a channel"),
    ({"strides": [[1, 1, 1]]}, "need an entry for each of 1 stages"),
    ({"strides": [[0, 1, 1]], "kernel_sizes": [[3, 3, 3]], "features_per_stage": [32]}, "strides.* must be above 0"),
    ({"strides": [1, 2]}, r"strides\[0\] must be a list, found 1"),
    ({"spacing": 1}, "3d_fullres: spacing must be a list, found 1"),
    ({"spacing": ["1", "1", "1"]}, r'spacing\[0\] must be a number, found "1"'),
    ({"spacing": [1, float("nan"), 1]}, r"spacing\[1\] must be a number, found NaN"),
    ({"batch_size": True}, "batch_size must be a whole number, found true"),
    ({"batch_dice": "no"}, 'batch_dice must be true or false, found "no"'),
    ({"use_mask_for_norm": ["false", "false"]}, r"use_mask_for_norm\[0\] must be true or false"),
    ({"foreground_share": "half"}, "foreground_share must be a number"),
    ({"normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False]}, "an entry for each of 2 channel_names"),
    ({"median_image_size_in_voxels": [1]}, "median_image_size_in_voxels needs 3 numbers"),
    ({"previous_stage": "nowhere"}, "previous_stage is nowhere, which is no configuration"),
    ({"resampling": {"anisotropy": "3"}}, "resampling.anisotropy must be a number"),
    ({"resampling": None}, "resampling: expected an object"),
    ({"patchsize": [64, 64, 64]}, r"unknown keys \['patchsize'\]"),
    ({"resampling": {"order": 3}}, "order"),
    ({"augmentation": {"image_order": 1, "in_plane": False, "transforms": [{"name": "rotate"}]}}, "rotate"),
    ({"inherits_from": "3d_fullres"}, "3d_fullres -> 3d_fullres leads to itself"),
    ({"inherits_from": "nothing"}, "leads to no configuration"),
])  # fmt: skip
def test_an_impossible_plan_is_refused_with_configuration_and_key(plans_file, change, message):
    file = edited(plans_file, lambda content: content["configurations"]["3d_fullres"].update(change))
    with pytest.raises(DataError, match=message):
        load_plans(file)


@pytest.mark.parametrize("change, message", [
    ({"transpose_forward": [0, 1, 1]}, r"transpose_forward must hold 0, 1 and 2, found \[0, 1, 1\]"),
    ({"axes": ["x", "y"]}, "axes must be a list of 3"),
    ({"channel_names": ["CT"]}, "foreground_intensities must have an entry for each of 1 channel_names, found 2"),
    ({"foreground_intensities": [{"max": 1}] * 2}, r"foreground_intensities\[0\]: the keys \['mean', .* are missing"),
    ({"memory_gb": "8"}, "memory_gb must be a number"),
    ({"configurations": {}}, "configurations is empty"),
    ({"configurations": {"2d": None}}, "configuration 2d: it must be an object"),
])  # fmt: skip
def test_a_plan_whose_parts_do_not_fit_is_refused(plans_file, change, message):
    with pytest.raises(DataError, match=message):
        load_plans(edited(plans_file, lambda content: content.update(change)))


def test_whole_numbers_may_be_written_either_way(plans_file):
    change = {"spacing": [3, 1, 1], "patch_size": [64.0, 64.0, 64.0], "batch_size": 2.0}
    found = load_plans(edited(plans_file, lambda content: content["configurations"]["3d_fullres"].update(change))).configuration(
        "3d_fullres"
    )
    assert (
        repr((found.spacing, found.patch_size, found.batch_size)) == "((3.0, 1.0, 1.0), (64, 64, 64), 2)"
    )  # the run's digest is of this text


def test_a_missing_or_broken_plan_is_refused(plans_file, tmp_path):
    with pytest.raises(DataError, match="absent.json: can't be read.*scnas_keras.plan"):
        load_plans(tmp_path / "absent.json")
    with pytest.raises(DataError, match="format None"):
        load_plans(edited(plans_file, lambda content: content.pop("format")))
    make_plans(MADE, NNUNet()).save(plans_file)
    text = plans_file.read_text()
    plans_file.write_text(text.replace('"version": 1,', '"version": 1'))
    with pytest.raises(DataError, match="plans.json: broken JSON in line 4, column 3"):
        load_plans(plans_file)
    plans_file.write_text("[1]")
    with pytest.raises(DataError, match=r"expected a JSON object \{...\}, found \[1\]"):
        load_plans(plans_file)
    plans_file.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as Windows' editor saves it
    assert load_plans(plans_file) == make_plans(MADE, NNUNet())


def test_an_unknown_configuration_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="--configuration=4d.*has 2d, 3d_lowres, 3d_fullres, 3d_cascade_fullres"):
        make_plans(MADE, NNUNet()).configuration("4d")


@pytest.mark.parametrize("edit, message", [
    (lambda content: content["fingerprint"].pop("spacings"), "the key 'spacings' is missing"),
    (lambda content: content["fingerprint"]["spacings"].pop(), "2 spacings|three spacings"),
    (lambda content: content["fingerprint"].update(spacings=[[1, 1, -1]] * 3), "above 0 mm"),
    (lambda content: content["dataset_json"].update(labels={"background": 0}), "at least 2 labels"),
    (lambda content: content["dataset_json"]["channel_names"].update({"2": "T1"}), "the key '2' is missing"),
    (lambda content: content["fingerprint"].update(median_relative_size_after_cropping=0), "relative size"),
    (lambda content: content["fingerprint"].update(spacings=[[1, 1, 1], [1, 1], [1, 1, 1]]), r"spacings\[1\] must be a list of 3"),
    (lambda content: content["fingerprint"].update(spacings=[["1", 1, 1]] * 3), r'spacings\[0\]\[0\] must be a number, found "1"'),
    (lambda content: content["fingerprint"].update(shapes_after_crop=[[10, 10, float("inf")]] * 3), "must be a whole number, found Infinity"),
    (lambda content: content["fingerprint"].update(shapes_after_crop=[[10, 10, 10**30]] * 3), "sizes 1 to 1e\\+06 voxels"),
    (lambda content: content["dataset_json"].update(numTraining=10**400), "numTraining must be a whole number"),
    (lambda content: content["dataset_json"].update(channel_names=["CT", "MRI"]), "channel_names must be an object"),
    (lambda content: content.update(axes=["x", "y"]), "axes must be a list of 3"),
    (lambda content: content.update(axes=["x", "x", "y"]), "three different axes"),
    (lambda content: content.update(cases=["a"]), "a name for each of 3 cases or none"),
    (lambda content: content.pop("dataset_json"), '"dataset_json" missing.*Put nnU-Net\'s two files together'),
])  # fmt: skip
def test_a_damaged_fingerprint_is_refused_with_the_place(fingerprint_file, edit, message):
    with pytest.raises(DataError, match=message):
        load_fingerprint(edited(fingerprint_file, edit))


@pytest.mark.parametrize("part, message", [("fingerprint", "not what its dataset.json says"), ("dataset_json", "but nothing measured")])
def test_one_of_nnunets_files_alone_is_refused_with_how_to_join_them(fingerprint_file, part, message):
    fingerprint_file.write_text(json.dumps(json.loads(fingerprint_file.read_text())[part]))
    with pytest.raises(DataError, match=f'{message}.*\\{{"dataset_json": <dataset.json>, "fingerprint": <dataset_fingerprint.json>\\}}'):
        load_fingerprint(fingerprint_file)


def test_labels_may_be_those_of_either_dataset_json(fingerprint_file):
    def labels(values):
        return load_fingerprint(edited(fingerprint_file, lambda content: content["dataset_json"].update(labels=values))).labels

    assert labels({"0": "background", "1": "left lung"}) == labels({"background": 0, "left lung": 1}) == {"background": 0, "left lung": 1}
    assert labels({"background": 0, "whole": [1, 2], "core": 2}) == {"background": 0, "whole": (1, 2), "core": 2}


def test_a_preprocessing_plan_reads_back_equal_and_a_damaged_one_is_refused():
    plan = make_plans(MADE, NNUNet()).preprocessing("2d", {0: "background", 1: "tumour"})
    assert PreprocessingPlan.from_json(plan.to_json()) == plan
    for broken in ("{", "{}", plan.to_json().replace('"version": 2', '"version": 1'), plan.to_json().replace('"ct"', '"pet"')):
        with pytest.raises(DataError):
            PreprocessingPlan.from_json(broken)


@pytest.mark.parametrize("values", [(1, 1), (1, 1, 0), (1, 1, float("nan")), ("a", 1, 1)])
def test_a_spacing_must_be_three_positive_numbers(values):
    with pytest.raises(ConfigError, match="--spacing=0.7,0.7,0.7"):
        parse_spacing(values)
