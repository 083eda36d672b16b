"""2D pictures against Pillow."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label

RANDOM = np.random.default_rng(0)
WIDTH, HEIGHT = 5, 3


def picture(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "RGB"])
def test_x_is_the_column_and_y_the_row(channels, ending, tmp_path):
    array = RANDOM.integers(0, 256, (HEIGHT, WIDTH, *channels), np.uint8)
    path = picture(tmp_path / f"a{ending}", array)
    volume, header = read_image(path), read_header(path)
    assert volume.array.shape == (WIDTH, HEIGHT, 1, *(channels or (1,))) and volume.array.dtype == np.float32
    assert volume.spacing == header.spacing == (1, 1, 999)
    assert header.shape == volume.array.shape[:3] and header.channels == volume.array.shape[3]
    for x in range(WIDTH):
        for y in range(HEIGHT):
            np.testing.assert_array_equal(volume.array[x, y, 0], np.atleast_1d(array[y, x]))


@pytest.mark.parametrize(
    "array",
    [
        RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16),
        RANDOM.integers(-(2**20), 2**20, (HEIGHT, WIDTH)).astype(np.int32),
        RANDOM.normal(size=(HEIGHT, WIDTH)).astype(np.float32),
    ],
    ids=["16", "32", "float"],
)
def test_gray_of_many_bits_keeps_its_values(array, tmp_path):
    np.testing.assert_array_equal(read_image(picture(tmp_path / "a.tif", array)).array[:, :, 0, 0], array.T)
    if array.dtype == np.uint16:
        np.testing.assert_array_equal(read_image(picture(tmp_path / "a.png", array)).array[:, :, 0, 0], array.T)


def test_big_endian_tiff(tmp_path):
    path = tmp_path / "a.tif"
    entries = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, 4)]
    directory = b"".join(
        tag.to_bytes(2) + kind.to_bytes(2) + (1).to_bytes(4) + (value.to_bytes(4) if kind == 4 else value.to_bytes(2) + b"\0\0")
        for tag, kind, value in entries
    )
    path.write_bytes(b"MM\0*\0\0\0\x0c" + (258).to_bytes(2) + (7).to_bytes(2) + len(entries).to_bytes(2) + directory + b"\0\0\0\0")
    np.testing.assert_array_equal(read_image(path).array.ravel(), [258, 7])


@pytest.mark.parametrize("channels", [2, 4])
def test_a_constant_alpha_channel_is_dropped_and_another_is_refused(channels, tmp_path):
    array = RANDOM.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    array[..., -1] = 255
    path = picture(tmp_path / "a.png", array)
    np.testing.assert_array_equal(read_image(path).array[:, :, 0], array[..., :-1].transpose(1, 0, 2))
    assert read_header(path).channels == channels - 1
    array[0, 0, -1] = 0
    with pytest.raises(DataError, match="a.png.*transparent.*alpha"):
        read_image(picture(path, array))


def test_a_palette_keeps_its_numbers_in_a_label_and_is_no_image(tmp_path):
    array = RANDOM.integers(0, 4, (HEIGHT, WIDTH), np.uint8)
    image = Image.fromarray(array, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 9, 9, 9, 0, 0, 255])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png")[0][:, :, 0], array.T)
    with pytest.raises(DataError, match="a.png.*palette.*gray or RGB"):
        read_image(tmp_path / "a.png")


def test_black_and_white_is_0_and_1(tmp_path):
    array = RANDOM.integers(0, 2, (HEIGHT, WIDTH)).astype(bool)
    np.testing.assert_array_equal(read_label(picture(tmp_path / "a.png", array))[0][:, :, 0], array.T)


@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("largest", [2, 300])
def test_a_label_is_written_as_a_picture_of_the_same_size(largest, ending, tmp_path):
    _, geometry = read_label(picture(tmp_path / "image.png", RANDOM.integers(0, 256, (HEIGHT, WIDTH), np.uint8)))
    label = RANDOM.integers(0, largest, (WIDTH, HEIGHT, 1)).astype(np.int32)
    label[0, 0] = largest
    write_label(tmp_path / f"out{ending}", label, geometry)
    with Image.open(tmp_path / f"out{ending}") as image:
        assert image.size == (WIDTH, HEIGHT) and image.mode == ("L" if largest < 256 else "I;16")
        np.testing.assert_array_equal(np.asarray(image), label[:, :, 0].T)
    np.testing.assert_array_equal(read_label(tmp_path / f"out{ending}")[0], label)


def test_a_label_of_a_picture_may_be_a_volume_and_no_volume_a_picture(tmp_path):
    label, geometry = read_label(picture(tmp_path / "image.png", np.ones((HEIGHT, WIDTH), np.uint8)))
    write_label(tmp_path / "out.nii.gz", label, geometry)
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.shape == (WIDTH, HEIGHT, 1) and written.header.get_zooms() == (1, 1, 999)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(ConfigError, match=r"out\.png.*\(2, 2, 2\).*\.nii\.gz"):
        write_label(tmp_path / "out.png", *read_label(tmp_path / "scan.nii"))
    with pytest.raises(ConfigError, match="65535"):
        write_label(tmp_path / "out.png", label.astype(np.int32) * 70000, geometry)


@pytest.mark.parametrize("name", ["out.jpg", "out.bmp", "out.dcm", "out.txt", "out"])
def test_labels_are_not_written_in_other_formats(name, tmp_path):
    label, geometry = read_label(picture(tmp_path / "image.png", np.ones((HEIGHT, WIDTH), np.uint8)))
    with pytest.raises(ConfigError, match=rf"{name}: .*\.nii\.gz.*\.png"):
        write_label(tmp_path / name, label, geometry)


def test_jpg_holds_images_but_no_labels(tmp_path):
    path = picture(tmp_path / "a.jpg", np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    np.testing.assert_allclose(read_image(path).array, 100, atol=2)
    with pytest.raises(DataError, match=r"a\.jpg.*changes values.*\.png"):
        read_label(path)


def pages(path):
    first, second = (Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)) for _ in range(2))
    first.save(path, save_all=True, append_images=[second])


def cut_off(path):
    picture(path, RANDOM.integers(0, 256, (90, 90), np.uint8))
    path.write_bytes(path.read_bytes()[:-2000])


@pytest.mark.parametrize(
    "name, make, words",
    [
        ("a.tif", pages, r"2 pages.*\.nii\.gz"),
        ("a.png", lambda path: path.write_text("text"), "picture.*again"),
        ("a.png", lambda path: path.write_bytes(b""), "picture.*again"),
        ("a.png", cut_off, "voxels can't be read.*again"),
        ("a.jpg", lambda path: Image.new("CMYK", (4, 4)).save(path), "CMYK.*gray or RGB"),
    ],
)
def test_unusable_pictures_are_named(name, make, words, tmp_path):
    make(tmp_path / name)
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        read_image(tmp_path / name)


def test_colour_masks_are_refused(tmp_path):
    with pytest.raises(DataError, match="a.png.*3 channels.*one number|a.png.*one number.*3 channels"):
        read_label(picture(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)))


def test_colour_of_16_bits_is_refused_rather_than_cut_to_8(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + bytes(range(6))))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match="a.png.*16 bits"):
        read_header(tmp_path / "a.png")


def test_a_picture_without_a_size_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + (8).to_bytes(4, "little") + bytes(6))  # a directory of no entries
    with pytest.raises(DataError, match="a.tif: expected a picture file"):
        read_header(tmp_path / "a.tif")
