"""plans.json: how a dataset is prepared, and patch, batch and network for each configuration; for people to read and to edit."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scnas_keras.documents import entry, read_document, typed, typed_fields
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import readable_json, write_text
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.planning.topology import Topology
from scnas_keras.preprocessing.fingerprint import Intensities
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan, Resampling

FORMAT, VERSION = "scnas_keras.plans", 1
_REMEDY = "To make a new one: python -m scnas_keras.plan --data_dir=DIR --output=PLAN"
SCHEMES = {
    "ZScoreNormalization": "zscore",
    "CTNormalization": "ct",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale_to_0_1",
    "RGBTo01Normalization": "rgb_to_0_1",
}
"""nnU-Net's names of the normalisation schemes, which plans.json uses, and those of `Normalization`."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One way to train on a dataset. All axes are the plan's.

    Attributes:
        spacing: mm along each axis of the network, 2 or 3.
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
    """

    spacing: tuple[float, ...]
    median_image_size_in_voxels: tuple[float, ...]
    patch_size: tuple[int, ...]
    batch_size: int
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    features_per_stage: tuple[int, ...]
    batch_dice: bool
    foreground_share: float
    resampling: Resampling
    augmentation: Augmentation
    previous_stage: str | None = None

    def __post_init__(self):
        rank, stages = len(self.spacing), len(self.strides)
        if rank not in (2, 3) or not min(self.spacing) > 0:
            raise DataError(f"spacing needs 2 or 3 numbers of mm above 0, found {list(self.spacing)}")
        if len(self.patch_size) != rank or min(self.patch_size) < 1:
            raise DataError(f"patch_size needs {rank} whole numbers above 0, found {list(self.patch_size)}")
        if len(self.median_image_size_in_voxels) != rank:
            raise DataError(f"median_image_size_in_voxels needs {rank} numbers, found {list(self.median_image_size_in_voxels)}")
        if self.batch_size < 1:
            raise DataError(f"batch_size must be a whole number above 0, found {self.batch_size}")
        if not 0 <= self.foreground_share <= 1:
            raise DataError(f"foreground_share must be from 0 to 1, found {self.foreground_share}")
        unknown = sorted(set(self.normalization_schemes) - set(SCHEMES))
        if unknown or len(self.use_mask_for_norm) != len(self.normalization_schemes):
            raise DataError(
                f"normalization_schemes and use_mask_for_norm need an entry a channel, of {', '.join(SCHEMES)}; found "
                f"{list(self.normalization_schemes)} and {list(self.use_mask_for_norm)}"
            )
        if (
            not stages
            or not all(len(row) == rank for row in (*self.strides, *self.kernel_sizes))
            or any(len(rows) != stages for rows in (self.kernel_sizes, self.features_per_stage))
        ):
            raise DataError(f"strides, kernel_sizes and features_per_stage need an entry for each of {stages} stages, of {rank} numbers")
        if min(*sum(self.strides, ()), *sum(self.kernel_sizes, ()), *self.features_per_stage) < 1:
            raise DataError("strides, kernel_sizes and features_per_stage must be above 0")
        divisors = self.topology.divisors
        if any(size % divisor for size, divisor in zip(self.patch_size, divisors)):
            raise DataError(f"patch_size {list(self.patch_size)} must be divisible by {list(divisors)}, the product of the strides")

    @property
    def topology(self) -> Topology:
        """Patch and stages."""
        return Topology(self.patch_size, self.strides, self.kernel_sizes)

    def with_patch(self, patch_size: Sequence[int]) -> "Configuration":
        """The same with another patch."""
        return dataclasses.replace(self, patch_size=tuple(patch_size))

    def to_dict(self) -> dict[str, Any]:
        """For plans.json."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain |= {"resampling": dataclasses.asdict(self.resampling), "augmentation": self.augmentation.to_dict()}
        if self.previous_stage is None:
            del plain["previous_stage"]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Configuration":
        """Reads what `to_dict` gave; raises DataError, naming the key that is wrong."""
        return cls(**typed_fields(values, cls, "", {"augmentation": Augmentation.from_dict}))


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
        intensities: per channel, over labelled voxels; CT is normalised with them.
        configurations: by name: 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres.
    """

    dataset: str
    network: str
    memory_gb: float
    transpose_forward: tuple[int, int, int]
    axes: tuple[str, ...]
    channel_names: tuple[str, ...]
    labels: Mapping[str, Any]
    intensities: tuple[Intensities, ...]
    configurations: Mapping[str, Configuration]

    def configuration(self, name: str) -> Configuration:
        """The configuration of a name; ConfigError if there is none."""
        if name not in self.configurations:
            raise ConfigError(f"--configuration={name}: the plan of {self.dataset} has {', '.join(self.configurations)}.")
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
            found, ct = self.intensities[index], {}
            if scheme == "CTNormalization":
                ct = {"low": found.percentile_00_5, "high": found.percentile_99_5, "mean": found.mean, "std": found.std}
            channels.append(Normalization(self.channel_names[index], SCHEMES[scheme], configuration.use_mask_for_norm[index], **ct))
        spacing = (*[None] * (3 - len(configuration.spacing)), *configuration.spacing)
        return PreprocessingPlan(spacing, tuple(channels), dict(labels), self.transpose_forward, configuration.resampling)

    def to_json(self) -> str:
        """The document; a cascade's configuration says what it inherits."""
        backward = [self.transpose_forward.index(axis) for axis in range(3)]
        return readable_json({
            "format": FORMAT,
            "version": VERSION,
            "dataset": self.dataset,
            "network": self.network,
            "memory_gb": self.memory_gb,
            "transpose_forward": self.transpose_forward,
            "transpose_backward": backward,
            "axes": self.axes,
            "channel_names": self.channel_names,
            "labels": dict(self.labels),
            "foreground_intensities": [dataclasses.asdict(found) for found in self.intensities],
            "configurations": {name: self._entry(configuration) for name, configuration in self.configurations.items()},
        })  # fmt: skip

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
        DataError: it can't be read, or an entry is missing or impossible; configuration and key are named.
    """
    path = Path(path).expanduser()
    content = read_document(path, _REMEDY)
    try:
        return _parse(content)
    except DataError as error:
        raise DataError(f"{path}: not a usable plan: {str(error).rstrip('.')}. Mend this place. {_REMEDY}") from error


def _parse(content: Mapping[str, Any]) -> Plans:
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise DataError(
            f"format {content.get('format')!r}, version {content.get('version')!r}; this program reads {FORMAT}, version {VERSION}"
        )
    entries = entry(content, "configurations", dict)
    plans = Plans(
        dataset=entry(content, "dataset", str),
        network=entry(content, "network", str),
        memory_gb=entry(content, "memory_gb", float),
        transpose_forward=entry(content, "transpose_forward", tuple[int, int, int]),
        axes=entry(content, "axes", tuple[str, str, str]),
        channel_names=entry(content, "channel_names", tuple[str, ...]),
        labels=_tuples(entry(content, "labels", dict)),
        intensities=entry(content, "foreground_intensities", tuple[Intensities, ...]),
        configurations={name: _configuration(name, entries) for name in entries},
    )
    _check_whole(plans)
    return plans


def _check_whole(plans: Plans) -> None:
    """Raises DataError unless the parts of a plan belong together."""
    if sorted(plans.transpose_forward) != [0, 1, 2]:
        raise DataError(f"transpose_forward must hold 0, 1 and 2, found {list(plans.transpose_forward)}")
    channels = len(plans.channel_names)
    if not channels or len(plans.intensities) != channels:
        raise DataError(f"foreground_intensities must have an entry for each of {channels} channel_names, found {len(plans.intensities)}")
    if not plans.configurations:
        raise DataError("configurations is empty")
    for name, configuration in plans.configurations.items():
        if len(configuration.normalization_schemes) != channels:
            raise DataError(
                f"configuration {name}: normalization_schemes must have an entry for each of {channels} channel_names, found "
                f"{list(configuration.normalization_schemes)}"
            )
        if configuration.previous_stage not in (None, *plans.configurations):
            raise DataError(f"configuration {name}: previous_stage is {configuration.previous_stage}, which is no configuration")


def _configuration(name: str, entries: Mapping[str, Any]) -> Configuration:
    try:
        return Configuration.from_dict(_inherit(name, entries))
    except DataError as error:
        raise DataError(f"configuration {name}: {error}") from error


def _inherit(name: str, entries: Mapping[str, Any], below: tuple[str, ...] = ()) -> dict[str, Any]:
    """A configuration's entries over those of the configuration that it inherits from."""
    if name in below or name not in entries:
        raise DataError(f"inherits_from: {' -> '.join((*below, name))} leads to {'itself' if name in below else 'no configuration'}")
    own = dict(typed(entries[name], dict, "it"))
    parent = typed(own.pop("inherits_from", None), str | None, "inherits_from")
    return own if parent is None else _inherit(parent, entries, (*below, name)) | own


def _tuples(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Labels with the values of regions as tuples, as a fingerprint has them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in labels.items()}
