"""plans.json: how a dataset is prepared, and patch, batch and network for each configuration; for people to read and to edit."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from scnas_keras.documents import Misfit, check_version, decode, parse
from scnas_keras.documents.places import join, written
from scnas_keras.documents.ranges import (
    Labels,
    Name,
    PatchSize,
    Positive,
    Share,
    Spacing,
    check_axes,
    check_different,
    check_labels,
    check_permutation,
)
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import file_in, readable_json, write_text
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.planning.names import PLANS
from scnas_keras.planning.topology import Topology
from scnas_keras.preprocessing.fingerprint import Intensities
from scnas_keras.preprocessing.plan import Denoising, Normalization, PreprocessingPlan, Resampling
from scnas_keras.preprocessing.plan import Scheme as PreprocessingScheme

FORMAT, VERSION = "scnas_keras.plans", 1
MOST = 100
"""Configurations of a plan."""
_REMEDY = "Fix this place. To make a new one: scnas plan --data_dir=DIR --output=PLAN"
Scheme = Literal[
    "ZScoreNormalization",
    "CTNormalization",
    "NoNormalization",
    "RescaleTo01Normalization",
    "RGBTo01Normalization",
    "ZScoreAfterResampling",
    "FixedNormalization",
]
"""nnU-Net's names of the normalisation schemes, which plans.json uses, and two that nnU-Net lacks: SCNAS', and one by fixed numbers."""
SCHEMES: dict[Scheme, PreprocessingScheme] = {
    "ZScoreNormalization": "zscore",
    "CTNormalization": "ct",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale_to_0_1",
    "RGBTo01Normalization": "rgb_to_0_1",
    "ZScoreAfterResampling": "zscore_resampled",
    "FixedNormalization": "fixed",
}
"""Those of `Normalization`."""
Step = Annotated[int, Meta(ge=1, le=64)]
Row = Annotated[tuple[Step, ...], Meta(min_length=2, max_length=3)]


@dataclasses.dataclass(frozen=True)
class Fixed:
    """What is subtracted from intensities of 0 to 1, and what then divides them: by default the numbers of Auto-LW-MISN (Zhang et al. 2022,
    section 3.2), for the liver in CT."""

    mean: float = 0.3667
    std: Positive = 0.3533


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One way to train on a dataset. All axes are the plan's.

    Attributes:
        spacing: mm along each axis of the network, 2 or 3. With `slice_size`, what its slices' pixels usually measure.
        median_image_size_in_voxels: of the prepared scans.
        patch_size: voxels.
        batch_size: patches a step.
        normalization_schemes: per channel, keys of `SCHEMES`.
        use_mask_for_norm: per channel, whether intensities are normalised over the nonzero voxels only.
        strides, kernel_sizes, features_per_stage: of the network's stages, finest first.
        batch_dice: whether nnU-Net's loss sums Dice over the batch.
        foreground_share: share of the patches that are centred on a labelled voxel.
        resampling: spline orders.
        augmentation: what is done to training patches.
        previous_stage: the configuration whose segmentation is another input; its scans are prepared in both ways.
        slice_size: voxels that each whole slice is brought to, in place of `spacing`; for networks of slices.
        fixed: the numbers of FixedNormalization, where a channel has it.
        denoising: what is done to scans before all else, or None.
        blocks_per_stage: convolutions, or residual blocks, of the encoder's stages; None for the network's own numbers.
    """

    spacing: Annotated[tuple[Spacing, ...], Meta(min_length=2, max_length=3)]
    median_image_size_in_voxels: tuple[Positive, ...]
    patch_size: Annotated[tuple[PatchSize, ...], Meta(min_length=2, max_length=3)]
    batch_size: Annotated[int, Meta(ge=1, le=10**5)]
    normalization_schemes: tuple[Scheme, ...]
    use_mask_for_norm: tuple[bool, ...]
    strides: Annotated[tuple[Row, ...], Meta(min_length=1, max_length=32)]
    kernel_sizes: tuple[Row, ...]
    features_per_stage: tuple[Annotated[int, Meta(ge=1, le=10**5)], ...]
    batch_dice: bool
    foreground_share: Share
    resampling: Resampling
    augmentation: Augmentation
    previous_stage: str | None = None
    blocks_per_stage: tuple[Annotated[int, Meta(ge=1, le=32)], ...] | None = dataclasses.field(default=None, repr=False)
    slice_size: tuple[PatchSize, PatchSize] | None = dataclasses.field(default=None, repr=False)
    fixed: Fixed | None = dataclasses.field(default=None, repr=False)
    denoising: Denoising | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self):
        rank, stages = len(self.spacing), len(self.strides)
        for name in ("median_image_size_in_voxels", "patch_size"):
            _check_count(name, getattr(self, name), rank, "axis of spacing")
        _check_count("use_mask_for_norm", self.use_mask_for_norm, len(self.normalization_schemes), "channel of normalization_schemes")
        for name in ("kernel_sizes", "features_per_stage"):
            _check_count(name, getattr(self, name), stages, "stage of strides")
        if self.blocks_per_stage is not None:
            _check_count("blocks_per_stage", self.blocks_per_stage, stages, "stage of strides")
        if self.slice_size and rank != 2:
            raise Misfit("slice_size", self.slice_size, "none, as spacing has 3 axes: volumes aren't brought to a size")
        if "FixedNormalization" in self.normalization_schemes and self.fixed is None:
            raise Misfit("fixed", None, 'its numbers, like {"mean": 0.3667, "std": 0.3533}, as a channel has FixedNormalization')
        for name in ("strides", "kernel_sizes"):
            for index, row in enumerate(getattr(self, name)):
                _check_count(f"{name}[{index}]", row, rank, "axis of spacing")
        if set(self.strides[0]) != {1}:
            raise Misfit("strides[0]", self.strides[0], "1 along each axis: the first stage has the resolution of the patch")
        check_axes(f"augmentation.{self.augmentation.mirror_place}", self.augmentation.mirror_axes, rank)
        divisors = self.topology.divisors
        if any(size % divisor for size, divisor in zip(self.patch_size, divisors)):
            raise Misfit("patch_size", self.patch_size, f"sizes divisible by {list(divisors)}, the product of the strides")

    @property
    def topology(self) -> Topology:
        """Patch and stages."""
        return Topology(self.patch_size, self.strides, self.kernel_sizes, self.blocks_per_stage)

    def to_dict(self) -> dict[str, Any]:
        """For plans.json."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain |= {name: dataclasses.asdict(value) for name in ("fixed", "denoising") if (value := plain[name])}
        plain |= {"resampling": dataclasses.asdict(self.resampling), "augmentation": self.augmentation.to_dict()}
        return {name: value for name, value in plain.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Plans:
    """All that plans.json holds.

    Attributes:
        dataset: its name.
        network: the network for which patches and batches were sized.
        memory_gb: the memory they were sized for.
        transpose_forward: axis i of the plan is axis `transpose_forward[i]` of the fingerprint.
        axes: names of the plan's axes.
        channel_names: in order.
        labels: class name to value or values, as in dataset.json.
        foreground_intensities: per channel, over labelled voxels; CT is normalised with them.
        configurations: by name: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres.
    """

    dataset: str
    network: str
    memory_gb: Positive
    transpose_forward: tuple[int, int, int]
    axes: tuple[Name, Name, Name]
    channel_names: Annotated[tuple[str, ...], Meta(min_length=1)]
    labels: Labels
    foreground_intensities: tuple[Intensities, ...]
    configurations: Annotated[Mapping[str, Configuration], Meta(min_length=1, max_length=MOST)]

    def __post_init__(self):
        check_permutation("transpose_forward", self.transpose_forward)
        check_different("axes", self.axes)
        check_labels("labels", self.labels)
        channels = len(self.channel_names)
        _check_count("foreground_intensities", self.foreground_intensities, channels, "channel of channel_names")
        for name, configuration in self.configurations.items():
            place = written(("configurations", name))
            schemes = configuration.normalization_schemes
            _check_count(f"{place}.normalization_schemes", schemes, channels, "channel of channel_names")
            for index, scheme in enumerate(schemes):
                std = self.foreground_intensities[index].std
                if scheme == "CTNormalization" and std <= 0:
                    raise Misfit(f"foreground_intensities[{index}].std", std, f"a number above 0, as {scheme} divides by it")
            others = [other for other in self.configurations if other != name]
            if configuration.previous_stage not in (None, *others):
                known = ", ".join(others) or "there is none"
                raise Misfit(f"{place}.previous_stage", configuration.previous_stage, f"another configuration: {known}")

    @property
    def transpose_backward(self) -> tuple[int, ...]:
        """Axis i of the fingerprint is axis `transpose_backward[i]` of the plan."""
        return tuple(self.transpose_forward.index(axis) for axis in range(3))

    def configuration(self, name: str) -> Configuration:
        """The configuration of a name; ConfigError if there is none."""
        if name not in self.configurations:
            there = " or ".join(self.configurations)
            raise ConfigError(f"--configuration={name}: the plan of {self.dataset} has none. Name what it has: --configuration={there}.")
        return self.configurations[name]

    def preprocessing(self, name: str, labels: Mapping[int, str]) -> PreprocessingPlan:
        """What a configuration's scans go through.

        Args:
            name: of the configuration.
            labels: value to class name.
        """
        configuration = self.configuration(name)
        channels = []
        for index, scheme in enumerate(configuration.normalization_schemes):
            found, numbers = self.foreground_intensities[index], {}
            if scheme == "FixedNormalization" and configuration.fixed:
                numbers = dataclasses.asdict(configuration.fixed)
            if scheme == "CTNormalization":
                numbers = {"low": found.percentile_00_5, "high": found.percentile_99_5, "mean": found.mean, "std": found.std}
            channels.append(Normalization(self.channel_names[index], SCHEMES[scheme], configuration.use_mask_for_norm[index], **numbers))
        *outer, second, third = configuration.spacing
        spacing = (outer[0] if outer else None, second, third)
        return PreprocessingPlan(
            spacing,
            tuple(channels),
            dict(labels),
            self.transpose_forward,
            configuration.resampling,
            slice_size=configuration.slice_size,
            denoising=configuration.denoising,
        )

    def to_json(self) -> str:
        """The document; a cascade's configuration says what it inherits."""
        return readable_json(
            {
                "format": FORMAT,
                "version": VERSION,
                "dataset": self.dataset,
                "network": self.network,
                "memory_gb": self.memory_gb,
                "transpose_forward": self.transpose_forward,
                "transpose_backward": self.transpose_backward,
                "axes": self.axes,
                "channel_names": self.channel_names,
                "labels": dict(self.labels),
                "foreground_intensities": [dataclasses.asdict(found) for found in self.foreground_intensities],
                "configurations": {name: self._entry(configuration) for name, configuration in self.configurations.items()},
            }
        )

    def save(self, path: str | Path) -> None:
        """Writes plans.json."""
        write_text(path, self.to_json())

    def _entry(self, configuration: Configuration) -> dict[str, Any]:
        """A configuration in full, or what it has beyond the one it's otherwise equal to."""
        if configuration.previous_stage:
            alone = dataclasses.replace(configuration, previous_stage=None)
            for name, other in self.configurations.items():
                if other == alone:
                    return {"inherits_from": name, "previous_stage": configuration.previous_stage}
        return configuration.to_dict()


def load_plans(path: str | Path) -> Plans:
    """Reads plans.json, edited or not.

    Raises:
        DataError: it can't be read, or an entry is missing or impossible; the place is named.
    """
    path = file_in(path, PLANS)
    content = parse(path, _REMEDY)
    check_version(content, FORMAT, (VERSION,), path, _REMEDY)
    body = {key: value for key, value in content.items() if key not in ("format", "version", "transpose_backward")}
    try:
        entries = body.get("configurations")
        if isinstance(entries, dict) and len(entries) <= MOST:  # of more, `decode` tells
            body["configurations"] = {name: _inherit(name, entries) for name in entries}
        plans = decode(body, Plans, path, _REMEDY)
        backward = content.get("transpose_backward")
        if backward not in (None, list(plans.transpose_backward)):
            raise Misfit("transpose_backward", backward, f"{list(plans.transpose_backward)}, the way back of transpose_forward")
    except Misfit as error:
        raise DataError(f"{path}: {error}. {_REMEDY}") from error
    return plans


def _inherit(name: str, entries: Mapping[str, Any], below: tuple[str, ...] = ()) -> Any:
    """A configuration's entries over those of the configuration that it inherits from."""
    own = entries[name]
    if not isinstance(own, dict) or "inherits_from" not in own:
        return own
    parent, chain = own["inherits_from"], (*below, name)
    known = [other for other in entries if other not in chain]
    if parent not in known:
        place = join(written(("configurations", name)), "inherits_from")
        raise Misfit(place, parent, f"another configuration: {', '.join(known) or 'there is none'}")
    if not isinstance(entries[parent], dict):
        return own
    return _inherit(parent, entries, chain) | {key: value for key, value in own.items() if key != "inherits_from"}


def _check_count(place: str, found: Sequence[Any], count: int, what: str) -> None:
    """Misfit unless a list has an entry for each of something."""
    if len(found) != count:
        raise Misfit(place, found, f"a list of {count}, one for each {what}")
