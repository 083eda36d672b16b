"""The voxel grids of a case by its files' headers, and what is wrong with them; no voxel is read."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.checks.findings import Finding
from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import NO_UNIT, Header, grid_difference, is_invertible
from scnas_keras.formats.volumes import read_header
from scnas_keras.tasks.cases import Case, Task


@dataclasses.dataclass(frozen=True)
class Grid:
    """An image's voxel grid.

    Attributes:
        shape: the three spatial sizes in the file's axis order.
        channels: number of channels, all files of the case together.
        spacing: mm along the canonical axes.
        orientation: where the file's axes point, like "LPS".
        unit: whether all files of the case tell their unit of length.
    """

    shape: tuple[int, int, int]
    channels: int
    spacing: tuple[float, float, float]
    orientation: str
    unit: bool = True

    @property
    def voxels(self) -> int:
        """Voxels of one channel."""
        return int(np.prod(self.shape))


def read_grid(case: Case, task: Task) -> tuple[Grid | None, list[Finding]]:
    """Reads the headers of a case's images and, if it has one, its label.

    Returns:
        The image's grid, None if it can't be told, and what is wrong.
    """
    headers, findings = {}, []
    for path in case.files:
        try:
            headers[path] = read_header(path, task.channel_names if case.images == (path,) else (), case.own_series)
        except DataError as error:
            findings.append(_unreadable(case, path, error))
    flat = {path: problem for path, header in headers.items() if (problem := _no_volume(header))}
    findings += [Finding("spacing", case.name, path, problem) for path, problem in flat.items()]
    images = [headers[path] for path in case.images if path in headers and path not in flat]
    if len(images) < len(case.images):
        return None, findings
    doubts = [(path, doubt) for path, header in headers.items() for doubt in header.doubts]
    findings += [Finding(doubt.kind, case.name, path, doubt.text) for path, doubt in doubts if doubt.kind != NO_UNIT]
    channels, orientation = sum(image.channels for image in images), "".join(nib.aff2axcodes(images[0].affine))
    unit = all(doubt.kind != NO_UNIT for _, doubt in doubts)
    grid = Grid(images[0].shape, channels, images[0].spacing, orientation, unit)
    findings += _channel_problems(case, task, images, grid)
    label = None if case.label in flat else headers.get(case.label)
    return grid, findings + (_label_problems(case, images[0], label) if label else [])


def _unreadable(case: Case, path: Path, error: DataError) -> Finding:
    if not path.exists():
        return Finding("missing", case.name, path, "no such file")
    return Finding("unreadable", case.name, path, without_path(error, path))


def without_path(error: Exception, path: Path) -> str:
    """An error's message without the path that it begins with."""
    return str(error).removeprefix(f"{path}: ")


def _channel_problems(case: Case, task: Task, images: Sequence[Header], grid: Grid) -> list[Finding]:
    findings, expected = [], len(task.channel_names)
    if grid.channels != expected and case.label:
        findings.append(Finding("channels", case.name, case.images[0], f"{grid.channels} in the file, {expected} declared"))
    for path, image in zip(case.images[1:], images[1:]):
        problem = grid_difference(images[0], image)
        if problem:
            findings.append(Finding("channel_grids", case.name, path, f"{problem.text} {case.images[0].name}"))
    return findings


def _label_problems(case: Case, image: Header, label: Header) -> list[Finding]:
    problem = grid_difference(image, label)
    if problem is None:
        return []
    if any(grid_difference(*pair) is None for pair in ((_elsewhere(image), label), (image, _elsewhere(label)))):
        return [Finding("other_form", case.name, case.label, f"{problem.text} its image")]
    return [Finding("shapes" if problem.shapes else "affines", case.name, case.label, f"{problem.text} its image")]


def _elsewhere(header: Header) -> Header:
    """The same grid at the other place that its header tells, if it tells two."""
    other = next((np.array(doubt.other) for doubt in header.doubts if doubt.other), header.affine)
    return dataclasses.replace(header, affine=other)


def _no_volume(header: Header) -> str | None:
    """Why a header's affine gives no volume."""
    if is_invertible(header.affine):
        return None
    sizes = np.array(header.spacing)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        return f"{header.spacing} mm"
    return (
        f"the affine {header.affine.tolist()} isn't finite"
        if not np.isfinite(header.affine).all()
        else f"the affine {header.affine.tolist()} puts its axes in one plane"
    )
