import concurrent.futures
import dataclasses
import itertools
import sys

import numpy as np
import pytest
from patch_cases import MemoryCase, random_case
from processes import PYTHON, run
from small_task import write_task

from scnas_keras.errors import ConfigError
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.patches.intensity import Brightness, GaussianNoise
from scnas_keras.patches.names import AUGMENTATIONS
from scnas_keras.patches.presets import preset
from scnas_keras.patches.resampling import resample_image, resample_label
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.spatial import Elastic, Mirror, Rotation, Scaling, make_warp
from scnas_keras.preprocessing.cache import OUTSIDE, prepare
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.tasks.loading import load_task

SIZE = (8, 8, 8)
TURN = Augmentation((Rotation(1.0, (30.0, 30.0, 30.0)), Scaling(1.0, (0.7, 1.4))))


@pytest.fixture
def cases():
    return [random_case(seed=seed) for seed in range(3)]


def assert_equal(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_item_depends_on_seed_and_index_alone(cases, name):
    augmentation = preset(name, SIZE, (0, 1, 2))
    sampler = PatchSampler(cases, SIZE, seed=5, augmentation=augmentation)
    expected = [sampler.sample(index) for index in range(40)]
    again = PatchSampler(cases, SIZE, seed=5, augmentation=augmentation)
    backwards = [again.sample(index) for index in range(39, -1, -1)]
    for one, other in zip(expected, reversed(backwards)):
        assert_equal(one, other)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for one, other in zip(expected, pool.map(sampler.sample, range(40))):
            assert_equal(one, other)
    other_seed = PatchSampler(cases, SIZE, seed=6, augmentation=augmentation)
    others = [other_seed.sample(index) for index in range(40)]
    assert not all(np.array_equal(*parts) for one, other in zip(expected, others) for parts in zip(one, other))


def test_drawing_reads_no_voxel_and_is_what_sampling_does(cases):
    sampler = PatchSampler(cases, SIZE, seed=3, augmentation=preset("v2", SIZE, (0, 1, 2)))
    draws = [sampler.draw(index) for index in range(60)]
    assert all(case.opened == 0 for case in cases)
    assert draws == [sampler.draw(index) for index in range(60)]
    assert [draw.foreground for draw in draws] == [sampler.is_foreground(index) for index in range(60)]
    for draw in draws:
        if draw.spatial is None:
            plain = PatchSampler(cases, SIZE, seed=3).sample(draw.index)[1]
            np.testing.assert_array_equal(np.flip(plain, draw.mirrored), sampler.sample(draw.index)[1])
    assert any(draw.spatial for draw in draws) and any(draw.mirrored for draw in draws)


def test_augmentation_does_not_move_the_places(cases):
    plain, augmented = (PatchSampler(cases, SIZE, augmentation=preset(name, SIZE, (0, 1, 2))) for name in ("none", "v2"))
    for index in range(30):
        one, other = plain.draw(index), augmented.draw(index)
        assert (one.case, one.start, one.label) == (other.case, other.start, other.label)


def test_a_case_is_opened_once(cases):
    sampler = PatchSampler(cases, SIZE)
    for index in range(50):
        sampler.sample(index)
    assert [case.opened for case in cases] == [2, 2, 2]


def test_the_streams_of_an_item_are_its_seed_and_index_with_a_number_of_their_own(cases):
    """Places, space, intensities and mirrors: what a run has drawn is drawn again by any version."""
    augmentation = Augmentation((*TURN.transforms, GaussianNoise(1.0, (1.0, 1.0)), Mirror(0.5, (0, 1, 2))))
    sampler, plain = PatchSampler(cases, SIZE, 0.5, 5, augmentation), PatchSampler(cases, SIZE, 0.5, 5)
    streams = [[np.random.default_rng((5, index, *stream)) for stream in ((), (1,), (2,), (3,))] for index in range(9)]
    for index, (place, space, intensity, mirror) in enumerate(streams):
        draw = sampler.draw(index)
        assert draw.case == place.integers(3)
        assert (draw.spatial, draw.mirrored) == (augmentation.draw_spatial(space), augmentation.draw_mirrors(mirror))
        noisy = PatchSampler(cases, SIZE, 0.5, 5, Augmentation((GaussianNoise(1.0, (1.0, 1.0)),))).sample(index)[0]
        expected = plain.sample(index)[0] + np.moveaxis(intensity_noise(intensity), 0, -1)
        np.testing.assert_allclose(noisy, expected, atol=1e-6)


def intensity_noise(random):
    """What a certain `GaussianNoise` of deviation 1 adds to two channels."""
    random.random(), random.uniform(1.0, 1.0)  # whether it happens, and how strong it is
    return random.standard_normal((2, *SIZE), np.float32)


def test_a_foreground_patch_has_its_voxel_in_the_middle():
    """Of an even axis, behind the middle; at the case's border, as near to the middle as there is room."""
    for voxel, start in (((9, 8, 7), (6, 6, 5)), ((1, 17, 2), (0, 13, 0))):
        label = np.zeros((20, 18, 14), np.uint8)
        label[voxel] = 1
        case = MemoryCase(np.zeros((20, 18, 14, 1), np.float16), label)
        warped = PatchSampler([case], (6, 5, 4), 1.0, augmentation=Augmentation((Scaling(1.0, (1.0, 1.0)),)))
        draw, (_, patch) = warped.draw(3), warped.sample(3)
        assert draw.start == start and patch.sum() == 1
        assert patch[tuple(np.subtract(voxel, start))] == 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1 / 3, 0.5, 0.7, 1.0])
def test_the_foreground_share_is_exact(cases, share):
    sampler = PatchSampler(cases, (1, 1, 1), foreground_share=share)
    for count in (1, 7, 60):
        chosen = [sampler.is_foreground(index) for index in range(count)]
        assert sum(chosen) == int(np.floor(count * share))
    for index in range(60):
        draw = sampler.draw(index)
        assert (draw.label is not None) == sampler.is_foreground(index)
        if draw.foreground:
            assert sampler.sample(index)[1].item() == draw.label


def test_both_classes_are_drawn_equally_often(cases):
    sampler = PatchSampler(cases, (1, 1, 1), foreground_share=1.0)
    drawn = [sampler.sample(index)[1].item() for index in range(400)]
    assert abs(drawn.count(1) - 200) < 5 * 10  # the standard deviation of a fair coin's 400 tosses is 10
    assert drawn.count(1) + drawn.count(2) == 400


def test_a_case_without_foreground_is_drawn_from_uniformly():
    case = MemoryCase(np.ones((9, 9, 9, 1), np.float16), np.zeros((9, 9, 9), np.uint8))
    draws = [PatchSampler([case], (4, 4, 4), 1.0).draw(index) for index in range(40)]
    assert all(draw.label is None and draw.foreground for draw in draws) and len({draw.start for draw in draws}) > 20


def test_a_patch_is_a_piece_of_its_case(cases):
    sampler = PatchSampler(cases[:1], (6, 5, 4))
    starts = set()
    for index in range(200):
        image, label = sampler.sample(index)
        assert (image.dtype, label.dtype) == (np.float32, np.int32)
        draw = sampler.draw(index)
        assert draw.window == draw.box == tuple((low, low + size) for low, size in zip(draw.start, (6, 5, 4)))
        place = tuple(slice(*span) for span in draw.box)
        np.testing.assert_array_equal(image, cases[0].stored_image[place].astype(np.float32))
        np.testing.assert_array_equal(label, cases[0].stored_label[place])
        starts.add(draw.start[0])
    assert starts >= {0, 20 - 6}  # the borders are reached


def test_a_small_case_is_padded_around_its_middle(cases):
    case = cases[0]
    image, label = PatchSampler([case], [size + 5 for size in case.shape], foreground_share=1.0).sample(0)
    inside = tuple(slice(2, 2 + size) for size in case.shape)
    np.testing.assert_array_equal(image[inside], case.stored_image.astype(np.float32))
    np.testing.assert_array_equal(label[inside], case.stored_label)
    image[inside], label[inside] = 0, 0
    assert not image.any() and not label.any()


def test_padding_along_one_axis_leaves_the_others_free(cases):
    image, _ = PatchSampler(cases[:1], (cases[0].shape[0] + 3, 4, 4)).sample(1)
    assert image.shape == (cases[0].shape[0] + 3, 4, 4, 2)
    assert not image[0].any() and not image[-2:].any() and image[1:-2].any()


def test_a_flat_patch_is_a_slice_through_its_foreground_voxel(cases):
    sampler = PatchSampler(cases, (6, 5), foreground_share=1.0)
    for index in range(40):
        draw, (image, label) = sampler.draw(index), sampler.sample(index)
        assert image.shape == (6, 5, 2) and label.shape == (6, 5)
        (first, last), *spans = draw.box
        assert last == first + 1
        place = (first, *(slice(*span) for span in spans))
        np.testing.assert_array_equal(image, cases[draw.case].stored_image[place].astype(np.float32))
        assert draw.label in label


def test_flat_patches_stay_in_their_slice():
    label = np.broadcast_to(np.arange(1, 11, dtype=np.uint8)[:, None, None], (10, 30, 30))
    case = MemoryCase(np.array(label, np.float16)[..., None], np.array(label))
    for name in ("v2", "2018"):
        sampler = PatchSampler([case], (16, 16), augmentation=preset(name, (16, 16), (1, 2)), spacing=(None, 1.0, 2.0))
        warped = 0
        for index in range(40):
            draw, (_, patch) = sampler.draw(index), sampler.sample(index)
            assert set(np.unique(patch)) <= {0, draw.start[0] + 1}
            assert patch[8, 8] == draw.start[0] + 1
            warped += draw.spatial is not None
        assert warped > 5


@pytest.mark.parametrize("order, tolerance", [(1, 1e-5), (3, 0.005)])
def test_reading_the_box_alone_changes_nothing(order, tolerance):
    case = random_case((40, 36, 30), channels=1, seed=2)
    augmentation = dataclasses.replace(TURN, image_order=order)
    sampler = PatchSampler([case], (12, 12, 12), augmentation=augmentation, spacing=(2, 1, 1))
    smaller = 0
    for index in range(12):
        draw, (image, label) = sampler.draw(index), sampler.sample(index)
        warp = make_warp(draw.spatial, (12, 12, 12), (2, 1, 1))
        centre = np.array(draw.start) + 5.5 + 8
        whole = np.pad(np.moveaxis(case.stored_image.astype(np.float32), -1, 0), ((0, 0), (8, 8), (8, 8), (8, 8)))
        expected = resample_image(np.moveaxis(whole, 0, -1), warp, centre, order)
        np.testing.assert_allclose(image, expected, atol=tolerance)
        np.testing.assert_array_equal(label, resample_label(np.pad(case.stored_label, 8), warp, centre))
        smaller += np.prod([last - first for first, last in draw.box]) < case.stored_label.size / 2
    assert smaller > 6


def test_little_more_than_the_patch_is_read():
    shape, size = (140, 170, 140), (64, 64, 64)
    label = np.zeros(shape, np.uint8)
    label[50:90, 60:110, 40:80] = 1
    case = MemoryCase(np.broadcast_to(np.float16(0), (*shape, 2)), label)
    draws = map(PatchSampler([case], size, augmentation=preset("v2", size, (0, 1, 2))).draw, range(2000))
    ratios = np.array([np.prod([last - first for first, last in draw.box]) / np.prod(size) for draw in draws])
    assert 0.55 < (ratios == 1).mean() < 0.73  # 0.8 * 0.8 are neither rotated nor scaled
    assert 1.0 < ratios.mean() < 1.6


@pytest.mark.parametrize("order", [1, 3])
def test_a_patch_that_a_deformation_moves_out_of_its_case_holds_nothing(order):
    """Axes of a voxel, and of few that are moved by more than they have."""
    found = set()
    for shape, size in (((31, 31, 1), (2, 2)), ((1, 7, 3), (8, 5, 1))):
        case = MemoryCase(np.ones((*shape, 1), np.float16), np.ones(shape, np.uint8))
        augmentation = Augmentation((Elastic(1.0, (900.0, 900.0), (9.0, 9.0)),), order, in_plane=len(size) == 2)
        sampler = PatchSampler([case], size, augmentation=augmentation, spacing=(1.0, 6.0, 0.3))
        for index in range(200):
            draw, (image, label) = sampler.draw(index), sampler.sample(index)
            assert all(0 <= first < last <= limit for (first, last), limit in zip(draw.box, shape))
            assert image.shape == (*size, 1) and set(np.unique(label)) <= {0, 1}
            found.add(bool(label.any()))
    assert found == {True, False}


def test_image_and_label_move_together():
    grid = np.stack(np.meshgrid(*map(np.arange, (40, 60, 60)), indexing="ij"), axis=-1)
    spacing, blob = np.array([2.0, 1.0, 1.0]), np.array([18.0, 33.0, 27.0])
    distance = np.linalg.norm((grid - blob) * spacing, axis=-1)
    case = MemoryCase(np.exp(-0.5 * (distance / 5) ** 2).astype(np.float16)[..., None], (distance < 6).astype(np.uint8))
    size = (32, 48, 48)
    sampler = PatchSampler([case], size, 1.0, augmentation=TURN, spacing=spacing)
    moved = 0
    for index in range(8):
        draw, (image, label) = sampler.draw(index), sampler.sample(index)
        weights = np.where(image[..., 0] > 0.2, image[..., 0], 0)
        patch_grid = grid[:32, :48, :48]
        by_image = (patch_grid * weights[..., None]).sum((0, 1, 2)) / weights.sum()
        by_label = patch_grid[label == 1].mean(axis=0)
        middle = (np.array(size) - 1) / 2
        warp = make_warp(draw.spatial, size, spacing)
        expected = np.linalg.solve(warp.matrix, blob - draw.start - middle) + middle
        np.testing.assert_allclose(by_image, expected, atol=0.1)
        np.testing.assert_allclose(by_label, expected, atol=0.25)
        moved += np.abs(expected - (blob - draw.start)).max() > 0.5
    assert moved > 2


def test_labels_stay_among_those_of_the_case():
    random = np.random.default_rng(0)
    label = random.choice(np.array([0, 3, 9, 200], np.uint8), (24, 24, 24))
    case = MemoryCase(np.zeros((24, 24, 24, 1), np.float16), label)
    sampler = PatchSampler([case], (12, 12, 12), augmentation=TURN)
    for index in range(10):
        assert set(np.unique(sampler.sample(index)[1])) <= {0, 3, 9, 200}


def test_voxels_outside_of_the_mask_are_zero_again():
    case = random_case((30, 30, 30), seed=4)
    case.stored_label[:, :12] = OUTSIDE
    case.stored_image[:, :12] = 3
    changes = (GaussianNoise(1.0, (1.0, 1.0)), Brightness(1.0, (1.1, 1.2)), Mirror(0.5, (0,)))
    augmentation = Augmentation((*TURN.transforms, *changes))
    arguments = ([case], (16, 16, 16), 0.5, 0, augmentation)
    masked, unmasked = PatchSampler(*arguments, mask_channels=(True, False)), PatchSampler(*arguments)
    found = 0
    for index in range(10):
        (image, label), (_, raw) = masked.sample(index), unmasked.sample(index)
        outside = raw == OUTSIDE
        assert not image[outside, 0].any() and image[outside, 1].all()
        assert OUTSIDE not in label and not label[outside].any()
        found += outside.sum()
    assert found > 1000


def test_beyond_the_case_counts_as_outside_of_the_mask():
    case = random_case((10, 10, 10), seed=1)
    image, _ = PatchSampler(
        [case], (16, 16, 16), augmentation=Augmentation((GaussianNoise(1.0, (1.0, 1.0)),)), mask_channels=(True, False)
    ).sample(0)
    inside = (slice(3, 13),) * 3
    assert image[(*inside, 0)].all()
    image[(*inside, 0)] = 0
    assert not image[..., 0].any() and image[..., 1].all()


@pytest.mark.parametrize("axes", [(0,), (0, 2), (0, 1, 2)])
def test_mirrors_are_undone_by_flipping(cases, axes):
    plain = PatchSampler(cases, SIZE)
    mirrored = PatchSampler(cases, SIZE, augmentation=Augmentation((Mirror(1.0, axes),)))
    for index in range(5):
        assert_equal(plain.sample(index), [np.flip(item, axes) for item in mirrored.sample(index)])


def test_all_combinations_of_mirrors_come_equally_often(cases):
    sampler = PatchSampler(cases, SIZE, augmentation=Augmentation((Mirror(0.5, (0, 1, 2)),)))
    drawn = [sampler.draw(index).mirrored for index in range(1600)]
    for axes in itertools.chain.from_iterable(itertools.combinations(range(3), count) for count in range(4)):
        assert abs(drawn.count(axes) - 200) < 5 * (1600 * 1 / 8 * 7 / 8) ** 0.5


@pytest.mark.parametrize(
    "arguments, message",
    [(((8,),), "two or three positive"), (((8, 8, 0),), "two or three positive"), (((8, 8, 8), 1.5), "between 0 and 1")],
)
def test_impossible_samplers_are_refused(cases, arguments, message):
    with pytest.raises(ConfigError, match=message):
        PatchSampler(cases, *arguments)
    with pytest.raises(ConfigError, match="No case"):
        PatchSampler([], SIZE)


def test_cases_of_the_cache_are_sampled(tmp_path):
    task = load_task(write_task(tmp_path / "task", shape=(20, 18, 14)))
    channels = tuple(Normalization(name, "zscore") for name in task.channel_names)
    plan = PreprocessingPlan((1.0, 1.0, 1.5), channels, dict(task.labels))
    sampler = PatchSampler(prepare(task, plan, tmp_path / "cache", processes=1), (6, 6, 6), 1.0)
    for index in range(20):
        draw, (image, label) = sampler.draw(index), sampler.sample(index)
        place = tuple(slice(*span) for span in draw.box)
        np.testing.assert_array_equal(image, sampler.cases[draw.case].image()[place].astype(np.float32))
        assert draw.label in (1, 2) and draw.label in label


def test_the_data_package_does_not_import_tensorflow():
    code = (
        "import sys, scnas_keras.patches.presets, scnas_keras.patches.stream, scnas_keras.tasks.sides\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    run(PYTHON, "-c", code, env={"PYTHONPATH": ":".join(sys.path)})
