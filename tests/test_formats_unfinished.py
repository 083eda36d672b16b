"""Unfinished downloads, copies and what editors leave, beside the slices of a DICOM series."""

import pytest

pytest.importorskip("pydicom", reason="needs pydicom: pip install 'scnas_keras[dicom]'")

from dicom_files import COUNT, write_frames, write_slices  # noqa: E402

from scnas_keras.errors import DataError  # noqa: E402
from scnas_keras.formats.geometry import UNFINISHED  # noqa: E402
from scnas_keras.formats.volumes import read_header  # noqa: E402
from scnas_keras.predict.inputs import Scan, read_scan  # noqa: E402
from scnas_keras.tasks.sources import files_of  # noqa: E402

NAMES = (
    "x.dcm.part",
    "x.dcm.crdownload",
    "x.DCM.TMP",
    "x.dcm~",
    "~x.dcm",
    "x.dcm.bak",
    "IM0007.part",
    "Unconfirmed 12.crdownload",
    "x.dcm.tmp.part",
    "x.dcm (1).crdownload",
)

SPARE = [(name, 10) for name in ("~", "~~", "~.part", ".image_cache", "README~", "Makefile.old", ".rsync.filter", "notes.txt.part")]


def leave(folder, name, size=None, of="s1.dcm"):
    (folder / name).write_bytes((folder / of).read_bytes()[:size])


@pytest.mark.parametrize("size", [0, 10, 140, 500, None])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_unfinished_beside_a_whole_series_is_left_out_and_told(name, size, tmp_path):
    leave(write_slices(tmp_path), name, size)
    for path in (tmp_path, tmp_path / "s2.dcm"):
        header = read_header(path)
        assert header.shape == (3, 4, COUNT)
        assert [(doubt.kind, name in doubt.text) for doubt in header.doubts] == [(UNFINISHED, True)]
        assert {file.name for file in files_of(path)} == {f"s{k}.dcm" for k in range(COUNT)}


@pytest.mark.parametrize(
    "name, size", [(".x.dcm", 0), (".x.dcm.part", 500), ("._x.dcm", 82), ("s1.dcm.part", 500), ("notes.txt~", 10), *SPARE]
)
def test_hidden_files_and_copies_of_whole_ones_and_of_others_are_left_out_in_silence(name, size, tmp_path):
    leave(write_slices(tmp_path), name, size)
    assert read_header(tmp_path).doubts == ()


@pytest.mark.parametrize("name", ["s3.dcm.part", ".s3.dcm.part", ".s3.dcm.Xa81kq", ".s3.dcm", "s3.dcm~", "s3.dcm.tmp.part"])
def test_a_gap_is_told_with_what_may_be_missing_in_it(name, tmp_path):
    leave(write_slices(tmp_path), name, 10, "s3.dcm")
    (tmp_path / "s3.dcm").unlink()
    for path in (tmp_path, tmp_path / "s2.dcm"):
        with pytest.raises(DataError, match=rf"6 mm between s2.dcm and s4.dcm.*Beside them: {name}, unfinished"):
            read_header(path)


@pytest.mark.parametrize("name", ["s5.dcm.part", ".s5.dcm.Xa81kq", ".IM5.Xa81kq", "s5.dcm.tmp"])
@pytest.mark.parametrize("size", [600, None])
def test_an_end_that_is_unfinished_is_known_by_its_place(name, size, tmp_path):
    leave(write_slices(tmp_path), name, size, "s5.dcm")
    (tmp_path / "s5.dcm").unlink()
    with pytest.raises(DataError, match=rf"{name}: an unfinished file of a slice that the scan beside it lacks .3 mm from"):
        read_header(tmp_path)


@pytest.mark.parametrize("number", [3, 5])
def test_a_folder_that_safari_loads_into_is_unfinished(number, tmp_path):
    write_slices(tmp_path)
    (tmp_path / f"s{number}.dcm.download").mkdir()
    whole, part = tmp_path / f"s{number}.dcm", tmp_path / f"s{number}.dcm.download" / f"s{number}.dcm"
    part.write_bytes(whole.read_bytes()[:600])
    assert read_header(tmp_path).doubts == ()
    whole.unlink()
    with pytest.raises(DataError, match=rf"(?s)s{number}.dcm.download.*ownload"):
        read_header(tmp_path)


def test_slices_that_name_no_series_are_not_compared_by_it(tmp_path):
    write_slices(tmp_path, lambda data, k: setattr(data, "SeriesInstanceUID", ""))
    leave(tmp_path, "s5.dcm.part", None, "s5.dcm")
    (tmp_path / "s5.dcm").unlink()
    assert [doubt.kind for doubt in read_header(tmp_path).doubts] == [UNFINISHED]


def test_another_series_and_an_object_of_many_frames_have_other_slices(tmp_path):
    folder = write_slices(tmp_path / "a", lambda data, k: setattr(data, "SeriesInstanceUID", "1.2.4"))
    write_slices(tmp_path / "b")
    leave(tmp_path / "b", "x.dcm.part")
    (tmp_path / "b" / "x.dcm.part").rename(folder / "x.dcm.part")
    assert read_header(folder).shape == (3, 4, COUNT)
    write_frames(folder / "frames.dcm")
    assert read_header(folder / "frames.dcm").doubts == ()


def test_a_file_that_is_named_is_read_whatever_it_is_called(tmp_path):
    leave(write_slices(tmp_path), "x.dcm.part", None)
    (tmp_path / "s1.dcm").unlink()
    header = read_header(tmp_path / "x.dcm.part")
    assert header.shape == (3, 4, COUNT) and header.doubts == ()


def test_prediction_says_what_was_left_out(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *values: told.append(text % values))
    leave(write_slices(tmp_path), "x.dcm.part", 10)
    read_scan(Scan("a", (tmp_path,), tmp_path / "out.nii.gz"), ("CT",))
    (line,) = told
    assert line.startswith(f"{tmp_path}: left out beside its slices") and "x.dcm.part. Download" in line


def test_hidden_files_of_other_programs_are_not_told_beside_a_gap(tmp_path):
    leave(write_slices(tmp_path), ".rsync.filter", 10)
    (tmp_path / "s3.dcm").unlink()
    with pytest.raises(DataError, match="6 mm between s2.dcm and s4.dcm") as caught:
        read_header(tmp_path)
    assert "Beside them" not in str(caught.value)
