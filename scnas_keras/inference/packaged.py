"""A trained network in one file: a zip archive from anywhere, whose members are checked before any of them is used. No code is run.

Its names are known ones, so that nothing can be written elsewhere; links, encryption, declared sizes beyond what is stored, and wrong
digests are refused. What a .keras file may do by itself is checked where it is loaded (`keras_file`).
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from scnas_keras.documents import check_version, decode, parse_text
from scnas_keras.errors import DataError, some_of
from scnas_keras.files import decoded, write_bytes, writing
from scnas_keras.inference.names import CARD, COMPANION, MANIFEST, MODEL, PACKAGE, TABLES
from scnas_keras.spaces.genotype import GENOTYPE_FILE

FORMAT, VERSION = "scnas_keras.package", 1
_REQUIRED, _ALLOWED = (MANIFEST, MODEL, COMPANION), (MANIFEST, MODEL, COMPANION, GENOTYPE_FILE, CARD, *TABLES)
_TEXT, _NETWORK, _EXPANSION = 2**24, 2**26, 4  # bytes of a document; a network of more may not be so many times larger than what is stored
_CHUNK = 2**20
_COPY = "Ask for the file again; don't use this one."
_unpacked: list[tempfile.TemporaryDirectory] = []  # folders that go when the process ends


@dataclasses.dataclass(frozen=True)
class Member:
    """Of a file in a package: bytes, and the digest of what it holds."""

    bytes: Annotated[int, Meta(ge=0, le=2**40)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """package.json: what else is in the archive, and what is told of the network to programs."""

    format: Literal[FORMAT]
    version: Literal[VERSION]
    files: dict[str, Member]
    about: dict[str, Any] = dataclasses.field(default_factory=dict)


def is_package(path: str | os.PathLike) -> bool:
    """Whether a path is meant as one, by its name."""
    return pathlib.Path(path).suffix.lower() == PACKAGE and not os.path.isdir(path)


def write_package(path: pathlib.Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Writes a package, whole or not at all.

    Args:
        path: FILE.zip.
        files: name -> content, of names that packages have.
        about: what package.json tells besides.

    Raises:
        OutputError: it can't be written.
    """
    members = {name: Member(len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()}
    manifest = dataclasses.asdict(Manifest(FORMAT, VERSION, members, dict(about)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: _json(manifest), **files}.items():
            member = zipfile.ZipInfo(name)  # of no date, so that equal packages have equal bytes
            member.external_attr = 0o644 << 16
            archive.writestr(member, content, zipfile.ZIP_STORED if name == MODEL else zipfile.ZIP_DEFLATED)
    write_bytes(path, stream.getvalue())


def unpacked(path: pathlib.Path) -> pathlib.Path:
    """The folder that a package's files are in, once all was checked, for as long as this process lives.

    Raises:
        DataError: it isn't a package, is damaged, or holds what a package can't.
        OutputError: there is no room for it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = _checked(path, archive)
        text = decoded(b"".join(_content(archive, members[MANIFEST])))
    manifest = _manifest(path, text, members)
    folder = tempfile.TemporaryDirectory(prefix=f"{path.stem[:40]}.")
    _unpacked.append(folder)
    with _reading(path), zipfile.ZipFile(path) as archive:
        for name, wanted in manifest.files.items():
            _extract(path, archive, members[name], wanted, pathlib.Path(folder.name, name))
    return pathlib.Path(folder.name)


def remove_unpacked() -> None:
    """Removes the folders of all packages, whose networks have been loaded."""
    while _unpacked:
        _unpacked.pop().cleanup()


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: can't be read as a package: damaged or cut off ({error}). {_COPY}") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error}).") from error


def _checked(path: pathlib.Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, which have to be those of a package, with sizes that can be true."""
    members = archive.infolist()
    names = Counter(member.filename for member in members)
    strange = sorted(name for name, count in names.items() if name not in _ALLOWED or count > 1)
    absent = [name for name in _REQUIRED if name not in names]
    if strange or absent:
        found = f"holds {some_of([repr(name[:80]) for name in strange])}" if strange else f"lacks {', '.join(absent)}"
        raise DataError(f"{path}: isn't a package of scnas package: {found}. {_COPY}")
    room = path.stat().st_size
    for member in members:
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG) or member.flag_bits & 1:
            raise DataError(f"{path}: {member.filename} is a link or encrypted. {_COPY}")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{path}: {member.filename} is packed in a way that scnas package doesn't. {_COPY}")
        most = max(_NETWORK, _EXPANSION * member.compress_size) if member.filename == MODEL else _TEXT
        if member.compress_size > room or member.file_size > most:
            raise DataError(
                f"{path}: {member.filename} would take {member.file_size / 2**20:.0f} MiB, of which at most "
                f"{min(member.compress_size, room) / 2**20:.1f} are stored. {_COPY}"
            )
    return {member.filename: member for member in members}


def _manifest(path: pathlib.Path, text: str, members: Mapping[str, zipfile.ZipInfo]) -> Manifest:
    where = f"{path}: {MANIFEST}"
    content = parse_text(text, where, _COPY)
    check_version(content, FORMAT, (VERSION,), where, "Install the version of scnas_keras that wrote it, or a newer one.")
    manifest = decode(content, Manifest, where, _COPY)
    if {*manifest.files} != {*members} - {MANIFEST}:
        raise DataError(
            f"{where}: names other files than there are ({some_of(sorted({*manifest.files} ^ ({*members} - {MANIFEST})))}). {_COPY}"
        )
    return manifest


def _extract(path: pathlib.Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, wanted: Member, target: pathlib.Path) -> None:
    digest, size = hashlib.sha256(), 0
    with writing(target), open(target, "wb") as stream:
        for part in _content(archive, member):
            digest.update(part)
            size += len(part)
            stream.write(part)
    if size != wanted.bytes or digest.hexdigest() != wanted.sha256:
        raise DataError(f"{path}: {member.filename} isn't what {MANIFEST} says it is (its digest differs): damaged or changed. {_COPY}")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """What a member holds, no more than it declares."""
    left = member.file_size
    with archive.open(member) as stream:
        while left and (part := stream.read(min(left, _CHUNK))):
            left -= len(part)
            yield part


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
