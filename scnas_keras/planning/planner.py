"""From a fingerprint to plans: nnU-Net's rules (numbers and sources in its planners; Isensee et al. 2021, supplementary note 2).

The rules "nnunet" give what nnU-Net's experiment planner gives for its own networks, and size every other network by the same
steps. The rules "scnas" are the SCNAS paper's setting (arXiv 1906.05956, section 3, "Implementation Details"): 0.7 mm isotropic,
patches of the median scan's proportions and at most 128^3 voxels anywhere in the scan, every channel by its mean and deviation.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.patches.names import PAPER, V2
from scnas_keras.patches.presets import preset
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.names import NNUNET, SCNAS
from scnas_keras.planning.plans import Configuration, Fixed, Plans, Scheme
from scnas_keras.planning.rules import MASK_BELOW, median_size, normalization_schemes, start_patch, target_spacing, transpose_forward
from scnas_keras.planning.topology import Topology
from scnas_keras.preprocessing.fingerprint import CANONICAL_AXES, Fingerprint
from scnas_keras.preprocessing.names import FIXED
from scnas_keras.preprocessing.plan import Denoising, Resampling, parse_spacing
from scnas_keras.tasks.sides import mirror_axes

LOWRES_SHARE = 0.25  # a patch that sees less than this of the median scan asks for a low resolution
LOWRES_STEP = 1.03
LOWRES_GAIN = 2.0  # voxels that the low resolution must save at least
FOREGROUND_SHARE = 0.5  # nnU-Net asks for a third and at its usual batch of two gets a half
SCNAS_SPACING, SCNAS_VOXELS = 0.7, 128**3


@dataclasses.dataclass(frozen=True)
class Sized:
    """A patch with its stages, and how many of them a step takes."""

    topology: Topology
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a user may decide instead of the rules.

    Attributes:
        memory_gb: memory of the device in GiB; None for what the network's reference takes (8 for nnU-Net's plain U-Net).
        spacing: mm along x, y, z, or along the fingerprint's axes if these aren't called so; or None.
        augmentation: preset of the patches' augmentation; None for the rules' own.
        mirror_axes: "auto", "none", or some of the fingerprint's axes, such as x,y,z.
        slice_size: pixels that slices are brought to, along those of x, y, z that slices have; or None.
        normalization: "fixed" for every channel by fixed numbers; None for the rules' own.
        denoise: whether scans are denoised.
    """

    memory_gb: float | None = None
    spacing: Sequence[float] | None = None
    augmentation: str | None = None
    mirror_axes: str = "auto"
    slice_size: Sequence[int] | None = None
    normalization: str | None = None
    denoise: bool = False


LONGEST = 2**16
"""The most voxels of an axis that a spacing asked for may lead to."""


def make_plans(fingerprint: Fingerprint, network: Footprint, rules: str = NNUNET, wishes: Wishes = Wishes()) -> Plans:
    """Plans a dataset's configurations.

    Args:
        fingerprint: of the dataset.
        network: for which patches and batches are sized.
        rules: "nnunet" or "scnas".
        wishes: what the user decides.

    Raises:
        ConfigError: the memory isn't enough for the smallest patch, the network is for other numbers of axes, or scans would get larger by
            a spacing than any is.
    """
    spacing = None if wishes.spacing is None else np.array(_along(fingerprint.axes, parse_spacing(wishes.spacing)))
    if spacing is not None and max(size := median_size(fingerprint, spacing)) > LONGEST:
        raise ConfigError(
            f"--spacing={','.join(f'{step:g}' for step in wishes.spacing)}: the median scan of {fingerprint.name} would have "
            f"{' x '.join(f'{edge:.0f}' for edge in size)} voxels, and an axis can have {LONGEST} at most. It is in mm; name a coarser one."
        )
    if wishes.slice_size:
        return _plan_slices(fingerprint, network, rules, wishes)
    if rules == SCNAS:
        return _plan_scnas(fingerprint, network, np.full(3, SCNAS_SPACING) if spacing is None else spacing, wishes)
    return _plan_nnunet(fingerprint, network, target_spacing(fingerprint) if spacing is None else spacing, wishes)


def _plan_nnunet(fingerprint: Fingerprint, network: Footprint, target: np.ndarray, wishes: Wishes) -> Plans:
    order = transpose_forward(target)
    median, target = median_size(fingerprint, target)[list(order)], target[list(order)]
    voxels = float(np.prod(median)) * fingerprint.num_training
    draft = _Draft(fingerprint, network, order, wishes, V2)
    configurations = {}
    if 2 in network.ranks:
        configurations["2d"] = draft.configuration(target[1:], median[1:], voxels, batch_dice=True)
    if 3 in network.ranks and median[0] != 1:
        full = draft.configuration(target, median, voxels, batch_dice=False)
        low = draft.low_resolution(full, median)
        if low is not None:
            full = dataclasses.replace(full, batch_dice=True)
            configurations["3d_lowres"] = low
        configurations["3d_fullres"] = full
        if low is not None:
            configurations["3d_cascade_fullres"] = dataclasses.replace(full, previous_stage="3d_lowres")
    if not configurations:
        raise ConfigError(
            f"{fingerprint.name} holds 2D images, and a {network.name} network is for 3D scans. Those of nnU-Net (--network=nnunet of "
            "scnas plan) take both."
        )
    return draft.plans(configurations)


def check_slices(size: Sequence[int], network: Footprint, rules: str) -> None:
    """Raises ConfigError unless a network and rules are for slices, so that these can be brought to a size."""
    if rules != NNUNET or 2 not in network.ranks:
        raise ConfigError(
            f"--resize={','.join(map(str, size))} is for pictures and slices, so for --plan={NNUNET} and a network of 2D: found --plan="
            f"{rules} and a {network.name} network of {' or '.join(f'{rank}D' for rank in network.ranks)}."
        )


def _plan_slices(fingerprint: Fingerprint, network: Footprint, rules: str, wishes: Wishes) -> Plans:
    """nnU-Net's configuration of slices, where each whole one is brought to one size; the spacing is what this usually makes of theirs."""
    check_slices(size := wishes.slice_size or (), network, rules)
    target = target_spacing(fingerprint)
    order = transpose_forward(target)
    within = order[1:]
    along = sorted(within, key=lambda axis: fingerprint.axes[axis])
    wanted = np.array([size[along.index(axis)] for axis in within], float)
    extent = np.median(np.array(fingerprint.spacings) * np.array(fingerprint.shapes), axis=0)[list(within)]
    slices = median_size(fingerprint, target)[order[0]] * fingerprint.num_training
    draft = _Draft(fingerprint, network, order, wishes, V2)
    found = draft.configuration(extent / wanted, wanted, float(np.prod(wanted)) * slices, batch_dice=True)
    first, second = map(int, wanted)
    return draft.plans({"2d": dataclasses.replace(found, slice_size=(first, second))})


def _plan_scnas(fingerprint: Fingerprint, network: Footprint, target: np.ndarray, wishes: Wishes) -> Plans:
    """The paper's setting; of its patches as many a step as the memory takes. What it leaves open is as docs/search.md says."""
    order = transpose_forward(target)
    median, target = median_size(fingerprint, target)[list(order)], target[list(order)]
    if 3 not in network.ranks or np.median(fingerprint.shapes, axis=0).min() == 1:
        raise ConfigError(f"--plan=scnas is for 3D scans and 3D networks; use --plan=nnunet for {fingerprint.name} with {network.name}.")
    draft = _Draft(fingerprint, network, order, wishes, PAPER)
    sized = draft.size_2018(target, median, float(np.prod(median)) * fingerprint.num_training)
    found = draft.fill(target, median, sized, batch_dice=False)
    schemes: tuple[Scheme, ...] = ("ZScoreAfterResampling",) * len(fingerprint.channel_names)
    masked = (fingerprint.relative_size < MASK_BELOW,) * len(schemes)
    if found.fixed is None:
        found = dataclasses.replace(found, normalization_schemes=schemes, use_mask_for_norm=masked)
    found = dataclasses.replace(found, foreground_share=0.0)
    return draft.plans({"3d_fullres": found})


class _Draft:
    """Plans in the making: the dataset, the network and the wishes, which all configurations share."""

    def __init__(self, fingerprint: Fingerprint, network: Footprint, order: tuple[int, int, int], wishes: Wishes, augmentation: str):
        self.fingerprint, self.network, self.order = fingerprint, network, order
        first, second, third = (fingerprint.axes[axis] for axis in order)
        self.axes = first, second, third
        self.augmentation, self.fixed = wishes.augmentation or augmentation, Fixed() if wishes.normalization == FIXED else None
        self.denoising = Denoising() if wishes.denoise else None
        self.memory_is_given = wishes.memory_gb is not None
        self.memory_gb = float(network.reference(network.ranks[-1]).gigabytes if wishes.memory_gb is None else wishes.memory_gb)
        self.mirror_axes, message = mirror_axes(list(fingerprint.labels), self.axes, wishes.mirror_axes)
        if message:
            logging.info(message)

    def configuration(self, spacing: np.ndarray, median: np.ndarray, voxels: float, batch_dice: bool) -> Configuration:
        """The configuration of a spacing; `median` is the median scan in voxels, `voxels` those of the dataset."""
        return self.fill(spacing, median, self.size(spacing, median, voxels), batch_dice)

    def size(self, spacing: np.ndarray, median: np.ndarray, voxels: float) -> Sized:
        """The largest patch of the median scan's proportions that fits the memory, and the batch that fills it."""
        topology = self.network.topology(spacing.tolist(), start_patch(spacing, median))
        reference = self.network.reference(len(spacing))
        limit = reference.elements_for(self.memory_gb) * reference.largest_patch
        while self.elements(topology) > limit:
            topology = self._smaller(topology, spacing, median)
        return Sized(topology, self.batch_size(topology, voxels))

    def size_2018(self, spacing: np.ndarray, median: np.ndarray, voxels: float) -> Sized:
        """The patch of nnU-Net's first paper (arXiv 1809.10486, "Dynamic adaptation of network topologies").

        The whole median scan, or in its proportions at most 128^3 voxels, which is what that paper's memory allowed; less where the
        user says how much memory there is.
        """
        share = min(1.0, SCNAS_VOXELS / float(np.prod(median))) ** (1 / len(median))
        topology = self.network.topology(spacing.tolist(), (median * share).tolist())
        limit = self.network.reference(len(spacing)).elements_for(self.memory_gb) if self.memory_is_given else math.inf
        while math.prod(topology.patch_size) > SCNAS_VOXELS or self.elements(topology) > limit:
            topology = self._smaller(topology, spacing, median)
        return Sized(topology, self.batch_size(topology, voxels))

    def batch_size(self, topology: Topology, voxels: float) -> int:
        """Patches a step: what the memory holds, a share of the dataset at most, and the network's least at least."""
        network = self.network
        batch = network.reference(len(topology.patch_size)).batch_size(self.elements(topology), self.memory_gb)
        if network.dataset_share is not None:
            batch = min(batch, round(voxels * network.dataset_share / math.prod(topology.patch_size)))
        if network.largest_batch is not None:
            batch = min(batch, network.largest_batch)
        return max(batch, network.smallest_batch)

    def elements(self, topology: Topology) -> int:
        return self.network.elements(topology, len(self.fingerprint.channel_names), len(self.fingerprint.labels))

    def low_resolution(self, full: Configuration, median: np.ndarray) -> Configuration | None:
        """The configuration at a resolution at which a patch sees a quarter of the median scan; None if it isn't worth it."""
        fine = np.array(full.spacing)
        spacing, low, seen, voxels = fine.copy(), None, math.prod(full.patch_size), float(np.prod(median))
        while seen / voxels < LOWRES_SHARE:
            much_finer = max(spacing) / spacing > 2
            spacing[much_finer if much_finer.any() else slice(None)] *= LOWRES_STEP
            voxels = float(np.prod(fine / spacing * median))
            size = np.array([max(1, round(edge)) for edge in fine / spacing * median], float)
            low = self.configuration(spacing.copy(), size, voxels * self.fingerprint.num_training, batch_dice=False)
            seen = math.prod(low.patch_size)
        return None if low is None or np.prod(median) / voxels < LOWRES_GAIN else low

    def fill(self, spacing: np.ndarray, median: np.ndarray, sized: Sized, batch_dice: bool) -> Configuration:
        """A configuration's entries around its patch."""
        schemes, use_mask = normalization_schemes(self.fingerprint)
        if self.fixed:
            schemes, use_mask = ("FixedNormalization",) * len(schemes), (False,) * len(schemes)
        topology = sized.topology
        rank = len(topology.patch_size)
        return Configuration(
            spacing=tuple(map(float, spacing)),
            median_image_size_in_voxels=tuple(map(float, median)),
            patch_size=topology.patch_size,
            batch_size=sized.batch_size,
            normalization_schemes=schemes,
            use_mask_for_norm=use_mask,
            strides=topology.strides,
            kernel_sizes=topology.kernel_sizes,
            features_per_stage=self.network.features(topology),
            batch_dice=batch_dice,
            foreground_share=FOREGROUND_SHARE,
            resampling=Resampling(),
            augmentation=preset(self.augmentation, topology.patch_size, self._mirror_axes(rank)),
            fixed=self.fixed,
            denoising=self.denoising,
        )

    def plans(self, configurations: dict[str, Configuration]) -> Plans:
        """The finished plans."""
        fingerprint, order = self.fingerprint, self.order
        return Plans(
            dataset=fingerprint.name,
            network=self.network.name,
            memory_gb=self.memory_gb,
            transpose_forward=order,
            axes=self.axes,
            channel_names=fingerprint.channel_names,
            labels=fingerprint.labels,
            foreground_intensities=fingerprint.intensities,
            configurations=configurations,
        )

    def _mirror_axes(self, rank: int) -> tuple[int, ...]:
        """Axes of a configuration's patches that may be flipped; a 2D one has the plan's last two axes."""
        return tuple(axis - (3 - rank) for axis in self.mirror_axes if axis >= 3 - rank)

    def _smaller(self, topology: Topology, spacing: np.ndarray, median: np.ndarray) -> Topology:
        """The patch with a step less along the axis on which it sees the largest part of the median scan, of those with a step left."""
        for axis in np.argsort([edge / whole for edge, whole in zip(topology.patch_size, median)])[::-1]:
            # A smaller patch may be halved less often, and then a smaller step is possible: 192 from 256 would skip 224.
            trial, size = list(topology.patch_size), list(topology.patch_size)
            trial[axis] -= topology.divisors[axis]
            if trial[axis] > 0:
                size[axis] -= self.network.topology(spacing.tolist(), trial).divisors[axis]
                found = self.network.topology(spacing.tolist(), size)
                if math.prod(found.patch_size) < math.prod(topology.patch_size):  # a network may have a least patch
                    return found
        raise ConfigError(
            f"--memory_gb={self.memory_gb:g} is too little to train {self.network.name} on any patch of {self.fingerprint.name}. "
            "Give more memory, or choose a narrower network."
        )


def _along(axes: Sequence[str], spacing: Sequence[float]) -> list[float]:
    """A spacing along x, y, z as one along axes of these names; along axes of other names as it is."""
    return [spacing[CANONICAL_AXES.index(axis)] for axis in axes] if sorted(axes) == sorted(CANONICAL_AXES) else list(spacing)
