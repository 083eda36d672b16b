import dataclasses
import json
import typing

import msgspec
import numpy as np
import pytest
from patch_cases import random_case

from scnas_keras.documents import decode
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.patches.augmentation import AnyTransform, Augmentation
from scnas_keras.patches.intensity import Brightness, Contrast, Gamma, GaussianBlur, GaussianNoise, LowResolution
from scnas_keras.patches.names import AUGMENTATIONS
from scnas_keras.patches.presets import preset
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.spatial import Elastic, Mirror, Rotation, Scaling

SHAPES = [(64, 64, 64), (16, 64, 64), (64, 64), (40, 64)]


def always(augmentation):
    """The same transforms, in every patch and channel."""
    certain = {"probability": 1.0, "channel_probability": 1.0}
    return dataclasses.replace(
        augmentation,
        transforms=tuple(
            msgspec.structs.replace(item, **{key: value for key, value in certain.items() if hasattr(item, key)})
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
    assert preset("cutout", (64, 64, 64), (0, 1, 2)).to_dict()["transforms"] == [{"name": "cutout", "probability": 1.0, "length": 16}]


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
    with pytest.raises(ConfigError, match="v3: expected one of 2018, v2, none, cutout"):
        preset("v3", (64, 64, 64), ())


@pytest.mark.parametrize("size", [(10, 12, 8), (3, 12, 10), (12, 10)])
@pytest.mark.parametrize("image_order", [1, 3])
def test_ranges_of_no_change_change_nothing(image_order, size):
    case, in_plane, same = random_case((20, 22, 18), seed=3), size != (10, 12, 8), (1.0, 1.0)
    space = Elastic(1.0, (0.0, 0.0), (9.0, 13.0)), Rotation(1.0, (0.0,) * 3), Scaling(1.0, same, halved=image_order == 3)
    intensities = (
        GaussianNoise(1.0, (0.0, 0.0)),
        GaussianBlur(1.0, (0.0, 0.0), channel_probability=1.0),
        Brightness(1.0, same),
        Contrast(1.0, same),
        LowResolution(1.0, same, channel_probability=1.0, in_plane=in_plane),
        Gamma(1.0, same, inverted=True),
        Gamma(1.0, same),
    )
    augmentation = Augmentation((*space, *intensities), image_order, in_plane)
    neutral = PatchSampler([case], size, seed=2, augmentation=augmentation, spacing=(2.5, 1.0, 1.2))
    plain = PatchSampler([case], size, seed=2)
    for index in range(6):
        assert neutral.draw(index).spatial is not None
        np.testing.assert_allclose(neutral.sample(index)[0], plain.sample(index)[0], atol=2e-5)
        np.testing.assert_array_equal(neutral.sample(index)[1], plain.sample(index)[1])


def test_full_strength_changes_the_patch():
    case = random_case((20, 22, 18), seed=3)
    strong = PatchSampler([case], (10, 12, 8), augmentation=always(preset("v2", (10, 12, 8), (0,))))
    difference = strong.sample(0)[0] - PatchSampler([case], (10, 12, 8)).sample(0)[0]
    assert np.abs(difference).mean() > 0.3


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", SHAPES)
def test_a_way_through_json_changes_nothing(name, size):
    augmentation = preset(name, size, (0, 2))
    assert decode(json.loads(json.dumps(augmentation.to_dict())), Augmentation, "plans.json") == augmentation


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda content: content.update(angle=3), "angle: found this key, expected one of transforms, image_order, in_plane"),
        (lambda content: content.update(image_order=2), "image_order: found 2, expected one of 1, 3"),
        (lambda content: content.update(transforms=3), "transforms: found 3, expected a list"),
        (
            lambda content: content["transforms"].append({"name": "shear"}),
            'transforms[10].name: found "shear", expected one of "elastic", ',
        ),
        (lambda content: content["transforms"].append(7), "transforms[10]: found 7, expected an object {...}"),
        (
            lambda content: content["transforms"][0].update(angles=[1]),
            "transforms[0].angles: found this key, expected one of name, probability, degrees",
        ),
        (
            lambda content: content["transforms"][0].pop("degrees"),
            'transforms[0]: found the keys "name", "probability", expected the key "degrees"',
        ),
        (
            lambda content: content["transforms"][0].update(probability=1.5),
            "transforms[0].probability: found 1.5, expected a number <= 1.0",
        ),
        (
            lambda content: content["transforms"][0].update(degrees=[30, 30]),
            "transforms[0].degrees: found [30, 30], expected a list of length 3",
        ),
        (
            lambda content: content["transforms"][1].update(factor=[1.4, 0.7]),
            "transforms[1].factor: found [1.4, 0.7], expected two numbers, the lower",
        ),
        (lambda content: content["transforms"][1].update(factor=[0.7, "x"]), 'transforms[1].factor[1]: found "x", expected a number'),
        (lambda content: content["transforms"][1].update(factor=[-1, 2]), "transforms[1].factor[0]: found -1, expected a number >= 0.01"),
        (lambda content: content["transforms"][1].update(factor=[1, 100]), "transforms[1].factor[1]: found 100, expected a number <= 10.0"),
        (
            lambda content: next(item for item in content["transforms"] if item["name"] == "low_resolution").update(zoom=[1, 2]),
            "transforms[6].zoom[1]: found 2, expected a number <= 1.0",
        ),
        (lambda content: content["transforms"][1].update(halved=1), "transforms[1].halved: found 1, expected true or false"),
        (lambda content: content["transforms"][-1].update(axes=[0, 3]), "transforms[9].axes[1]: found 3, expected a whole number <= 2"),
        (lambda content: content["transforms"][-1].update(axes=[0, 0]), "transforms[9].axes: found [0, 0], expected each only once"),
        (lambda content: content["transforms"].reverse(), 'transforms: found ["mirror", "gamma", '),
        (lambda content: content["transforms"].insert(0, content["transforms"][0]), 'transforms: found ["rotation", "rotation", '),
    ],
)
def test_a_damaged_document_is_refused_and_the_place_named(edit, message):
    content = json.loads(json.dumps(preset("v2", (64, 64, 64), (0, 1)).to_dict()))
    edit(content)
    with pytest.raises(DataError) as caught:
        decode(content, Augmentation, "plans.json")
    assert str(caught.value).startswith(f"plans.json: {message}") and "\n" not in str(caught.value)


def test_noise_that_is_not_smooth_is_refused():
    content = preset("2018", (64, 64, 64), ()).to_dict() | {
        "transforms": [{"name": "elastic", "probability": 1, "alpha": [0, 9], "sigma": [0, 13]}]
    }
    with pytest.raises(DataError, match=r"transforms\[0\].sigma\[0\]: found 0, expected a number >= 1"):
        decode(content, Augmentation, "plans.json")


def test_all_transforms_can_be_drawn_from_a_plan():
    used = {type(item) for name in AUGMENTATIONS for item in preset(name, (64, 64, 64), (0,)).transforms}
    assert used == set(typing.get_args(AnyTransform))


def test_intensities_may_come_twice_but_space_only_once():
    assert Augmentation((Gamma(0.1, (0.7, 1.5)), Gamma(0.1, (0.7, 1.5)))).transforms
    for transforms in ((Scaling(0.1, (1.0, 1.1)),) * 2, (Mirror(0.5, (0,)), Rotation(0.1, (1.0, 1.0, 1.0)))):
        with pytest.raises(DataError, match="each once"):
            Augmentation(transforms)
