"""A plan: all that preprocessing must know beyond the scan itself, as a JSON document saved beside each model."""

import dataclasses
import functools
import json
import zlib
from collections.abc import Sequence

import numpy as np

from scnas_keras.data.tasks import Case, Task
from scnas_keras.formats.volumes import read_header, read_image, read_label
from scnas_keras.data.workers import map_cases
from scnas_keras.errors import ConfigError, DataError

PLAN_VERSION = 1
SAMPLES_PER_CASE = 10_000
_BYTES_PER_VOXEL = 24


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How one channel is normalised.

    Attributes:
        channel: the channel's name.
        scheme: "zscore", by the scan's own mean and standard deviation over nonzero voxels; or "ct", by the dataset's:
            clip to [low, high] HU, subtract `mean`, divide by `std`.
        low, high, mean, std: HU, for "ct" only.
    """

    channel: str
    scheme: str
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self):
        numbers = (self.low, self.high, self.mean, self.std)
        complete = all(isinstance(number, (int, float)) and np.isfinite(number) for number in numbers)
        if self.scheme not in ("zscore", "ct") or (self.scheme == "ct" and not (complete and self.std > 0)):
            raise DataError(f'Channel {self.channel}: expected the scheme "zscore", or "ct" with low, high, mean and a '
                            f"positive std; found {dataclasses.asdict(self)}. Use the plan as it was saved.")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The steps from a scan to the network's input, repeated by prediction exactly as in training.

    Attributes:
        spacing: mm along the canonical axes after resampling.
        channels: one normalisation per image channel.
        labels: label value to class name; 0 is the background.
        version: of this document's format.
    """

    spacing: tuple[float, float, float]
    channels: tuple[Normalization, ...]
    labels: dict[int, str]
    version: int = PLAN_VERSION

    def to_json(self) -> str:
        """The plan as a JSON document; equal plans give equal text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Reads what `to_json` wrote; raises DataError for anything else."""
        try:
            content = json.loads(text)
            if content["version"] != PLAN_VERSION:
                raise DataError(f"This plan has format version {content['version']}, this program reads "
                                f"{PLAN_VERSION}. Use the program that trained the model, or train again.")
            return cls(spacing=parse_spacing(content["spacing"]),
                       channels=tuple(Normalization(**channel) for channel in content["channels"]),
                       labels={int(value): name for value, name in content["labels"].items()})
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise DataError("Expected a preprocessing plan, found a damaged document "
                            f"({type(error).__name__}: {error}). Copy the plan that was saved beside the model again."
                            ) from error


def parse_spacing(values: Sequence[float]) -> tuple[float, float, float]:
    """Three positive numbers in mm, or ConfigError."""
    try:
        spacing = tuple(float(value) for value in values)
    except ValueError:
        spacing = ()
    if len(spacing) != 3 or not all(np.isfinite(size) and size > 0 for size in spacing):
        raise ConfigError(f'A spacing is three positive numbers in mm or "median", got {values}. '
                          "Use for example --spacing=0.7,0.7,0.7.")
    return spacing


def make_plan(task: Task, spacing: Sequence[float] | str, processes: int | None = None,
              progress: bool = True) -> Plan:
    """Decides how a task's scans are preprocessed.

    Args:
        task: a task with readable headers (`verify_headers`).
        spacing: mm along the canonical axes, or "median" for the median over all cases.
        processes: for the CT statistics, which read all voxels; by default as many as CPU and memory allow.
        progress: whether to show a progress bar on stderr meanwhile.

    Raises:
        ConfigError: `spacing` is neither.
        DataError: a file can't be read, or a CT task has no foreground voxel at all.
    """
    if spacing == "median":
        spacing = np.median([read_header(case.images).spacing for case in task.cases], axis=0).round(6)
    channels = [Normalization(name, "zscore") for name in task.channel_names]
    ct = [channel for channel, is_ct in enumerate(task.is_ct) if is_ct]
    if ct:
        samples = _foreground_samples(task, ct, processes, progress)
        for column, channel in enumerate(ct):
            channels[channel] = _ct_normalization(task, task.channel_names[channel], samples[:, column])
    return Plan(parse_spacing(spacing), tuple(channels), dict(task.labels))


def _ct_normalization(task: Task, name: str, samples: np.ndarray) -> Normalization:
    if not samples.size or samples.min() == samples.max():
        raise DataError(f"{task.root}: the labelled voxels of all {len(task.cases)} cases hold no two different values "
                        f"in channel {name}, so that CT intensities can't be normalised. Check images and labels.")
    low, high = np.percentile(samples, (0.5, 99.5))
    return Normalization(name, "ct", float(low), float(high), float(samples.mean()), float(samples.std()))


def _foreground_samples(task: Task, channels: list[int], processes: int | None, progress: bool) -> np.ndarray:
    """HU of labelled voxels, float64 [samples, channels], at most `SAMPLES_PER_CASE` of each case."""
    size = max(np.prod(header.shape) * header.channels for header in (read_header(case.images) for case in task.cases))
    parts = map_cases(functools.partial(_case_samples, channels=channels), task.cases, "CT statistics",
                      int(size) * _BYTES_PER_VOXEL, processes, progress)
    return np.concatenate(parts).astype(np.float64)


def _case_samples(case: Case, channels: list[int]) -> np.ndarray:
    image, (label, _) = read_image(case.images).array, read_label(case.label)
    if image.shape[:3] != label.shape or max(channels) >= image.shape[3]:
        raise DataError(f"{case.label}: has shape {label.shape}, its image {image.shape}. A label needs the voxel grid "
                        "of its image, and the image the channels of dataset.json.")
    values = image[label > 0][:, channels]
    values = values[np.isfinite(values).all(axis=1)]
    random = np.random.default_rng(zlib.crc32(case.name.encode()))
    return random.permutation(values)[:SAMPLES_PER_CASE]
