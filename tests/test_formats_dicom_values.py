"""Stored values of DICOM that aren't intensities: bits beyond BitsStored, and padding outside of what was scanned."""

import logging
import types

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'scnas_keras[dicom]'")

from dicom_files import COUNT, write_frames, write_slices  # noqa: E402
from small_task import save, write_json  # noqa: E402

from scnas_keras.checks.intensities import declared_padding  # noqa: E402
from scnas_keras.errors import DataError  # noqa: E402
from scnas_keras.formats.volumes import read_header, read_image  # noqa: E402
from scnas_keras.tasks.loading import load_task  # noqa: E402
from scnas_keras.verify.dataset import verify_task  # noqa: E402


def stored(numbers, signed, bits, more=None):
    """Changes slices to 12 stored numbers of 16 allocated bits, of which `bits` are used."""

    def edit(data, k):
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
        data.PixelData = np.resize(np.array(numbers), 12).astype(np.uint16).tobytes()
        if more:
            more(data)

    return edit


def first_values(path, count):
    return read_image(path).array[::-1, ::-1, 0, 0].T.ravel()[:count].tolist()


@pytest.mark.parametrize("rle", [False, True])
@pytest.mark.parametrize(
    "signed, bits, numbers, values",
    [
        (False, 12, [5000, 4095, 0xF007], [904, 4095, 7]),  # an overlay may be in the bits beyond (PS3.5, 8.1.1)
        (True, 12, [0x0FFF, 0x0800, 0xF800, 0x07FF], [-1, -2048, -2048, 2047]),
        (False, 16, [5000, 65535], [5000, 65535]),
        (True, 16, [0xFFFF, 5000], [-1, 5000]),
    ],
)
def test_only_stored_bits_are_read_and_give_the_sign(rle, signed, bits, numbers, values, tmp_path):
    def pack(data):
        if rle:
            data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)

    folder = write_slices(tmp_path, stored(numbers, signed, bits, pack))
    assert first_values(folder, len(values)) == values
    if rle:  # GDCM doesn't unpack pydicom's
        return
    sitk = pytest.importorskip("SimpleITK")
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "s0.dcm"))).ravel()[: len(values)].tolist() == values


def test_more_stored_bits_than_there_are_are_refused(tmp_path):
    with pytest.raises(DataError, match="s0.dcm: .*numbers of 16 bits .BitsAllocated. store 17 .BitsStored"):
        read_header(write_slices(tmp_path, stored([1], False, 17)))


def pad(value, limit=None, intercept=0, kind="SS"):
    def more(data):
        data.RescaleSlope, data.RescaleIntercept = 1, intercept
        data.add_new(0x00280120, kind, value)
        if limit is not None:
            data.add_new(0x00280121, kind, limit)

    return more


@pytest.mark.parametrize(
    "more, signed, bits, expected",
    [
        (pad(-3024), True, 16, (-3024, -3024)),
        (pad(63536, kind="US"), True, 16, (-2000, -2000)),  # told as if it were unsigned
        (pad(63536, kind="US"), False, 16, (63536, 63536)),
        (pad(-2000), False, 16, (63536, 63536)),
        (pad(63536, kind="US"), True, 12, (-2000, -2000)),
        (pad(4000, 5000, kind="US"), False, 12, (4000, 5000)),
        (pad(-2000, intercept=-1024), True, 16, (-3024, -3024)),
        (pad(-2000, -1900), True, 16, (-2000, -1900)),
        (pad(0, intercept=1024, kind="US"), False, 12, (1024, 1024)),
        (lambda data: setattr(data, "PhotometricInterpretation", "MONOCHROME1") or pad(4095, kind="US")(data), False, 12, (0, 0)),
    ],
)
def test_declared_padding_is_told_in_the_values_that_are_read(more, signed, bits, expected, tmp_path):
    assert read_image(write_slices(tmp_path, stored([1], signed, bits, more))).padding == ((expected,),)


def test_padding_is_read_where_files_tell_no_types_and_from_objects_of_many_frames(tmp_path):
    write_slices(tmp_path / "a", stored([1], True, 16, pad(-2000)))
    for path in (tmp_path / "a").iterdir():
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        data.save_as(path)
    assert read_image(tmp_path / "a").padding == (((-2000, -2000),),)
    path = write_frames(tmp_path / "b.dcm", edit=lambda group, shared, data, n: data.add_new(0x00280120, "US", 7))
    assert read_image(path).padding == (((7, 7),),)


@pytest.mark.parametrize("empty", [lambda data: data.add_new(0x00280120, "US", None), lambda data: data.add_new(0x00280121, "US", 5)])
def test_no_padding_is_none(empty, tmp_path):
    assert read_image(write_slices(tmp_path, stored([1], False, 16, empty))).padding == ((),)


def test_padding_is_scaled_as_the_pixels_are_and_not_told_of_several_scales(tmp_path):
    def scaled(slopes):
        def more(data, k):
            stored([1], True, 16, pad(-2000, -1900))(data, k)
            data.RescaleSlope, data.RescaleIntercept = slopes[k % len(slopes)], 5

        return more

    assert read_image(write_slices(tmp_path / "one", scaled([2]))).padding == (((-3995, -3795),),)
    assert read_image(write_slices(tmp_path / "two", scaled([2, 3]))).padding == ((),)


def test_padding_that_no_pixel_can_hold_is_none(tmp_path):
    assert read_image(write_slices(tmp_path, stored([1], False, 12, pad(63536, kind="US")))).padding == ((),)


TISSUE = np.random.default_rng(0).uniform(-1000, 1000, (10, 10, 10)).astype(np.float32)


@pytest.mark.parametrize(
    "value, ends, told",
    [
        (-3024, (-3024, -3024), "100 voxels (10.0%) are -3024, padding by the header; all others lie in -9"),
        (3000, (2900, 3100), "are 3000, padding"),
        (-3024, (-2000, -2000), None),  # there is none
        (-3024, (-9000, -990), "are -3024 to -99"),
        (-1024, (-1024, -1024), None),  # air
        (0, (0, 0), None),
    ],
)
def test_padding_is_found_unless_it_is_as_a_background(value, ends, told):
    array = TISSUE.copy()
    array[0] = value
    found = declared_padding(array, [ends])
    assert found is None if told is None else told in found
    assert declared_padding(np.full((2, 2, 2), value, np.float32), [ends]) is None


@pytest.fixture
def padded(tmp_path):
    """A task of three series with padding of -2000 beside values from 1 to 11."""
    names = [f"case_{number}" for number in range(3)]
    for number, name in enumerate(names):
        write_slices(tmp_path / "imagesTr" / name, stored([63536, *range(1 + number, 12 + number)], True, 16, pad(-2000)))
        label = np.zeros((3, 4, COUNT), np.uint8)
        label[1, 1:3, 1:4], label[2, 1:3, 1:4] = 1, 2
        save(tmp_path / "labelsTr" / f"{name}.nii.gz", label, read_image(tmp_path / "imagesTr" / name).geometry.affine)
    pairs = [{"image": f"imagesTr/{name}", "label": f"labelsTr/{name}.nii.gz"} for name in names]
    write_json(tmp_path, names, ("CT",), training=pairs)
    return tmp_path


def test_verification_names_the_padding(padded):
    found = verify_task(load_task(padded), processes=1, progress=False).findings
    told = [finding.text(padded) for finding in found if finding.key == "declared_padding"]
    words = "6 voxels (8.3%) are -2000, padding by the header; all others lie in"
    assert told == [f"imagesTr/case_{n}: channel 0 (CT): {words} {1 + n} to {11 + n}" for n in range(3)]


@pytest.mark.parametrize("scheme, warns", [("zscore", True), ("ct", False)])
def test_prediction_warns_of_padding_that_is_not_clipped(scheme, warns, padded, caplog, monkeypatch):
    from scnas_keras.predict import PredictConfig, runner

    channel = types.SimpleNamespace(channel="MR", scheme=scheme)
    volume = read_image(padded / "imagesTr" / "case_0")
    volume.array[volume.array > 0] = np.random.default_rng(0).uniform(0, 2000, np.count_nonzero(volume.array > 0))
    monkeypatch.setattr(runner, "read_scan", lambda scan, channels, allocate: volume)
    monkeypatch.setattr("scnas_keras.formats.volumes.write_label", lambda *arguments: None)
    model = types.SimpleNamespace(
        plan=types.SimpleNamespace(channels=[channel]), unfamiliar=lambda volume: [], segment=lambda volume, mirror, *more: None
    )
    with caplog.at_level(logging.WARNING):
        scan = types.SimpleNamespace(files=["a.dcm"], output=padded / "a.nii.gz")
        runner._segment(scan, model, PredictConfig(mirror=False, overlay=False))
    assert ("a.dcm: channel 0 (MR)" in caplog.text and "padding by the header" in caplog.text) == warns
