"""New scans against those that a network was trained on, and grids that can't be meant."""

import dataclasses
import json
import types
from pathlib import Path

import numpy as np
import pytest

from scnas_keras.checks.ranges import intensity_ranges
from scnas_keras.documents import decode
from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import Geometry, Volume
from scnas_keras.inference import seen as module
from scnas_keras.inference.companion import Companion
from scnas_keras.inference.seen import Seen, check_grid, differences, seen_in
from scnas_keras.preprocessing.cropping import Crop
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan

PLAN = PreprocessingPlan((1.0, 1.0, 1.5), (Normalization("T1", "zscore"),), {0: "background", 1: "organ"}, (2, 0, 1))
SEEN = Seen(((1.0, 1.2),) * 2 + ((1.5, 3.0),), ((40.0, 80.0),) * 3, ((0.0, 400.0),), (200.0,))


def volume(shape=(50, 50, 30), spacing=(1.0, 1.1, 2.0), scale=300.0):
    rng = np.random.default_rng(0)
    geometry = Geometry(Path("scan.nii.gz"), np.diag([*spacing, 1]), shape, np.array([[0, 1], [1, 1], [2, 1]]), None)
    return Volume((scale * rng.random((*shape, 1))).astype(np.float32), spacing, geometry)


def told(scan):
    return differences(SEEN, scan, intensity_ranges(scan.array), ["T1"])


def test_a_scan_like_those_is_not_remarked_upon():
    assert told(volume()) == []


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"spacing": (1.0, 2.5, 2.0), "shape": (50, 20, 30)}, "spacing along y 2.5 mm, in training scans 1 to 1.2"),
        ({"spacing": (0.5, 1.0, 2.0), "shape": (100, 50, 30)}, "spacing along x 0.5 mm, in training scans 1 to 1.2"),
        ({"shape": (50, 50, 100)}, "extent along z 200 mm, in training scans 40 to 80"),
        ({"scale": 3000.0}, "in training scans 0 to 400 (0.5 and 99.5 percentiles)"),
        ({"scale": -3000.0}, "T1 from -29"),
        ({"scale": 5.0}, "T1 from 0.0"),
    ],
    ids=["coarse", "fine", "long", "bright", "dark", "flat"],
)
def test_what_differs_is_told_with_both_figures(changes, text):
    (line,) = told(volume(**changes))
    assert text in line


def test_what_was_seen_is_the_least_and_the_most_of_all_cases():
    def case(spacing, shape, ranges):
        return types.SimpleNamespace(crop=Crop(shape, spacing, (1, 2, 3), (9, 8, 7)), ranges=ranges)  # the scan's size, not the crop's

    found = seen_in([case((1, 1, 2), (40, 50, 20), ((0, 10), (5, 7))), case((1, 2, 3), (40, 20, 30), ((-1, 4), (0, 9)))])
    assert found == Seen(((1, 1), (1, 2), (2, 3)), ((40, 40), (40, 50), (40, 90)), ((-1, 10), (0, 9)), (5, 2))


def test_a_scans_range_leaves_out_half_a_percent_at_either_end():
    values = np.random.default_rng(0).permutation(1001).reshape(7, 11, 13)
    assert intensity_ranges(np.stack([values, -2 * values], -1)) == ((5, 995), (-1990, -10))


def test_model_json_keeps_it():
    companion = Companion((8, 8, 8), (), PLAN, SEEN, {"organ": 0.5})
    assert decode(json.loads(json.dumps(dataclasses.asdict(companion))), Companion, Path("model.json"), "") == companion
    older = {key: value for key, value in json.loads(json.dumps(dataclasses.asdict(companion))).items() if key not in ("seen", "dice")}
    found = decode(older, Companion, Path("model.json"), "")
    assert found.seen is None and found.dice is None


@pytest.mark.parametrize(
    "change, place",
    [
        ({"intensity": [[0, 1], [0, 1]], "contrast": [1, 1]}, "seen.intensity"),
        ({"spacing": [[2, 1], [1, 1], [1, 1]]}, r"seen.spacing\[0\]"),
        ({"contrast": [1, 2]}, "seen.contrast"),
    ],
)
def test_nonsense_in_model_json_is_refused(change, place):
    document = json.loads(json.dumps(dataclasses.asdict(Companion((8, 8, 8), (), PLAN, SEEN))))
    document["seen"] |= change
    with pytest.raises(DataError, match=place):
        decode(document, Companion, Path("model.json"), "")


def test_a_grid_that_collapses_is_refused_with_what_the_header_says():
    """A scan of 35 x 51 x 35 mm whose unit was lost, in metres read as millimetres."""
    with pytest.raises(DataError, match=r"scan.nii.gz: the header says 35x35x51 voxels of 0.001x0.001x0.001 mm.* 1x1x1 voxels"):
        check_grid(volume((35, 51, 35), (0.001,) * 3), PLAN)
    check_grid(volume((50, 50, 2), (1.0, 1.0, 5.0)), PLAN)  # two thick slices are two thick slices
    check_grid(volume((3, 50, 30), (1.0, 1.0, 1.5)), PLAN)


def test_a_grid_that_memory_does_not_hold_is_refused(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 2**30)
    with pytest.raises(DataError, match=r"voxels of 1000x1000x1000 mm.*GiB of memory are needed and 1 are free.*unit in the header"):
        check_grid(volume((35, 51, 35), (1000.0,) * 3), PLAN)
    check_grid(volume(), PLAN)
