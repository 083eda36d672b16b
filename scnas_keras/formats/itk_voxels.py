"""The files of voxels of NRRD and MetaImage headers: that they are there, and hold as many bytes as the header says.

ITK leaves what they don't hold as it is in memory, and what they hold beyond unread.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats.itk_fields import Text, is_nrrd, shown, voxel_file
from scnas_keras.formats.stored import cut_off

_ZLIB = 1032
"""The most bytes that one of a zlib stream can stand for; numbers written as text stand for fewer."""
_ANY_HEADER, _BLOCK = 47, 1 << 22
"""For zlib: that of zlib or gzip; and bytes at a time."""


def check_there(path: Path, text: Text) -> None:
    """Raises DataError, naming them, if files of voxels aren't there."""
    missing = [shown(name) for name in text.names if voxel_file(path, text, name) is None]
    if missing:
        raise DataError(
            f"{path}: its voxels lie in other files, and of these are missing: {some_of(missing)}. Copy them to the places that "
            "the header names, or correct the names in it."
        )


def check_voxels(path: Path, text: Text, sizes: Sequence[int], voxel: int) -> None:
    """Raises DataError if there are fewer or more files than volumes of `sizes` need, or bytes in them; `voxel` are those of a voxel."""
    if text.several and not is_nrrd(path) and len(text.names) != (slices := math.prod(sizes[text.listed or len(sizes) - 1 :])):
        raise DataError(
            f"{path}: its files of voxels must be {slices}, and the header names {len(text.names)}. Correct the sizes, or the names of "
            "files, in it."
        )
    for name, file, share in shares(path, text, math.prod(sizes) * voxel):
        if file.name == Path(name).name and _is_raw(path, text):
            _check_raw(path, text, file, share)
        elif (room := file.stat().st_size * _ZLIB) < share:
            raise cut_off(path, f"they are {share} bytes, and there is room for {room}")


def check_compressed(path: Path, text: Text, sizes: Sequence[int], voxel: int) -> None:
    """Raises DataError unless compressed voxels are whole: inflates them once, since ITK takes for voxels what a damaged stream leaves."""
    nrrd = is_nrrd(path)
    if not is_zipped(path, text):
        return
    for _, file, share in shares(path, text, math.prod(sizes) * voxel):
        begin, end, skipped = begin_of(path, text, file), file.stat().st_size, 0
        if nrrd and begin is not None:
            skipped = int(text.fields.get("byteskip", "0"))  # of the inflated bytes
            begin -= skipped
        elif not nrrd and not text.names:
            end = text.size + int(text.fields.get("compresseddatasize") or 0)
            if end == text.size:
                raise DataError(f"{path}: its voxels are compressed, and without CompressedDataSize ITK can't read them. Save it again.")
        try:
            found = _inflated(file, begin or 0, end, share + skipped) - skipped
        except zlib.error as error:
            raise cut_off(path, f"the compressed voxels: {error}") from error
        if found != share and begin is not None:
            raise cut_off(path, f"they are {share} bytes, and the compressed ones stand for {found if found < share else 'more'}")


def shares(path: Path, text: Text, total: int) -> Iterator[tuple[str, Path, int]]:
    """The files of voxels, by the names that the header has for them, and how much of a total each holds."""
    for name in text.names or (path.name,):
        yield name, voxel_file(path, text, name) or path, total // max(1, len(text.names))


def is_zipped(path: Path, text: Text) -> bool:
    if is_nrrd(path):
        return text.fields.get("encoding", "").lower() in ("gz", "gzip")
    return text.fields.get("compresseddata", "")[:1] in ("t", "T", "1")


def _inflated(file: Path, begin: int, end: int, enough: int) -> int:
    """How many bytes the compressed ones of a file stand for, counted up to just beyond `enough`; zlib.error if they are damaged."""
    count, stream = 0, zlib.decompressobj(_ANY_HEADER)
    with file.open("rb") as source:
        source.seek(begin)
        while (block := source.read(min(_BLOCK, end - source.tell()))) and count <= enough:
            while block and count <= enough:
                count += len(stream.decompress(block, _BLOCK))
                block = stream.unconsumed_tail
                if stream.eof:
                    if count >= enough:
                        return count
                    block, stream = stream.unused_data, zlib.decompressobj(_ANY_HEADER)  # gzip's next member
    if count <= enough:
        raise zlib.error("they end before their stream does")
    return count


def _is_raw(path: Path, text: Text) -> bool:
    """Whether a voxel takes as many bytes in the file as in memory."""
    if is_nrrd(path):
        return text.fields.get("encoding", "").lower() == "raw"
    told = (text.fields.get(name, default) for name, default in (("binarydata", "True"), ("compresseddata", "False")))
    binary, compressed = (value[:1] in ("t", "T", "1") for value in told)
    return binary and not compressed


def _check_raw(path: Path, text: Text, file: Path, share: int) -> None:
    """Raises DataError unless a file holds `share` bytes of voxels behind what the header says to skip, and no others."""
    size, begin = file.stat().st_size, begin_of(path, text, file)
    room = size if begin is None else size - begin
    if room < share:
        raise cut_off(path, f"they are {share} bytes, and there is room for {max(0, room)}")
    if begin is not None and room > share:
        skip, kind = ("byte skip: -1", "type") if is_nrrd(path) else ("HeaderSize = -1", "ElementType")
        raise DataError(
            f"{path}: its voxels are {share} bytes, and {file.name} holds {room} where they should be. Correct {kind} and sizes "
            f"in the header, or write {skip} into it if other bytes come before the voxels; cut off those that come behind."
        )


def begin_of(path: Path, text: Text, file: Path) -> int | None:
    """The byte of a file of raw voxels at which they begin; None if they are its last."""
    here = 0 if text.names else text.size
    if not is_nrrd(path):
        skipped = int(text.fields.get("headersize", "0"))
        if 0 < skipped < here:
            raise DataError(f"{path}: HeaderSize {skipped} puts its voxels into its header of {here} bytes. Leave it out.")
        return None if skipped == -1 else max(skipped, 0) or here
    if (skipped := int(text.fields.get("byteskip", "0"))) < 0:
        return None
    with file.open("rb") as stream:
        stream.seek(here)
        for _ in range(int(text.fields.get("lineskip", "0"))):
            if not stream.readline():
                break
        return stream.tell() + skipped
