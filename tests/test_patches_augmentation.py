import dataclasses
import json

import numpy as np
import pytest
from patch_cases import random_case

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.patches.augmentation import TRANSFORMS, Augmentation
from scnas_keras.patches.intensity import Gamma
from scnas_keras.patches.presets import PRESETS, preset
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.spatial import Mirror, Rotation, Scaling

SHAPES = [(64, 64, 64), (16, 64, 64), (64, 64), (40, 64)]


def always(augmentation):
    """The same transforms, in every patch and channel."""
    certain = {"probability": 1.0, "channel_probability": 1.0}
    return dataclasses.replace(
        augmentation,
        transforms=tuple(
            dataclasses.replace(item, **{key: value for key, value in certain.items() if hasattr(item, key)})
            for item in augmentation.transforms
        ),
    )


def names(augmentation):
    return [item["name"] for item in augmentation.to_dict()["transforms"]]


def by_name(augmentation, name):
    return next(item for item in augmentation.to_dict()["transforms"] if item["name"] == name)


def test_the_presets_are_the_documented_tables():
    v2, first = preset("v2", (64, 64, 64), (0, 1, 2)), preset("2018", (64, 64, 64), (0, 1, 2))
    assert names(v2) == [
        "rotation",
        "scaling",
        "gaussian_noise",
        "gaussian_blur",
        "brightness",
        "contrast",
        "low_resolution",
        "gamma",
        "gamma",
        "mirror",
    ]
    assert names(first) == ["elastic", "rotation", "scaling", "gamma", "mirror"]
    assert (v2.image_order, first.image_order) == (1, 3)
    assert by_name(v2, "scaling") == {"name": "scaling", "probability": 0.2, "factor": (0.7, 1.4), "halved": False}
    assert by_name(first, "scaling") == {"name": "scaling", "probability": 0.2, "factor": (0.85, 1.25), "halved": True}
    assert by_name(first, "elastic") == {"name": "elastic", "probability": 0.2, "alpha": (0, 900), "sigma": (9, 13)}
    assert [item.inverted for item in v2.transforms if isinstance(item, Gamma)] == [True, False]
    assert preset("none", (64, 64, 64), (0, 1, 2)) == Augmentation()


@pytest.mark.parametrize(
    "size, in_plane, v2, first, alpha",
    [
        ((64, 64, 64), False, (30, 30, 30), (15, 15, 15), 900),
        ((20, 60, 60), False, (30, 30, 30), (15, 15, 15), 900),
        ((20, 64, 61), True, (180, 0, 0), (180, 0, 0), 200),
        ((64, 64), True, (180, 0, 0), (180, 0, 0), 200),
        ((60, 40), True, (180, 0, 0), (180, 0, 0), 200),
        ((40, 64), True, (15, 0, 0), (15, 0, 0), 200),
    ],
)
def test_presets_follow_the_shape_of_the_patch(size, in_plane, v2, first, alpha):
    for name, degrees in (("v2", v2), ("2018", first)):
        augmentation = preset(name, size, (1, 2))
        assert augmentation.in_plane == in_plane and by_name(augmentation, "rotation")["degrees"] == degrees
    assert by_name(preset("2018", size, ()), "elastic")["alpha"] == (0, alpha)
    assert by_name(preset("v2", size, ()), "low_resolution")["in_plane"] == in_plane


def test_mirrors_are_those_asked_for():
    assert preset("v2", (64, 64, 64), (1, 2)).mirror_axes == (1, 2)
    assert "mirror" not in names(preset("v2", (64, 64, 64), ()))


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="v3: expected one of none, 2018, v2"):
        preset("v3", (64, 64, 64), ())


@pytest.mark.parametrize("size", [(10, 12, 8), (3, 12, 10), (12, 10)])
@pytest.mark.parametrize("name", ["2018", "v2"])
def test_nothing_changes_at_zero_strength(name, size):
    case = random_case((20, 22, 18), seed=3)
    augmentation = preset(name, size, (0, 1, 2))
    assert augmentation.scaled(1) == augmentation
    kept, given = ([item.probability for item in one.transforms] for one in (augmentation.scaled(0), augmentation))
    assert kept == given
    plain = PatchSampler([case], size, seed=2)
    neutral = PatchSampler([case], size, seed=2, augmentation=always(augmentation.scaled(0)), spacing=(2.5, 1.0, 1.2))
    for index in range(6):
        assert neutral.draw(index).spatial is not None
        np.testing.assert_allclose(neutral.sample(index)[0], plain.sample(index)[0], atol=2e-5)
        np.testing.assert_array_equal(neutral.sample(index)[1], plain.sample(index)[1])


def test_full_strength_changes_the_patch():
    case = random_case((20, 22, 18), seed=3)
    strong = PatchSampler([case], (10, 12, 8), augmentation=always(preset("v2", (10, 12, 8), (0,))))
    difference = strong.sample(0)[0] - PatchSampler([case], (10, 12, 8)).sample(0)[0]
    assert np.abs(difference).mean() > 0.3


def test_half_strength_halves_the_ranges():
    half = preset("v2", (64, 64, 64), (0,)).scaled(0.5)
    assert by_name(half, "rotation")["degrees"] == (15, 15, 15)
    assert by_name(half, "scaling")["factor"] == pytest.approx((0.85, 1.2))
    assert by_name(half, "gaussian_noise")["std"] == (0, 0.05)
    assert by_name(preset("2018", (64, 64, 64), ()).scaled(0.5), "elastic")["sigma"] == (9, 13)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", SHAPES)
def test_a_way_through_json_changes_nothing(name, size):
    augmentation = preset(name, size, (0, 2))
    assert Augmentation.from_dict(json.loads(json.dumps(augmentation.to_dict()))) == augmentation


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda content: content.update(angle=3), "augmentation: unknown key 'angle'"),
        (lambda content: content.pop("image_order"), "'image_order' is missing"),
        (lambda content: content.update(image_order=2), "image_order is 1 or 3"),
        (lambda content: content.update(transforms=3), "transforms: expected a list, found 3"),
        (lambda content: content["transforms"].append({"name": "shear"}), "one of elastic, .* mirror; found 'shear'"),
        (lambda content: content["transforms"].append(7), "found 7"),
        (lambda content: content["transforms"][0].update(angles=[1]), "transforms.rotation: unknown key 'angles'"),
        (lambda content: content["transforms"][0].pop("degrees"), "transforms.rotation: 'degrees' is missing"),
        (lambda content: content["transforms"][0].update(probability=1.5), "Rotation.probability: .* 0 to 1, found 1.5"),
        (lambda content: content["transforms"][0].update(degrees=[30, 30]), "Rotation.degrees: expected three numbers"),
        (lambda content: content["transforms"][1].update(factor=[1.4, 0.7]), "Scaling.factor: expected two numbers"),
        (lambda content: content["transforms"][1].update(factor=[0.7, "x"]), "Scaling.factor: expected two numbers"),
        (lambda content: content["transforms"][1].update(halved=1), "Scaling.halved: expected true or false"),
        (lambda content: content["transforms"][-1].update(axes=[0, 3]), "Mirror.axes: expected different axes"),
        (lambda content: content["transforms"].reverse(), "Reorder them"),
        (lambda content: content["transforms"].insert(0, content["transforms"][0]), "Reorder them"),
    ],
)
def test_a_damaged_document_is_refused_and_the_key_named(edit, message):
    content = json.loads(json.dumps(preset("v2", (64, 64, 64), (0, 1)).to_dict()))
    edit(content)
    with pytest.raises(DataError, match=message):
        Augmentation.from_dict(content)


def test_noise_that_is_not_smooth_is_refused():
    content = preset("2018", (64, 64, 64), ()).to_dict()
    content["transforms"][0]["sigma"] = [0, 13]
    with pytest.raises(DataError, match="Elastic.sigma: expected two numbers of voxels, 1 or more"):
        Augmentation.from_dict(content)


def test_something_else_than_an_object_is_refused():
    with pytest.raises(DataError, match="expected an object"):
        Augmentation.from_dict([])


def test_all_transforms_can_be_drawn_from_a_plan():
    used = {type(item) for name in PRESETS for item in preset(name, (64, 64, 64), (0,)).transforms}
    assert used == set(TRANSFORMS.values())


def test_intensities_may_come_twice_but_space_only_once():
    assert Augmentation((Gamma(0.1, (0.7, 1.5)), Gamma(0.1, (0.7, 1.5)))).transforms
    for transforms in ((Scaling(0.1, (1.0, 1.1)),) * 2, (Mirror(0.5, (0,)), Rotation(0.1, (1.0, 1.0, 1.0)))):
        with pytest.raises(DataError, match="each once"):
            Augmentation(transforms)
