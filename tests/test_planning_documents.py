"""fingerprint.json and plans.json: written, edited, read, refused."""

import json

import pytest
from test_planning_planner import fingerprint

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.documents import decode
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.planning.planner import Wishes, make_plans
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


def test_spellings_that_can_mean_one_thing_are_read(fingerprint_file):
    def edit(content):
        described = content["dataset_json"]
        names = list(described["channel_names"].values())
        labels = {name: str(value) for name, value in described["labels"].items()}
        described |= {"numTraining": str(described["numTraining"]), "channel_names": names, "labels": labels}

    assert load_fingerprint(edited(fingerprint_file, edit)) == MADE


def test_an_edited_plan_is_honoured(plans_file):
    def edit(content):
        content["configurations"]["3d_fullres"]["batch_size"] = 7
        content["configurations"]["mine"] = {"inherits_from": "3d_fullres", "spacing": [3, 1, 1], "patch_size": [32, 64, 64]}

    plans = load_plans(edited(plans_file, edit))
    assert plans.configuration("3d_fullres").batch_size == 7
    assert plans.configuration("3d_cascade_fullres").batch_size == 7  # inherits
    assert plans.configuration("mine").spacing == (3, 1, 1) and plans.configuration("mine").batch_size == 7
    assert plans.preprocessing("mine", {0: "background", 1: "tumour"}).spacing == (3, 1, 1)


def test_a_plan_of_slices_with_all_steps_reads_back_equal(tmp_path):
    wishes = Wishes(slice_size=(256, 128), normalization="fixed", denoise=True)
    plans = make_plans(MADE, NNUNet(), wishes=wishes)
    plans.save(tmp_path / "plans.json")
    assert load_plans(tmp_path / "plans.json") == plans
    content = json.loads((tmp_path / "plans.json").read_text())["configurations"]["2d"]
    assert (content["slice_size"], content["fixed"]) == ([256, 128], {"mean": 0.3667, "std": 0.3533})
    assert content["denoising"] == {"iterations": 5, "time_step": 0.125}

    def edit(content):
        content["configurations"]["2d"] |= {"fixed": {"mean": 0.1, "std": 0.2}, "slice_size": [64, 64]}

    plan = load_plans(edited(tmp_path / "plans.json", edit)).preprocessing("2d", {0: "background", 1: "tumour"})
    assert plan.slice_size == (64, 64) and plan.denoising == plans.configuration("2d").denoising
    assert [(channel.scheme, channel.mean, channel.std) for channel in plan.channels] == [("fixed", 0.1, 0.2)] * 2


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"slice_size": [64, 64]}, "slice_size: found [64, 64], expected none, as spacing has 3 axes"),
        ({"slice_size": [64]}, "slice_size: found [64], expected"),
        ({"normalization_schemes": ["FixedNormalization"] * 2}, "fixed: found null, expected its numbers"),
        ({"fixed": {"mean": 0.4, "std": 0}}, "fixed.std: found 0, expected"),
        ({"denoising": {"time_step": 0.2}}, "denoising.time_step: found 0.2, expected"),
    ],
)
def test_steps_that_cannot_be_are_refused(changes, message, plans_file):
    found = refusal(load_plans, edited(plans_file, lambda content: content["configurations"]["3d_fullres"].update(changes)))
    assert found.startswith(f"configurations.3d_fullres.{message}")


def refusal(load, path):
    """The message without file and remedy."""
    with pytest.raises(DataError) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and "scnas plan" in text
    return text.removeprefix(f"{path}: ")


def stages(**changes):
    return {"strides": [[1, 1, 1], [2, 2, 2]], "kernel_sizes": [[3, 3, 3]] * 2, "features_per_stage": [32, 64]} | changes


INTENSITIES = {"max": 2, "mean": 0, "median": 0, "min": -2, "percentile_00_5": -1, "percentile_99_5": 1, "std": 1}
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"spacing": [0, 1, 1]}, "spacing[0]: found 0, expected a number >= 1e-06."),
        ({"spacing": [1, -1, 1]}, "spacing[1]: found -1, expected a number >= 1e-06."),
        ({"spacing": [1, 1, NAN]}, "spacing[2]: found NaN, expected a finite number."),
        ({"spacing": [1, 1, INFINITY]}, "spacing[2]: found Infinity, expected a finite number."),
        ({"spacing": [1, 1, 1e9]}, "spacing[2]: found 1000000000, expected a number <= 10000.0."),
        ({"spacing": ["1", "1", "1"]}, 'spacing[0]: found "1", expected a number.'),
        ({"spacing": 1}, "spacing: found 1, expected a list."),
        ({"spacing": [1]}, "spacing: found [1], expected a list of length >= 2."),
        ({"spacing": [1, 1, 1, 1]}, "spacing: found [1, 1, 1, 1], expected a list of length <= 3."),
        ({"spacing": {"x": 1}}, 'spacing: found {"x": 1}, expected a list.'),
        ({"patch_size": []}, "patch_size: found [], expected a list of length >= 2."),
        ({"patch_size": [64, 64]}, "patch_size: found [64, 64], expected a list of 3, one for each axis of spacing."),
        ({"patch_size": [64, 64, 10**9]}, "patch_size[2]: found 1000000000, expected a whole number <= 10000."),
        ({"patch_size": [64, 64, 0]}, "patch_size[2]: found 0, expected a whole number >= 1."),
        (
            {"patch_size": [33, 64, 64]},
            "patch_size: found [33, 64, 64], expected sizes divisible by [16, 32, 32], the product of the strides.",
        ),
        ({"batch_size": 0}, "batch_size: found 0, expected a whole number >= 1."),
        ({"batch_size": 10**9}, "batch_size: found 1000000000, expected a whole number <= 100000."),
        ({"batch_size": 2.5}, "batch_size: found 2.5, expected a whole number."),
        ({"batch_size": True}, "batch_size: found true, expected a whole number."),
        ({"batch_size": "2"}, 'batch_size: found "2", expected a whole number.'),
        ({"batch_dice": "no"}, 'batch_dice: found "no", expected true or false.'),
        ({"use_mask_for_norm": ["false", "false"]}, 'use_mask_for_norm[0]: found "false", expected true or false.'),
        (
            {"use_mask_for_norm": [False]},
            "use_mask_for_norm: found [false], expected a list of 2, one for each channel of normalization_schemes.",
        ),
        (
            {"normalization_schemes": ["zscore", "CTNormalization"]},
            'normalization_schemes[0]: found "zscore", expected one of "CTNormalization", ',
        ),
        (
            {"normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False]},
            'normalization_schemes: found ["CTNormalization"], expected a list of 2, one for each channel of channel_names.',
        ),
        ({"foreground_share": "half"}, 'foreground_share: found "half", expected a number.'),
        ({"foreground_share": 2}, "foreground_share: found 2, expected a number <= 1.0."),
        (
            {"median_image_size_in_voxels": [1]},
            "median_image_size_in_voxels: found [1.0], expected a list of 3, one for each axis of spacing.",
        ),
        ({"median_image_size_in_voxels": [0, 1, 1]}, "median_image_size_in_voxels[0]: found 0, expected a number > 0.0."),
        ({"strides": []}, "strides: found [], expected a list of length >= 1."),
        ({"strides": [1, 2]}, "strides[0]: found 1, expected a list."),
        ({"strides": [[1, 1, 1]]}, "kernel_sizes: found [[1, 3, 3], [1, 3, 3], "),
        (stages(strides=[[0, 1, 1], [2, 2, 2]]), "strides[0][0]: found 0, expected a whole number >= 1."),
        (stages(strides=[[1, 1], [2, 2]]), "strides[0]: found [1, 1], expected a list of 3, one for each axis of spacing."),
        (stages(kernel_sizes=[[3, 3, 3], [3, 3]]), "kernel_sizes[1]: found [3, 3], expected a list of 3, one for each axis of spacing."),
        (stages(kernel_sizes=[[3, 3, 3], [3, 3, 0]]), "kernel_sizes[1][2]: found 0, expected a whole number >= 1."),
        (stages(kernel_sizes=[[3, 3, 3], [3, 3, 999]]), "kernel_sizes[1][2]: found 999, expected a whole number <= 64."),
        (stages(features_per_stage=[32]), "features_per_stage: found [32], expected a list of 2, one for each stage of strides."),
        ({"blocks_per_stage": [2]}, "blocks_per_stage: found [2], expected a list of 7, one for each stage of strides."),
        ({"blocks_per_stage": [2, 2, 2, 2, 2, 0]}, "blocks_per_stage[5]: found 0, expected a whole number >= 1."),
        (stages(features_per_stage=[32, 0]), "features_per_stage[1]: found 0, expected a whole number >= 1."),
        (
            {"strides": [[2, 1, 1]], "kernel_sizes": [[3, 3, 3]], "features_per_stage": [32]},
            "strides[0]: found [2, 1, 1], expected 1 along each axis: the first stage has the resolution of the patch.",
        ),
        ({"previous_stage": "3d_fullres"}, 'previous_stage: found "3d_fullres", expected another configuration: 2d, 3d_lowres, '),
        ({"previous_stage": "nowhere"}, 'previous_stage: found "nowhere", expected another configuration: 2d, 3d_lowres, '),
        ({"resampling": {"anisotropy": "3"}}, 'resampling.anisotropy: found "3", expected a number.'),
        ({"resampling": {"image_order": 2}}, "resampling.image_order: found 2, expected one of 0, 1, 3."),
        ({"resampling": {"order": 3}}, "resampling.order: found this key, expected one of image_order, label_order, "),
        ({"resampling": None}, "resampling: found null, expected an object {...}."),
        ({"augmentation": [1]}, "augmentation: found [1], expected an object {...}."),
        (
            {"augmentation": {"transforms": [{"name": "rotate"}]}},
            'augmentation.transforms[0].name: found "rotate", expected one of "elastic", ',
        ),
        (
            {"augmentation": {"transforms": [{"name": "mirror", "probability": 0.5, "axes": [7]}]}},
            "augmentation.transforms[0].axes[0]: found 7, expected a whole number <= 2.",
        ),
        (
            {"augmentation": {"transforms": [{"name": "mirror", "probability": 0.5, "axes": [1, 1]}]}},
            "augmentation.transforms[0].axes: found [1, 1], expected each only once.",
        ),
        ({"patchsize": [64, 64, 64]}, "patchsize: found this key, expected one of spacing, median_image_size_in_voxels, patch_size, "),
        ({"inherits_from": "3d_fullres"}, 'inherits_from: found "3d_fullres", expected another configuration: 2d, 3d_lowres, '),
        ({"inherits_from": "nothing"}, 'inherits_from: found "nothing", expected another configuration: 2d, 3d_lowres, '),
        ({"inherits_from": 3}, "inherits_from: found 3, expected another configuration: 2d, 3d_lowres, "),
        ({"inherits_from": ["2d"]}, 'inherits_from: found ["2d"], expected another configuration: 2d, 3d_lowres, '),
    ],
)
def test_an_impossible_configuration_is_refused_with_its_place(plans_file, change, message):
    file = edited(plans_file, lambda content: content["configurations"]["3d_fullres"].update(change))
    assert refusal(load_plans, file).startswith(f"configurations.3d_fullres.{message}")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"transpose_forward": [0, 1, 1]}, "transpose_forward: found [0, 1, 1], expected 0, 1 and 2 in some order."),
        ({"transpose_forward": [1, 2, 3]}, "transpose_forward: found [1, 2, 3], expected 0, 1 and 2 in some order."),
        ({"transpose_backward": [0, 1, 1]}, "transpose_backward: found [0, 1, 1], expected [1, 2, 0], the way back of transpose_forward."),
        ({"axes": ["x", "y"]}, 'axes: found ["x", "y"], expected a list of length 3.'),
        ({"axes": ["x", "x", "y"]}, 'axes: found ["x", "x", "y"], expected each only once.'),
        (
            {"labels": {"background": 0, "a": 2}},
            'labels: found {"background": 0, "a": 2}, expected at least 2 labels, with the values 0 (background), 1',
        ),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "labels: found [0, 1, 1], expected each only once."),
        ({"labels": {"background": 0, "a": "1"}}, 'labels.a: found "1", expected a whole number or a list.'),
        ({"labels": {"background": 0, "a": 256}}, "labels.a: found 256, expected a whole number <= 255."),
        ({"channel_names": ["CT"]}, "foreground_intensities: found [{"),
        ({"channel_names": []}, "channel_names: found [], expected a list of length >= 1."),
        ({"foreground_intensities": [{"max": 1}] * 2}, 'foreground_intensities[0]: found the keys "max", expected the key "mean"'),
        (
            {"foreground_intensities": [INTENSITIES | {"percentile_00_5": 2}] * 2},
            "foreground_intensities[0].percentile_99_5: found 1.0, expected at least percentile_00_5, 2.",
        ),
        ({"memory_gb": "8"}, 'memory_gb: found "8", expected a number.'),
        ({"memory_gb": 0}, "memory_gb: found 0, expected a number > 0.0."),
        ({"configurations": {}}, "configurations: found {}, expected an object {...} of length >= 1."),
        ({"configurations": {str(i): {"inherits_from": str(i + 1)} for i in range(2000)}}, "configurations: found {"),
        ({"configurations": []}, "configurations: found [], expected an object {...}."),
        ({"configurations": {"2d": None}}, "configurations.2d: found null, expected an object {...}."),
        ({"configurations": {"my 2d": {}}}, 'configurations["my 2d"]: found no keys, expected the key "spacing".'),
        ({"configuration": {}}, "configuration: found this key, expected one of dataset, network, "),
        ({"version": 2}, "version 2 can't be read; this release reads version 1."),
        ({"version": "1"}, 'version "1" can\'t be read; this release reads version 1.'),
        ({"format": None}, 'format: found null, expected "scnas_keras.plans".'),
    ],
)
def test_a_plan_whose_parts_do_not_fit_is_refused(plans_file, change, message):
    assert refusal(load_plans, edited(plans_file, lambda content: content.update(change))).startswith(message)


def places(content, above=()):
    """The way to each value of a document."""
    yield above
    for step in content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield from places(content[step], (*above, step))


def replaced(content, place, value):
    if not place:
        return value
    content = content.copy()
    content[place[0]] = replaced(content[place[0]], place[1:], value)
    return content


@pytest.mark.parametrize("load, fixture", [(load_plans, "plans_file"), (load_fingerprint, "fingerprint_file")])
def test_nonsense_in_any_place_is_read_or_refused_in_one_line(load, fixture, request):
    file = request.getfixturevalue(fixture)
    content = json.loads(file.read_text())
    if "configurations" in content:
        content["configurations"] = {"2d": content["configurations"]["2d"]}
    refused = 0
    for place in places(content):
        for nonsense in (None, "x", -1, 1e30, [], {"a": 1}):
            file.write_text(json.dumps(replaced(content, place, nonsense)))
            try:
                load(file)
            except DataError as error:
                refused += 1
                text = str(error)
                assert text.startswith(f"{file}: ") and "\n" not in text and ("expected" in text or "version" in text), (place, nonsense)
    assert refused > 300


def test_a_ct_plan_needs_a_spread_of_intensities(plans_file):
    file = edited(plans_file, lambda content: content["foreground_intensities"][0].update(std=0))
    message = "foreground_intensities[0].std: found 0.0, expected a number above 0, as CTNormalization divides by it."
    assert refusal(load_plans, file).startswith(message)


def test_a_slice_has_no_third_axis_to_mirror(plans_file):
    def edit(content):
        content["configurations"]["2d"]["augmentation"]["transforms"][-1]["axes"] = [0, 2]

    message = "axes[1]: found 2, expected an axis of the patch, 0 to 1."
    assert message in refusal(load_plans, edited(plans_file, edit))


def test_whole_numbers_may_be_written_either_way(plans_file):
    change = {"spacing": [3, 1, 1], "patch_size": [64.0, 64.0, 64.0], "batch_size": 2.0}
    found = load_plans(edited(plans_file, lambda content: content["configurations"]["3d_fullres"].update(change))).configuration(
        "3d_fullres"
    )
    assert (
        repr((found.spacing, found.patch_size, found.batch_size)) == "((3.0, 1.0, 1.0), (64, 64, 64), 2)"
    )  # the run's digest is of this text


def test_a_missing_or_broken_plan_is_refused(plans_file, tmp_path):
    with pytest.raises(DataError, match="absent.json: can't be read.*scnas plan"):
        load_plans(tmp_path / "absent.json")
    text = plans_file.read_text()
    plans_file.write_text(text.replace('"version": 1,', '"version": 1'))
    assert refusal(load_plans, plans_file).startswith("line 4, column 3: found broken JSON, expected a JSON document: Expecting ','")
    plans_file.write_text(text[: len(text) // 2])
    assert "(the file ends here: was it cut off?)" in refusal(load_plans, plans_file)
    plans_file.write_text(text.replace('"version": 1,', '"version": 1, "dataset": "other",'))
    assert refusal(load_plans, plans_file).startswith("dataset: found this key more than once, expected once.")
    plans_file.write_text("[1]")
    assert refusal(load_plans, plans_file).startswith("found [1], expected an object {...}.")
    plans_file.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as Windows' editor saves it
    assert load_plans(plans_file) == make_plans(MADE, NNUNet())


def test_a_plan_is_written_as_it_was_read(plans_file, fingerprint_file):
    assert load_plans(plans_file).to_json() == plans_file.read_text()
    assert load_fingerprint(fingerprint_file).to_json() == fingerprint_file.read_text()


def test_an_unknown_configuration_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="--configuration=4d.*--configuration=2d or 3d_lowres or 3d_fullres or 3d_cascade_fullres"):
        make_plans(MADE, NNUNet()).configuration("4d")


def measured(**changes):
    return lambda content: content["fingerprint"].update(changes)


def described(**changes):
    return lambda content: content["dataset_json"].update(changes)


PER_CHANNEL = "fingerprint.foreground_intensity_properties_per_channel"


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda content: content["fingerprint"].pop("spacings"), "fingerprint: found the keys "),
        (lambda content: content["fingerprint"]["spacings"].pop(), "fingerprint.shapes_after_crop: found [["),
        (measured(spacings=[]), "fingerprint.spacings: found [], expected a list of length >= 1."),
        (measured(spacings=[[1, 1, -1]] * 3), "fingerprint.spacings[0][2]: found -1, expected a number >= 1e-06."),
        (measured(spacings=[[1, 1, 1], [1, 1], [1, 1, 1]]), "fingerprint.spacings[1]: found [1, 1], expected a list of length 3."),
        (measured(spacings=[["1", 1, 1]] * 3), 'fingerprint.spacings[0][0]: found "1", expected a number.'),
        (
            measured(shapes_after_crop=[[10, 10, INFINITY]] * 3),
            "fingerprint.shapes_after_crop[0][2]: found Infinity, expected a finite number.",
        ),
        (
            measured(shapes_after_crop=[[10, 10, 10**30]] * 3),
            "fingerprint.shapes_after_crop[0][2]: found 1" + "0" * 30 + ", expected a whole",
        ),
        (measured(shapes_after_crop=[[10, 10, 0]] * 3), "fingerprint.shapes_after_crop[0][2]: found 0, expected a whole number >= 1."),
        (
            measured(median_relative_size_after_cropping=0),
            "fingerprint.median_relative_size_after_cropping: found 0, expected a number > 0.0.",
        ),
        (measured(foreground_intensity_properties_per_channel={"0": {}}), f'{PER_CHANNEL}.0: found no keys, expected the key "max".'),
        (measured(foreground_intensity_properties_per_channel=[]), f"{PER_CHANNEL}: found [], expected an object {{...}}."),
        (
            lambda content: content["fingerprint"]["foreground_intensity_properties_per_channel"]["0"].update(std=-1),
            f"{PER_CHANNEL}.0.std: found -1, expected a number >= 0.0.",
        ),
        (described(labels={"background": 0}), 'dataset_json.labels: found {"background": 0}, expected at least 2 labels, '),
        (described(labels={"background": 0, "a": 2}), 'dataset_json.labels: found {"background": 0, "a": 2}, expected at least 2 labels, '),
        (
            described(labels={"background": 0, "a": "b"}),
            'dataset_json.labels.a: found "b", expected a whole number or a list of whole numbers.',
        ),
        (
            lambda content: content["dataset_json"]["channel_names"].update({"2": "T1"}),
            f'{PER_CHANNEL}: found ["0", "1"], expected the keys of',
        ),
        (described(channel_names={"a": "CT"}), 'dataset_json.channel_names.a: found the key "a", expected a whole number as key.'),
        (described(channel_names={}), "dataset_json.channel_names: found {}, expected the names of the channels, like "),
        (described(numTraining=10**400), "dataset_json.numTraining: found 1"),
        (described(numTraining=0), "dataset_json.numTraining: found 0, expected a whole number >= 1."),
        (described(numTraining="three"), 'dataset_json.numTraining: found "three", expected a whole number.'),
        (lambda content: content.update(axes=["x", "y"]), 'axes: found ["x", "y"], expected a list of length 3.'),
        (lambda content: content.update(axes=["x", "x", "y"]), 'axes: found ["x", "x", "y"], expected each only once.'),
        (
            lambda content: content.update(cases=["a"]),
            'cases: found ["a"], expected a name for each of 3 cases of fingerprint.spacings, or none.',
        ),
    ],
)
def test_a_damaged_fingerprint_is_refused_with_the_place(fingerprint_file, edit, message):
    assert refusal(load_fingerprint, edited(fingerprint_file, edit)).startswith(message)


def test_a_document_that_is_no_fingerprint_is_refused(fingerprint_file):
    with pytest.raises(
        DataError, match='found the keys axes, cases, fingerprint, expected "dataset_json".*Put nnU-Net\'s two files together'
    ):
        load_fingerprint(edited(fingerprint_file, lambda content: content.pop("dataset_json")))
    fingerprint_file.write_text("[1]")
    assert refusal(load_fingerprint, fingerprint_file).startswith("found [1], expected an object {...}.")


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


def test_a_preprocessing_plan_reads_back_equal():
    plan = make_plans(MADE, NNUNet()).preprocessing("2d", {0: "background", 1: "tumour"})
    found = decode(json.loads(plan.to_json()), PreprocessingPlan, "plan.json")
    assert found == plan and found.to_json() == plan.to_json()


@pytest.mark.parametrize("values", [(1, 1), (1, 1, 0), (1, 1, float("nan")), ("a", 1, 1)])
def test_a_spacing_must_be_three_positive_numbers(values):
    with pytest.raises(ConfigError, match="decimals with a point, like 0.7,0.7,1.5"):
        parse_spacing(values)
