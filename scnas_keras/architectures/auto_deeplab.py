"""Auto-DeepLab's published network."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages, Reference
from scnas_keras.planning.topology import Topology, fixed_topology

if TYPE_CHECKING:
    import keras

PATH = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
"""Of the cells: a level is a quarter, an eighth, ... of the image's resolution."""
BLOCKS = (
    ((1, "conv_5_rate_2"), (0, "separable_conv_3")),
    ((1, "separable_conv_3"), (0, "conv_3_rate_2")),
    ((3, "separable_conv_3"), (1, "separable_conv_3")),
    ((4, "separable_conv_5"), (2, "separable_conv_5")),
    ((3, "separable_conv_5"), (5, "conv_5_rate_2")),
)
"""Of a cell: the two nodes that each sums, and their operations. Node 0 is the output of the cell before, 1 that of the one before it."""
STEM, ASPP, SKIP, RATES = (64, 64, 128), 256, 48, (6, 12, 18)
"""Channels of the stem's three convolutions, of the pyramid and the decoder, and of the decoder's skip; dilations of the pyramid."""
QUARTER = 2
"""Level of the image's resolution, divided by 2 ** level, at which the path's level 0 is."""
SKIP_CELL = 2
HALVINGS = QUARTER + max(PATH)
REFERENCE = Reference(440e6, 1, 11.5, fixed_gigabytes=1.7, is_limit=True)
"""Measured on a CPU in float32: 24 bytes an element, above 1.7 GiB (128^2 and 256^2, batches of 4)."""


@dataclasses.dataclass(frozen=True)
class AutoDeepLab(FixedStages):
    """Auto-DeepLab's network of Liu et al., in 2D and 3D; at a quarter of the resolution a cell's five nodes have `width` channels each."""

    width: int = 20
    name: ClassVar = "auto_deeplab"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = False
    memory: ClassVar = REFERENCE

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
        """Of one voxel at the coarsest stage, which all cells lead through, normalisation leaves nothing: there are two at least."""
        found = fixed_topology(patch_size, self.halvings)
        alone = found.patch_size == found.divisors
        return fixed_topology([2 * size for size in found.patch_size], self.halvings) if alone else found

    def features(self, topology: Topology) -> tuple[int, ...]:
        return STEM[0], STEM[1], *(len(BLOCKS) * self.width * 2**level for level in range(max(PATH) + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        total = (STEM[0] + STEM[1]) * voxels[1] + STEM[2] * voxels[QUARTER]
        for before, level, levels in _cells():
            node, width = min(before, level), self.width * 2**level
            inputs = sum(voxels[QUARTER + max(source, node)] for source in levels)
            total += width * (inputs + 2 * len(BLOCKS) * voxels[QUARTER + level])
        pyramid = ASPP * ((2 + len(RATES)) * voxels[QUARTER + PATH[-1]] + 2)
        return total + pyramid + (SKIP + 2 * ASPP + heads) * voxels[QUARTER]

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return auto_deeplab(channels, num_classes, self.width, len(topology.patch_size), self.name)


DECLARED = (AutoDeepLab(),)


def auto_deeplab(channels: int, num_classes: int, width: int = 20, rank: int = 2, name: str = "auto_deeplab") -> "keras.Model":
    """The network that Auto-DeepLab found on Cityscapes: twelve equal cells on a path of resolutions, a pyramid of dilated convolutions
    (ASPP) and DeepLab's decoder, whose logits are interpolated linearly.

    As the authors' program has it, but for instance normalisation (the pyramid's branch of means has none, since there is one voxel), and
    for how resolutions are reached: every second voxel where a cell's input is finer, linear interpolation behind the pointwise convolution
    where it is coarser. Maps images [batch, *space, channels], every spatial axis divisible by 32, to logits [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels of a cell's nodes at a quarter of the resolution (F); published are 20, 32 and 48.
        rank: spatial axes, 2 or 3.
        name: the model's name.

    Reference:
        Liu et al., Auto-DeepLab, CVPR 2019, arXiv 1901.02985; cell and path: tensorflow/models, research/deeplab/core/nas_network.py.
    """
    from scnas_keras.networks import blocks, heads
    from scnas_keras.networks.parts import Doubled

    image, x = blocks.image(rank, channels)
    x = blocks.conv_norm_activate(x, STEM[0], 3, "stem_0", strides=2)
    outputs = [blocks.norm(blocks.conv(x, STEM[1], 3, "stem_1"), "stem_1_norm")]
    x = blocks.conv(blocks.activate(outputs[0], "stem_1_activation"), STEM[2], 3, "stem_2", strides=2)
    outputs.append(blocks.norm(x, "stem_2_norm"))
    for number, (before, level, levels) in enumerate(_cells()):
        outputs.append(_cell(outputs[-1:-3:-1], levels, min(before, level), level, width * 2**level, f"cell_{number:02d}"))
    x = _pyramid(blocks.activate(outputs[-1], "cells_activation"), "pyramid")
    x = Doubled(PATH[-1], smooth=True, name="decoder_up")(x)
    skip = blocks.conv_norm_activate(outputs[2 + SKIP_CELL], SKIP, 1, "decoder_skip")
    x = blocks.two_convs(blocks.concatenate([x, skip], "decoder_concat"), ASPP, "decoder")
    logits = Doubled(QUARTER, smooth=True, dtype="float32", name="doubled_logits")(blocks.logits(x, num_classes))
    return heads.with_outputs(image, [logits], name)


def _cells() -> list[tuple[int, int, tuple[int, int]]]:
    """Of each cell: the level of the cell before, its own, and those of its two inputs, the nearer first."""
    levels = [-1, 0, *PATH]  # of the stem's two outputs, then of the cells
    return [(levels[n - 1], levels[n], (levels[n - 1], levels[n - 2])) for n in range(2, len(levels))]


def _cell(inputs: Sequence, levels: Sequence[int], node: int, level: int, width: int, name: str):
    """A cell at a level, whose inputs are brought to that of its nodes; where it is coarser, what leaves them halves."""
    from scnas_keras.networks import blocks
    from scnas_keras.networks.parts import Align, Doubled
    from scnas_keras.operations.build import build_operation
    from scnas_keras.operations.facts import HALVING, ORDINARY

    nodes = []
    for number, (x, own) in enumerate(zip(inputs, levels)):
        x = Align(width, min(own - node, 0), name=f"{name}_input_{number}")(x)
        nodes.append(Doubled(own - node, smooth=True, name=f"{name}_input_{number}_up")(x) if own > node else x)
    for number, block in enumerate(BLOCKS, start=2):
        terms = []
        for source, operation in block:
            role = HALVING if source < 2 and level > node else ORDINARY
            terms.append(build_operation(operation, role, name=f"{name}_{operation}_{source}_to_{number}")(nodes[source]))
        nodes.append(blocks.add(terms, f"{name}_node_{number}"))
    return blocks.concatenate(nodes[2:], f"{name}_output")


def _pyramid(x, name: str):
    """Dilated convolutions side by side, and the mean of all voxels; a pointwise convolution joins them; its part of the mean is added."""
    from scnas_keras.networks import blocks

    branches = [blocks.conv_norm_activate(x, ASPP, 1, f"{name}_1")]
    branches += [blocks.conv_norm_activate(x, ASPP, 3, f"{name}_rate_{rate}", dilation=rate) for rate in RATES]
    mean = blocks.activate(blocks.conv(blocks.mean(x, f"{name}_mean"), ASPP, 1, f"{name}_mean_conv", bias=True), f"{name}_mean_activation")
    joined = blocks.norm(blocks.conv(blocks.concatenate(branches, f"{name}_concat"), ASPP, 1, f"{name}_join"), f"{name}_joined_norm")
    x = blocks.add([joined, blocks.conv(mean, ASPP, 1, f"{name}_join_mean")], f"{name}_sum")  # a normalisation would take the mean away
    return blocks.activate(x, f"{name}_joined_activation")
