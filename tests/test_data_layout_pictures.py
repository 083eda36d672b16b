"""Folders of images and masks."""

import json
from pathlib import PurePath

import numpy as np
import pytest
from absl import logging
from PIL import Image
from small_task import REAL_DATA, save

from scnas_keras.checks.headers import verify_headers
from scnas_keras.errors import DataError
from scnas_keras.formats import pictures
from scnas_keras.formats.volumes import read_image
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.tasks.loading import find_task, load_image, load_label, load_task
from scnas_keras.verify.dataset import verify_task

RANDOM = np.random.default_rng(0)


def write_pictures(folder, values=((0, 255),), masks="masks", suffix="", colours=(3,), kind=np.uint8):
    """One picture for each tuple of values, which all occur in its mask."""
    for index, chosen in enumerate(values):
        mask = np.resize(np.array(chosen, kind), (6, 8))
        for place, array in (
            (f"images/{index}.png", RANDOM.integers(0, 256, (6, 8, *colours), np.uint8)),
            (f"{masks}/{index}{suffix}.png", mask),
        ):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / place)
    return folder


@pytest.mark.parametrize("masks, suffix", [("masks", ""), ("labels", ""), ("masks", "_mask"), ("labels", "_mask")])
def test_two_folders_of_pictures_are_a_task(tmp_path, masks, suffix, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "info", lambda text, *values: said.append(text % values))
    folder = write_pictures(tmp_path / "Cells", [(0, 255), (0,)], masks, suffix)
    for place in (folder, find_task("custom", tmp_path), find_task("cells", tmp_path), find_task("whatever", folder)):
        task = load_task(place)
        assert (task.name, task.channel_names) == ("Cells", ("red", "green", "blue"))
        assert (task.labels, task.label_map) == ({0: "background", 1: "foreground"}, {255: 1})
    assert [case.name for case in task.cases] == ["0", "1"]
    assert task.cases[1].images == (folder / "images" / "1.png",) and task.cases[1].label == folder / masks / f"1{suffix}.png"
    label = load_label(task, task.cases[0])
    np.testing.assert_array_equal(label[:, :, 0], np.resize([0, 1], (6, 8)).T)
    assert "0, 255" in said[0] and "1 foreground" in said[0]


@pytest.mark.parametrize(
    "values, kind, labels, label_map",
    [
        ([(0, 1)], np.uint8, {0: "background", 1: "foreground"}, {}),
        ([(0, 7), (0,)], np.uint8, {0: "background", 1: "foreground"}, {7: 1}),
        ([(0, 65535)], np.uint16, {0: "background", 1: "foreground"}, {65535: 1}),
        ([(0, 1), (0, 2)], np.uint8, {0: "background", 1: "class 1", 2: "class 2"}, {}),
        ([(0, 3), (0, 1, 2)], np.uint8, {0: "background", 1: "class 1", 2: "class 2", 3: "class 3"}, {}),
    ],
)
def test_classes_are_the_values_of_the_masks(tmp_path, values, kind, labels, label_map):
    task = load_task(write_pictures(tmp_path, values, kind=kind, colours=()))
    assert (task.channel_names, task.labels, task.label_map) == (("gray",), labels, label_map)
    assert set(np.unique(load_label(task, task.cases[0]))) <= set(task.declared_values)


def test_masks_of_numbered_objects_are_no_classes(tmp_path):
    folder = write_pictures(tmp_path / "Cells", [range(1 + count) for count in (1, 2, 4, 0, 7)], colours=())
    with pytest.raises(DataError, match=r"from 1 to one of its own \(1, 2, 4, 7\), as numbered objects do.*dataset.json"):
        load_task(folder)
    few = write_pictures(tmp_path / "Few", [range(1 + count) for count in (1, 2, 4, 0, 4)], colours=())
    assert len(load_task(few).labels) == 5
    gaps = [range(1 + count) for count in (1, 2, 4, 7) * 3] + [(0, 3)]
    with pytest.raises(DataError, match="as numbered objects do"):  # one lost its others
        load_task(write_pictures(tmp_path / "Gap", gaps, colours=()))
    assert len(load_task(write_pictures(tmp_path / "Gaps", [*gaps, (0, 2)], colours=())).labels) == 8
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {f"c{i}": i for i in range(8)}}))
    assert len(load_task(folder).labels) == 8


def test_masks_in_two_folders_are_not_chosen_between(tmp_path):
    folder = write_pictures(tmp_path / "Cells")
    (folder / "labels").mkdir()
    (folder / "labels" / "0.txt").write_text("boxes")
    assert load_task(folder).cases[0].label_file.parent.name == "masks"
    write_pictures(folder, masks="labels")
    with pytest.raises(DataError, match="Cells: found masks in masks/ and in labels/. Move one of both folders elsewhere"):
        load_task(folder)
    for path in (folder / "masks").iterdir():
        path.unlink()
    assert load_task(folder).cases[0].label_file.parent.name == "labels"


def palette(path, numbers, colours, mode="P"):
    image = Image.fromarray(np.resize(np.array(numbers, np.uint8), (6, 8)), "P")
    image.putpalette([value for colour in colours for value in colour])
    image.save(path)


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)


@pytest.mark.parametrize(
    "second, message",
    [
        (((0, 1), (BLACK, WHITE)), r"1.png: by its palette 1 is \(255, 255, 255\), by that of .*0.png it is \(255, 0, 0\)"),
        (((0, 2), (BLACK, GREEN, RED)), r"1.png: by its palette \(255, 0, 0\) is 2, by that of .*0.png it is 1"),
        (((0, 1), (BLACK, RED)), None),
        (((0,), (BLACK, GREEN)), None),
        (((0, 1), (BLACK, BLACK)), None),
    ],
)
def test_palettes_that_disagree_are_refused(tmp_path, second, message):
    folder = write_pictures(tmp_path / "Cells", [(0, 1)] * 3)
    palette(folder / "masks" / "0.png", (0, 1), (BLACK, RED))
    palette(folder / "masks" / "1.png", *second)
    if message:
        with pytest.raises(DataError, match=message):
            load_task(folder)
    else:
        assert load_task(folder).labels == {0: "background", 1: "foreground"}


def test_masks_that_seem_inverted_are_told(tmp_path, caplog):
    for name, values in (("Cells", (0, 255)), ("Inverted", (255, 0))):
        folder = write_pictures(tmp_path / name, [(0, 255)] * 3)
        mask = np.full((20, 20), values[0], np.uint8)
        mask[5:15, 5:15] = values[1]
        for index in range(3):
            Image.fromarray(mask).save(folder / "masks" / f"{index}.png")
        caplog.clear()
        load_task(folder)
        told = [text for text in caplog.messages if "along the masks' borders is foreground (255)" in text]
        assert len(told) == (name == "Inverted")


def test_what_is_passed_over_is_told(tmp_path, caplog):
    folder = write_pictures(tmp_path / "Cells")
    (folder / "images" / "more").mkdir()
    (folder / "images" / ".ipynb_checkpoints").mkdir()
    for name in ("images/b.gif", "masks/b.GIF", "masks/Thumbs.db"):
        (folder / name).write_bytes(b"")
    assert len(load_task(folder).cases) == 1
    told = [text for text in caplog.messages if "passed over" in text]
    assert [text.partition("passed over ")[2].partition(", which")[0] for text in told] == ["b.gif, more/", "b.GIF"]
    caplog.clear()
    load_task(write_pictures(tmp_path / "Others"))
    assert not [text for text in caplog.messages if "passed over" in text]


def gray_among_colour(folder):
    """Four pictures, of which the first is gray."""
    write_pictures(folder, [(0, 255)] * 4)
    Image.fromarray(RANDOM.integers(0, 256, (6, 8), np.uint8)).save(folder / "images" / "0.png")
    return folder


def test_gray_pictures_among_colour_ones_have_three_equal_channels_and_are_told_once(tmp_path, caplog):
    task = load_task(gray_among_colour(tmp_path / "Cells"))
    assert task.channel_names == ("red", "green", "blue")
    with caplog.at_level("WARNING"):
        verify_headers(task)
    told = [text for text in caplog.messages if "gray pictures among those in colour" in text]
    assert len(told) == 1 and "taken as three equal channels (1)" in told[0]
    image = load_image(task, task.cases[0]).array
    assert image.shape == (8, 6, 1, 3) and (image == image[..., :1]).all() and image.std() > 0
    report = verify_task(task, processes=1, progress=False)
    assert [finding.case for finding in report.findings if finding.key == "gray"] == ["0"]
    assert not [finding for finding in report.findings if finding.kind.severity == "error"]
    fingerprint = measure_task(task, tmp_path / "cache", 1, False)
    assert len(fingerprint.intensities) == 3 and len(fingerprint.shapes) == 4


def test_pictures_are_opened_until_one_has_colours_and_once_at_most(tmp_path, monkeypatch):
    opened, open_file = [], pictures.open_file
    monkeypatch.setattr(pictures, "open_file", lambda path: opened.append(path.parent.name) or open_file(path))
    load_task(gray_among_colour(tmp_path / "Cells"))
    assert opened.count("images") == 2
    opened.clear()
    task = load_task(write_pictures(tmp_path / "Gray", [(0, 255)] * 6, colours=()))
    assert task.channel_names == ("gray",) and opened.count("images") == 6


def test_the_work_on_names_grows_with_their_number_and_not_its_square(tmp_path, monkeypatch):
    folder, compared, equal = write_pictures(tmp_path, [(0, 255)] * 60), [], PurePath.__eq__
    monkeypatch.setattr(PurePath, "__eq__", lambda self, other: compared.append(self) or equal(self, other))
    load_task(folder)
    assert len(compared) < 10 * 60


def test_an_image_that_cannot_be_read_is_left_to_the_check_of_headers(tmp_path):
    folder = write_pictures(tmp_path, [(0, 255)] * 4)
    (folder / "images" / "0.png").write_bytes(b"nothing")
    task = load_task(folder)
    assert task.channel_names == ("red", "green", "blue")
    with pytest.raises(DataError, match=r"0\.png"):
        verify_headers(task)


def test_gray_pictures_for_channels_that_are_no_colours_are_refused(tmp_path):
    folder = gray_among_colour(tmp_path / "Cells")
    names = {"channel_names": {"0": "DAPI", "1": "GFP", "2": "RFP"}, "labels": {"background": 0, "cell": 255}}
    (folder / "dataset.json").write_text(json.dumps(names))
    with pytest.raises(DataError, match=r"(?s)number of channels.*0\.png.*1 in the file, 3 declared.*-> "):
        verify_headers(load_task(folder))


@pytest.mark.parametrize(
    "values, message",
    [
        ([(0, 1, 3)], r"hold the values 0, 1, 3, but.*dataset\.json"),
        ([(0, 1), (0, 255)], "values 0, 1, 255"),
        ([(1, 2)], "values 1, 2"),
        ([(0,), (0,)], "no foreground"),
        ([(0, 1), range(33)], "more than 32 classes, 33 of them in 1.png.*one per object"),
    ],
)
def test_values_that_make_no_classes_are_refused_with_a_remedy(tmp_path, values, message):
    with pytest.raises(DataError, match=f"(?s){tmp_path}.*{message}.*"):
        load_task(write_pictures(tmp_path, values))


def test_a_dataset_json_gives_names(tmp_path):
    folder = write_pictures(tmp_path, [(0, 1, 3)])
    content = {
        "name": "Cells",
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "cell": 1, "border": 2, "dirt": 3},
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    task = load_task(folder)
    assert (task.name, task.channel_names) == ("Cells", ("R", "G", "B"))
    assert task.labels == {0: "background", 1: "cell", 2: "border", 3: "dirt"} and task.label_map == {}
    (folder / "dataset.json").write_text(json.dumps(content | {"labels": {"background": 0, "cell": 255}}))
    task = load_task(folder)
    assert task.labels == {0: "background", 1: "cell"} and task.label_map == {255: 1}
    (folder / "dataset.json").write_text(json.dumps(content | {"labels": {"background": 0, "cell": 128}}))
    with pytest.raises(DataError, match="without a gap"):
        load_task(folder)


def test_volumes_need_a_dataset_json(tmp_path):
    for place in ("images", "masks"):
        save(tmp_path / place / "a.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"2D pictures; found a\.nii\.gz.*dataset\.json.*channel_names"):
        load_task(tmp_path)
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}}')
    assert [case.name for case in load_task(tmp_path).cases] == ["a"]


def test_images_and_masks_need_each_other(tmp_path):
    folder = write_pictures(tmp_path, [(0, 1)] * 9)
    for index in range(7):
        (folder / "masks" / f"{index}.png").unlink()
    (folder / "masks" / "x.png").write_bytes((folder / "masks" / "8.png").read_bytes())
    with pytest.raises(
        DataError,
        match=r"7 images without a mask in masks/ \(0, 1, 2, 3, 4 and 2 more\) and "
        r"1 masks without an image in images/ \(x\)",
    ):
        load_task(folder)


def test_two_files_of_one_name_are_refused(tmp_path):
    folder = write_pictures(tmp_path, [(0, 1)])
    (folder / "images" / "0.bmp").write_bytes(b"")
    with pytest.raises(DataError, match="0.bmp and another file have the same name"):
        load_task(folder)
    (folder / "images" / "0.bmp").unlink()
    (folder / "images" / "x.png").write_bytes((folder / "images" / "0.png").read_bytes())
    for name in ("x", "x_mask"):
        (folder / "masks" / f"{name}.png").write_bytes((folder / "masks" / "0.png").read_bytes())
    with pytest.raises(DataError, match="x_mask and a mask without _mask belong to the same image"):
        load_task(folder)


def test_an_empty_folder_is_described(tmp_path):
    folder = write_pictures(tmp_path)
    (folder / "images" / "0.png").rename(folder / "images" / "0.gif")
    with pytest.raises(DataError, match="images: no pictures.*0.gif"):
        load_task(folder)


@pytest.mark.skipif(not (REAL_DATA / "Nuclei_DSB2018").is_dir(), reason=f"no Nuclei_DSB2018 in {REAL_DATA}")
def test_real_pictures_are_read():
    task = load_task(find_task("nuclei", REAL_DATA))
    assert len(task.cases) == 160 and task.channel_names == ("red", "green", "blue")
    assert task.labels == {0: "background", 1: "foreground"} and task.label_map == {255: 1}
    for case in task.cases[::40]:
        image, label = read_image(case.images).array, load_label(task, case)
        with Image.open(case.images[0]) as picture, Image.open(case.label) as mask:
            np.testing.assert_array_equal(image[:, :, 0].transpose(1, 0, 2), np.asarray(picture))
            np.testing.assert_array_equal(label[:, :, 0].T * 255, np.asarray(mask))
