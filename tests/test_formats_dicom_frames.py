"""Single slices and multi-frame objects of DICOM take one path: the same right reading, the same refusals."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'scnas_keras[dicom]'")

from dicom_files import AFFINE, ARRAY, COUNT, image, nested, write_frames, write_slices  # noqa: E402

from scnas_keras.errors import ConfigError, DataError  # noqa: E402
from scnas_keras.formats.geometry import NO_SPACING, TWO_PLACES  # noqa: E402
from scnas_keras.formats.volumes import read_header, read_image, read_label  # noqa: E402


def check(path, array=ARRAY, affine=AFFINE):
    volume = read_image(path)
    np.testing.assert_array_equal(volume.array[::-1, ::-1, :, 0], array.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.geometry.affine, affine, atol=1e-9)
    return volume


@pytest.mark.parametrize("order", [range(COUNT), range(COUNT)[::-1], (0, 2, 4, 1, 3, 5)], ids=["rising", "falling", "interleaved"])
def test_frames_lie_where_they_were_scanned_in_any_order(order, tmp_path):
    check(write_frames(tmp_path / "a.dcm", order))
    check(tmp_path)  # the folder that holds it


@pytest.mark.parametrize("turned", [False, True])
def test_slices_are_sorted_by_position_not_by_name_or_number(turned, tmp_path):
    def edit(data, k):
        if turned:
            data.InstanceNumber = COUNT - k
            data.ImagePositionPatient, data.PixelData = [-10, -20, 20 - 3 * k], ARRAY[COUNT - 1 - k].tobytes()

    check(write_slices(tmp_path, edit))


def test_frames_along_another_axis(tmp_path):
    def edit(group, shared, data, n):
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        group.PlanePositionSequence[0].ImagePositionPatient = [-10 - 3 * n, -20, 5]

    affine = read_header(write_frames(tmp_path / "a.dcm", edit=edit)).affine
    np.testing.assert_allclose(affine, [[0, 0, 3, 10], [-0.7, 0, 0, 20], [0, -0.5, 0, 5], [0, 0, 0, 1]], atol=1e-9)


@pytest.mark.parametrize("multiframe", [False, True])
def test_every_frame_has_its_own_scale(multiframe, tmp_path):
    slopes = np.array([1, 0.5, 0.25, 2, 1.5, 0.75])

    def of_frame(group, shared, data, n):
        macro = nested(PixelValueTransformationSequence={"RescaleSlope": slopes[n], "RescaleIntercept": -5.0})
        group.PixelValueTransformationSequence = macro.PixelValueTransformationSequence

    def of_slice(data, k):
        data.RescaleSlope, data.RescaleIntercept = slopes[k], -5

    path = write_frames(tmp_path / "a.dcm", edit=of_frame) if multiframe else write_slices(tmp_path, of_slice)
    check(path, ARRAY * slopes[:, None, None] - 5)


def test_a_shared_scale_and_an_intercept_below_zero(tmp_path):
    def edit(group, shared, data, n):
        macro = nested(PixelValueTransformationSequence={"RescaleSlope": 2.0, "RescaleIntercept": -1024.0})
        shared.PixelValueTransformationSequence = macro.PixelValueTransformationSequence

    check(write_frames(tmp_path / "a.dcm", edit=edit), ARRAY * 2.0 - 1024)


def test_real_world_values_are_the_scale_where_there_is_no_other(tmp_path):
    mapping = {"RealWorldValueSlope": 0.5, "RealWorldValueIntercept": 1.0}

    def edit(group, shared, data, n):
        shared.RealWorldValueMappingSequence = nested(RealWorldValueMappingSequence=mapping).RealWorldValueMappingSequence

    check(write_frames(tmp_path / "a.dcm", edit=edit), ARRAY * 0.5 + 1)

    def twice(group, shared, data, n):
        edit(group, shared, data, n)
        shared.RealWorldValueMappingSequence.append(shared.RealWorldValueMappingSequence[0])

    with pytest.raises(DataError, match="frame 1: RealWorldValueMappingSequence holds several scales"):
        read_header(write_frames(tmp_path / "a.dcm", edit=twice))


def gone(keyword):
    def edit(data, k):
        delattr(data, keyword)

    return edit


def put(keyword, value):
    def edit(data, k):
        setattr(data, keyword, value)

    return edit


def detector(data, k):
    del data.PixelSpacing
    data.ImagerPixelSpacing = [0.5, 0.7]


def table(data, k):
    data.ModalityLUTSequence = [pydicom.Dataset()]
    data.ModalityLUTSequence[0].ModalityLUTType = "HU"


@pytest.mark.parametrize(
    "edit, words",
    [
        (gone("PixelSpacing"), "the header has no PixelSpacing, so that"),
        (detector, "the header has no PixelSpacing .ImagerPixelSpacing is there, but that is measured on the detector"),
        (gone("ImagePositionPatient"), "the header has no ImagePositionPatient"),
        (gone("ImageOrientationPatient"), "the header has no ImageOrientationPatient"),
        (put("PixelSpacing", [0, 0.7]), r"PixelSpacing is \[0.0, 0.7\] mm"),
        (put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "ImageOrientationPatient is .*, no two directions at right angles"),
        (put("ImageOrientationPatient", [0] * 6), "ImageOrientationPatient is .*, no two directions at right angles"),
        (put("RescaleSlope", 0), "RescaleSlope and RescaleIntercept are 0 and 0, which is no scale"),
        (put("DoseGridScaling", 0.1), "its scale is told by DoseGridScaling"),
        (table, "its scale is told by ModalityLUTSequence"),
    ],
)
def test_what_is_missing_in_a_slice_is_named(edit, words, tmp_path):
    with pytest.raises(DataError, match=f"s0.dcm: {words}"):
        read_header(write_slices(tmp_path, edit))


@pytest.mark.parametrize("macro", ["PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"])
def test_what_is_missing_in_a_frame_is_named(macro, tmp_path):
    def edit(group, shared, data, n):
        for groups in (group, shared):
            if macro in groups and n == (0 if groups is shared else 3):
                delattr(groups, macro)

    number, keyword = {
        "PixelMeasuresSequence": (1, "PixelSpacing"),
        "PlaneOrientationSequence": (1, "ImageOrientationPatient"),
        "PlanePositionSequence": (4, "ImagePositionPatient"),
    }[macro]
    with pytest.raises(DataError, match=f"a.dcm: frame {number}: the header has no {keyword}"):
        read_header(write_frames(tmp_path / "a.dcm", edit=edit))


def test_a_gap_between_frames_is_found(tmp_path):
    with pytest.raises(DataError, match="3 mm apart on the whole, but 6 mm between frame 2 of a.dcm and frame 3 of a.dcm"):
        read_header(write_frames(tmp_path / "a.dcm", (0, 1, 3, 4, 5)))


def test_echoes_in_one_object_are_no_slices(tmp_path):
    with pytest.raises(DataError, match="frame 1 of a.dcm and frame 2 of a.dcm lie at the .* They differ in echo time .10.0, 30.0."):
        read_header(write_frames(tmp_path / "a.dcm", echoes=2))


def test_time_points_in_one_series_are_named(tmp_path):
    def edit(data, k):
        data.TemporalPositionIdentifier, data.ImagePositionPatient = 1 + k % 2, [-10, -20, 5 + 3 * (k // 2)]

    with pytest.raises(DataError, match=r"s0.dcm and s1.dcm lie at the same position. They differ in time point .1, 2."):
        read_header(write_slices(tmp_path, edit))


def test_copies_are_called_copies(tmp_path):
    write_slices(tmp_path)
    (tmp_path / "t1.dcm").write_bytes((tmp_path / "s1.dcm").read_bytes())
    with pytest.raises(DataError, match="s1.dcm and t1.dcm lie at the same position. They are copies of one image"):
        read_header(tmp_path)


def test_a_frame_that_is_turned_is_refused(tmp_path):
    def edit(group, shared, data, n):
        if n == 2:
            group.PlaneOrientationSequence = nested(
                PlaneOrientationSequence={"ImageOrientationPatient": [0.8, 0.6, 0, -0.6, 0.8, 0]}
            ).PlaneOrientationSequence

    with pytest.raises(DataError, match="don't make one volume: frame 3 of a.dcm is turned or scaled by up to"):
        read_header(write_frames(tmp_path / "a.dcm", edit=edit))


def test_another_frame_of_reference_is_another_place(tmp_path):
    with pytest.raises(DataError, match="different frames of reference"):
        read_header(write_slices(tmp_path, lambda data, k: setattr(data, "FrameOfReferenceUID", f"1.{k // 3}")))


def test_two_that_are_left_are_no_scan(tmp_path):
    with pytest.raises(DataError, match="2 slices lie 12 mm apart .s0.dcm, s4.dcm., but SliceThickness is 3 mm: those between"):
        read_header(write_slices(tmp_path / "a", lambda data, k: k in (0, 4)))

    def unnumbered(data, k):
        del data.InstanceNumber
        return k in (0, 4)

    with pytest.raises(DataError, match="those between are missing"):
        read_header(write_slices(tmp_path / "b", unnumbered))
    with pytest.raises(DataError, match="3 slices lie 6 mm apart"):  # every other one
        read_header(write_slices(tmp_path / "c", lambda data, k: k % 2 == 0))
    with pytest.raises(DataError, match="3 slices lie 6 mm apart"):
        read_header(write_frames(tmp_path / "d.dcm", (0, 2, 4)))


def test_thin_slices_far_apart_are_a_scan(tmp_path):
    def edit(data, k):
        data.SliceThickness, data.ImagePositionPatient = 1, [-10, -20, 5 + 10 * k]

    assert read_header(write_slices(tmp_path, edit)).spacing == pytest.approx((0.7, 0.5, 10))


def test_a_distance_that_is_told_otherwise_is_a_doubt(tmp_path):
    (doubt,) = read_header(write_slices(tmp_path, put("SpacingBetweenSlices", 2.5))).doubts
    assert doubt.kind == TWO_PLACES and "3 mm apart by their positions and 2.5 mm by SpacingBetweenSlices" in doubt.text
    assert read_header(write_slices(tmp_path, put("SpacingBetweenSlices", 3))).doubts == ()


def test_a_single_slice_is_as_thick_as_it_says(tmp_path):
    header = read_header(write_slices(tmp_path / "a", count=1))
    assert header.spacing == pytest.approx((0.7, 0.5, 3)) and header.doubts == ()
    header = read_header(write_slices(tmp_path / "b", gone("SliceThickness"), count=1))
    assert header.spacing[2] == 1 and [doubt.kind for doubt in header.doubts] == [NO_SPACING]


def cut_pixels(path):
    path.write_bytes(path.read_bytes()[:-10])


def cut_header(path):
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda path: path.write_bytes(b""), "expected a DICOM file, but it is empty"),
        (cut_pixels, r"the voxels can't be read .there are \d+ of 24 bytes"),
        (cut_header, "the voxels can't be read .there are no pixels"),
        (lambda path: path.write_bytes(bytes(300)), "expected a DICOM file"),
    ],
)
@pytest.mark.parametrize("name", ["s2.dcm", "IM0002"])
def test_a_damaged_slice_among_others_is_named(damage, words, name, tmp_path):
    write_slices(tmp_path)
    damage((tmp_path / "s2.dcm").rename(tmp_path / name))
    if name == "IM0002" and not words.startswith(("expected a DICOM file, but", "the")):
        words = "not evenly spaced"  # nothing says that it was a slice
    with pytest.raises(DataError, match=words) as caught:
        read_header(tmp_path)
    assert name in str(caught.value) or words == "not evenly spaced"


def test_frames_that_are_described_must_be_as_many_as_announced(tmp_path):
    path = write_frames(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data.PerFrameFunctionalGroupsSequence[-1]
    data.save_as(path)
    with pytest.raises(DataError, match="6 frames are announced, and 5 are described"):
        read_header(path)


def test_frames_that_are_announced_must_be_there(tmp_path):
    with pytest.raises(DataError, match="there are 144 of 192 bytes"):
        read_header(write_frames(tmp_path / "a.dcm", edit=lambda group, shared, data, n: setattr(data, "NumberOfFrames", 8)))
    path = write_frames(tmp_path / "b.dcm")
    cut_pixels(path)
    with pytest.raises(DataError, match="b.dcm.*there are 134 of 144 bytes"):
        read_header(path)


def test_frames_without_a_place_are_refused(tmp_path):
    data = image("1.2.840.10008.5.1.4.1.1.3.1", ARRAY, NumberOfFrames=COUNT)
    data.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match="film.dcm: holds 6 frames .Ultrasound Multi-frame Image Storage. and doesn't say where each lies"):
        read_header(tmp_path / "film.dcm")
    image("1.2.840.10008.5.1.4.1.1.66.4", ARRAY).save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match="seg.dcm: a DICOM segmentation object"):
        read_label(tmp_path / "seg.dcm")


@pytest.mark.parametrize(
    "kind, words",
    [
        ("88.11", r"a DICOM file that holds no image \(Basic Text SR Storage\). Leave it out"),
        ("481.5", r"a DICOM file that holds no image \(RT Plan Storage\). Leave it out"),
        ("481.2", r"a DICOM file that holds no image \(RT Dose Storage\). Leave it out"),
        ("481.3", r"a DICOM file with contours, not voxels \(RT Structure Set Storage\). Convert it to a label map"),
    ],
)
@pytest.mark.parametrize("syntax", ["ExplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian"])
def test_what_is_no_image_is_no_slice_and_named_by_its_kind(kind, words, syntax, tmp_path):
    write_slices(tmp_path)
    report = pydicom.Dataset()
    report.file_meta = image(f"1.2.840.10008.5.1.4.1.1.{kind}", ARRAY).file_meta
    report.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    report.SOPClassUID, report.SOPInstanceUID = report.file_meta.MediaStorageSOPClassUID, "1.2"
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    check(tmp_path)
    with pytest.raises(DataError, match=f"report.dcm: {words}"):
        read_header(tmp_path / "report.dcm")


@pytest.mark.parametrize("kind", ["1", "1.1", "7"])  # computed and digital radiographs, Secondary Capture
def test_a_picture_without_a_place_is_to_be_saved_as_one(kind, tmp_path):
    image(f"1.2.840.10008.5.1.4.1.1.{kind}", ARRAY[0]).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match="a.dcm: a picture without a place in space .*(Radio|X-Ray|Secondary).* Save it as .png or .tif"):
        read_header(tmp_path / "a.dcm")

    def edit(data, k):
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{kind}"

    check(write_slices(tmp_path / "placed", edit))


@pytest.mark.parametrize("intercept", [0, -1024])
def test_inverted_grays_are_turned_but_measured_values_are_not(intercept, tmp_path):
    def edit(data, k):
        data.PhotometricInterpretation, data.RescaleSlope, data.RescaleIntercept = "MONOCHROME1", 1, intercept

    check(write_slices(tmp_path, edit), ARRAY.astype(float) + intercept if intercept else 65535 - ARRAY)


def test_compressed_pixels_are_the_same(tmp_path):
    write_slices(tmp_path)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(path)
    check(tmp_path)


def test_jpeg_lossless_of_itk_is_decoded(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    folder = write_slices(tmp_path)
    for path in sorted(folder.iterdir()):
        writer, slice_ = sitk.ImageFileWriter(), sitk.ReadImage(path)
        writer.KeepOriginalImageUIDOn(), writer.UseCompressionOn(), writer.SetCompressor("JPEG"), writer.SetFileName(str(path))
        writer.Execute(slice_)
    assert "JPEG Lossless" in pydicom.dcmread(path).file_meta.TransferSyntaxUID.name
    check(folder)


def test_frames_of_jpeg_lossless_have_scales_of_their_own(tmp_path):
    """ITK, which decodes them, would turn inverted grays and use the first frame's scale."""
    sitk = pytest.importorskip("SimpleITK")
    packed = []
    for path in sorted(write_slices(tmp_path / "slices").iterdir()):
        writer, slice_ = sitk.ImageFileWriter(), sitk.ReadImage(path)
        writer.UseCompressionOn(), writer.SetCompressor("JPEG"), writer.SetFileName(str(path))
        writer.Execute(slice_)
        packed.append(next(pydicom.encaps.generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)))

    def edit(group, shared, data, n):
        macro = nested(PixelValueTransformationSequence={"RescaleSlope": 1.0 + n, "RescaleIntercept": -5.0})
        group.PixelValueTransformationSequence = macro.PixelValueTransformationSequence
        data.PhotometricInterpretation = "MONOCHROME1"

    data = pydicom.dcmread(write_frames(tmp_path / "a.dcm", edit=edit))
    data.PixelData = pydicom.encaps.encapsulate(packed)
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    data.save_as(tmp_path / "a.dcm")
    check(tmp_path / "a.dcm", ARRAY * np.arange(1.0, COUNT + 1)[:, None, None] - 5)

    packed[2] = packed[2].replace(b"\xff\xc3\x00\x0b\x10", b"\xff\xc3\x00\x0b\x11")  # 17 bits: GDCM wrote beyond its memory
    data.PixelData = pydicom.encaps.encapsulate(packed)
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="its JPEG holds .* pixels of 17 bits"):
        read_image(tmp_path / "a.dcm")


def test_files_without_a_header_for_files_are_read(tmp_path):
    write_slices(tmp_path)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.file_meta, data.preamble = pydicom.dataset.FileMetaDataset(), None
        data.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert b"DICM" not in path.read_bytes()
    check(tmp_path)


def test_itk_reads_the_same_series(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    folder = write_slices(tmp_path, lambda data, k: setattr(data, "RescaleIntercept", -1024) or setattr(data, "RescaleSlope", 1))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    twin = reader.Execute()
    volume = check(folder, sitk.GetArrayFromImage(twin))
    assert volume.spacing == pytest.approx(twin.GetSpacing()) and twin.GetOrigin() == (-10, -20, 5)


def test_without_pydicom_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    write_slices(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"s0\.dcm.*pip install '\.\[dicom\]'"):
        read_image(tmp_path)


def test_a_mosaic_is_no_slice(tmp_path):
    edit = put("ImageType", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(DataError, match="s0.dcm: a mosaic of Siemens.*dcm2niix"):
        read_header(write_slices(tmp_path, edit, count=1))


@pytest.mark.parametrize("total", [2, None])
def test_a_part_of_a_multiframe_object_is_no_scan(total, tmp_path):
    def edit(group, shared, data, n):
        data.ConcatenationUID, data.InConcatenationNumber = "1.2.8", 1
        if total:
            data.InConcatenationTotalNumber = total

    with pytest.raises(DataError, match=f"a.dcm: one of {total or 'several'} parts of a multi-frame object"):
        read_header(write_frames(tmp_path / "a.dcm", edit=edit))
    check(write_frames(tmp_path / "b.dcm", edit=lambda group, shared, data, n: setattr(data, "InConcatenationTotalNumber", 1)))


def test_only_macros_tell_of_a_frame(tmp_path):
    """Private sequences, and references to other images, hold attributes of the same names."""

    def edit(group, shared, data, n):
        lies = {"ImagePositionPatient": [0, 0, n], "PixelSpacing": [9, 9], "RescaleSlope": 7, "RealWorldValueMappingSequence": []}
        other = nested(MREchoSequence=lies).MREchoSequence
        for target in (group, shared):
            target.add_new(0x20050010, "LO", "Philips MR Imaging DD 005")
            target.add_new(0x2005100F, "SQ", other)
            target.ReferencedImageSequence = target.UnassignedPerFrameConvertedAttributesSequence = other
            target.add_new(0x00720100, "SQ", other)
            target.PixelSpacing = [9, 9]
        macro = nested(PixelValueTransformationSequence={"RescaleSlope": 2.0, "RescaleIntercept": 0})
        group.PixelValueTransformationSequence = macro.PixelValueTransformationSequence

    check(write_frames(tmp_path / "a.dcm", edit=edit), ARRAY * 2.0)


@pytest.mark.parametrize("multiframe", [False, True])
def test_numbers_in_the_high_bits_are_refused(multiframe, tmp_path):
    def edit(data, k):
        data.BitsStored, data.HighBit = 12, 15

    with pytest.raises(DataError, match=r"its numbers of 12 bits end at bit 15 .HighBit., not at 11"):
        if multiframe:
            read_header(write_frames(tmp_path / "a.dcm", edit=lambda group, shared, data, n: edit(data, n)))
        else:
            read_header(write_slices(tmp_path, edit))


@pytest.mark.parametrize("number", [None, 0, 1])
def test_slices_without_numbers_that_lie_far_apart_are_no_scan(number, tmp_path):
    def edit(data, k):
        data.InstanceNumber = number
        return k % 2 == 0

    with pytest.raises(DataError, match="3 slices lie 6 mm apart .* those between are missing.*which no InstanceNumber tells"):
        read_header(write_slices(tmp_path / "a", edit))
    check(write_slices(tmp_path / "b", put("InstanceNumber", number)))


def test_numbers_may_begin_at_0(tmp_path):
    def edit(data, k):
        data.InstanceNumber = k
        return k % 2 == 0

    with pytest.raises(DataError, match="3 slices lie 6 mm apart"):
        read_header(write_slices(tmp_path, edit))


def packed(folder, name):
    (folder / "s5.dcm").rename(folder / name)
    (folder / name).write_bytes(b"\x1f\x8b")


def linked(folder):
    (folder / "s5.dcm").unlink()
    (folder / "s5.dcm").symlink_to("/nowhere")


def moved(folder):
    (folder / "more").mkdir()
    (folder / "s5.dcm").rename(folder / "more" / "s5.dcm")


@pytest.mark.parametrize(
    "move, words",
    [
        (linked, "s5.dcm: may be .*it is a link to /nowhere, which isn't there"),
        (lambda folder: packed(folder, "s5.dcm.gz"), "s5.dcm.gz: may be .*ends in .gz isn't read. Unpack it"),
        (moved, "more: may be .*a folder with slices of the same series"),
    ],
)
def test_a_slice_that_is_left_out_at_an_end_is_named(move, words, tmp_path):
    move(write_slices(tmp_path))
    for path in (tmp_path, tmp_path / "s1.dcm"):
        with pytest.raises(DataError, match=words):
            read_header(path)


def test_what_is_no_slice_is_left_out_in_silence(tmp_path):
    write_slices(tmp_path)
    for name in (".DS_Store", "DICOMDIR", "notes.txt", "s5.dcm.gz", "scan.zip", "scan.nii.gz", "s0.dcm.json", "empty.txt"):
        (tmp_path / name).write_bytes(b"x" * 10)
    (tmp_path / "gone.txt").symlink_to("/nowhere")
    write_slices(tmp_path / "localizer", put("SeriesInstanceUID", "1.2.4"))
    (tmp_path / "localizer" / "s1.dcm").write_bytes(b"damaged")
    check(tmp_path)


def test_without_a_number_a_series_in_a_folder_below_is_not_known_to_be_the_same(tmp_path):
    write_slices(tmp_path, gone("SeriesInstanceUID"))
    write_slices(tmp_path / "other", gone("SeriesInstanceUID"))
    for path in (tmp_path, tmp_path / "s1.dcm"):
        check(path)
