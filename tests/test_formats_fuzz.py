"""Damaged files of every format: a right reading or a DataError, never another exception, nor memory that a header makes up."""

import resource
import warnings
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")
pytest.importorskip("pydicom", reason="needs pydicom: pip install 'scnas_keras[dicom]'")

from damage import FORMATS, damage, write_whole  # noqa: E402

from scnas_keras.errors import DataError  # noqa: E402
from scnas_keras.formats.volumes import read_header, read_image  # noqa: E402

CHECKED = ("png",)
"""Formats all of whose parts have a checksum: what is read is what was written."""


def outcomes(kind, seeds, folder):
    """How many damaged files were read, and how many refused."""
    whole = folder / f"whole.{kind}"
    write_whole(whole, kind)
    original = read_image(whole)
    counts = Counter(read=0, refused=0)
    for seed in seeds:
        path = folder / str(seed) / f"a.{kind}"  # alone, for a slice of DICOM is read with those beside it
        path.parent.mkdir()
        path.write_bytes(damage(whole.read_bytes(), kind, seed))
        try:
            volume = read_image(path)
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error).splitlines()[0]
            counts["refused"] += 1
            continue
        counts["read"] += 1
        header = read_header(path)
        assert volume.array.nbytes <= 100 * original.array.nbytes and np.isfinite(volume.geometry.affine).all()
        assert sorted(volume.array.shape[:3]) == sorted(header.shape) and volume.array.shape[3] == header.channels
        if kind in CHECKED:
            np.testing.assert_array_equal(volume.array, original.array)
    return counts


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("kind", FORMATS)
def test_a_few_damaged_files(kind, tmp_path):
    counts = outcomes(kind, range(10), tmp_path)
    assert counts.total() == 10 and counts["refused"] > 0


@pytest.mark.nightly
@pytest.mark.parametrize("kind", FORMATS)
def test_many_damaged_files(kind, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = outcomes(kind, range(10, 90), tmp_path)
    print(f"{kind}: {dict(counts)}")
    assert counts.total() == 80 and counts["refused"] > counts["read"] / 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
