"""Segments scans one after the other."""

import pathlib
from typing import Any

import numpy as np
from absl import logging

from scnas_keras.console import load_tensorflow
from scnas_keras.errors import DataError, UserError, missing
from scnas_keras.files import check_writable, user_path, writing
from scnas_keras.formats.endings import is_picture
from scnas_keras.inference.companion import find_models
from scnas_keras.inference.names import MODEL
from scnas_keras.machine.scratch import Scratch
from scnas_keras.predict.config import PredictConfig
from scnas_keras.predict.inputs import Scan, check_targets, collect_scans, read_scan
from scnas_keras.predict.record import Record
from scnas_keras.preprocessing.plan import PreprocessingPlan


def run_prediction(config: PredictConfig) -> list[pathlib.Path]:
    """Segments the scans; returns the files written.

    A scan that can't be segmented doesn't keep the others from it.

    Raises:
        ConfigError: a flag is missing, the images can't be found, or an output can't be written under its name.
        DataError: the model can't be read, or, after all others are done, some scans couldn't be segmented or written.
    """
    if absent := [f"--{name}" for name in ("model", "image", "output") if not getattr(config, name)]:
        raise missing(absent)
    found = find_models(config.model)
    scans = collect_scans(config.image, config.output, _channels(found[0][1].plan))
    check_targets(scans, config.overlay, config.save_probabilities)
    load_tensorflow()
    import tensorflow as tf

    from scnas_keras.inference.ensemble import Ensemble
    from scnas_keras.machine.determinism import make_deterministic

    if not tf.config.list_physical_devices("GPU"):
        make_deterministic()
    model = Ensemble.load([path for path, _ in found])
    for (path, _), member in zip(found, model.members):
        _tell_of_model(member, path.parent if path.name == MODEL else path, config.mirror)
    if len(found) > 1:
        logging.info("the mean of %d networks' probabilities decides", len(found))
    folder = user_path(config.output or "")
    record = Record(folder, [path for path, _ in found], config.mirror) if scans[0].output.parent == folder else None
    written, failures = [], {}
    for number, scan in enumerate(scans, start=1):
        source = scan.files[0] if len(scan.files) == 1 else scan.name
        if record and record.has(scan, config.overlay, config.save_probabilities):
            logging.info("%d/%d  %s: %s is there already", number, len(scans), source, scan.output)
            continue
        if failure := _failure(scan, model, config, record):
            failures[scan.name] = failure
            if len(scans) == 1:
                raise DataError(failures[scan.name])
            logging.error("%d/%d  %s: %s", number, len(scans), source, failures[scan.name])
        else:
            written.append(scan.output)
            files = " and ".join(map(str, scan.outputs(config.overlay, config.save_probabilities)))
            logging.info("%d/%d  %s -> %s", number, len(scans), source, files)
    if any(map(is_picture, written)) and not config.overlay:
        logging.info("pictures hold the numbers of classes (0, 1, ...), which viewers show as black; --overlay draws them over the scan")
    if failures:
        listed = "".join(f"\n  {name}: {error}" for name, error in failures.items())
        raise DataError(
            f"{len(failures)} of {len(scans)} scans could not be segmented; {len(written)} were written to "
            f"{config.output}. Fix these and give the same command again; what is done is left out:{listed}"
        )
    return written


def _failure(scan: Scan, model: Any, config: PredictConfig, record: Record | None) -> str | None:
    """Segments a scan; why it can't be, or None."""
    import tensorflow as tf

    try:
        check_writable(scan.output)
        if record:
            record.forget(scan)
        _segment(scan, model, config)
        if record:
            record.note(scan, config.overlay, config.save_probabilities)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{scan.files[0]}: {error.strerror or error}. Can it be read, and {scan.output} be written?"
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return f"{scan.files[0]}: needs more memory than there is. Crop it, or use a machine with more."
    return None


def _tell_of_model(model: Any, path: pathlib.Path, mirror: bool) -> None:
    """Logs what to know of a model before its segmentations are used."""
    if mirror and not model.mirror_axes:
        logging.warning("--mirror changes nothing: %s was trained without flipped patches.", path)
    if model.seen is None:
        logging.warning("%s is of an older version: whether scans are like those that it was trained on can't be told.", path)
    elif model.dice is None:
        logging.info("%s holds no Dice: its validation didn't come to its end, or it is of an older version.", path)
    if poor := model.poor_dice():
        logging.warning("%s found next to nothing in its own validation (Dice: %s): train it longer before you use it.", path, poor)


def _segment(scan: Scan, model: Any, config: PredictConfig) -> None:
    from scnas_keras.checks.intensities import declared_padding, padding
    from scnas_keras.formats.shear import is_sheared
    from scnas_keras.formats.volumes import write_label, write_probabilities
    from scnas_keras.reporting.overlay import draw_overlay, shown

    scratch = Scratch(user_path(config.scratch_dir) if config.scratch_dir else _existing(scan.output.parent))
    volume = read_scan(scan, _channels(model.plan), scratch.array)
    if config.save_probabilities and volume.geometry.header is None and is_sheared(volume.geometry.affine):
        raise DataError(f"{scan.files[0]}: its slices are tilted: only labels can be written for it. Leave out --save_probabilities.")
    for channel, normalization in enumerate(model.plan.channels):
        values, name = volume.array[..., channel], f"channel {channel} ({normalization.channel})"
        if normalization.scheme == "ct":  # which clips it
            continue
        if found := padding(values):
            raise DataError(
                f"{scan.files[0]}: {name}: {found}. Normalised, nothing of the scan would be left: "
                "replace these voxels by the background's value."
            )
        if found := declared_padding(values, volume.padding[channel]):
            logging.warning("%s: %s: %s. It takes contrast: set it to the background's value.", scan.files[0], name, found)
    if found := model.unfamiliar(volume):
        unlike = "%s is unlike the scans that the model was trained on: %s. Look at its segmentation before you use it."
        logging.warning(unlike, scan.files[0], "; ".join(found))
    keep = scratch.array((len(model.plan.labels), *volume.array.shape[:3]), np.uint16) if config.save_probabilities else None
    segmentation = model.segment(volume, config.mirror, scratch, keep)
    if config.overlay:
        names = tuple(model.plan.labels.values())
        with writing(scan.overlay):
            scan.overlay.parent.mkdir(parents=True, exist_ok=True)
        draw_overlay(shown(volume, scan.files), None, segmentation, scan.overlay, names, volume.spacing, scan.files[0].name, volume.white)
    if keep is not None:
        write_probabilities(scan.probabilities, keep, volume.geometry)
    write_label(scan.output, segmentation, volume.geometry)


def _existing(folder: pathlib.Path) -> pathlib.Path:
    """The folder, or the nearest one around it that is there already."""
    return next(own for own in (folder, *folder.absolute().parents) if own.is_dir())


def _channels(plan: PreprocessingPlan) -> tuple[str, ...]:
    return tuple(channel.channel for channel in plan.channels)
