"""How genotypes are written: the format's versions, and how each becomes the parts of a `Genotype`."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from scnas_keras.documents import check_version, decode
from scnas_keras.errors import ConfigError, GenotypeError
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import u_shaped

FORMAT, VERSION = "scnas_keras.genotype", 2
_NEWER = "A newer version of scnas_keras wrote it: install that, or search again with this one."

MOST_NODES = 100
"""Of a cell, beyond which a document is damaged."""
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
EdgeParts = tuple[int, int, str | None, float]
"""Source, target, operation, probability."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a genotype is made of, whatever the version of its document."""

    space: SearchSpace
    cells: Mapping[str, list[EdgeParts]]
    notes: tuple[str, ...]
    paths: Mapping[str, list[tuple[int, float]]]
    dropped: tuple[int, ...]


class EdgeEntry(msgspec.Struct, frozen=True):
    """An edge; its operation is null where it is absent."""

    source: Count = msgspec.field(name="from")
    target: Count = msgspec.field(name="to")
    operation: str | None
    probability: Probability

    @property
    def parts(self) -> EdgeParts:
        return self.source, self.target, self.operation, self.probability


class PathEntry(msgspec.Struct, frozen=True):
    """Which source a weighted sum keeps."""

    source: Count
    probability: Probability


class AnyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What both versions hold."""

    format: str
    version: int
    cells: dict[str, list[EdgeEntry]]
    notes: tuple[str, ...] = ()


class Document(AnyDocument, frozen=True, kw_only=True):
    """Version 2: the space in full, so that the document is read without the program that found it."""

    space: SearchSpace
    paths: dict[str, list[PathEntry]] = {}
    dropped: tuple[Count, ...] = ()


class SpaceOfVersion1(msgspec.Struct, frozen=True):
    """What version 1 could describe: U-shaped spaces."""

    name: str
    rank: int
    operations: tuple[str, ...]
    nodes: Annotated[int, msgspec.Meta(ge=1, le=MOST_NODES)]
    layout: tuple[str, ...]


class DocumentOfVersion1(AnyDocument, frozen=True, kw_only=True):
    """Version 1, in which an absent edge has the operation zero."""

    space: SpaceOfVersion1


def read_genotype(document: Any, where: str = "genotype") -> Parts:
    """The parts of a parsed document of any version that is known.

    Raises:
        GenotypeError: a field is missing or of the wrong type, a newer version, or a space with operations that this release hasn't got.
    """
    if check_known_version(document, FORMAT, where) == 1:
        return _read_version_1(document, where)
    _check_known(document, where)
    found = decode(document, Document, where, error=GenotypeError)
    paths = {table: [(path.source, path.probability) for path in own] for table, own in found.paths.items()}
    return Parts(
        found.space, {kind: [edge.parts for edge in edges] for kind, edges in found.cells.items()}, found.notes, paths, found.dropped
    )


def check_known_version(document: Any, name: str, where: str) -> int:
    """The version of a document of genotypes whose "format" is `name`.

    Raises:
        GenotypeError: another format, or a version that this release can't read.
    """
    version = document.get("version") if isinstance(document, Mapping) else None
    remedy = _NEWER if isinstance(version, int) and version > VERSION else ""
    return check_version(document, name, (1, VERSION), where, remedy, GenotypeError)


def space_to_json(space: SearchSpace) -> dict[str, Any]:
    """A space as JSON; what is as by default is left out."""
    return _without_defaults(space)


def _read_version_1(document: Mapping[str, Any], where: str) -> Parts:
    found = decode(document, DocumentOfVersion1, where, error=GenotypeError)
    own = found.space
    try:
        space = u_shaped(own.name, own.rank, own.operations, own.nodes, own.layout)
        zeros = {name for name in own.operations if operation(name).is_zero}
    except ConfigError as error:
        raise GenotypeError(f"{where}: {error}") from error
    cells = {
        kind: [(edge.source, edge.target, None if edge.operation in zeros else edge.operation, edge.probability) for edge in edges]
        for kind, edges in found.cells.items()
    }
    return Parts(space, cells, found.notes, {}, ())


def _check_known(document: Mapping[str, Any], where: str) -> None:
    """Operations that this version hasn't got are the likeliest sign of a space of another version: they are told as such."""
    tables = document["space"].get("tables") if isinstance(document.get("space"), Mapping) else None
    for table in tables if isinstance(tables, list) else []:
        names = table.get("candidates") if isinstance(table, Mapping) and not table.get("paths") else None
        for name in [name for name in names if isinstance(name, str)] if isinstance(names, list) else []:
            try:
                operation(name)
            except ConfigError as error:
                space = document["space"].get("name")
                raise GenotypeError(f"{where}: search space {space!r} is not one that this version can build. {error} {_NEWER}") from error


def _without_defaults(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
        return {name: _without_defaults(own) for name, (own, default) in fields.items() if own != default}
    return [_without_defaults(item) for item in value] if isinstance(value, tuple) else value
