"""Files of kinds that aren't read are called by their kind, with what to do."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from small_task import AFFINE, save, write_task

from scnas_keras.checks.headers import verify_headers
from scnas_keras.errors import DataError
from scnas_keras.formats.endings import ENDINGS
from scnas_keras.formats.foreign import _KINDS, foreign_ending
from scnas_keras.formats.geometry import REPAIRED
from scnas_keras.formats.volumes import read_header, read_image
from scnas_keras.tasks.loading import load_task
from scnas_keras.verify.dataset import verify_task

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.mgz", "FreeSurfer volume, which isn't read. Convert it to .nii.gz: mri_convert"),
        ("a.HDR", "NIfTI pair or Analyze image.*Convert it to .nii.gz: nibabel.save"),
        ("a.npy", "array of numbers without voxel sizes.*Convert it to .nii.gz"),
        ("a.zip", "an archive, which isn't read. Unpack it"),
        ("a.tar.gz", "ends in .tar.gz is an archive"),
        ("a.rar", "an archive"),
        ("a.stl", "a surface, not voxels"),
        ("a.svs", "a whole-slide image.*Export the region"),
        ("a.nii.bz2", "ends in .nii.bz2 is a file compressed in another way"),
        ("a.gif", "picture of a kind that isn't read.*Save it as .png"),
    ],
)
def test_by_ending(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=f"{name}: a file that.*{kind}"):
        read_header(tmp_path / name)


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "this is a pointer of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html><html>403", "this is a web page in place of the file"),
        (b"PK\x03\x04....", "this is an archive"),
        (bytes(128) + b"DICM", "this is a DICOM file. Let its name end in .dcm"),
        (b"\x89PNG\r\n", "this is a PNG picture. Let its name end in .png"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
def test_by_content(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"expected a NIfTI file, but {kind}"):
        read_header(tmp_path / name)


def test_a_damaged_picture_is_not_sent_to_its_own_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match="expected a picture file, but it can't be read"):
        read_header(tmp_path / "a.png")


def test_a_link_to_nowhere_says_where_it_leads(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(".git/annex/objects/x.nii.gz")
    with pytest.raises(DataError, match=r"a link to \.git/annex/objects/x\.nii\.gz, which isn't there\. Fetch it: git annex get"):
        read_header(tmp_path / "a.nii.gz")


def test_kinds_are_distinct():
    endings = [ending for endings in _KINDS for ending in endings]
    assert len(endings) == len(set(endings)) and not set(endings) & set(ENDINGS)
    assert (foreign_ending("a.nii.gz"), foreign_ending("b.gz"), foreign_ending("c")) == (None, ".gz", None)


def without_qfac(path):
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<f", content, 76, 0.0)
    path.write_bytes(gzip.compress(bytes(content)))


def test_a_fixed_header_is_a_doubt_of_its_file(tmp_path, caplog, capfd):
    save(tmp_path / "a.nii.gz", ARRAY)
    assert read_header(tmp_path / "a.nii.gz").doubts == ()
    without_qfac(tmp_path / "a.nii.gz")
    (doubt,) = read_header(tmp_path / "a.nii.gz").doubts
    assert doubt.kind == REPAIRED and "pixdim[0] (qfac) should be 1" in doubt.text
    volume = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array[..., 0], ARRAY)
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)
    assert not caplog.text and capfd.readouterr() == ("", "")
    assert nib.imageglobals.logger.getEffectiveLevel() >= 50


def test_fixed_headers_are_told_once_and_counted(tmp_path, caplog, capfd):
    task = load_task(write_task(tmp_path, num_cases=5))
    for case in task.cases:
        without_qfac(case.images[0])
        without_qfac(case.label)
    verify_headers(task)
    assert caplog.text.count("qfac") == 1 and "(10), for example imagesTr/case_0.nii.gz" in caplog.text
    report = verify_task(task, processes=1, progress=False)
    assert [finding.key for finding in report.findings] == ["repaired"] * 10
    assert {finding.file for finding in report.findings} == {file for case in task.cases for file in case.files}
    assert "qfac" not in capfd.readouterr().err
