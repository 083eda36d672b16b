"""Arrays in files without names: what they hold, that nothing is left of them, and a disk without room."""

import errno
import os

import numpy as np
import pytest

from scnas_keras.errors import OutputError
from scnas_keras.machine.scratch import RowPool, Scratch


def test_an_array_is_zeros_in_a_file_without_a_name(tmp_path):
    array = Scratch(tmp_path).array((3, 4, 5), np.uint8)
    assert array.shape == (3, 4, 5) and array.dtype == np.uint8 and not array.any() and not list(tmp_path.iterdir())
    array[1] = 7
    assert array.sum() == 7 * 20
    assert Scratch(tmp_path).array((0, 4)).shape == (0, 4)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OutputError, match=r"4096 MiB of scratch room can't be had .*--scratch_dir"):
        Scratch(tmp_path).array((2**30,))


def test_a_folder_that_cant_be_written_to_is_told(tmp_path):
    with pytest.raises(OutputError, match="nowhere: .*scratch room can't be had"):
        Scratch(tmp_path / "nowhere").array((5,))


def test_rows_are_used_again_and_are_zeros_each_time(tmp_path):
    pool = RowPool(Scratch(tmp_path), (2, 3))
    rows = [pool.take() for _ in range(70)]  # more than one chunk
    for number, row in enumerate(rows):
        row[...] = number + 1
    assert [row.max() for row in rows] == list(range(1, 71))  # none is part of another
    pool.give(rows[5])
    assert pool.take().shape == (2, 3)
