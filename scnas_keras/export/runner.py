"""A trained network in a format that needs none of this package."""

import dataclasses
import importlib
import importlib.util
import os
import pathlib
import shutil
import tempfile

from absl import logging

from scnas_keras import __version__
from scnas_keras.console import load_tensorflow
from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.export.config import ExportConfig
from scnas_keras.files import file_in, hidden_prefix, readable_json, show_to_others, unwritable, user_path, write_text, writing
from scnas_keras.inference.companion import Companion, read_companion
from scnas_keras.inference.names import COMPANION, MODEL
from scnas_keras.inference.packaged import is_package, unpacked
from scnas_keras.serving.names import DESCRIPTION, FORMATS, CantHold, Format


def run_export(config: ExportConfig) -> pathlib.Path:
    """Writes the network and checks it in another process; returns its folder, which is there only once that is done.

    Raises:
        ConfigError: before a framework is loaded, if there is no model, the folder isn't empty, or a package isn't installed.
        DataError: the model can't be read.
        OutputError: it can't be written in this format, or computes something else there.
    """
    if not config.model or not config.output:
        raise ConfigError("Name the model with --model=FILE and the folder with --output=DIR.")
    output, named = user_path(config.output), user_path(config.model)
    model = file_in(unpacked(named) if is_package(named) else named, MODEL)
    if not model.is_file():
        raise ConfigError(f"--model={config.model}: {model} isn't there. Name the --workdir of scnas retrain, a .keras file, or a package.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output={output} exists and is not an empty folder. Nothing was changed.")
    if closed := unwritable(output):
        raise ConfigError(f"--output={output}: {closed} is no folder that can be written to. Name another one.")
    wanted = FORMATS[config.format]
    if absent := [name for name in wanted.needs if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"--format={config.format} needs {', '.join(absent)}: run pip install '.[{wanted.extra}]' in the cloned folder.")
    companion = read_companion(model.with_name(COMPANION)) if model.with_name(COMPANION).is_file() else None
    if companion is None:
        logging.warning(
            "%s has no %s beside it, which tells how scans are prepared: only the function of prepared patches is exported, `serve`. A "
            "search leaves such a network, which isn't trained yet.",
            model,
            COMPANION,
        )
    if companion and companion.plan.denoising and wanted.whole_scans:
        others = " or ".join(f"--format={name}" for name, kind in FORMATS.items() if not kind.whole_scans)
        raise ConfigError(
            f"--format={config.format} takes whole scans, and {model} wants them denoised by SimpleITK, which no graph can hold. Use "
            f"{others} for prepared patches, or scnas predict."
        )
    load_tensorflow()
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = pathlib.Path(tempfile.mkdtemp(dir=output.parent, prefix=hidden_prefix(output)))
    logging.info("writing %s, which is then compared in another process; half a minute or longer", wanted.title)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TensorFlow reports each of its steps through absl
    try:
        agreement = _write(config, wanted, model, companion, partial)
        _move(partial, output)
    finally:
        logging.set_verbosity(before)
        shutil.rmtree(partial, ignore_errors=True)
    logging.info("checked in a process without this package: %s", agreement)
    return output


def _write(config: ExportConfig, wanted: Format, model: pathlib.Path, companion: Companion | None, folder: pathlib.Path) -> str:
    """Writes everything to a folder; what the check found, in words."""
    import tensorflow as tf

    from scnas_keras.inference.keras_file import load_network
    from scnas_keras.inference.model_folder import check_together
    from scnas_keras.serving.agreement import check, told
    from scnas_keras.serving.description import describe

    network = load_network(model)
    if companion:
        check_together(model, network, model.with_name(COMPANION), companion)
    try:
        with writing(folder):
            importlib.import_module(f"scnas_keras.serving.{wanted.module}").write(network, companion, folder)
    except CantHold as error:
        others = " or ".join(f"--format={name}" for name in FORMATS if name != config.format)
        raise OutputError(f"{wanted.title} can't hold this network ({error}). Use {others}.") from error
    except tf.errors.OpError as error:  # of files, too
        raise OutputError(f"{folder}: can't be written ({error.message[:300]}). Is there room?") from error
    found = check(network, companion, config.format, folder)
    if companion:
        write_text(folder / COMPANION, model.with_name(COMPANION).read_text(encoding="utf-8"))
    content = {"scnas_keras": __version__, "format": config.format, **describe(network, companion, config.format)}
    write_text(folder / DESCRIPTION, readable_json(content | {"check": dataclasses.asdict(found)}))
    return told(found)


def _move(partial: pathlib.Path, output: pathlib.Path) -> None:
    """Brings what was written to its place: an empty folder that is there may be a link, or another disk."""
    with writing(output):
        if output.exists():
            for file in partial.iterdir():
                shutil.move(file, output / file.name)
            return
        show_to_others(partial, 0o777)
        os.replace(partial, output)
