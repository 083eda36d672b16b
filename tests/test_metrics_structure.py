"""Metrics of one structure: by hand, by geometry, and against distances of all pairs of points in float64."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from scnas_keras.errors import ConfigError
from scnas_keras.metrics.case_table import class_mean, of_measure, read_surface_table, surface_cells, surface_columns, write_surface_table
from scnas_keras.metrics.structure import Surfaces, class_surfaces, structure_metrics
from scnas_keras.metrics.summary import summarize

SHAPE = (40, 44, 36)


def ball(centre, radius, shape=SHAPE, spacing=(1.0, 1.0, 1.0)):
    """Voxels whose centres lie within a radius (mm) of a place (mm)."""
    grid = np.meshgrid(*(np.arange(size) * step for size, step in zip(shape, spacing)), indexing="ij")
    return sum((axis - place) ** 2 for axis, place in zip(grid, centre)) < radius**2


def cube(begin, end, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(begin, end))] = True
    return mask


def test_overlap_by_hand():
    own, found = cube((0, 0, 0), (4, 4, 4)), cube((2, 0, 0), (4, 4, 4))
    result = structure_metrics(own, found, (1.0, 2.0, 0.5), 1.0)
    assert (result.dice, result.jaccard, result.precision, result.recall) == (2 * 32 / 96, 0.5, 1.0, 0.5)
    assert (result.reference_ml, result.predicted_ml) == (pytest.approx(0.064), pytest.approx(0.032))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.5, 3.0)])
def test_a_shifted_slab_is_as_far_as_it_was_shifted(axis, spacing):
    """A slab through the whole scan has two flat sides, each shifted by two voxels."""
    begin, end = [0, 0, 0], list(SHAPE)
    begin[axis], end[axis] = 10, 20
    own = cube(begin, end)
    found = np.roll(own, 2, axis)
    result = structure_metrics(own, found, spacing, 2 * spacing[axis])
    assert result.hd95 == pytest.approx(2 * spacing[axis]) and result.nsd == pytest.approx(1.0)
    assert structure_metrics(own, found, spacing, 1.9 * spacing[axis]).nsd < 0.8  # the slab has a rim


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 1.6)])
def test_balls_in_one_another_are_apart_by_their_radii(spacing):
    shape = tuple(round(64 / step) for step in spacing)
    own, found = (ball((32.0, 32.0, 32.0), radius, shape, spacing) for radius in (20.0, 24.0))
    result = structure_metrics(own, found, spacing, 1.0)
    assert 3.3 < result.assd < 4.0 and result.hd95 == pytest.approx(4.0, abs=0.8)  # corners of voxels are nearer than the balls
    assert result.nsd == 0.0 and structure_metrics(own, found, spacing, 6.0).nsd == 1.0
    assert result.reference_ml == pytest.approx(4 / 3 * np.pi * 20**3 / 1000, rel=0.02)


def test_distances_are_those_of_the_nearest_of_all_points():
    """Corners between voxels of which some belong and some don't, and each one's nearest, in float64."""
    random = np.random.default_rng(2)
    own, found = ball((18, 20, 17), 9), ball((20, 21, 17), 8) | ball((30, 35, 8), 3)
    found &= random.random(SHAPE) > 0.05
    spacing = np.array([0.7, 1.0, 2.5])
    points = [surface(mask) * spacing for mask in (own, found)]
    result = structure_metrics(own, found, spacing, 1.5)
    ways = [cKDTree(points[1 - index]).query(points[index])[0] for index in (0, 1)]
    assert result.hd95 == pytest.approx(max(np.percentile(way, 95) for way in ways), rel=0.1)  # areas aren't equal
    assert max(way.max() for way in ways) >= result.hd95
    assert result.assd == pytest.approx(np.mean([way.mean() for way in ways]), rel=0.1)


def surface(mask):
    """Corners [n, 3] around which some voxels belong to the mask and some don't."""
    padded = np.pad(mask, 1).astype(int)
    sums = sum(padded[a : a - 1 or None, b : b - 1 or None, c : c - 1 or None] for a in (0, 1) for b in (0, 1) for c in (0, 1))
    return np.argwhere((sums > 0) & (sums < 8)) - 0.5


def test_what_isnt_defined_is_none():
    nothing, something = np.zeros(SHAPE, bool), cube((3, 3, 3), (6, 6, 6))
    neither = structure_metrics(nothing, nothing, (1, 1, 1), 1.0)
    assert {getattr(neither, name) for name in ("dice", "jaccard", "precision", "recall", "nsd", "hd95", "assd")} == {None}
    assert (neither.reference_ml, neither.lesions, neither.false_positives) == (0.0, 0, 0)
    missed = structure_metrics(something, nothing, (1, 1, 1), 1.0)
    assert (missed.dice, missed.recall, missed.nsd, missed.precision, missed.hd95, missed.assd) == (0.0, 0.0, 0.0, None, None, None)
    assert (missed.lesions, missed.lesions_found) == (1, 0)
    invented = structure_metrics(nothing, something, (1, 1, 1), 1.0)
    assert (invented.dice, invented.precision, invented.nsd, invented.recall, invented.hd95) == (0.0, 0.0, 0.0, None, None)
    assert invented.false_positives == 1


def test_lesions_are_found_by_one_voxel_and_touch_by_corners():
    own, found = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    own[2:4, 2:4, 2:4] = own[4, 4, 4] = True  # one, by a corner
    own[20:24, 20:24, 20:24] = own[30, 30, 30] = True
    found[4, 4, 4] = found[10, 10, 10] = found[12, 12, 12] = True
    result = structure_metrics(own, found, (1, 1, 1), 1.0)
    assert (result.lesions, result.lesions_found, result.false_positives) == (3, 1, 2)


def test_the_same_is_perfect_also_of_one_voxel_and_at_the_border():
    for mask in (cube((5, 5, 5), (6, 6, 6)), cube((0, 0, 0), SHAPE), ball((20, 20, 18), 30)):
        result = structure_metrics(mask, mask, (0.3, 1.0, 5.0), 0.0)
        assert (result.dice, result.nsd, result.hd95, result.assd) == (1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_picture_has_contours(axis):
    """Of two stripes, one shifted by 3 pixels: in three dimensions the faces of the one slice, 0 apart, would count as well."""
    own, found = np.zeros((300, 30), bool), np.zeros((300, 30), bool)
    own[:, 5:15] = found[:, 8:18] = True
    own, found = (np.expand_dims(mask, axis) for mask in (own, found))
    result = structure_metrics(own, found, np.insert([1.0, 2.0], axis, 999.0), 1.0)
    assert result.assd > 5 and result.hd95 == pytest.approx(6.0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(40, 44, 36\) and the prediction \(1, 2, 3\)"):
        structure_metrics(np.zeros(SHAPE, bool), np.zeros((1, 2, 3), bool), (1, 1, 1), 1.0)


def test_a_summary_leaves_out_what_isnt_defined():
    found = summarize([0.5, None, 0.7, 0.9])
    assert (found.count, found.mean, found.median) == (3, pytest.approx(0.7), 0.7)
    assert 0.5 <= found.low < 0.7 < found.high <= 0.9 and summarize([0.5, None, 0.7, 0.9]) == found
    assert summarize([0.4]).low is None and summarize([None]).mean is None


def test_the_interval_holds_the_mean_in_most_samples():
    random = np.random.default_rng(0)
    inside = [own.low < 0.8 < own.high for own in (summarize(list(random.normal(0.8, 0.05, 40))) for _ in range(60))]
    assert 0.85 < np.mean(inside) <= 1.0


def test_surfaces_of_classes_are_those_of_each_structure():
    """Of three classes, of which both have one, one has another, and none the third; also in a picture."""
    own, found = ball((18, 20, 17), 9), ball((20, 21, 17), 8)
    label, prediction = own.astype(np.uint8), found.astype(np.uint8)
    label[30:34, 30:34, 30:34] = 2
    for cut in (slice(None), slice(17, 18)):
        one, other = label[:, :, cut], prediction[:, :, cut]
        alone = class_surfaces(one, other, 4, (0.7, 1.0, 2.5), 1.5)
        for value, surfaces in enumerate(alone, start=1):
            whole = structure_metrics(one == value, other == value, (0.7, 1.0, 2.5), 1.5)
            assert surfaces == Surfaces(whole.nsd, whole.hd95, whole.assd)
        assert alone[2] == Surfaces(None, None, None) and alone[0].hd95 > 0
    assert class_surfaces(label, prediction, 4, (1, 1, 1), 1)[1] == Surfaces(0.0, None, None)
    with pytest.raises(ValueError, match="expected the same"):
        class_surfaces(label, prediction[1:], 4, (1, 1, 1), 1)


def test_a_table_of_surfaces_is_read_as_it_was_written(tmp_path):
    surfaces = {"b": {"core": Surfaces(0.5, 2.0, 1.0), "shell": Surfaces(0.0, None, None)}, "a, 1": {"core": Surfaces(None, None, None)}}
    write_surface_table(tmp_path / "surfaces.csv", surfaces)
    found = read_surface_table(tmp_path / "surfaces.csv", "Delete it.")
    assert found == surfaces and read_surface_table(tmp_path / "absent.csv", "") == {}
    assert of_measure(found, "nsd") == {"b": {"core": 0.5, "shell": 0.0}, "a, 1": {}}
    assert (
        class_mean(found, "core", "hd95") == 2.0 and class_mean(found, "shell", "hd95") is None and class_mean(found, "none", "nsd") is None
    )
    assert surface_columns(("core", "shell"), "mm") == ["core NSD", "shell NSD", "core HD95 mm", "shell HD95 mm"]
    assert surface_cells(found["b"], ("core", "shell")) == ["0.500000", "0.000000", "2.000000", ""]
    for text in ("case,class,nsd,hd95,assd\na,core,x,1,1\n", "case,class\na,core\n", "no table\n1\n"):
        (tmp_path / "surfaces.csv").write_text(text)
        with pytest.raises(ConfigError, match="surfaces.csv: damaged .*Delete it."):
            read_surface_table(tmp_path / "surfaces.csv", "Delete it.")
