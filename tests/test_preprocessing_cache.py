import os
import shutil

import numpy as np
import pytest
from small_task import change, write_task

from scnas_keras.preprocessing import cache
from scnas_keras.preprocessing.cache import prepare
from scnas_keras.preprocessing.scans import make_plan, preprocess_image, restore_probabilities
from scnas_keras.data.tasks import load_task
from scnas_keras.formats.volumes import read_image, read_label
from scnas_keras.errors import DataError


@pytest.fixture
def task(tmp_path):
    return load_task(write_task(tmp_path / "task"))


@pytest.fixture
def plan(task):
    return make_plan(task, (0.8, 1.0, 1.5))


def snapshot(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_prepared_case_is_what_preprocessing_makes(tmp_path, task, plan):
    prepared = prepare(task, plan, tmp_path / "cache", processes=1)
    assert [case.name for case in prepared] == [case.name for case in task.cases]
    image, crop = preprocess_image(read_image(task.cases[0].images), plan)
    case = prepared[0]
    np.testing.assert_array_equal(case.image(), image)
    assert isinstance(case.image(), np.memmap)
    assert case.image().dtype == np.float32
    assert case.label().dtype == np.uint8
    assert case.shape == image.shape[:3] == case.label().shape
    assert case.crop == crop
    original, _ = read_label(task.cases[0].label)
    assert restore_probabilities(np.eye(3)[case.label()], case.crop).shape == original.shape


def test_foreground_voxels_are_those_of_their_class(tmp_path, task, plan, monkeypatch):
    monkeypatch.setattr(cache, "MAX_FOREGROUND", 5)
    case = prepare(task, plan, tmp_path / "cache", processes=1)[0]
    foreground = case.foreground()
    assert sorted(foreground) == [1, 2]
    for value, voxels in foreground.items():
        assert voxels.shape == (5, 3) and voxels.dtype == np.int32
        assert len(np.unique(voxels, axis=0)) == 5
        assert (case.label()[tuple(voxels.T)] == value).all()


def test_stored_foreground_is_spread_over_the_class(tmp_path, task, plan, monkeypatch):
    monkeypatch.setattr(cache, "MAX_FOREGROUND", 10)
    case = prepare(task, plan, tmp_path / "cache", processes=1)[0]
    everywhere = np.argwhere(case.label() == 1)
    assert len(np.unique(case.foreground()[1][:, 0])) == len(np.unique(everywhere[:, 0])) > 1


def test_processes_make_no_difference_and_a_rerun_does_nothing(tmp_path, task, plan):
    serial = prepare(task, plan, tmp_path / "serial", processes=1)
    parallel = prepare(task, plan, tmp_path / "parallel", processes=2, progress=False)
    for one, other in zip(serial, parallel):
        assert one.folder.name == other.folder.name
        for file in one.folder.iterdir():
            assert file.read_bytes() == (other.folder / file.name).read_bytes()
    before = snapshot(tmp_path / "parallel")
    assert prepare(task, plan, tmp_path / "parallel") == parallel
    assert snapshot(tmp_path / "parallel") == before


def test_only_a_changed_case_is_done_again(tmp_path, task, plan, capsys):
    first = prepare(task, plan, tmp_path / "cache", processes=1)
    assert "Preparing Small" in capsys.readouterr().err
    before = snapshot(tmp_path / "cache")
    change(task.cases[1].images[0], lambda array: np.multiply(array, 2 + array, out=array))
    second = prepare(task, plan, tmp_path / "cache", processes=1)
    assert [one == other for one, other in zip(first, second)] == [True, False, True]
    assert not np.array_equal(first[1].image(), second[1].image())
    after = snapshot(tmp_path / "cache")
    assert before.items() <= after.items()
    assert {path.parts[1] for path in after.keys() - before.keys()} == {second[1].folder.name}
    capsys.readouterr()
    prepare(task, plan, tmp_path / "cache", processes=1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_newer_file_of_equal_size_is_done_again(tmp_path, task, plan, kind):
    first = prepare(task, plan, tmp_path / "cache", processes=1)
    os.utime(getattr(task.cases[0], kind), ns=(0, 12345))
    second = prepare(task, plan, tmp_path / "cache", processes=1)
    assert [one == other for one, other in zip(first, second)] == [False, True, True]


def test_another_plan_has_a_folder_of_its_own(tmp_path, task, plan):
    first = prepare(task, plan, tmp_path / "cache", processes=1)
    second = prepare(task, make_plan(task, (2.0, 2.0, 2.0)), tmp_path / "cache", processes=1)
    assert first[0].folder.parent != second[0].folder.parent
    assert first[0].shape != second[0].shape


@pytest.mark.parametrize("written", ["image.npy", "label.npy", "foreground.npz", "meta.json"])
def test_a_half_written_case_is_not_accepted(tmp_path, task, plan, monkeypatch, written):
    """Kills the run while it writes each of a case's files."""
    expected = prepare(task, plan, tmp_path / "whole", processes=1)[0]
    save, remove = cache._save, shutil.rmtree

    def killed(path, write, content):
        if path.name == written:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        save(path, write, content)

    monkeypatch.setattr(cache, "_save", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process doesn't tidy up
    with pytest.raises(KeyboardInterrupt):
        prepare(task, plan, tmp_path / "cache", processes=1)
    assert list((tmp_path / "cache").glob("*/.partial-*"))

    monkeypatch.setattr(cache, "_save", save)
    monkeypatch.setattr(shutil, "rmtree", remove)
    for partial in (tmp_path / "cache").glob("*/.partial-*"):
        os.utime(partial, (0, 0))
    case = prepare(task, plan, tmp_path / "cache", processes=1)[0]
    np.testing.assert_array_equal(case.image(), expected.image())
    assert case.crop == expected.crop
    assert not list((tmp_path / "cache").glob("*/.partial-*"))  # what is a day old is tidied up


def test_a_run_beside_this_one_may_finish_a_case_first(tmp_path, task, plan):
    case = prepare(task, plan, tmp_path / "cache", processes=1)[0]
    before = snapshot(tmp_path / "cache")
    cache._prepare_case(task.cases[0], task, plan, case.folder.parent)
    assert snapshot(tmp_path / "cache") == before


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path, task, plan, monkeypatch):
    original = cache._prepare_case

    def changing(case, **kwargs):
        if case.name == "case_1":
            os.utime(case.label, ns=(0, 12345))
        return original(case, **kwargs)

    monkeypatch.setattr(cache, "_prepare_case", changing)
    with pytest.raises(DataError, match=r"case_1 \(1 cases\) changed.*again"):
        prepare(task, plan, tmp_path / "cache", processes=1)


def spoil(array):
    array[5, 5, 5, 0] = np.nan


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_cases_are_named_and_the_others_survive(tmp_path, plan, processes):
    task = load_task(write_task(tmp_path / "task", num_cases=4))
    change(task.cases[0].images[0], spoil)
    change(task.cases[0].label, lambda array: array.fill(0))
    content = task.cases[2].label.read_bytes()
    task.cases[2].label.write_bytes(content[:60])
    with pytest.raises(DataError, match=r"(?s)2 of 4 cases.*case_0: .*imagesTr/case_0\.nii\.gz.*NaN.*"
                                        r"labelsTr/case_0\.nii\.gz.*background.*case_2: .*labelsTr/case_2") as error:
        prepare(task, plan, tmp_path / "cache", processes=processes)
    assert "case_1" not in str(error.value)
    done = {path.name.split("-")[0] for path in (tmp_path / "cache").glob("*/case_*")}
    assert done == {"case_1", "case_3"}


def test_of_many_bad_cases_ten_are_listed(tmp_path, plan):
    task = load_task(write_task(tmp_path / "task", num_cases=13))
    for case in task.cases[:12]:
        case.images[0].write_text("hello")
    with pytest.raises(DataError, match=r"(?s)12 of 13.*and 2 more"):
        prepare(task, plan, tmp_path / "cache", processes=1)


def test_a_label_of_another_shape_is_named(tmp_path, task, plan):
    other = load_task(write_task(tmp_path / "other", num_cases=1, shape=(9, 9, 9)))
    shutil.copy(other.cases[0].label, task.cases[1].label)
    with pytest.raises(DataError, match=r"case_1\.nii\.gz: the label has shape \(9, 9, 9\).*\(12, 10, 8, 2\)"):
        prepare(task, plan, tmp_path / "cache", processes=1)
