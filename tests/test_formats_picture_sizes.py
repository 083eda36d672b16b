"""What pictures say of their pixels' size, scale and orientation."""

import zlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import grid_difference
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label

ARRAY = np.arange(15, dtype=np.uint8).reshape(3, 5)
CM = {"resolution_unit": 3}


def save(path, array=ARRAY, **options):
    Image.fromarray(array).save(path, **options)
    return path


def described(text, **options):
    return {"description": text, **options}


IMAGEJ = "ImageJ=1.54f\nunit={}\nloop=false\n"
OME = '<?xml version="1.0"?><OME><Image><Pixels SizeX="5" PhysicalSizeX="0.65" PhysicalSizeY="0.5" {}/></Image></OME>'
PREFIXED = '<o:OME xmlns:o="u"><o:Pixels PhysicalSizeX="2" PhysicalSizeY="3" PhysicalSizeXUnit="mm" PhysicalSizeYUnit="mm"/></o:OME>'


def in_unit(unit, text=OME):
    return text.format(f'PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"')


@pytest.mark.parametrize(
    "name, options, size",
    [
        ("a.png", {}, (1, 1)),
        ("a.png", {"dpi": (254, 127)}, (0.1, 0.2)),
        ("a.png", {"dpi": (72, 72)}, (1, 1)),  # what programs write that know nothing
        ("a.png", {"dpi": (96, 96)}, (1, 1)),
        ("a.jpg", {}, (1, 1)),
        ("a.jpg", {"dpi": (254, 127)}, (0.1, 0.2)),
        ("a.bmp", {}, (1, 1)),
        ("a.tif", {}, (1, 1)),
        ("a.tif", {**CM, "x_resolution": 20, "y_resolution": 10}, (0.5, 1)),
        ("a.tif", {"resolution_unit": 2, "x_resolution": 254, "y_resolution": 254}, (0.1, 0.1)),
        ("a.tif", {"resolution_unit": 1, "x_resolution": 2, "y_resolution": 1}, (1, 2)),  # no unit, but twice as high as wide
        ("a.tif", described(IMAGEJ.format("micron"), resolution_unit=1, x_resolution=2, y_resolution=4), (5e-4, 2.5e-4)),
        ("a.tif", described(IMAGEJ.format("\\u00B5m"), resolution_unit=1, x_resolution=2, y_resolution=2), (5e-4, 5e-4)),
        ("a.tif", described(IMAGEJ.format("cm"), resolution_unit=1, x_resolution=1, y_resolution=1), (10, 10)),
        ("a.tif", described(IMAGEJ.format("pixel"), resolution_unit=1, x_resolution=1, y_resolution=1), (1, 1)),
        ("a.tif", described(IMAGEJ.format("px"), resolution_unit=1, x_resolution=2, y_resolution=2), (1, 1)),
        ("a.tif", described(IMAGEJ.format("null"), resolution_unit=1, x_resolution=2, y_resolution=1), (1, 2)),
        ("a.tif", described("ImageJ=1.54f\nimages=\n"), (1, 1)),
        ("a.tif", described(in_unit("pixel").replace("0.65", "0.5")), (1, 1)),
        ("a.tif", described(in_unit("reference frame").replace("0.65", "0.25")), (1, 2)),
        ("a.tif", described(in_unit("mm") + "\0\0\0"), (0.65, 0.5)),  # padded
        ("a.tif", described(in_unit("mm") + "\n\0\n\0"), (0.65, 0.5)),
        ("a.tif", described(OME.format("")), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("mm")), (0.65, 0.5)),
        ("a.tif", described(in_unit("\N{MICRO SIGN}m").encode()), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("\N{GREEK SMALL LETTER MU}m").encode()), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("\N{MICRO SIGN}m").encode("latin-1")), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("&#181;m")), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("&#xB5;m").replace('"', "'")), (6.5e-4, 5e-4)),
        ("a.tif", described(in_unit("\N{ANGSTROM SIGN}").encode()), (6.5e-8, 5e-8)),
        ("a.tif", described(PREFIXED), (2, 3)),
        ("a.tif", described("<OME><BinaryOnly/></OME>"), (1, 1)),
        ("a.tif", described(IMAGEJ.format("\N{MICRO SIGN}m").encode(), resolution_unit=1, x_resolution=2, y_resolution=2), (5e-4, 5e-4)),
        (
            "a.tif",
            described(IMAGEJ.format("\N{MICRO SIGN}m").encode("latin-1"), resolution_unit=1, x_resolution=2, y_resolution=2),
            (5e-4, 5e-4),
        ),
        ("a.tif", described(IMAGEJ.format("um") + "yunit=mm\n", resolution_unit=1, x_resolution=2, y_resolution=2), (5e-4, 0.5)),
    ],
)
def test_pixels_are_as_large_as_the_header_says(name, options, size, tmp_path):
    header = read_header(save(tmp_path / name, **options))
    assert header.spacing == pytest.approx((*size, 999), rel=1e-4) and header.shape == (5, 3, 1)


def insert(path, kind, data):
    """Puts a chunk behind the first of a PNG."""
    content, chunk = path.read_bytes(), kind + data
    path.write_bytes(content[:33] + len(data).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + content[33:])
    return path


def test_pixels_that_are_not_square_are_so_without_a_unit(tmp_path):
    path = insert(save(tmp_path / "a.png"), b"pHYs", (2).to_bytes(4) + (1).to_bytes(4) + b"\0")
    assert read_header(path).spacing == (1, 2, 999)


def test_the_scale_of_what_a_png_shows_is_honoured_and_that_of_its_values_refused(tmp_path):
    path = insert(save(tmp_path / "a.png", dpi=(300, 300)), b"sCAL", b"\x010.0005\x000.00025")
    assert read_header(path).spacing == pytest.approx((0.5, 0.25, 999))
    with pytest.raises(DataError, match="a.png: its sCAL is 0, 1 mm"):
        read_header(insert(save(path), b"sCAL", b"\x010\x000.001"))
    with pytest.raises(DataError, match="a.png: its pCAL gives its numbers another meaning"):
        read_header(insert(save(path), b"pCAL", b"HU\0" + bytes(8) + b"\0\2HU\x00-1000\x001000"))


@pytest.mark.parametrize(
    "options, words",
    [
        (described(IMAGEJ.format("furlong"), x_resolution=2, y_resolution=2), "ImageJ's unit of length is 'furlong'"),
        (described(OME.format('PhysicalSizeXUnit="ly"')), "OME's unit of length is 'ly'"),
        (described(OME.format('PhysicalSizeXUnit="pixel" PhysicalSizeYUnit="mm"')), "OME's unit of length is 'pixel'"),
        (described(OME.format("").replace("0.65", "0")), "OME's size of pixels"),
        (described(in_unit("pixel").replace("0.65", "0")), r"OME's size of pixels is \[0.0, 0.5\]. Correct it"),
        (described(in_unit("mm").replace("SizeX", 'SizeZ="5" SizeX', 1)), "one of a stack of OME with 5 slices, 1 time points"),
        (described(in_unit("mm").replace("SizeX", 'SizeT="3" SizeX', 1)), "one of a stack of OME with 1 slices, 3 time points"),
        (described(in_unit("mm").replace("SizeX", 'SizeC="2" SizeX', 1)), "one of a stack of OME .* and 2 channels"),
        (
            described(in_unit("mm").replace("</Image>", '</Image><Image><Pixels PhysicalSizeX="1" PhysicalSizeY="1"/></Image>')),
            "several images",
        ),
        (described(in_unit("mm").replace("</OME>", "")), "its OME-XML can't be read"),
        (described('<!DOCTYPE OME [<!ENTITY m SYSTEM "/etc/passwd">]>' + in_unit("&m;").partition("?>")[2]), "declares a document type"),
        (described(IMAGEJ.format("mm") + "yunit=sec\n", x_resolution=2, y_resolution=2), "ImageJ's unit of length is 'sec'"),
        (described("ImageJ=1.54f\nimages=20\nslices=20\n"), "a stack of ImageJ with 20"),
        (described("ImageJ=1.54f\ncf=4\nc0=1\nc1=2\n"), "calibration of its values isn't a straight line"),
    ],
)
def test_what_a_tiff_says_otherwise_is_refused(options, words, tmp_path):
    with pytest.raises(DataError, match=f"a.tif: .*{words}"):
        read_header(save(tmp_path / "a.tif", **options))


def test_the_calibration_of_imagej_is_applied(tmp_path):
    path = save(tmp_path / "a.tif", ARRAY.astype(np.uint16), description="ImageJ=1.54f\ncf=0\nc0=-32768.0\nc1=2.0\nvunit=Gray Value\n")
    np.testing.assert_array_equal(read_image(path).array[:, :, 0, 0], ARRAY.T * 2.0 - 32768)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_a_picture_that_asks_to_be_turned_is_refused(turn, name, tmp_path):
    exif = Image.Exif()
    exif[274] = turn
    path = save(tmp_path / name, exif=exif)
    if turn == 1:
        assert read_header(path).shape == (5, 3, 1)
    else:
        with pytest.raises(DataError, match=f"{name}: its orientation tag .{turn}. asks to turn it"):
            read_image(path)


def test_white_as_0_is_refused_where_it_would_be_read_as_black(tmp_path):
    path = save(tmp_path / "a.tif", ARRAY.astype(np.uint16))
    content = path.read_bytes()
    black, white = (b"\x06\x01\x03\0\x01\0\0\0" + value for value in (b"\x01\0", b"\0\0"))  # tag 262, one short
    assert content.count(black) == 1
    path.write_bytes(content.replace(black, white))
    with pytest.raises(DataError, match="0 is white"):
        read_header(path)


@pytest.mark.parametrize("ending", [".png", ".tif", ".nii.gz"])
def test_a_label_has_the_size_of_its_picture(ending, tmp_path):
    image = save(tmp_path / "image.tif", **CM, x_resolution=20, y_resolution=10)
    label, geometry = read_label(image)
    write_label(tmp_path / f"out{ending}", label, geometry)
    np.testing.assert_array_equal(read_label(tmp_path / f"out{ending}")[0], label)
    assert read_header(tmp_path / f"out{ending}").spacing == pytest.approx((0.5, 1, 999), rel=1e-4)
    assert grid_difference(read_header(image), read_header(tmp_path / f"out{ending}")) is None
    if ending == ".nii.gz":
        assert nib.load(tmp_path / "out.nii.gz").header.get_zooms() == pytest.approx((0.5, 1, 999))


def test_a_mask_without_a_size_lies_on_its_picture(tmp_path):
    image, mask = read_header(save(tmp_path / "a.jpg", dpi=(300, 300))), read_header(save(tmp_path / "a.png"))
    assert grid_difference(image, mask) is None and grid_difference(mask, image) is None
    other = read_header(save(tmp_path / "b.png", dpi=(150, 150)))
    assert grid_difference(image, other) is not None
    assert grid_difference(image, read_header(save(tmp_path / "c.png", ARRAY[:2]))).shapes


def test_a_tiff_whose_strips_do_not_fill_it_is_cut_off(tmp_path):
    path = save(tmp_path / "a.tif")
    content = path.read_bytes()
    height = b"\x01\x01\x04\0\x01\0\0\0"  # tag 257, one long
    if height not in content:
        height = b"\x01\x01\x03\0\x01\0\0\0"  # or short
    path.write_bytes(content.replace(height + b"\x03", height + b"\x63"))
    with pytest.raises(DataError, match="a.tif: .*don't fill 5x99 pixels"):
        read_header(path)


def test_png_may_ask_to_be_turned_behind_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[274] = 3
    content = save(tmp_path / "a.png").read_bytes()
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    end = content.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(content[:end] + (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + content[end:])
    with pytest.raises(DataError, match="a.png: its orientation tag .3. asks to turn it"):
        read_image(tmp_path / "a.png")
