"""A trained network as a SavedModel."""

import pathlib

from absl import logging

from scnas_keras.console import load_tensorflow
from scnas_keras.errors import ConfigError
from scnas_keras.export.config import ExportConfig
from scnas_keras.files import file_in, user_path, write_text
from scnas_keras.inference.names import COMPANION, MODEL


def run_export(config: ExportConfig) -> pathlib.Path:
    """Writes the SavedModel; returns its folder.

    Raises:
        ConfigError: before a framework is loaded, if there is no model or the folder isn't empty.
        DataError: the model can't be read.
    """
    if not config.model or not config.output:
        raise ConfigError("Name the model with --model=FILE and the folder with --output=DIR.")
    output, model = user_path(config.output), file_in(config.model, MODEL)
    if not model.is_file():
        raise ConfigError(f"--model={config.model}: {model} isn't there. Name the --workdir of scnas retrain, or a .keras file.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output={output} exists and is not an empty folder. Nothing was changed.")
    if not model.with_name(COMPANION).is_file():
        logging.warning("%s has no %s beside it: a search leaves a network that isn't trained yet.", model, COMPANION)
    load_tensorflow()
    from scnas_keras.inference.export import export_saved_model
    from scnas_keras.inference.keras_file import load_network

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TensorFlow reports each of its steps through absl
    try:
        export_saved_model(load_network(model), output)
    finally:
        logging.set_verbosity(before)
    companion = model.with_name(COMPANION)
    if companion.is_file():  # which tells how scans are prepared
        write_text(output / COMPANION, companion.read_text(encoding="utf-8"))
    return output
