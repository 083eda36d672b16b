import fcntl
import json
import os

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from processes import PYTHON, run, with_package
from small_task import AFFINE, change, save, write_json, write_task

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.volumes import read_label
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.loading import load_task
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.fix_header import fix_headers
from scnas_keras.verify.fix_remap import remap_labels, remapping
from scnas_keras.verify.fixed_copy import check_fixable, fixed_copy

LABEL = "labelsTr/case_1.nii.gz"


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def array_of(path):
    return np.asarray(nib.load(path).dataobj)


def move_label(folder, affine):
    save(folder / LABEL, array_of(folder / LABEL), affine)


def shifted(x=2.5):
    affine = AFFINE.copy()
    affine[0, 3] = x
    return affine


def remap_values(folder, mapping, names=("case_0", "case_1", "case_2"), dtype=np.uint8):
    for name in names:
        path = folder / "labelsTr" / f"{name}.nii.gz"
        array = array_of(path)
        changed = array.astype(dtype)
        for value, replacement in mapping.items():
            changed[array == value] = replacement
        save(path, changed)


def sound(folder):
    return {finding.key for finding in verify_dataset(folder, processes=1, progress=False).findings} <= {"few_cases"}


def test_labels_get_the_header_of_their_image_in_a_copy(tmp_path):
    source, target = write_task(tmp_path / "data"), tmp_path / "fixed"
    expected = array_of(source / LABEL)
    move_label(source, shifted())
    before = contents(source)
    assert not sound(source)
    said = fix_headers(source, target, processes=1)
    assert "1 of 3 labels" in said and str(target) in said
    assert contents(source) == before
    assert sound(target)
    np.testing.assert_array_equal(array_of(target / LABEL), expected)
    np.testing.assert_array_equal(nib.load(target / LABEL).affine, AFFINE)
    assert {name for name, content in contents(target).items() if content[0] != before[name][0]} == {LABEL}
    assert contents(target).keys() == before.keys()
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert not os.path.samefile(source / LABEL, target / LABEL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "fixed"]


def test_headers_are_fixed_in_other_axis_orders_too(tmp_path):
    source, target = write_task(tmp_path / "data"), tmp_path / "fixed"
    affine = np.array([[0, -1.0, 0, 5], [0, 0, 1.5, 3], [1.0, 0, 0, 2], [0, 0, 0, 1]])
    save(source / "imagesTr/case_1.nii.gz", array_of(source / "imagesTr/case_1.nii.gz"), affine)
    moved = affine.copy()
    moved[:3, 3] += 7
    expected = array_of(source / LABEL)
    move_label(source, moved)
    fix_headers(source, target, processes=1)
    np.testing.assert_array_equal(array_of(target / LABEL), expected)
    np.testing.assert_array_equal(nib.load(target / LABEL).affine, affine)


UNSAFE_HEADERS = {
    "shape": (lambda folder: save(folder / LABEL, np.ones((12, 10, 7), np.uint8)), r"shape is \(12, 10, 7\), its image's \(12, 10, 8\)"),
    "spacing": (
        lambda folder: move_label(folder, np.diag([1, 1, 1.6, 1])),
        "spacing is 1 x 1 x 1.6 mm, its image's 1 x 1 x 1.5 mm, more than 1%",
    ),
    "mirrored": (lambda folder: move_label(folder, np.diag([-1, 1, 1.5, 1])), "axes point LAS, its image's RAS"),
}


@pytest.mark.parametrize("fault", UNSAFE_HEADERS)
def test_a_header_that_cannot_be_trusted_is_not_copied(tmp_path, fault):
    source = write_task(tmp_path / "data")
    save(source / "labelsTr/case_2.nii.gz", array_of(source / "labelsTr/case_2.nii.gz"), shifted())
    plant, message = UNSAFE_HEADERS[fault]
    plant(source)
    before = contents(source)
    with pytest.raises(DataError, match=rf"(?s)1 of 2 labels.*nothing was written.*{LABEL}: its {message}"):
        fix_headers(source, tmp_path / "fixed", processes=1)
    assert contents(source) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_spacing_within_one_percent_is_a_rounding(tmp_path):
    source, target = write_task(tmp_path / "data"), tmp_path / "fixed"
    move_label(source, np.diag([1, 1, 1.507, 1]) + shifted() - AFFINE)
    fix_headers(source, target, processes=1)
    assert sound(target)


def test_nothing_to_fix_is_said(tmp_path):
    source = write_task(tmp_path / "data")
    with pytest.raises(ConfigError, match="fix=header.*nothing to fix"):
        fix_headers(source, tmp_path / "fixed", processes=1)
    with pytest.raises(ConfigError, match="fix=remap.*nothing to fix"):
        remap_labels(source, tmp_path / "fixed", processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


BINARY, SIDES = {"0": "background", "1": "left"}, {"0": "background", "1": "left", "2": "right"}
REMAPS = {
    "0 and 255": ({1: 255, 2: 0}, BINARY, BINARY),
    "gaps undeclared": ({1: 1, 2: 4}, SIDES, SIDES),
    "gaps declared": ({1: 3, 2: 10}, {"0": "background", "3": "left", "10": "right"}, SIDES),
    "background not named": ({}, {"1": "left", "2": "right"}, SIDES),
    "text": ({1: 3, 2: 10}, {"background": "0", "right": "10", "left": "3"}, {"background": 0, "right": 2, "left": 1}),
    "ignore in between": ({1: 3, 2: 7}, {"background": 0, "left": 7, "ignore": 3}, {"background": 0, "left": 1, "ignore": 2}),
    "nnU-Net": ({1: 3, 2: 10}, {"background": 0, "right": 10, "left": 3}, {"background": 0, "right": 2, "left": 1}),
}


@pytest.mark.parametrize("case", REMAPS)
def test_labels_become_consecutive_in_a_copy(tmp_path, case):
    mapping, declared, expected = REMAPS[case]
    source, target = write_task(tmp_path / "data"), tmp_path / "fixed"
    original = array_of(source / LABEL)
    remap_values(source, mapping)
    write_json(source, [f"case_{index}" for index in range(3)], labels=declared)
    before = contents(source)
    remap_labels(source, target, processes=1)
    assert contents(source) == before
    assert sound(target)
    old, new = (json.loads((folder / "dataset.json").read_text()) for folder in (source, target))
    assert new == old | {"labels": expected}
    exchanged = {"0 and 255": {2: 0}, "ignore in between": {1: 2, 2: 1}}.get(case, {})
    expected_array = np.vectorize(lambda value: exchanged.get(value, value))(original)
    np.testing.assert_array_equal(array_of(target / LABEL), expected_array)
    assert read_label(target / LABEL)[0].dtype == np.uint8
    np.testing.assert_array_equal(nib.load(target / LABEL).affine, AFFINE)


def test_float_errors_are_rounded_and_other_labels_stay_as_they_are(tmp_path):
    source, target = write_task(tmp_path / "data"), tmp_path / "fixed"
    original = array_of(source / LABEL)
    remap_values(source, {1: 0.9999, 2: 2.0001}, ["case_1"], np.float32)
    assert [finding.key for finding in verify_dataset(source, processes=1, progress=False).findings] == ["fractional", "few_cases"]
    assert "rounded" in remap_labels(source, target, processes=1)
    assert sound(target)
    np.testing.assert_array_equal(array_of(target / LABEL), original)
    assert (target / "labelsTr/case_0.nii.gz").read_bytes() == (source / "labelsTr/case_0.nii.gz").read_bytes()


def test_interpolated_labels_are_refused(tmp_path):
    source = write_task(tmp_path / "data")
    remap_values(source, {1: 0.4}, ["case_1"], np.float32)
    with pytest.raises(DataError, match=r"case_1.*27 voxels.*for example 0\.4.*nearest-neighbour"):
        remap_labels(source, tmp_path / "fixed", processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_labels_that_are_not_finite_are_refused(tmp_path, value):
    source = write_task(tmp_path / "data")
    remap_values(source, {1: value}, ["case_1"], np.float32)
    with pytest.raises(DataError, match=f"case_1.nii.gz: 27 voxels .* {value}"):
        remap_labels(source, tmp_path / "fixed", processes=1)
    assert not (tmp_path / "fixed").exists()


def test_errors_name_the_source_and_not_the_copy_in_the_making(tmp_path):
    source = write_task(tmp_path / "data")
    (source / LABEL).unlink()
    with pytest.raises(DataError, match=f"{source / LABEL}") as error:
        remap_labels(source, tmp_path / "fixed", processes=1)
    assert ".fixed" not in str(error.value)


def test_values_whose_class_cannot_be_told_are_refused(tmp_path):
    source = write_task(tmp_path / "data")
    change(source / LABEL, lambda array: array[0, 0, :1].fill(9))
    with pytest.raises(DataError, match=r"values 0, 1, 2, but the files hold 0, 1, 2, 9.*by 9 can't be told.*Declare"):
        remap_labels(source, tmp_path / "fixed", processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize(
    "declared, found, expected",
    [
        ([0, 1], [0, 255], {0: 0, 255: 1}),
        ([0, 1, 2], [0, 1, 5], {0: 0, 1: 1, 5: 2}),
        ([0, 2, 7], [0, 7], {0: 0, 2: 1, 7: 2}),
        ([0, 1, 2], [0, 2, 5], None),  # 2 would become 1, though it's declared
        ([0, 1, 2], [0, 5], None),
        ([0, 1], [0, 1, 2], None),
    ],
)
def test_remapping_never_guesses(declared, found, expected):
    if expected is None:
        with pytest.raises(DataError, match="can't be told"):
            remapping(declared, found, "dataset.json")
    else:
        assert remapping(declared, found, "dataset.json") == expected


@pytest.mark.parametrize(
    "labels", [{"0": "background", "x": "left"}, {"background": 0, "whole": [1, 2]}, {"background": 0, "left": 1.5}, None]
)
def test_labels_that_cannot_be_renumbered_are_refused(tmp_path, labels):
    source = write_task(tmp_path / "data")
    write_json(source, ["case_0"], labels=labels)
    with pytest.raises(DataError, match='--fix=remap needs "labels"'):
        remap_labels(source, tmp_path / "fixed", processes=1)


def test_other_formats_are_refused(tmp_path):
    source = write_task(tmp_path)
    with pytest.raises(DataError, match=r"a\.mhd: --fix is for labels in files that end in \.nii\.gz, .*\.png.* only"):
        check_fixable(source, [Case("a", (), source / "a.mhd")])


def test_masks_of_255_are_fixed_in_pictures_too(tmp_path):
    source, target = tmp_path / "data", tmp_path / "fixed"
    random = np.random.default_rng(0)
    for name in "abcde":
        for place, array in (("imagesTr", random.integers(1, 255, (8, 9))), ("labelsTr", np.eye(8, 9) * 255)):
            (source / place).mkdir(parents=True, exist_ok=True)
            file = f"{name}_0000.PNG" if place == "imagesTr" else f"{name}.PNG"
            Image.fromarray(array.astype(np.uint8)).save(source / place / file)
    content = {"channel_names": ["gray"], "labels": {"background": "0", "cell": "255"}, "file_ending": "png"}
    (source / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="--fix=remap --fixed_dir=NEW"):
        load_task(source)
    remap_labels(source, target, processes=1)
    assert sound(target) and set(np.unique(read_label(target / "labelsTr/a.PNG")[0])) == {0, 1}


def test_other_layouts_and_labels_elsewhere_are_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match="has none. Convert it first"):
        remap_labels(tmp_path / "pictures", tmp_path / "fixed")
    source = write_task(tmp_path / "data")
    move_label(source, shifted())
    (source / LABEL).rename(tmp_path / "case_1.nii.gz")
    content = json.loads((source / "dataset.json").read_text())
    content["training"][1]["label"] = "../case_1.nii.gz"
    (source / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="case_1.nii.gz: lies outside"):
        fix_headers(source, tmp_path / "fixed", processes=1)


@pytest.mark.parametrize("place, message", [("data/fixed", "in one another"), (".", "something already"), ("data", "something already")])
def test_a_copy_has_a_place_of_its_own(tmp_path, place, message):
    source = write_task(tmp_path / "data")
    move_label(source, shifted())
    before = contents(source)
    with pytest.raises(ConfigError, match=f"--fixed_dir=.*{message}"):
        fix_headers(source, tmp_path / place, processes=1)
    assert contents(tmp_path / "data") == before


def test_links_are_followed_and_links_to_nowhere_left_out(tmp_path):
    source = write_task(tmp_path / "data")
    (source / LABEL).rename(tmp_path / "elsewhere.nii.gz")
    (source / LABEL).symlink_to(tmp_path / "elsewhere.nii.gz")
    (source / "notes").symlink_to(tmp_path / "nowhere")
    with fixed_copy(source, tmp_path / "fixed") as folder:
        assert (folder / LABEL).read_bytes() == (tmp_path / "elsewhere.nii.gz").read_bytes()
    assert not any(path.is_symlink() for path in (tmp_path / "fixed").rglob("*"))
    assert not (tmp_path / "fixed" / "notes").exists()
    assert len(load_task(tmp_path / "fixed").cases) == 3


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    source = write_task(tmp_path / "data")
    with fixed_copy(source, tmp_path / "fixed"):
        pass
    assert (tmp_path / "fixed" / LABEL).read_bytes() == (source / LABEL).read_bytes()
    assert (tmp_path / "fixed" / LABEL).stat().st_nlink == 1


def test_what_a_killed_fixing_left_is_removed_by_the_next_but_not_that_of_one_at_work(tmp_path):
    source = write_task(tmp_path / "data")
    code = "import os, pathlib, sys; from scnas_keras.verify.fixed_copy import fixed_copy\n"
    code += "with fixed_copy(*map(pathlib.Path, sys.argv[1:])):"
    run(PYTHON, "-c", f"{code} os._exit(9)", source, tmp_path / "fxo", code=9, env=with_package())
    (left,) = tmp_path.glob(".fxo.*")
    (tmp_path / ".fxo.notes").mkdir()
    with fixed_copy(source, tmp_path / "fxo") as at_work:
        assert not left.exists()
        with fixed_copy(source, tmp_path / "other"):
            assert len(list(at_work.iterdir())) == len(list(source.iterdir())) + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fxo.notes", "data", "fxo", "other"]
    assert sorted(path.name for path in (tmp_path / "fxo").iterdir()) == sorted(path.name for path in source.iterdir())


def test_of_two_at_once_with_one_folder_the_slower_says_that_it_is_taken(tmp_path):
    source = write_task(tmp_path / "data")
    with pytest.raises(ConfigError, match="--fixed_dir=.*fxo: there is something already"), fixed_copy(source, tmp_path / "fxo"):
        with fixed_copy(source, tmp_path / "fxo"):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "fxo"] and contents(tmp_path / "fxo") == contents(source)


def test_without_locks_nothing_is_taken_for_abandoned(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    source = write_task(tmp_path / "data")
    with fixed_copy(source, tmp_path / "fxo") as at_work, fixed_copy(source, tmp_path / "other"):
        assert (at_work / LABEL).is_file()
    assert contents(tmp_path / "fxo") == contents(tmp_path / "other") == contents(source)


def test_a_failed_fixing_leaves_nothing(tmp_path):
    source = write_task(tmp_path / "data")
    with pytest.raises(DataError, match="stop"), fixed_copy(source, tmp_path / "fixed"):
        raise DataError("stop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.parametrize(
    "fix, plant",
    [
        ("header", lambda folder: move_label(folder, shifted())),
        ("remap", lambda folder: remap_values(folder, {2: 5}, [f"case_{index}" for index in range(5)])),
    ],
)
def test_the_command_fixes_a_copy_and_verifies_it(tmp_path, command, capsys, caplog, fix, plant):
    source = write_task(tmp_path / "data", num_cases=5)
    plant(source)
    before = contents(source)
    with pytest.raises(SystemExit):
        command("scnas_keras.verify", data_dir=source, processes=1)
    assert f"--fix={fix}" in capsys.readouterr().out
    command("scnas_keras.verify", data_dir=source, fix=fix, fixed_dir=tmp_path / "fixed", processes=1)
    assert capsys.readouterr().out == "5 cases: no errors, no warnings.\n"
    assert f"{tmp_path / 'fixed'}: copy of {source}" in caplog.text
    assert contents(source) == before


def test_the_command_prints_what_a_copy_still_lacks(tmp_path, command, capsys):
    source = write_task(tmp_path / "data")
    move_label(source, shifted())
    change(source / "labelsTr/case_2.nii.gz", lambda array: array.__setitem__(0, 9))
    with pytest.raises(SystemExit) as end:
        command("scnas_keras.verify", data_dir=source, fix="header", fixed_dir=tmp_path / "fixed", processes=1)
    assert end.value.code == 1
    said = capsys.readouterr()
    assert "labelsTr/case_2.nii.gz: 9 (" in said.out
    assert said.err.splitlines()[-1].endswith(f"then: scnas verify --data_dir={tmp_path / 'fixed'}")
