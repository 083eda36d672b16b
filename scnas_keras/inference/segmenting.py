"""From a scan to its segmentation by one network, or by the mean of several's probabilities on the scan's grid, a slab at a time."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from scnas_keras.formats.volumes import PROBABILITY_ONE, Volume, in_memory
from scnas_keras.inference.seen import check_grid
from scnas_keras.inference.sliding_window import ProbabilityRows
from scnas_keras.machine.scratch import Scratch
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.resampling import strongest
from scnas_keras.preprocessing.scans import Preprocessed, preprocess_image, restore_rows
from scnas_keras.progress import Progress


class Member(Protocol):
    """A network with what must be known to use it: `model_folder.SegmentationModel`."""

    plan: PreprocessingPlan

    def probability_rows(
        self, image: np.ndarray, mirror: bool, scratch: Scratch | None, progress: Callable[[int, int], None] | None
    ) -> ProbabilityRows: ...


def segment_by(
    members: Sequence[Member], volume: Volume, mirror: bool = False, scratch: Scratch | None = None, keep: np.ndarray | None = None
) -> np.ndarray:
    """The segmentation of a scan by the mean of the members' probabilities.

    Args:
        members: at least one, of the same classes, channels and order of axes.
        volume: from `read_image`.
        mirror: whether each averages over its flips.
        scratch: see `model_folder.SegmentationModel.segment`.
        keep: uint16 [classes, x, y, z] that gets the probabilities, of which `PROBABILITY_ONE` means 1.

    Returns:
        uint8 [x, y, z] on the scan's canonical grid, 0 outside of its nonzero box.

    Raises:
        DataError: see `preprocess_image` and `check_grid`.
        OutputError: there isn't enough scratch room.
    """
    allocate, prepared = scratch.array if scratch else in_memory, dict[int, Preprocessed]()
    for number, member in enumerate(members):
        check_grid(volume, member.plan)
        same = next((own for own in prepared if members[own].plan == member.plan), None)
        prepared[number] = preprocess_image(volume, member.plan, allocate) if same is None else prepared[same]
    crop, plan = prepared[0].crop, members[0].plan
    result = np.zeros(crop.shape, np.uint8)
    inside = result[crop.slices].transpose(plan.transpose)
    kept = None
    if keep is not None:
        keep[0], keep[1:] = PROBABILITY_ONE, 0
        kept = keep[(slice(None), *crop.slices)].transpose(0, *(1 + axis for axis in plan.transpose))
    with contextlib.ExitStack() as stack:
        slabs = []
        for number, member in enumerate(members):
            title = "segmenting" if len(members) == 1 else f"segmenting, network {number + 1} of {len(members)}"
            progress = stack.enter_context(Progress(title, unit="tile"))
            rows = member.probability_rows(prepared[number].image, mirror, scratch, progress.to)
            slabs.append(restore_rows(rows, crop, member.plan, rows.release))
        for parts in zip(*slabs, strict=True):
            rows, maps = parts[0][0], zip(*(own for _, own in parts), strict=True)
            sums = (sum(own[1:], own[0]) for own in maps)
            inside[rows] = strongest(sums if kept is None else _keeping(sums, kept[:, rows], len(members)))
    return result


def _keeping(sums: Iterator[np.ndarray], kept: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The maps, which on their way are divided by `count` and written down."""
    for target, one in zip(kept, sums, strict=True):
        target[...] = np.clip(one * (PROBABILITY_ONE / count), 0, PROBABILITY_ONE).round()
        yield one
