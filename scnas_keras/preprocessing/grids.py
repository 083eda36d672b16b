"""The voxel grids of a scan along a plan's axes: as it was read, and as the network sees it."""

import dataclasses
from collections.abc import Sequence

from scnas_keras.preprocessing.cropping import Crop
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.resampling import coarse_axis, resampled_shape


@dataclasses.dataclass(frozen=True)
class Grids:
    """The crop's voxels and the prepared ones, both along the plan's axes."""

    size: tuple[int, ...]
    shape: tuple[int, ...]
    coarse_axis: int | None
    coarse_axis_order: int

    def orders(self, order: int) -> tuple[int, int, int]:
        """Spline orders along the three axes."""
        return tuple(self.coarse_axis_order if axis == self.coarse_axis else order for axis in range(3))


def grids_of(crop: Crop, plan: PreprocessingPlan) -> Grids:
    """The grids of what was cropped from a scan."""
    size, spacing = (tuple(values[axis] for axis in plan.transpose) for values in (crop.size, crop.spacing))
    return Grids(
        size,
        prepared_shape(size, spacing, plan),
        coarse_axis(spacing, plan.target_spacing, plan.resampling.anisotropy),
        plan.resampling.coarse_axis_order,
    )


def prepared_shape(size: Sequence[int], spacing: Sequence[float], plan: PreprocessingPlan) -> tuple[int, ...]:
    """Voxels of a prepared scan, of one with `size` voxels of `spacing` mm; all along the plan's axes."""
    return (size[0], *plan.slice_size) if plan.slice_size else resampled_shape(size, spacing, plan.target_spacing)
