"""The genotype of every epoch of a search, in one file: a JSON document a line.

The first line describes the search space, each other line holds an epoch's operations and their probabilities.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from scnas_keras.documents import parse_text
from scnas_keras.errors import GenotypeError
from scnas_keras.files import write_text
from scnas_keras.spaces import genotype_format as single
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.genotype_format import space_to_json

FORMAT, VERSION = "scnas_keras.genotypes", single.VERSION
FILE = "genotypes.jsonl"
"""Its name in the folder of a search."""
_REMEDY = "Was the file cut off? Restore or delete it."


def record(path: str | os.PathLike, epoch: int, genotype: Genotype) -> None:
    """Adds an epoch's genotype; the file is complete at any time.

    Epochs from this one on that the file already holds are dropped: a resumed search repeats them.

    Raises:
        GenotypeError: the file is no history, or of another search space.
    """
    lines = [json.dumps({"format": FORMAT, "version": VERSION, "space": space_to_json(genotype.space)})]
    if pathlib.Path(path).is_file():
        header, entries = _read(path)
        if json.dumps(header) != lines[0]:
            raise GenotypeError(f"{path}: holds genotypes of another search space. Move it away, or name another --workdir.")
        lines += [json.dumps(entry) for entry in entries if entry["epoch"] < epoch]
    cells = {kind: [[edge.operation, edge.probability] for edge in edges] for kind, edges in genotype.cells.items()}
    document = genotype.to_json()
    rest = {name: document[name] for name in ("paths", "dropped", "notes") if name in document}
    lines.append(json.dumps({"epoch": epoch, "cells": cells, **rest}))
    write_text(path, "\n".join(lines) + "\n")


def load(path: str | os.PathLike, epoch: int | None = None) -> Genotype:
    """The genotype of an epoch; of the last one if none is named.

    Raises:
        GenotypeError: no such file or epoch, or a damaged file; the message names it.
    """
    header, entries = _read(path)
    found = [entry for entry in entries if epoch in (None, entry["epoch"])]
    if not found:
        there = f"epochs {entries[0]['epoch']} to {entries[-1]['epoch']}" if entries else "no epoch"
        raise GenotypeError(f"{path}: holds {there}, not {epoch}; name another with --epoch.")
    where = f"{path}, epoch {found[-1]['epoch']}"
    return Genotype.from_json(_document(header, found[-1], where), where)


def last_epoch(path: str | os.PathLike) -> int:
    """The number of the last epoch that a history holds; 0 if it holds none. GenotypeError as in `load`."""
    return max((entry["epoch"] for entry in _read(path)[1]), default=0)


def _read(path: str | os.PathLike) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The first line and the others."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise GenotypeError(f"{path}: can't be read ({error.strerror}).") from error
    except ValueError as error:
        raise GenotypeError(f"{path}: not a history of genotypes ({error}). {_REMEDY}") from error
    if not lines:
        raise GenotypeError(f"{path}: not a history of genotypes (it is empty). {_REMEDY}")
    header, *entries = [parse_text(line, f"{path}, line {number}", _REMEDY, GenotypeError) for number, line in enumerate(lines, start=1)]
    single.check_known_version(header, FORMAT, f"{path}, first line")
    if not all(isinstance(entry, dict) and isinstance(entry.get("epoch"), int) for entry in entries):
        raise GenotypeError(f'{path}: every line after the first needs a whole number "epoch". Restore or delete the file.')
    return header, entries


def _document(header: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The document that `Genotype` reads, of the version of the history."""
    try:
        pairs = _pairs(header)
        cells = {
            kind: [
                {"from": i, "to": j, "operation": operation, "probability": probability}
                for (i, j), (operation, probability) in zip(pairs[kind], row, strict=True)
            ]
            for kind, row in entry["cells"].items()
        }
        rest = {name: entry[name] for name in ("paths", "dropped", "notes") if name in entry}
        return {"format": single.FORMAT, "version": header["version"], "space": header["space"], "cells": cells, **rest}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GenotypeError(f"{where}: cells don't fit the search space ({error!r}). Restore or delete the file.") from error


def _pairs(header: Mapping[str, Any]) -> Mapping[str, list[tuple[int, int]]]:
    """Kind of cell -> source and target of its edges in order."""
    space = header["space"]
    if header["version"] == 1:
        if space["nodes"] > single.MOST_NODES:
            raise ValueError(f"{space['nodes']} nodes in a cell")
        pairs = [(i, j) for j in range(2, 2 + space["nodes"]) for i in range(j)]
        return dict.fromkeys(space["layout"], pairs)
    return {cell["name"]: [(edge["source"], edge["target"]) for edge in cell["edges"]] for cell in space["cells"]}
