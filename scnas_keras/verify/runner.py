"""From flags to the report on a dataset, and to a fixed copy of it."""

import pathlib

from absl import logging

from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.files import check_writable, user_path, write_text
from scnas_keras.preprocessing.plan import parse_spacing
from scnas_keras.tasks.loading import find_task
from scnas_keras.verify.config import VerifyConfig
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.fix_header import fix_headers
from scnas_keras.verify.fix_remap import remap_labels
from scnas_keras.verify.report import Report


def run_verification(config: VerifyConfig) -> Report:
    """Verifies a dataset, after fixing a copy of it if `fix` is set; returns the report.

    Raises:
        ConfigError: flags that don't go together.
        DataError: there's no dataset, or it can't be fixed safely; nothing is written then.
    """
    if bool(config.fix) != bool(config.fixed_dir):
        raise ConfigError("--fix and --fixed_dir go together: what to fix, and the folder for the fixed copy.")
    if config.spacing is not None:
        parse_spacing(config.spacing)

    file = report_file(config)
    try:
        check_writable(file)
    except OutputError as error:
        raise OutputError(f"{error} That is what --output=DIR is for.") from error
    root = find_task(config.task, config.data_dir)
    if config.fix:
        fix, source = {"header": fix_headers, "remap": remap_labels}[config.fix], root
        root = user_path(config.fixed_dir)
        logging.info("%s", fix(source, root, config.processes))
    report = verify_dataset(root, config.spacing, config.group_pattern, config.processes)
    write_text(file, report.json())
    return report


def report_file(config: VerifyConfig) -> pathlib.Path:
    return user_path(config.output) / "verification.json"
