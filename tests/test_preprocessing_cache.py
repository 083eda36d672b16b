import dataclasses
import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import PYTHON, start
from row_by_row import restore_probabilities
from small_task import REAL_DATA, change, save, write_json, write_task

from scnas_keras.documents import load
from scnas_keras.errors import ConfigError, DataError, OutputError
from scnas_keras.formats.volumes import read_image, read_label
from scnas_keras.machine import workers
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.preprocessing import cache, contents, foreground
from scnas_keras.preprocessing.cache import OUTSIDE, prepare
from scnas_keras.preprocessing.contents import digest, read_contents
from scnas_keras.preprocessing.foreground import foreground_index
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.preprocessing.scans import preprocess_image, preprocess_label
from scnas_keras.tasks.loading import load_task

LABELS = {0: "background", 1: "left", 2: "right"}
ZSCORE = (Normalization("T1", "zscore"), Normalization("T2", "zscore"))
PLAN = PreprocessingPlan((1.2, 0.8, 1.0), ZSCORE, LABELS, (2, 0, 1))
MASKED = dataclasses.replace(PLAN, channels=(Normalization("T1", "zscore", use_mask=True), ZSCORE[1]))


@pytest.fixture
def task(tmp_path):
    return load_task(write_task(tmp_path / "task"))


def snapshot(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def carve_air(array):
    """A corner of air inside the crop's box, in both channels."""
    array[:5, :5] = 0


@pytest.mark.parametrize("storage, tolerance", [("float16", 2.0**-11), ("float32", 0)])
def test_a_prepared_case_is_what_preprocessing_makes(tmp_path, task, storage, tolerance):
    prepared = prepare(task, PLAN, tmp_path / "cache", processes=1, storage=storage)
    assert [case.name for case in prepared] == [case.name for case in task.cases]
    image, crop, _ = preprocess_image(read_image(task.cases[0].images), PLAN)
    original, _ = read_label(task.cases[0].label)
    case = prepared[0]
    np.testing.assert_allclose(case.image(), image, rtol=tolerance, atol=0)
    assert case.image().dtype == storage and isinstance(case.image(), np.memmap)
    np.testing.assert_array_equal(case.label(), preprocess_label(original, crop, PLAN))
    assert case.label().dtype == np.uint8 and isinstance(case.label(), np.memmap)
    assert case.shape == image.shape[:3] == case.label().shape
    assert case.crop == crop
    assert restore_probabilities((np.eye(3)[case.label()]), case.crop, PLAN).shape == original.shape


def test_storages_lie_beside_each_other(tmp_path, task):
    half, full = (prepare(task, PLAN, tmp_path / "cache", processes=1, storage=storage)[0] for storage in ("float16", "float32"))
    assert half.folder.parent != full.folder.parent
    with pytest.raises(ConfigError, match="--storage=int8.*float16 or float32"):
        prepare(task, PLAN, tmp_path / "cache", storage="int8")


@pytest.mark.parametrize(
    "values, holds",
    [
        (lambda x: x, True),
        (lambda x: 600 * x, True),
        (lambda x: 700 * x, False),  # up to 70000: beyond the largest
        (lambda x: -700 * x, False),
        (lambda x: x + 20_000, False),  # in steps of 16
        (lambda x: 1e-7 * x, True),
        (lambda x: 1e-10 * x, False),  # below the smallest
        (lambda x: np.where(x > 99.999, 10_000, x), True),  # a few bright voxels don't coarsen the others
    ],
)
def test_storage_follows_the_values(tmp_path, task, values, holds):
    plan = dataclasses.replace(PLAN, channels=(Normalization("T1", "none"),) * 2, spacing=(1.5, 1, 1))
    case = task.cases[0]
    change(case.images[0], lambda array: np.copyto(array, values(array.astype(np.float64))))
    image = prepare(dataclasses.replace(task, cases=(case,)), plan, tmp_path / "cache", processes=1)[0].image()
    assert image.dtype == ("float16" if holds else "float32")
    expected = preprocess_image(read_image(case.images), plan).image
    np.testing.assert_allclose(image, expected, rtol=2.0**-11 if holds else 0, atol=3e-8 if holds else 0)


def test_patches_are_drawn_from_both_types(tmp_path, task):
    plan = dataclasses.replace(PLAN, channels=(Normalization("T1", "none"),) * 2)
    change(task.cases[0].images[0], lambda array: np.multiply(array, 10_000, out=array))
    cases = prepare(task, plan, tmp_path / "cache", processes=1)
    assert [case.image().dtype.name for case in cases] == ["float32", "float16", "float16"]
    images = [PatchSampler(cases, (8, 8, 8), 1.0, seed=0).sample(index)[0] for index in range(12)]
    assert {image.dtype.name for image in images} == {"float32"} and max(image.max() for image in images) > 65504


def test_cases_apart_from_the_others_are_told(tmp_path, task, caplog):
    task = dataclasses.replace(task, channel_names=("noNorm", "T2"))
    prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert "goes from" not in caplog.text
    change(task.cases[2].images[0], lambda array: np.multiply(array, 1000, out=array))
    prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert caplog.text.count("goes from") == 1 and "channel 0 (noNorm)" in caplog.text and "in 1 of 3 cases, in the others" in caplog.text


def test_long_names_of_cases_are_cut_in_the_cache(tmp_path):
    folder = write_task(tmp_path / "task", num_cases=3)
    for number, name in enumerate(("\u75c5" * 80, "\u75c5" * 79 + "b", "c" * 248)):
        for place in ("imagesTr", "labelsTr"):
            (folder / place / f"case_{number}.nii.gz").rename(folder / place / f"{name}.nii.gz")
    write_json(folder, ["\u75c5" * 80, "\u75c5" * 79 + "b", "c" * 248])
    found = prepare(load_task(folder), PLAN, tmp_path / "cache", processes=1)
    assert len({case.folder for case in found}) == 3 and all(len(os.fsencode(case.folder.name)) <= 255 for case in found)
    measure_task(load_task(folder), tmp_path / "cache", 1, False)


def test_background_outside_of_the_mask_is_marked(tmp_path, task):
    change(task.cases[0].images[0], carve_air)
    case = prepare(task, MASKED, tmp_path / "cache", processes=1)[0]
    scan = preprocess_image(read_image(task.cases[0].images), MASKED)
    original = preprocess_label(read_label(task.cases[0].label)[0], scan.crop, MASKED)
    label = case.label()
    assert 0.05 < (label == OUTSIDE).mean() < 0.95
    np.testing.assert_array_equal(label == OUTSIDE, scan.outside & (original == 0))
    np.testing.assert_array_equal(np.where(label == OUTSIDE, 0, label), original)
    assert not case.image()[label == OUTSIDE, 0].any()
    assert sorted(case.classes) == [1, 2]


def test_without_a_mask_nothing_is_marked(tmp_path, task):
    change(task.cases[0].images[0], carve_air)
    assert not (prepare(task, PLAN, tmp_path / "cache", processes=1)[0].label() == OUTSIDE).any()


@pytest.mark.parametrize(
    "plan, ignored, problem",
    [(MASKED, 254, None), (MASKED, 255, "0 to 254.*255.*nonzero mask"), (PLAN, 255, None), (PLAN, 256, "0 to 255")],
)
def test_more_labels_than_a_byte_holds_are_refused(tmp_path, task, plan, ignored, problem):
    task = dataclasses.replace(task, ignore_label=ignored)
    if problem is None:
        assert len(prepare(task, plan, tmp_path / "cache", processes=1)) == 3
    else:
        with pytest.raises(DataError, match=f"dataset.json.*{problem}"):
            prepare(task, plan, tmp_path / "cache", processes=1)


def test_the_ignore_label_is_kept_and_no_class(tmp_path, task):
    change(task.cases[0].label, lambda array: array[2:10, 7:9, 1:7].fill(3))
    task = dataclasses.replace(task, ignore_label=3)
    case = prepare(task, MASKED, tmp_path / "cache", processes=1)[0]
    assert 3 in np.unique(case.label())
    assert sorted(case.classes) == [1, 2]


def test_mapped_labels_are_prepared_mapped_and_apart(tmp_path, task):
    change(task.cases[0].label, lambda array: array.__setitem__(array == 2, 200))
    mapped = dataclasses.replace(task, cases=task.cases[:1], label_map={200: 2})
    other = dataclasses.replace(mapped, label_map={200: 1})
    label = prepare(mapped, PLAN, tmp_path / "cache", processes=1)[0].label()
    assert set(np.unique(label)) == {0, 1, 2}
    assert set(np.unique(prepare(other, PLAN, tmp_path / "cache", processes=1)[0].label())) == {0, 1}


def test_foreground_voxels_are_those_of_their_class(tmp_path, task, monkeypatch):
    monkeypatch.setattr(foreground, "MIN_VOXELS", 5)
    case = prepare(task, PLAN, tmp_path / "cache", processes=1)[0]
    assert case.classes == {1: 5, 2: 5}
    for value, count in case.classes.items():
        voxels = [case.foreground_voxel(value, index) for index in range(count)]
        assert len(set(voxels)) == 5
        assert all(case.label()[voxel] == value for voxel in voxels)
        assert all(type(place) is int for voxel in voxels for place in voxel)
        with pytest.raises(IndexError):
            case.foreground_voxel(value, count)


@pytest.mark.parametrize("slab", [2**22, 400])
def test_the_index_holds_what_nnunet_would_hold(monkeypatch, slab):
    """10000 voxels of a class or 1 %, whichever is more; all where there are fewer."""
    monkeypatch.setattr(foreground, "_SLAB_VOXELS", slab)
    label = np.zeros((128, 100, 100), np.uint8)
    label[:110] = 4
    label[112, :, :50] = 2
    label[115, 50, 50] = 9
    label[120] = 7  # not asked for
    label[124, :90] = 8
    voxels, counts = foreground_index(label, [1, 2, 4, 8, 9], "case")
    assert counts == {2: 5000, 4: 11000, 8: 9000, 9: 1}
    assert voxels.dtype == np.int32 and voxels.shape == (25001, 3)
    np.testing.assert_array_equal(label[tuple(voxels.T)], np.repeat([2, 4, 8, 9], [5000, 11000, 9000, 1]))
    assert len(np.unique(voxels, axis=0)) == 25001
    np.testing.assert_allclose(voxels[5000:16000].mean(axis=0), [54.5, 49.5, 49.5], atol=2)  # spread over the class


def test_the_index_depends_on_the_name_alone():
    label = np.ones((40, 40, 40), np.uint8)
    first, again, other = (foreground_index(label, [1], name)[0] for name in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_classes_are_drawn_apart():
    """Of two that take turns along the last axis, the pairs whose first voxel is chosen aren't those whose second is."""
    voxels, counts = foreground_index(np.tile(np.array([1, 2], np.uint8), (40, 40, 20)), [1, 2], "a")
    assert counts == {1: 10_000, 2: 10_000}
    assert not np.array_equal(voxels[:10_000] // [1, 1, 2], voxels[10_000:] // [1, 1, 2])


def keep_one_voxel(array):
    array.fill(0)
    array[8, 8, 5] = 2


def test_a_class_may_be_lost_in_resampling(tmp_path, task):
    change(task.cases[0].label, keep_one_voxel)
    coarse = dataclasses.replace(PLAN, spacing=(3.0, 3.0, 3.0))
    case = prepare(task, coarse, tmp_path / "cache", processes=1)[0]
    assert case.classes == {} and not case.label().any()


def test_a_prepared_case_travels_as_its_name_and_folder(tmp_path, task):
    case = prepare(task, PLAN, tmp_path / "cache", processes=1)[0]
    assert case.shape and case.classes and case.crop  # what is cached doesn't travel
    copy = pickle.loads(pickle.dumps(case))
    assert copy == case and vars(copy) == {"name": case.name, "folder": case.folder}
    np.testing.assert_array_equal(copy.image(), case.image())


def test_processes_make_no_difference_and_a_rerun_does_nothing(tmp_path, task):
    serial = prepare(task, PLAN, tmp_path / "serial", processes=1)
    parallel = prepare(task, PLAN, tmp_path / "parallel", processes=2, progress=False)
    for one, other in zip(serial, parallel):
        assert one.folder.name == other.folder.name
        for file in one.folder.iterdir():
            assert file.read_bytes() == (other.folder / file.name).read_bytes()
    before = snapshot(tmp_path / "parallel")
    assert prepare(task, PLAN, tmp_path / "parallel") == parallel
    assert snapshot(tmp_path / "parallel") == before


def test_only_a_changed_case_is_done_again(tmp_path, task, monkeypatch):
    titles, each = [], workers.each
    monkeypatch.setattr(workers, "each", lambda items, title, total: titles.append((title, total)) or each(items, title, total))
    first = prepare(task, PLAN, tmp_path / "cache", processes=1)
    before = snapshot(tmp_path / "cache")
    change(task.cases[1].images[0], lambda array: np.multiply(array, 2 + array, out=array))
    second = prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert [one == other for one, other in zip(first, second)] == [True, False, True]
    assert not np.array_equal(first[1].image(), second[1].image())
    after = snapshot(tmp_path / "cache")
    assert before.items() <= after.items()
    new = {path.parts[1] for path in after.keys() - before.keys() if path.parts[0] != "contents"}
    assert new == {second[1].folder.name}
    prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert titles == [("Preparing Small", 3), ("Preparing Small", 1)]


@pytest.mark.parametrize("file", [0, 1])
def test_nothing_is_done_again_where_files_were_touched_or_copied(tmp_path, task, file, monkeypatch):
    first = prepare(task, PLAN, tmp_path / "cache", processes=1)
    os.utime(task.cases[0].files[file], ns=(0, 12345))
    monkeypatch.setattr(cache, "write_case", None)
    assert prepare(task, PLAN, tmp_path / "cache", processes=1) == first
    shutil.copytree(task.root, tmp_path / "elsewhere")
    copied = load_task(tmp_path / "elsewhere")
    assert prepare(copied, PLAN, tmp_path / "cache", processes=1) == first


def test_bytes_are_read_once(tmp_path, task, monkeypatch):
    first = read_contents(task.cases, tmp_path / "cache")
    assert list(first["case_1"]) == ["imagesTr/case_1.nii.gz", "labelsTr/case_1.nii.gz"]
    label = task.cases[1].label
    assert first["case_1"]["labelsTr/case_1.nii.gz"] == hashlib.sha256(hashlib.sha256(label.read_bytes()).digest()).hexdigest()[:16]
    monkeypatch.setattr(contents.hashlib, "file_digest", None)
    assert read_contents(task.cases, tmp_path / "cache") == first


def test_another_plan_has_a_folder_of_its_own(tmp_path, task):
    first = prepare(task, PLAN, tmp_path / "cache", processes=1)
    second = prepare(task, dataclasses.replace(PLAN, spacing=(2.0, 2.0, 2.0)), tmp_path / "cache", processes=1)
    assert first[0].folder.parent != second[0].folder.parent
    assert first[0].shape != second[0].shape
    assert load(second[0].folder.parent / "plan.json", PreprocessingPlan).spacing == (2.0, 2.0, 2.0)


def test_a_run_beside_this_one_may_finish_a_case_first(tmp_path, task, monkeypatch):
    """Both are at work on the same case; the second to rename finds the folder there."""
    write, before = cache.write_case, []
    known = {name: digest(found) for name, found in read_contents(task.cases, tmp_path / "cache").items()}

    def overtaken(folder, case, *args):
        write(folder, case, *args)
        monkeypatch.setattr(cache, "write_case", write)
        cache._prepare_case(case, task, PLAN, folder.parent, "float16", known)
        before.append(snapshot(tmp_path / "cache"))

    monkeypatch.setattr(cache, "write_case", overtaken)
    task = dataclasses.replace(task, cases=task.cases[:1])
    (case,) = prepare(task, PLAN, tmp_path / "cache", processes=1)
    kept = {path: time for path, time in before[0].items() if ".partial-" not in str(path)}
    assert snapshot(tmp_path / "cache") == kept
    assert case.image().any()


def test_two_runs_at_once_both_end_well(tmp_path):
    load_task(write_task(tmp_path / "task", num_cases=12))
    script = tmp_path / "run.py"
    script.write_text(
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import test_preprocessing_cache as test\n"
        "task = test.load_task(sys.argv[3])\n"
        "print(len(test.prepare(task, test.PLAN, sys.argv[4], processes=1, progress=False)))\n"
    )
    here = Path(__file__).parent
    runs = [start(PYTHON, script, here, here.parent, tmp_path / "task", tmp_path / "cache") for _ in range(2)]
    assert [run.communicate(timeout=120)[0] for run in runs] == ["12\n", "12\n"]
    (folder,) = (tmp_path / "cache").glob("Small-*")
    assert len(list(folder.glob("case_*"))) == 12 and not list(folder.glob(".partial-*"))


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, task, monkeypatch):
    original = cache._prepare_case

    def changing(case, **kwargs):
        if case.name == "case_1":
            change(case.label, lambda array: np.add(array, 1, out=array))
        return original(case, **kwargs)

    monkeypatch.setattr(cache, "_prepare_case", changing)
    with pytest.raises(DataError, match=r"case_1.*files changed while they were read. Start again"):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


def spoil(array):
    array[5, 5, 5, 0] = np.nan


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_cases_are_named_and_the_others_survive(tmp_path, processes):
    task = load_task(write_task(tmp_path / "task", num_cases=4))
    change(task.cases[0].images[0], spoil)
    change(task.cases[0].label, lambda array: array.fill(7))
    content = task.cases[2].label.read_bytes()
    task.cases[2].label.write_bytes(content[:60])
    with pytest.raises(
        DataError,
        match=r"(?s)2 of 4 cases.*case_0: .*imagesTr/case_0\.nii\.gz.*NaN.*"
        r"labelsTr/case_0\.nii\.gz.*7.*case_2: .*labelsTr/case_2",
    ) as error:
        prepare(task, PLAN, tmp_path / "cache", processes=processes)
    assert "case_1" not in str(error.value)
    done = {path.name.split("-")[0] for path in (tmp_path / "cache").glob("*/case_*")}
    assert done == {"case_1", "case_3"}


def test_of_many_bad_cases_ten_are_listed(tmp_path):
    task = load_task(write_task(tmp_path / "task", num_cases=13))
    for case in task.cases[:12]:
        case.images[0].write_text("hello")
    with pytest.raises(DataError, match=r"(?s)12 of 13.*and 2 more"):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


def test_a_label_of_another_shape_is_named(tmp_path, task):
    other = load_task(write_task(tmp_path / "other", num_cases=1, shape=(9, 9, 9)))
    shutil.copy(other.cases[0].label, task.cases[1].label)
    with pytest.raises(DataError, match=r"case_1\.nii\.gz: the label has shape \(9, 9, 9\).*\(12, 10, 8, 2\)"):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


def test_a_cache_that_cannot_be_written_is_named(tmp_path, task):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"--cache_dir=.*file.*another folder"):
        prepare(task, PLAN, tmp_path / "file")


def of_another_user(monkeypatch, place, mode):
    """Makes a place anna's, which may not be read or written, by root neither."""
    access, user = os.access, os.geteuid()
    monkeypatch.setattr(os, "access", lambda path, wanted: (path != place or not wanted & mode) and access(path, wanted))
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    monkeypatch.setattr(Path, "owner", lambda path: "anna")


@pytest.mark.parametrize("name", [".", "meta.json", "image.npy", "foreground.npy"])
def test_a_prepared_case_of_another_user_that_cannot_be_read_is_no_damaged_one(name, tmp_path, task, monkeypatch):
    place = prepare(task, PLAN, tmp_path / "cache", processes=1)[1].folder / name
    of_another_user(monkeypatch, place, os.R_OK)
    with pytest.raises(
        ConfigError, match=rf"^--cache_dir=.*cache: {place} can't be read .*; it belongs to anna\. .* of your own with --cache"
    ):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


def test_a_damaged_case_of_another_user_is_told_before_any_work(tmp_path, task, monkeypatch):
    folder = prepare(task, PLAN, tmp_path / "cache", processes=1)[1].folder
    (folder / "image.npy").write_bytes(b"")
    of_another_user(monkeypatch, folder, os.W_OK)
    with pytest.raises(ConfigError, match=f"{folder} can't be written, and 1 case must be prepared; it belongs to anna"):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


@pytest.mark.parametrize("mode, complaint", [(os.R_OK, "can't be entered"), (os.W_OK, "can't be written, and 3 cases must be measured")])
def test_a_cache_of_another_user_is_told_before_measuring(mode, complaint, tmp_path, task, monkeypatch):
    folder = tmp_path / "cache" / "fingerprints"
    of_another_user(monkeypatch, folder, mode)
    with pytest.raises(ConfigError, match=f"^--cache_dir={tmp_path / 'cache'}: {folder} {complaint}.*; it belongs to anna"):
        measure_task(task, tmp_path / "cache", processes=1)


def test_a_measure_of_another_user_is_no_damaged_one(tmp_path, task, monkeypatch):
    measure_task(task, tmp_path / "cache", processes=1)
    file = max((tmp_path / "cache" / "fingerprints").iterdir())
    of_another_user(monkeypatch, file, os.R_OK)
    with pytest.raises(ConfigError, match=f"--cache_dir=.*: {file} can't be read .*; it belongs to anna"):
        measure_task(task, tmp_path / "cache", processes=1)


def test_one_file_a_channel_makes_the_same_image(tmp_path, task):
    image = read_image(task.cases[0].images)
    paths = []
    for channel in range(2):
        paths.append(tmp_path / f"case_0_000{channel}.nii.gz")
        save(paths[-1], image.array[..., channel], np.diag([*image.spacing, 1.0]))
    split = dataclasses.replace(task, cases=(dataclasses.replace(task.cases[0], images=tuple(paths)),))
    (one,), (other, *_) = (prepare(each, PLAN, tmp_path / "cache", processes=1) for each in (split, task))
    assert one.folder != other.folder
    np.testing.assert_array_equal(one.image(), other.image())


@pytest.mark.skipif(not (REAL_DATA / "Task01_BrainTumour").is_dir(), reason="the BrainTumour task isn't here")
def test_a_real_brain_keeps_its_air_at_zero(tmp_path):
    task = load_task(REAL_DATA / "Task01_BrainTumour")
    task = dataclasses.replace(task, cases=task.cases[:1])
    channels = tuple(Normalization(name, "zscore", use_mask=True) for name in task.channel_names)
    plan = PreprocessingPlan((2.0, 2.0, 2.0), channels, task.labels)
    (case,) = prepare(task, plan, tmp_path, processes=1, progress=False)
    image, outside = np.float32(case.image()), case.label() == OUTSIDE
    assert 0.2 < outside.mean() < 0.8
    assert not image[outside].any()
    inside = image[~outside]
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=0.15)
    assert json.loads((case.folder / "meta.json").read_text())["shape"] == list(case.shape)
