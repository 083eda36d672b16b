import struct
import zlib

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.geometry import PIXELS
from scnas_keras.formats.volumes import read_image
from scnas_keras.metrics.dice import dice_scores
from scnas_keras.reporting.overlay import OPACITY, draw_overlay, overlay_figure

NAMES = ("background", "liver", "tumour")
SPACING = (1.0, 2.0, 4.0)


@pytest.fixture
def volumes():
    image = np.arange(8 * 6 * 4, dtype=np.float32).reshape(8, 6, 4)
    label = np.zeros((8, 6, 4), np.uint8)
    label[5:7, 1:3, 1] = 1  # four voxels
    label[6, 2, 2] = 2
    prediction = np.zeros_like(label)
    prediction[5:7, 1, 1] = 1  # two of the four
    prediction[0, 0, 0] = 1  # and one elsewhere
    return image, label, prediction


def write_deep(path, colours):
    """A PNG of 16 bits a colour [row, column, 3], which Pillow can't write."""
    (height, width, _), rows = colours.shape, [row.astype(">u2").tobytes() for row in colours]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")
    coded = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(coded))
    return path


def test_dice_in_the_title_is_what_a_person_computes(volumes):
    title = overlay_figure(*volumes, NAMES, SPACING, "case_7").get_suptitle()
    assert title == "case_7\nDice: liver 0.571, tumour 0.000"  # 2 * 2 / (4 + 3), 2 * 0 / (1 + 0)


def test_a_class_in_neither_is_absent_and_not_a_zero(volumes):
    image, label, prediction = volumes
    assert np.isnan(dice_scores(label, prediction, 4)[2])
    assert overlay_figure(image, label, label, (*NAMES, "cyst"), SPACING, "").get_suptitle().endswith("tumour 1.000, cyst absent")


def test_slices_meet_in_the_reference_and_are_seen_as_by_a_radiologist(volumes):
    panels = np.reshape(overlay_figure(*volumes, NAMES, SPACING, "").axes, (3, 3))
    image, label, _ = volumes
    centre = (6, 2, 1)  # means 5.6, 1.6 and 1.2
    greys = [np.asarray(axes.images[0].get_array()) for axes in panels[:, 0]]
    assert greys[0].shape == (6, 8) and greys[1].shape == (4, 8) and greys[2].shape == (4, 6)
    axial, coronal, sagittal = greys
    assert axial[0, 0] == image[-1, -1, centre[2]]  # right and anterior are first
    assert coronal[0, 0] == image[-1, centre[1], -1]  # right and superior
    assert sagittal[0, 0] == image[centre[0], -1, -1]  # anterior and superior
    reference = np.asarray(panels[0, 1].images[1].get_array())[..., 3] > 0
    np.testing.assert_array_equal(reference, (label[::-1, ::-1, centre[2]] > 0).T)


def test_pictures_have_the_patients_proportions(volumes):
    panels = np.reshape(overlay_figure(*volumes, NAMES, SPACING, "").axes, (3, 3))
    assert [tuple(axes.images[0].get_extent()) for axes in panels[:, 2]] == [(0, 8, 12, 0), (0, 8, 16, 0), (0, 12, 16, 0)]
    assert all(axes.get_aspect() == 1 for axes in panels.flat)


def test_classes_have_colours_of_their_own_and_the_background_none(volumes):
    image, label, _ = volumes
    label[6, 2, 1] = 2
    figure = overlay_figure(image, label, label, NAMES, SPACING, "")
    colours = np.unique(np.asarray(figure.axes[1].images[1].get_array()).reshape(-1, 4), axis=0)
    assert sorted(colours[:, 3]) == [0, OPACITY, OPACITY]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["liver", "tumour"]


def test_many_classes_still_have_different_colours():
    label = np.arange(16).reshape(4, 4, 1).repeat(3, axis=2)
    figure = overlay_figure(np.ones_like(label), label, label, [f"organ {i}" for i in range(16)], (1, 1, 1), "")
    assert len(np.unique(np.asarray(figure.axes[1].images[1].get_array()).reshape(-1, 4), axis=0)) == 16


@pytest.mark.parametrize("with_label", [True, False])
def test_png_is_written_with_and_without_a_reference(volumes, tmp_path, with_label):
    image, label, prediction = volumes
    draw_overlay(image, label if with_label else None, prediction, tmp_path / "a.png", NAMES, SPACING, "case")
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[1] > (1400 if with_label else 900) and np.ptp(pixels) > 0.5
    figure = overlay_figure(image, label if with_label else None, prediction, NAMES, SPACING, "case")
    assert [axes.get_title() for axes in figure.axes[: 3 if with_label else 2]][-1] == "prediction"
    assert ("Dice" in figure.get_suptitle()) == with_label


def test_an_empty_prediction_is_drawn_in_the_middle(volumes):
    image, label, _ = volumes
    figure = overlay_figure(image, None, np.zeros_like(label), NAMES, SPACING, "")
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), image[::-1, ::-1, 2].T)


def test_what_cannot_be_drawn_is_refused(volumes, tmp_path):
    image, label, prediction = volumes
    with pytest.raises(DataError, match="reference of its shape"):
        overlay_figure(image, label[1:], prediction, NAMES, SPACING, "")
    with pytest.raises(DataError, match="reference holds the classes 0 to 2, but only 0 to 1"):
        overlay_figure(image, label, prediction, NAMES[:2], SPACING, "")
    with pytest.raises(ConfigError, match=".png, found the suffix '.svg'"):
        draw_overlay(image, label, prediction, tmp_path / "a.svg", NAMES, SPACING, "")


def test_a_picture_is_drawn_in_its_own_plane_only():
    image = np.random.default_rng(0).normal(size=(12, 9, 1))
    figure = overlay_figure(image, None, (image > 1).astype(int), ("background", "nucleus"), PIXELS, "picture")
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 and not any(axes.texts for axes in panels)
    np.testing.assert_array_equal(np.asarray(panels[0].images[0].get_array()), image[:, :, 0].T)  # rows from the top, as it is stored


def test_a_picture_in_colour_keeps_its_colours():
    image = np.random.default_rng(0).integers(0, 256, (12, 9, 1, 3)).astype(np.float32)
    mask = (image[..., 0] > 200).astype(int)
    panels = [axes for axes in overlay_figure(image, None, mask, ("background", "nucleus"), PIXELS, "picture").axes if axes.images]
    np.testing.assert_allclose(np.asarray(panels[0].images[0].get_array()), image[:, :, 0].swapaxes(0, 1) / 255)
    np.testing.assert_array_equal(np.asarray(panels[1].images[1].get_array())[..., 3] > 0, mask[:, :, 0].T == 1)


def test_a_dark_picture_of_16_bits_is_drawn_dark(tmp_path):
    colours = np.random.default_rng(0).integers(0, 200, (9, 12, 3)).astype(np.uint16)
    deep, plain = write_deep(tmp_path / "deep.png", colours), tmp_path / "plain.png"
    Image.fromarray(colours.astype(np.uint8)).save(plain)
    mask = np.zeros((12, 9, 1), int)
    for file, white in ((deep, 65535), (plain, 255)):
        volume = read_image(file)
        figure = overlay_figure(volume.array, None, mask, ("background", "nucleus"), volume.spacing, "picture", volume.white)
        np.testing.assert_allclose(np.asarray(figure.axes[0].images[0].get_array()), colours / white, atol=1e-6)


def test_a_pictures_overlay_has_a_pixel_at_least_for_each_of_its_own(tmp_path):
    image = np.zeros((900, 600, 1, 3), np.float32)
    draw_overlay(image, None, image[..., 0].astype(int), tmp_path / "a.png", ("background", "nucleus"), PIXELS, "picture")
    height, width, _ = imread(tmp_path / "a.png").shape
    assert 1800 < width < 2000 and 600 < height < 800


def test_a_scan_of_one_slice_has_its_directions():
    image = np.random.default_rng(0).normal(size=(12, 9, 1))
    panel = overlay_figure(image, None, (image > 1).astype(int), ("background", "organ"), (1, 1, 3), "slice").axes[0]
    assert [text.get_text() for text in panel.texts] == ["R", "A"]
    np.testing.assert_array_equal(np.asarray(panel.images[0].get_array()), image[::-1, ::-1, 0].T)


def test_of_several_channels_a_scan_shows_the_first():
    image = np.random.default_rng(0).normal(size=(8, 6, 4, 3))
    figure = overlay_figure(image, None, np.zeros((8, 6, 4), int), NAMES, SPACING, "")
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), image[::-1, ::-1, 2, 0].T)
