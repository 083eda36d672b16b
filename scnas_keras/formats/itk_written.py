"""Voxels of NRRD and MetaImage that are written as text: that there are as many numbers as voxels, and that the voxels' type holds each.

ITK reads past further numbers, cuts fractions off, wraps 300 to 44 in a byte, and takes 1e2 in an NRRD file of whole numbers for 1.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.itk_fields import Text, is_nrrd, shown
from scnas_keras.formats.itk_voxels import begin_of, is_zipped, shares

_BLOCK = 1 << 22
"""Bytes at a time."""
_LONGEST = 64
"""The most letters of a number."""
_GLUED = re.compile(rb",[^\s,]")
_EXACT = 2**53
"""Whole numbers beyond are rounded by ITK, which reads them through 64 bits of floating point."""


def check_written(path: Path, text: Text, sizes: Sequence[int], components: int, kind: np.dtype) -> None:
    """Raises DataError unless voxels that are written as text are as many numbers as the header says, all of which `kind` holds."""
    if not _is_written(path, text):
        return
    nrrd, fields = is_nrrd(path), text.fields
    if not nrrd and components > 1:
        raise DataError(
            f"{path}: {components} numbers a voxel, written as text, of which ITK reads the first part only. Export the scan again with "
            "binary voxels, or a file a channel."
        )
    for _, file, needed in shares(path, text, math.prod(sizes) * components):
        begin = begin_of(path, text, file)
        if begin is None:
            raise DataError(f"{path}: HeaderSize = -1 doesn't tell where numbers that are written as text begin. Write the header's bytes.")
        if nrrd and fields["encoding"].lower() == "hex":
            needed, found, what = 2 * needed * kind.itemsize, sum(len(b"".join(block.split())) for block in _blocks(file, begin)), "digits"
        else:
            _check_separators(path, file, begin, nrrd)
            found, what = _count(path, file, begin, kind, fields["type" if nrrd else "elementtype"]), "numbers"
        if found != needed:
            raise DataError(
                f"{path}: its voxels are {needed} {what}, written as text, and {file.name} holds {found}. Correct the sizes in the header, "
                "or export the scan again."
            )


def _check_separators(path: Path, file: Path, begin: int, nrrd: bool) -> None:
    """Raises DataError where ITK finds no number for what stands, or doesn't stand, behind one."""
    last = b" "
    for block in _blocks(file, begin):
        if nrrd and _GLUED.search(block):
            raise DataError(f"{path}: {file.name} has commas without blanks between numbers, which ITK doesn't read. Write blanks.")
        last = block[-1:]
    if not nrrd and not (last.isspace() or last == b","):
        raise DataError(f"{path}: {file.name} ends right behind its last number, which ITK doesn't read. Add a line break.")


def _is_written(path: Path, text: Text) -> bool:
    if is_nrrd(path):
        return text.fields.get("encoding", "").lower() in ("txt", "text", "ascii", "hex")
    return text.fields.get("binarydata", "True")[:1] not in ("t", "T", "1") and not is_zipped(path, text)


def _count(path: Path, file: Path, begin: int, kind: np.dtype, called: str) -> int:
    """How many numbers a file holds from a byte on; DataError for the first that isn't read as it is written."""
    count = 0
    for words in _words(file, begin):
        if not _fit(words, kind, is_nrrd(path)):
            first, end = 0, len(words)
            while end - first > 1:  # the first that doesn't fit lies in there
                middle = (first + end) // 2
                first, end = (middle, end) if _fit(words[first:middle], kind, is_nrrd(path)) else (first, middle)
            raise DataError(
                f"{path}: number {count + end} of its voxels, written as text, is {shown(words[first].decode('latin-1'))}, which can't be "
                f"read as {shown(called)}. Correct the type in the header, or export the scan again with binary voxels."
            )
        count += len(words)
    return count


def _fit(words: np.ndarray, kind: np.dtype, nrrd: bool) -> bool:
    """Whether ITK reads numbers as they are written."""
    written = words.tobytes().lower()
    if words.dtype.itemsize > _LONGEST and np.char.str_len(words).max() > _LONGEST:
        return False
    try:
        values = words.astype(np.float64)
    except ValueError:
        return False
    if b"_" in written:  # which separates digits in Python alone
        return False
    if kind.kind == "f":
        finite = np.isfinite(values)
        with np.errstate(over="ignore"):
            return (nrrd or finite.all()) and np.isfinite(values[finite].astype(kind)).all()
    limits = np.iinfo(kind)
    whole = (values == np.round(values)).all() and not (nrrd and b"e" in written)
    return whole and max(limits.min, -_EXACT) <= values.min() and values.max() <= min(limits.max, _EXACT)


def _words(file: Path, begin: int) -> Iterator[np.ndarray]:
    """What spaces and commas separate in a file, some at a time."""
    rest = b""
    for block in _blocks(file, begin):
        block = rest + block.replace(b",", b" ")
        last = max(map(block.rfind, (b" ", b"\n", b"\t", b"\r"))) + 1
        block, rest = block[:last], block[last:][-_BLOCK:]
        if words := block.split():
            yield np.array([word[: _LONGEST + 1] for word in words])
    if rest:
        yield np.array([rest[: _LONGEST + 1]])


def _blocks(file: Path, begin: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(begin)
        while block := stream.read(_BLOCK):
            yield block
