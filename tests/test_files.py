"""Files are whole or absent, and what the file system refuses is told."""

import errno
import os

import pytest

from scnas_keras import files
from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.files import check_writable, unwritable, user_path, write_bytes


def refusing(code):
    def fsync(handle):
        raise OSError(code, os.strerror(code))

    return fsync


@pytest.mark.parametrize(
    "code, message",
    [
        (errno.ENOSPC, r"a\.bin: can't be written: the disk is full\. 3\.0 MB are needed, \d+\.\d MB are free"),
        (errno.EFBIG, r"a\.bin: can't be written: it would be larger than .*ulimit -f\)\. 3\.0 MB are needed\. Raise the limit"),
        (errno.EACCES, "ermission denied"),
    ],
)
def test_a_write_that_fails_leaves_what_was_there_and_says_why(tmp_path, monkeypatch, code, message):
    write_bytes(tmp_path / "a.bin", b"before")
    monkeypatch.setattr(files.os, "fsync", refusing(code))
    with pytest.raises(OutputError, match=message):
        write_bytes(tmp_path / "a.bin", bytes(3_000_000))
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"] and (tmp_path / "a.bin").read_bytes() == b"before"


def test_small_sizes_are_told_in_a_small_unit(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", refusing(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"20\.0 kB are needed"):
        write_bytes(tmp_path / "a.bin", bytes(20_000))


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "病" * 85])
def test_the_longest_names_can_be_written(tmp_path, name):
    check_writable(tmp_path / name)
    write_bytes(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"


def test_places_that_cant_be_written_are_told_before(tmp_path):
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "folder" / "a")
    with pytest.raises(OutputError, match="longer than 255 bytes"):
        check_writable(tmp_path / ("ü" * 128))
    with pytest.raises(OutputError, match="file is no folder that can be written to"):
        check_writable(tmp_path / "file" / "a")
    assert unwritable(tmp_path / "file" / "deep" / "run") == tmp_path / "file" and unwritable(tmp_path / "new" / "run") is None
    with pytest.raises(OutputError, match="file/a: can't be written"):
        write_bytes(tmp_path / "file" / "a", b"")


@pytest.mark.parametrize(
    "path, message", [("~nobody-of-this-name/a", "which folder ~ stands for"), ("n" * 256, "255 bytes"), ("a\0b", "zero byte")]
)
def test_paths_that_no_file_can_have_are_told(path, message):
    with pytest.raises(ConfigError, match=message):
        user_path(path)
