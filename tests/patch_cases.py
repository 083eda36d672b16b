"""Prepared cases in memory, for the tests of patches."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class MemoryCase:
    """What `PatchSampler` needs of a prepared case; counts how often its arrays are opened."""

    stored_image: np.ndarray
    stored_label: np.ndarray
    name: str = "case"
    opened: int = 0

    def __post_init__(self):
        self.voxels = {
            int(value): np.argwhere(self.stored_label == value) for value in np.unique(self.stored_label) if value not in (0, 255)
        }
        self.classes = {value: len(found) for value, found in self.voxels.items()}
        self.shape = self.stored_label.shape

    def image(self):
        self.opened += 1
        return self.stored_image

    def label(self):
        self.opened += 1
        return self.stored_label

    def foreground_voxel(self, value, number):
        return tuple(map(int, self.voxels[value][number]))


def random_case(shape=(20, 18, 14), channels=2, seed=0, classes=2):
    """A case of random intensities that holds a box of each class."""
    random = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    for value in range(1, classes + 1):
        first = [int(random.integers(size // 2)) for size in shape]
        label[tuple(slice(low, low + size // 4 + 1) for low, size in zip(first, shape))] = value
    return MemoryCase(random.standard_normal((*shape, channels)).astype(np.float16), label)
