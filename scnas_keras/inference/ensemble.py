"""Several networks of one task, whose probabilities are averaged: folds, seeds, other networks, other configurations."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from scnas_keras.formats.volumes import Volume
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.segmenting import segment_by
from scnas_keras.machine.scratch import Scratch
from scnas_keras.preprocessing.plan import PreprocessingPlan


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """Networks that segment together.

    Attributes:
        members: at least one, which `companion.check_alike` found alike.
    """

    members: tuple[SegmentationModel, ...]

    @property
    def plan(self) -> PreprocessingPlan:
        """The first member's; classes, channels and order of axes are those of all."""
        return self.members[0].plan

    def segment(self, volume: Volume, mirror: bool = False, scratch: Scratch | None = None, keep: np.ndarray | None = None) -> np.ndarray:
        """See `segmenting.segment_by`."""
        return segment_by(self.members, volume, mirror, scratch, keep)

    def unfamiliar(self, volume: Volume) -> list[str]:
        """In what a scan differs from those that the members were trained on, each thing once."""
        return list(dict.fromkeys(found for member in self.members for found in member.unfamiliar(volume)))

    @classmethod
    def load(cls, files: Sequence[pathlib.Path]) -> "Ensemble":
        """Reads the networks of model files; raises as `SegmentationModel.load`."""
        return cls(tuple(map(SegmentationModel.load, files)))
