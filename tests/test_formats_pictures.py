"""2D pictures against Pillow."""

import struct
import zlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats import pictures
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label

RANDOM = np.random.default_rng(0)
WIDTH, HEIGHT = 5, 3


def picture(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def tiff(path, array, bits=None, order="<", photometric=1, extra=(), width=None, packed=False, planar=1):
    """Writes a TIFF of numbers [row, column(, channel)] of any kind; with fewer `bits` they are bytes of rows."""
    kind, channels = {"u": 1, "i": 2, "f": 3}[array.dtype.kind], array.shape[2] if array.ndim == 3 else 1
    bits, pixels = bits or 8 * array.dtype.itemsize, array.astype(array.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if packed else pixels
    tags = {
        256: [width or array.shape[1]],
        257: [len(array)],
        258: [bits] * channels,
        259: [8 if packed else 1],
        262: [photometric],
        273: [0],
    }
    tags |= (
        {277: [channels], 278: [len(array)], 279: [len(pixels)]}
        | ({284: [2]} if planar == 2 else {})
        | ({338: extra} if extra else {})
        | {339: [kind] * channels}
    )
    end = 14 + 12 * len(tags)
    behind = b"".join(struct.pack(f"{order}{len(values)}H", *values) for values in tags.values() if len(values) > 2)
    tags[273] = [end + len(behind)]
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, values in tags.items():
        value = struct.pack(f"{order}{len(values)}H", *values).ljust(4, b"\0") if len(values) < 3 else struct.pack(f"{order}I", end)
        end += 2 * len(values) * (len(values) > 2)
        content += struct.pack(f"{order}HHI", tag, 3, len(values)) + value
    path.write_bytes(content + bytes(4) + behind + pixels)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, rows, width, bits, colour, chunks=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunks + pixels + chunk(b"IEND", b""))
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
    path = tiff(tmp_path / "a.tif", np.array([[258, 7]], np.uint16), order=">")
    np.testing.assert_array_equal(read_image(path).array.ravel(), [258, 7])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_whole_numbers_of_any_kind_keep_their_sign(kind, tmp_path):
    ends = np.array([[np.iinfo(kind).min, 0, 5, np.iinfo(kind).max]], kind)
    np.testing.assert_array_equal(read_image(tiff(tmp_path / "a.tif", ends)).array.ravel(), ends.ravel().astype(np.float32))
    if kind != np.uint32:
        np.testing.assert_array_equal(read_label(tmp_path / "a.tif")[0].ravel(), ends.ravel())


@pytest.mark.parametrize(
    "array, options, words",
    [
        (np.zeros((2, 3)), {}, "1 gray channel of floating point numbers with 64 bits"),
        (np.zeros((2, 3), np.float16), {}, "1 gray channel of floating point numbers with 16 bits"),
        (np.zeros((2, 3, 5), np.uint16), {"extra": (0, 0, 0, 0)}, "5 gray channels of unsigned numbers with 16 bits"),
        (np.zeros((2, 3, 3), np.uint8), {}, "3 gray channels of unsigned numbers with 8 bits"),
        (np.zeros((2, 3, 3), np.float32), {"photometric": 2}, "3 colour channels of floating point numbers with 32 bits"),
        (np.zeros((2, 3, 5), np.uint8), {"photometric": 2}, "5 colour channels of unsigned numbers with 8 bits"),
        (np.zeros((2, 3), np.int8), {"photometric": 0}, "1 gray channel of signed numbers with 8 bits, 0 being white"),
        (np.zeros((2, 3), np.uint32), {"order": ">"}, "1 gray channel of unsigned numbers with 32 bits, big-endian"),
    ],
)
def test_tiffs_of_kinds_that_are_not_read_are_named(array, options, words, tmp_path):
    with pytest.raises(DataError, match=f"a.tif: a TIFF of {words}, which isn't read. Convert it to .nii.gz"):
        read_header(tiff(tmp_path / "a.tif", array, **options))


@pytest.mark.parametrize("channels, photometric", [(4, 2), (2, 1), (5, 2)])
def test_a_further_channel_of_unspecified_meaning_is_refused(channels, photometric, tmp_path):
    array = RANDOM.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    extra = (0,) * (channels - (3 if photometric == 2 else 1))
    with pytest.raises(DataError, match="a.tif: .*a further channel of unspecified meaning"):
        read_header(tiff(tmp_path / "a.tif", array, photometric=photometric, extra=extra))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "inverted.tif", "packed.tif"])
@pytest.mark.parametrize("bits, rows", [(2, [[0x1B], [0x1B]]), (4, [[0x01, 0x23], [0x01, 0x23]])])
def test_numbers_of_few_bits_are_as_stored(bits, rows, name, tmp_path):
    path, inverted = tmp_path / name, name == "inverted.tif"
    if name == "a.png":
        png(path, [bytes(row) for row in rows], 4, bits, 0)
    else:
        tiff(path, np.array(rows, np.uint8), bits=bits, width=4, photometric=int(not inverted), packed=name == "packed.tif")
    expected = [2**bits - 1 - value if inverted else value for value in range(4)]
    for values in (read_label(path)[0][:, :, 0], read_image(path).array[:, :, 0, 0]):
        np.testing.assert_array_equal(values, np.transpose([expected, expected]))


@pytest.mark.parametrize(
    "bits, colour, rows, clear", [(8, 0, [[1, 2, 2]], [2]), (2, 0, [[0x58]], [1]), (8, 2, [[1, 2, 3, 4, 5, 6]], [4, 5, 6])]
)
def test_a_transparent_colour_is_a_colour(bits, colour, rows, clear, tmp_path):
    def values(chunks):
        return read_image(png(tmp_path / "a.png", [bytes(row) for row in rows], 2 if colour else 3, bits, colour, chunks)).array

    np.testing.assert_array_equal(values(chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))), values(b""))


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_alpha_is_left_out(channels, ending, tmp_path):
    array = RANDOM.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)
    path = picture(tmp_path / f"a{ending}", array)
    np.testing.assert_array_equal(read_image(path).array[:, :, 0], array[..., :-1].transpose(1, 0, 2))
    assert read_header(path).channels == channels - 1
    if channels == 2:
        np.testing.assert_array_equal(read_label(path)[0][:, :, 0], array[..., 0].T)


def test_gray_gives_three_equal_channels_where_colours_are_wanted(tmp_path):
    array = RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    path = picture(tmp_path / "a.png", array)
    for names in (("red", "green", "blue"), ("R", "G", "B"), ("rgb_to_0_1",) * 3):
        np.testing.assert_array_equal(read_image(path, channels=names).array, np.repeat(array.T[:, :, None, None], 3, 3))
        header = read_header(path, names)
        assert header.channels == 3 and [doubt.kind for doubt in header.doubts] == ["gray"]
    for names in ((), ("gray",), ("T1", "T2", "FLAIR")):
        assert read_image(path, channels=names).array.shape[3] == read_header(path, names).channels == 1
    colour = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    volume = read_image(picture(tmp_path / "b.png", colour), channels=("red", "green", "blue"))
    np.testing.assert_array_equal(volume.array[:, :, 0], colour.transpose(1, 0, 2))
    assert volume.geometry.doubts == ()


@pytest.mark.parametrize(
    "colours, numbers, fault",
    [
        ("WK", (0, 1), r"0 is \(255, 255, 255\), 1 is black"),
        ("KWG", (0, 1, 2), r"1 is \(255, 255, 255\), 2 is \(128, 128, 128\)"),
        ("RK", (0, 1), r"0 is \(255, 0, 0\), 1 is black"),
        ("RGK", (0, 1), None),
        ("KRG", (0, 1, 2), None),
        ("WR", (0, 1), None),
        ("KWK", (0, 1), None),
        ("KK", (0, 1), None),
    ],
)
def test_a_palette_whose_colours_are_in_another_order_than_its_numbers_is_refused(tmp_path, colours, numbers, fault):
    """As programs leave that make files small: 0 may be white then."""
    image = Image.fromarray(np.resize(np.array(numbers, np.uint8), (4, 5)), "P")
    known = {"K": (0, 0, 0), "W": (255, 255, 255), "G": (128, 128, 128), "R": (255, 0, 0)}
    image.putpalette([value for colour in colours for value in known[colour]])
    image.save(tmp_path / "a.png")
    assert pictures.shown_colours(tmp_path / "a.png") == {number: known[colours[number]] for number in numbers}
    if fault:
        with pytest.raises(DataError, match=rf"a.png: its palette gives its numbers .*{fault}.*Save it as gray"):
            read_label(tmp_path / "a.png")
    else:
        assert {*np.unique(read_label(tmp_path / "a.png")[0])} == {*numbers}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_picture_whose_shape_is_in_its_alpha_is_refused(tmp_path, mode):
    array = np.full((4, 5, len(mode)), 255, np.uint8)
    Image.fromarray(array, mode).save(tmp_path / "blank.png")
    assert read_image([tmp_path / "blank.png"]).array.min() == 255
    array[..., : len(mode) - 1] = [7, 0, 0][: len(mode) - 1]
    array[..., -1] = np.resize([0, 255], (4, 5))
    Image.fromarray(array, mode).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="a.png: what it shows is in its alpha channel"):
        read_image([tmp_path / "a.png"])
    array[0, 0, 0] = 9
    Image.fromarray(array, mode).save(tmp_path / "b.png")
    assert read_image([tmp_path / "b.png"]).array.max() == 9


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


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "name, options", [("a.png", {})] + [("a.tif", {"order": order, "packed": packed}) for order in "<>" for packed in (0, 1)]
)
def test_colour_of_16_bits_is_read_in_full(channels, name, options, tmp_path):
    array, path = RANDOM.integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(np.uint16), tmp_path / name
    if name == "a.png":
        png(path, [row.astype(">u2").tobytes() for row in array], WIDTH, 16, {3: 2, 4: 6}[channels])
    else:
        tiff(path, array, photometric=2, extra=(2,) * (channels - 3), **options)
    np.testing.assert_array_equal(read_image(path).array[:, :, 0], array[..., :3].transpose(1, 0, 2))


def test_gray_of_16_bits_with_alpha_is_read_in_full(tmp_path):
    array = RANDOM.integers(0, 65536, (HEIGHT, WIDTH, 2)).astype(np.uint16)
    path = png(tmp_path / "a.png", [row.astype(">u2").tobytes() for row in array], WIDTH, 16, 4)
    np.testing.assert_array_equal(read_image(path).array[:, :, 0, 0], array[..., 0].T)
    np.testing.assert_array_equal(read_label(path)[0][:, :, 0], array[..., 0].T)


def test_colours_of_16_bits_that_lie_apart_are_refused(tmp_path):
    path = tiff(tmp_path / "a.tif", np.zeros((HEIGHT, WIDTH, 3), np.uint16), photometric=2, planar=2)
    with pytest.raises(DataError, match="a.tif: its colours of 16 bits lie apart"):
        read_header(path)


def test_a_picture_without_a_size_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + (8).to_bytes(4, "little") + bytes(6))  # a directory of no entries
    with pytest.raises(DataError, match="a.tif: expected a picture file"):
        read_header(tmp_path / "a.tif")
