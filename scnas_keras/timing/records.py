"""Measured milliseconds as documents: one a machine in the cache, and in a run's folder what the run goes by."""

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from absl import logging
from msgspec import Meta

from scnas_keras.documents import check_version, decode, parse
from scnas_keras.errors import DataError, OutputError
from scnas_keras.files import write_text
from scnas_keras.operations.facts import ROLES
from scnas_keras.spaces.milliseconds import KINDS, Part

FORMAT, VERSION = "scnas_keras.milliseconds", 1
FOLDER = "milliseconds"
KERNELS = 3
"""Counts changes of what layers compute with, after which times in the cache are measured anew."""
Size = Annotated[int, Meta(ge=0, le=10**9)]


@dataclasses.dataclass(frozen=True)
class Machine:
    """What times depend on besides the part.

    Attributes:
        processor: model of the CPU.
        cores: that this process may use.
        gpu: its model, or None where the CPU computes.
        tensorflow: its version.
        precision: one of `machine.names.PRECISIONS`.
        deterministic: whether operations are.
        onednn: whether TensorFlow uses it.
    """

    processor: str
    cores: Annotated[int, Meta(ge=1)]
    gpu: str | None
    tensorflow: str
    precision: str
    deterministic: bool
    onednn: bool

    def __str__(self):
        computes = self.gpu or f"{self.processor}, {self.cores} cores"
        settings = [f"TensorFlow {self.tensorflow}", *(["oneDNN"] if self.onednn and not self.gpu else [])]
        settings += [] if self.precision == "none" else [self.precision]
        return ", ".join([computes, *settings, *(["deterministic"] if self.deterministic else [])])


@dataclasses.dataclass(frozen=True)
class _Part:
    """`spaces.milliseconds.Part` with its ranges."""

    kind: Literal[*KINDS]
    batch: Size
    voxels: tuple[Size, ...]
    inputs: Size
    outputs: Size
    name: str
    role: Literal[*ROLES]
    count: Size
    shift: Annotated[int, Meta(ge=-(10**9), le=10**9)]


@dataclasses.dataclass(frozen=True)
class _Entry:
    part: _Part
    milliseconds: Annotated[float, Meta(ge=0, le=1e9)]


@dataclasses.dataclass(frozen=True)
class _Document:
    format: str
    version: int
    machine: Machine
    saved: str
    times: tuple[_Entry, ...]


@dataclasses.dataclass(frozen=True)
class Record:
    """Milliseconds of parts on a machine."""

    machine: Machine
    times: Mapping[Part, float]

    def save(self, path: str | os.PathLike) -> None:
        """Writes the document, a part a line; an existing file is replaced whole or not at all."""
        head = {"format": FORMAT, "version": VERSION, "machine": dataclasses.asdict(self.machine)}
        head["saved"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        rows = ",\n  ".join(json.dumps({"part": dataclasses.asdict(part), "milliseconds": time}) for part, time in self.times.items())
        write_text(path, f'{json.dumps(head, indent=1)[:-2]},\n "times": [\n  {rows}\n ]\n}}\n')

    @classmethod
    def load(cls, path: str | os.PathLike, remedy: str = "") -> "Record":
        """Reads a document; DataError if it can't be read, or is none."""
        content: Any = parse(path, remedy)
        check_version(content, FORMAT, (VERSION,), path, remedy)
        found = decode(content, _Document, path, remedy)
        return cls(found.machine, {Part(**dataclasses.asdict(entry.part)): float(entry.milliseconds) for entry in found.times})


def cache_file(cache_dir: str | os.PathLike, machine: Machine) -> pathlib.Path:
    """Where the times of a machine are kept."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(machine) | {"kernels": KERNELS}).encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9]+", "-", machine.gpu or machine.processor).strip("-")[:60]
    return pathlib.Path(cache_dir) / FOLDER / f"{name}-{digest}.json"


def kept_times(path: pathlib.Path, machine: Machine) -> dict[Part, float]:
    """What a file holds of this machine; nothing, with a warning, of one that is damaged or another machine's."""
    if not path.is_file():
        return {}
    try:
        found = Record.load(path, "Everything is measured anew.")
    except DataError as error:
        logging.warning("%s", error)
        return {}
    if found.machine != machine:
        logging.warning("%s: was measured on another machine (%s). Everything is measured anew.", path, found.machine)
        return {}
    return dict(found.times)


def keep_times(path: pathlib.Path, machine: Machine, times: Mapping[Part, float]) -> None:
    """Adds times to a machine's file; where that can't be written, they are for this process only."""
    try:
        Record(machine, kept_times(path, machine) | dict(times)).save(path)
    except OutputError as error:
        logging.warning("%s The times aren't kept.", error)
