"""model.json, which lies beside a trained network: what must be known to use it. Reading it loads no framework."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated

from absl import logging
from msgspec import Meta

from scnas_keras.documents import Misfit, check_version, decode, parse
from scnas_keras.documents.ranges import Axis, Name, PatchSize, Share, check_axes, check_different
from scnas_keras.errors import DataError
from scnas_keras.files import file_in, user_path
from scnas_keras.inference.names import COMPANION, MODEL
from scnas_keras.inference.packaged import is_package, unpacked
from scnas_keras.inference.seen import Seen
from scnas_keras.preprocessing.plan import VERSION, PreprocessingPlan, check_denoising

_REMEDY = "Copy it again from where the model was trained."


@dataclasses.dataclass(frozen=True)
class Companion:
    """What model.json holds; see `model_folder.SegmentationModel`."""

    patch_size: Annotated[tuple[PatchSize, ...], Meta(min_length=2, max_length=3)]
    mirror_axes: tuple[Axis, ...]
    plan: PreprocessingPlan
    seen: Seen | None = None
    dice: dict[Name, Share | None] | None = None

    def __post_init__(self):
        check_different("mirror_axes", self.mirror_axes)
        rank = len(self.patch_size)
        check_axes("mirror_axes", self.mirror_axes, rank)
        if self.plan.spacing[0] is None and rank == 3:
            raise Misfit("patch_size", self.patch_size, "2 numbers, as plan.spacing keeps the slices along its first axis")
        if self.seen and len(self.seen.intensity) != len(self.plan.channels):
            raise Misfit("seen.intensity", self.seen.intensity, f"{len(self.plan.channels)} pairs, one a channel of the plan")
        classes = [name for value, name in self.plan.labels.items() if value]
        if self.dice and {*self.dice} != {*classes}:
            raise Misfit("dice", [*self.dice], f"the plan's classes: {', '.join(classes)}")


def read_companion(path: pathlib.Path) -> Companion:
    """Reads model.json; DataError if it's missing or damaged."""
    content = parse(path, _REMEDY)
    plan = content.get("plan") if isinstance(content, dict) else None
    if isinstance(plan, dict):
        check_version(plan, None, (VERSION,), f"{path}: plan", "Use the program that trained the model, or train again.")
    return decode(content, Companion, path, _REMEDY)


def find_model(path: str | os.PathLike) -> tuple[pathlib.Path, Companion]:
    """The file of a trained network, the one in a run's folder or in a package, and what its companion says.

    Raises:
        DataError: one of the files is missing, or the companion is damaged; or see `packaged.unpacked`.
    """
    package = is_package(path := user_path(path))
    file = file_in(unpacked(path) if package else path, MODEL)
    if package:
        try:
            return file, read_companion(file.with_name(COMPANION))
        except DataError as error:
            raise DataError(f"{path}: {str(error).replace(str(file.parent), 'in it ')}") from error
    for own in (file, file.with_name(COMPANION)):
        if not own.is_file():
            raise DataError(f"{own}: no such file. Name a trained run's folder, its {MODEL} with {COMPANION} beside it, or a package.")
    return file, read_companion(file.with_name(COMPANION))


def find_models(text: str) -> list[tuple[pathlib.Path, Companion]]:
    """`find_model` of each that a flag names: one, several with commas between them, or the folds in a network's folder of `crossval`.

    Raises:
        DataError: see `find_model`; or they can't be averaged.
        ConfigError: one wants scans denoised, and SimpleITK isn't installed.
    """
    one = user_path(text).exists()  # a comma may be part of a name
    if not one and not all(map(str.strip, text.split(","))):
        raise DataError(f"--model={text}: a name between the commas is empty.")
    paths = [path for part in ([text] if one else text.split(",")) for path in _folds(part.strip())]
    found = [find_model(path) for path in paths]
    check_alike(found)
    for path, companion in found:
        if companion.plan.denoising:
            check_denoising(f"{path} was trained on denoised scans")
    return found


def check_alike(found: Sequence[tuple[pathlib.Path, Companion]]) -> None:
    """Raises DataError unless all models have the same classes, channels and order of axes, so that their probabilities can be averaged."""
    (first, own), *others = found
    for path, other in others:
        for what, mine, yours in (
            ("classes", *(", ".join(one.plan.labels.values()) for one in (own, other))),
            ("channels", *(", ".join(channel.channel for channel in one.plan.channels) for one in (own, other))),
            ("grid", *("of slices of one size" if one.plan.slice_size else "by a spacing" for one in (own, other))),
            ("order of axes", *(", ".join("xyz"[axis] for axis in one.plan.transpose) for one in (own, other))),
        ):
            if mine != yours:
                raise DataError(f"{path} has the {what} {yours}, and {first} has {mine}: only networks of one task can be averaged.")


def _folds(path: str) -> list[pathlib.Path]:
    """The folder itself, or those of the folds in it that have been trained."""
    folder = user_path(path)
    folds = sorted(folder.glob("fold_*")) if not file_in(folder, MODEL).is_file() else []
    trained = [fold for fold in folds if (fold / MODEL).is_file()]
    if trained and len(trained) < len(folds):
        logging.warning("%s: %d of %d folds are trained; the others are left out", folder, len(trained), len(folds))
    return trained or [pathlib.Path(path)]
