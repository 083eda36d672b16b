"""python -m scnas_keras.verify --data_dir=DIR

Checks a dataset before hours of computation do: every header and every voxel of it. Prints what is wrong (errors) and
what is doubtful (warnings) with what to do about it. Exit code: 0 without errors, 1 with errors, 2 if flags are
wrong or no dataset is found. All findings are also in verification.json. --fix writes a mended copy and leaves the dataset as it is.
The commands that train check headers by themselves, and voxels as they prepare scans.
"""

import dataclasses
import pathlib
import sys
from typing import Any

from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.options import option, run


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Settings of a verification."""

    data_dir: str | None = option(
        None, "The task's folder, or the folder around it. Default: $SCNAS_DATA_DIR.", "Data"
    )
    task: str = option("custom", "Task, to pick a folder out of several.", "Data", of_task=True)
    spacing: tuple[float, ...] | None = option(
        None, "Voxel spacing in mm that scans will be resampled to, along x,y,z; structures too small for it are told. "
        "Default: the median.", "Data", of_task=True,
    )  # fmt: skip
    group_pattern: str | None = option(
        None, "Regular expression that finds the patient in a case's name. Default: guessed from the names.", "Data",
        of_task=True,
    )  # fmt: skip
    processes: int | None = option(None, "Processes that read scans. Default: as cores and free memory allow.", "Data")
    output: str = option(".", "Folder for verification.json with all findings; made if absent.", "Result")
    fix: str | None = option(
        None, "Write a mended copy of the dataset and verify that: labels get their image's header, or label values "
        "become consecutive whole numbers.", "Mending", choices=("header", "remap"),
    )  # fmt: skip
    fixed_dir: str | None = option(
        None, "Folder for the mended copy; must not exist. Unchanged files are hard links.", "Mending"
    )


def verify(config: VerifyConfig) -> Any:
    """Verifies a dataset, after mending a copy of it if `fix` is set; returns the `Report`.

    Raises:
        ConfigError: flags that don't go together.
        DataError: there's no dataset, or it can't be mended safely; nothing is written then.
    """
    if bool(config.fix) != bool(config.fixed_dir):
        raise ConfigError("--fix and --fixed_dir go together: what to mend, and the folder for the mended copy.")
    if config.spacing is not None and (len(config.spacing) != 3 or min(config.spacing) <= 0):
        given = ",".join(map(str, config.spacing))
        raise ConfigError(f"--spacing={given}: expected three positive sizes in mm, like 1,1,2.5.")
    from absl import logging

    from scnas_keras.data.tasks import find_task
    from scnas_keras.verification.dataset import verify_dataset
    from scnas_keras.verification.fix_header import fix_headers
    from scnas_keras.verification.fix_remap import remap_labels

    root = find_task(config.task, config.data_dir)
    if config.fix:
        fix, source = {"header": fix_headers, "remap": remap_labels}[config.fix], root
        root = pathlib.Path(config.fixed_dir).expanduser()
        logging.info("%s", fix(source, root, config.processes))
    report = verify_dataset(root, config.spacing, config.group_pattern, config.processes)
    file = _report_file(config)
    try:
        write_text(file, report.json())
    except OSError as error:
        raise ConfigError(f"{file}: can't be written ({error.strerror}). Name another folder with --output.") from error
    return report


def _report_file(config: VerifyConfig) -> pathlib.Path:
    return pathlib.Path(config.output).expanduser() / "verification.json"


def main(config: VerifyConfig) -> None:
    report = verify(config)
    if report.findings:
        print(f"All findings are in {_report_file(config)}")
    print(report.text())
    if report.has_errors:
        sys.exit(1)


if __name__ == "__main__":
    run(VerifyConfig, main, __doc__)
