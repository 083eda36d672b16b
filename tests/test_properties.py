"""What must hold of any grid and any document; hypothesis draws them, the same ones each time."""

import dataclasses
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_by_row import restore_probabilities
from some_spaces import FLAT, PATHS, SMALL
from test_planning_documents import MADE

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.documents import decode
from scnas_keras.errors import UserError
from scnas_keras.formats.volumes import read_image, read_label, write_label
from scnas_keras.inference.companion import Companion
from scnas_keras.planning.planner import Wishes, make_plans
from scnas_keras.planning.plans import Plans, load_plans
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan, Resampling
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.genotype_format import Document
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.tasks.dataset_json import DatasetJson

sometimes = settings(max_examples=15, deadline=None, derandomize=True, database=None)
ANGLES = st.floats(-np.pi, np.pi)
SIZES = st.tuples(*[st.integers(2, 7)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 5)] * 3)


@st.composite
def affines(draw):
    """Any rotation, voxel sizes, order and direction of axes, and origin."""
    a, b, c = (draw(ANGLES) for _ in range(3))
    turns = [np.eye(3) for _ in range(3)]
    for turn, angle, (i, j) in zip(turns, (a, b, c), ((0, 1), (0, 2), (1, 2))):
        turn[[i, j], [i, j]], turn[i, j], turn[j, i] = np.cos(angle), -np.sin(angle), np.sin(angle)
    order, signs = draw(st.permutations(range(3))), [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    matrix = (turns[0] @ turns[1] @ turns[2] * signs)[:, list(order)] * draw(SPACINGS)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, [draw(st.floats(-200, 200)) for _ in range(3)]
    return affine


@sometimes
@given(affine=affines(), shape=SIZES, ending=st.sampled_from([".nii.gz", ".nrrd", ".mha"]))
def test_a_label_lies_where_its_scan_does_in_every_format_and_program(affine, shape, ending):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK isn't installed")
    array = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    array[0, 0, 0], array[-1, -1, -1] = 1, 2
    with tempfile.TemporaryDirectory() as folder:
        scan, written = Path(folder, "scan.nii.gz"), Path(folder, f"label{ending}")
        nib.save(nib.Nifti1Image(array.astype(np.int16), affine), scan)
        volume = read_image(scan)
        write_label(written, volume.array[..., 0].astype(np.uint8), volume.geometry)
        again, geometry = read_label(written)
        np.testing.assert_array_equal(again, volume.array[..., 0])
        np.testing.assert_allclose(geometry.affine, volume.geometry.affine, atol=1e-4)
        image = sitk.ReadImage(str(written))
        for index in ((0, 0, 0), tuple(size - 1 for size in shape), (1, 0, 1)):
            place = (affine @ [*index, 1])[:3] * [-1, -1, 1]  # ITK's axes point left and back
            np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), place, atol=1e-3)
            assert image.GetPixel(index) == array[index]


@sometimes
@given(shape=st.tuples(*[st.integers(6, 14)] * 3), spacing=SPACINGS, target=SPACINGS, transpose=st.permutations(range(3)))
def test_what_is_prepared_comes_back_onto_the_scans_grid(shape, spacing, target, transpose):
    """A half space survives preparing and coming back, but for a voxel, or a voxel of the coarser grid, at its border."""
    plan = PreprocessingPlan(target, (Normalization("T1", "none"),), {0: "background", 1: "a"}, tuple(transpose), Resampling(image_order=1))
    array = np.ones(shape, np.float32)
    border = shape[0] // 2
    array[border:] = 3
    with tempfile.TemporaryDirectory() as folder:
        nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1])), Path(folder, "scan.nii.gz"))
        volume = read_image(Path(folder, "scan.nii.gz"))
    image, crop, _ = preprocess_image(volume, plan)
    segmentation = restore_probabilities((np.concatenate([3 - image, image - 1], axis=-1)), crop, plan)
    assert segmentation.shape == shape
    off = 1 + int(np.ceil(target[transpose.index(0)] / spacing[0]))
    assert segmentation[: max(border - off, 0)].max(initial=0) == 0 and segmentation[border + off :].min(initial=1) == 1


@sometimes
@given(space=st.sampled_from([SMALL, FLAT, PATHS]), seed=st.integers(0, 10**6), notes=st.lists(st.text(max_size=20), max_size=2))
def test_genotypes_read_back_equal(space, seed, notes):
    genotype = dataclasses.replace(random_genotype(space, seed, 0), notes=tuple(notes))
    with tempfile.TemporaryDirectory() as folder:
        genotype.save(Path(folder, "genotype.json"))
        assert Genotype.load(Path(folder, "genotype.json")) == genotype


@settings(sometimes, max_examples=5)
@given(spacing=SPACINGS, memory=st.floats(4, 40))
def test_plans_read_back_equal(spacing, memory):
    plans = make_plans(MADE, NNUNet(), wishes=Wishes(memory, spacing))
    with tempfile.TemporaryDirectory() as folder:
        plans.save(Path(folder, "plans.json"))
        assert load_plans(Path(folder, "plans.json")) == plans


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(sometimes, max_examples=100)
@given(kind=st.sampled_from([Plans, Companion, DatasetJson, Document]), content=JSON)
def test_any_json_is_a_document_or_one_refusal(kind, content):
    try:
        assert isinstance(decode(content, kind, "file.json"), kind)
    except UserError as error:
        assert str(error).startswith("file.json: ") and "\n" not in str(error)
