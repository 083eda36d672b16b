"""nnU-Net's raw layout."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from small_task import REAL_DATA, save, write_task

from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import read_image
from scnas_keras.tasks.loading import find_task, load_label, load_task
from scnas_keras.verify.present import load_present


def write_nnunet(folder, names=("b", "a"), channels=("T1", "T2"), ending=".nii.gz", tests=(), **changes):
    for index, name in enumerate((*names, *tests)):
        place = "imagesTs" if name in tests else "imagesTr"
        for channel in range(len(channels)):
            save(folder / place / f"{name}_{channel:04d}{ending}", np.full((4, 4, 4), 10 * index + channel, np.float32))
        if name not in tests:
            save(folder / "labelsTr" / f"{name}{ending}", np.eye(4, dtype=np.uint8)[None].repeat(4, 0))
    content = {
        "channel_names": {str(index): name for index, name in enumerate(channels)},
        "labels": {"background": 0, "left": 1},
        "numTraining": len(names),
        "file_ending": ending,
    } | changes
    (folder / "dataset.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_channels_of_a_case_are_its_numbered_files(tmp_path, ending):
    folder = write_nnunet(tmp_path / "Dataset004_Small", tests=("t",), ending=ending, numTraining=77)
    (folder / "imagesTr" / f"._a_0000{ending}").write_text("left by macOS")
    for task in (load_task(folder), load_task(find_task("small", tmp_path)), load_task(find_task("hippocampus", tmp_path))):
        assert (task.name, task.channel_names, task.labels) == ("Dataset004_Small", ("T1", "T2"), {0: "background", 1: "left"})
        assert [case.name for case in task.cases] == ["a", "b"]
    first = task.cases[0]
    assert first.images == tuple(folder / "imagesTr" / f"a_000{channel}{ending}" for channel in (0, 1))
    assert first.label == folder / "labelsTr" / f"a{ending}"
    assert [(case.name, len(case.images), case.label) for case in task.test_cases] == [("t", 2, None)]
    np.testing.assert_array_equal(read_image(first.images).array[0, 0, 0], [10, 11])
    np.testing.assert_array_equal(load_label(task, first)[0], np.eye(4))


def test_names_that_hold_numbers_themselves(tmp_path):
    task = load_task(write_nnunet(tmp_path, names=("case_0001", "case_0002")))
    assert [case.name for case in task.cases] == ["case_0001", "case_0002"]


def test_files_may_be_listed_with_variables(tmp_path, monkeypatch):
    write_nnunet(tmp_path / "elsewhere")
    listed = {
        "one": {"images": ["$SCANS/imagesTr/a_0000.nii.gz", "${SCANS}/imagesTr/a_0001.nii.gz"], "label": "../elsewhere/labelsTr/a.nii.gz"}
    }
    folder = tmp_path / "task"
    folder.mkdir()
    shutil.copy(tmp_path / "elsewhere" / "dataset.json", folder)
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(content | {"dataset": listed}))
    monkeypatch.delenv("SCANS", raising=False)
    with pytest.raises(DataError, match=r"2 of the files.*\$SCANS.*Set the environment variables"):
        load_task(folder)
    monkeypatch.setenv("SCANS", str(tmp_path / "elsewhere"))
    (case,) = load_task(folder).cases
    assert case.name == "one" and [path.name for path in case.files] == ["a_0000.nii.gz", "a_0001.nii.gz", "a.nii.gz"]
    for broken, message in (
        ({}, r'dataset: found no case, expected "dataset": \{'),
        ([], r"dataset: found \[\], expected an object"),
        ({"one": {"images": "a", "label": "b"}}, 'dataset.one.images: found "a", expected a list'),
        ({"one": {"images": ["a"]}}, 'dataset.one: found the keys "images", expected the key "label"'),
        ({"one": "a"}, 'dataset.one: found "a", expected an object'),
    ):
        (folder / "dataset.json").write_text(json.dumps(content | {"dataset": broken}))
        with pytest.raises(DataError, match=message):
            load_task(folder)
    (folder / "dataset.json").write_text(json.dumps(content | {"dataset": {"a/b": listed["one"]}}))
    with pytest.raises(DataError, match="can't name a file: a/b"):
        load_task(folder)


def rename(folder, pattern, replacement):
    for path in sorted((folder / "imagesTr").iterdir()):
        path.rename(path.with_name(re.sub(pattern, replacement, path.name)))


def remove(name):
    return lambda folder: (folder / name).unlink()


FAULTS = {
    "no number": (
        lambda folder: (remove("imagesTr/a_0001.nii.gz")(folder), remove("imagesTr/b_0001.nii.gz")(folder), rename(folder, "_0000", "")),
        r"2 of the image files have no number.*: a\.nii\.gz, b\.nii\.gz.*a\.nii\.gz should be called a_0000\.nii\.gz",
    ),
    "missing channel": (remove("imagesTr/a_0001.nii.gz"), r"case a has no channel 0001 \(T2\), expected a_0001\.nii\.gz"),
    "channel too many": (
        lambda folder: shutil.copy(folder / "imagesTr/a_0000.nii.gz", folder / "imagesTr/a_0002.nii.gz"),
        r"a_0002\.nii\.gz is a channel that dataset\.json doesn't name",
    ),
    "no label": (remove("labelsTr/b.nii.gz"), r"1 images without a label \(b; expected labelsTr/b\.nii\.gz\)"),
    "no image": (
        lambda folder: shutil.copy(folder / "labelsTr/a.nii.gz", folder / "labelsTr/c.nii.gz"),
        r"1 labels without an image \(c; expected imagesTr/c_0000\.nii\.gz\)",
    ),
    "no folder": (lambda folder: shutil.rmtree(folder / "labelsTr"), "labelsTr: no file ends in .nii.gz.*no such folder"),
    "other ending": (lambda folder: rename(folder, "nii.gz", "nrrd"), r"imagesTr: no file ends in \.nii\.gz.*a_0000\.nrrd"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_names_are_explained(tmp_path, fault):
    folder = write_nnunet(tmp_path)
    plant, message = FAULTS[fault]
    plant(folder)
    with pytest.raises(DataError, match=message):
        load_task(folder)


def test_of_many_names_five_are_given(tmp_path):
    folder = write_nnunet(tmp_path, names=[f"c{index}" for index in range(8)])
    for index in range(7):
        (folder / "labelsTr" / f"c{index}.nii.gz").unlink()
    with pytest.raises(DataError, match="7 images without a label .c0, c1, c2, c3, c4 and 2 more"):
        load_task(folder)


@pytest.mark.parametrize("ending, message", [(".xyz", 'found ".xyz", expected one of .nii.gz'), (3, "file_ending: found 3, expected")])
def test_an_unknown_file_ending_is_refused(tmp_path, ending, message):
    write_nnunet(tmp_path, file_ending=ending)
    with pytest.raises(DataError, match=message):
        load_task(tmp_path)


def test_one_colour_picture_holds_all_channels(tmp_path):
    for place, array in (("imagesTr/a_0000.png", np.zeros((4, 6, 3), np.uint8)), ("labelsTr/a.png", np.eye(4, 6, dtype=np.uint8))):
        (tmp_path / place).parent.mkdir()
        Image.fromarray(array).save(tmp_path / place)
    (tmp_path / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "R", "1": "G", "2": "B"},
                "file_ending": ".png",
                "labels": {"background": 0, "cell": 1},
                "numTraining": 1,
            }
        )
    )
    (case,) = load_task(tmp_path).cases
    assert read_image(case.images).array.shape == (6, 4, 1, 3)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
def test_real_scans_in_both_layouts_are_the_same_task(tmp_path):
    source = load_task(find_task("hippocampus", REAL_DATA))
    for place in ("imagesTr", "labelsTr"):
        (tmp_path / place).mkdir()
    for case in source.cases[:3]:
        (tmp_path / "imagesTr" / f"{case.name}_0000.nii.gz").symlink_to(case.images[0].resolve())
        (tmp_path / "labelsTr" / f"{case.name}.nii.gz").symlink_to(case.label.resolve())
    (tmp_path / "dataset.json").write_text(
        json.dumps(
            {
                "channel_names": {"0": "MRI"},
                "file_ending": ".nii.gz",
                "numTraining": 3,
                "labels": {name: value for value, name in source.labels.items()},
            }
        )
    )
    task = load_task(tmp_path)
    assert task.labels == source.labels and task.channel_names == source.channel_names
    for case, original in zip(task.cases, source.cases):
        assert case.name == original.name
        np.testing.assert_array_equal(read_image(case.images).array, read_image(original.images).array)


def test_the_small_task_is_the_same_in_both_layouts(tmp_path):
    original = write_task(tmp_path / "msd")
    task = load_task(original)
    folder = tmp_path / "nnunet"
    for case in task.cases:
        array = read_image(case.images).array
        for channel in range(2):
            save(folder / "imagesTr" / f"{case.name}_{channel:04d}.nii.gz", array[..., channel])
        save(folder / "labelsTr" / f"{case.name}.nii.gz", load_label(task, case))
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "T1", "1": "T2"}, "file_ending": ".nii.gz", "labels": {"background": 0, "left": 1, "right": 2}})
    )
    other = load_task(folder)
    assert other.labels == task.labels and other.channel_names == task.channel_names
    for case, twin in zip(task.cases, other.cases):
        assert case.name == twin.name
        np.testing.assert_array_equal(read_image(case.images).array, read_image(twin.images).array)
        np.testing.assert_array_equal(load_label(task, case), load_label(other, twin))


@pytest.mark.parametrize(
    "place, name",
    [
        ("imagesTr", "c_0000.nii"),
        ("imagesTr", "c_0000.mgz"),
        ("labelsTr", "c.nrrd"),
        ("imagesTr", "c/c_0000.nii.gz"),
        ("labelsTr", "c.hdr"),
    ],
)
def test_what_would_be_left_out_is_named(tmp_path, place, name):
    folder = write_nnunet(tmp_path)
    (folder / place / name).parent.mkdir(exist_ok=True)
    (folder / place / name).write_text("")
    entry = re.escape(name.replace("c/c_0000.nii.gz", "c/"))
    with pytest.raises(DataError, match=rf"{place}: 1 entries would be left out, .*: {entry}\. Convert"):
        load_task(folder)
    _, findings = load_present(folder)
    assert [(finding.key, finding.file) for finding in findings] == [("left_out", folder / place / entry.replace("\\", "").rstrip("/"))]


def test_what_makes_no_case_disappear_may_lie_in_the_folders(tmp_path):
    folder = write_nnunet(tmp_path)
    for name in ("imagesTr/a_0000.json", "labelsTr/readme.txt", "labelsTr/Thumbs.db", "imagesTr/.b.nii", "imagesTr/a_0000.nii"):
        (folder / name).write_text("")
    (folder / "imagesTr/notes").mkdir()
    assert [case.name for case in load_task(folder).cases] == ["a", "b"] and load_present(folder)[1] == []


@pytest.mark.parametrize(
    "name, message",
    [
        (".DS_Store", None),
        ("new.nii.gz", "new.nii.gz should be called new_0000.nii.gz"),
        ("new_0000.nii.gz", r"case new has no channel 0001 \(T2\)"),
        ("new_0000.nii", "new_0000.nii don't end in .nii.gz"),
    ],
)
def test_test_images_do_not_keep_from_training(tmp_path, name, message, caplog):
    folder = write_nnunet(tmp_path, tests=("t",))
    shutil.copy(folder / "imagesTr/a_0000.nii.gz", folder / "imagesTs" / name)
    task = load_task(folder)
    assert [case.name for case in task.cases] == ["a", "b"] and [case.name for case in task.test_cases] == ["t"]
    assert re.search(message, caplog.text) if message else not caplog.text


@pytest.mark.parametrize("file_ending", [".nii.gz", ".NII.GZ", "nii.gz"])
def test_endings_may_be_in_capitals(tmp_path, file_ending):
    folder = write_nnunet(tmp_path, names=("b", "a", "c"), file_ending=file_ending)
    for path in [path for place in ("imagesTr", "labelsTr") for path in (folder / place).iterdir() if path.name[0] != "b"]:
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    assert [case.name for case in load_task(folder).cases] == ["a", "b", "c"]
    assert read_image(load_task(folder).cases[0].images).array.shape == (4, 4, 4, 2)
    (folder / "labelsTr/c.NII.GZ").unlink()
    task, findings = load_present(folder)
    assert [case.name for case in task.cases] == ["a", "b"]
    assert [(finding.key, finding.file.name) for finding in findings] == [("missing", "c.nii.gz")]
    shutil.copy(folder / "imagesTr/a_0000.NII.GZ", folder / "imagesTr/a_0000.nii.gz")
    with pytest.raises(DataError, match="a_0000.NII.GZ and another file have the same name up to capitals"):
        load_task(folder)


def test_of_a_missing_label_the_nearest_is_told(tmp_path):
    folder = write_nnunet(tmp_path)
    (folder / "labelsTr/a.nii.gz").rename(folder / "labelsTr/A.nii.gz")
    with pytest.raises(DataError, match=r"1 images without a label \(a.*There is .*labelsTr/A.nii.gz: capitals and small letters differ"):
        load_task(folder)


@pytest.mark.parametrize(
    "images, message",
    [
        (["a_0001", "a_0000"], "found the channels 0001, 0000 by their names, expected 0000, 0001"),
        (["a_0000", "a_0002"], "found the channels 0000, 0002"),
        (["a_0000", "a_0001", "a_0002"], "found 3 files, expected 1 or one for each of the 2 channels T1, T2"),
    ],
)
def test_a_list_that_contradicts_its_names_is_refused(tmp_path, images, message):
    listed = {"a": {"images": [f"imagesTr/{name}.nii.gz" for name in images], "label": "labelsTr/a.nii.gz"}}
    write_nnunet(tmp_path, dataset=listed)
    with pytest.raises(DataError, match=rf"dataset\.a\.images: {message}"):
        load_task(tmp_path)


def test_an_ending_of_a_kind_that_is_not_read_is_called_so(tmp_path):
    write_nnunet(tmp_path, file_ending=".mgz")
    with pytest.raises(DataError, match=r'file_ending: found "\.mgz".*Such files aren\'t read: convert them to \.nii\.gz'):
        load_task(tmp_path)
