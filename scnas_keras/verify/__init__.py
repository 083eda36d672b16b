"""scnas verify --data_dir=DIR

Checks a folder of scans before hours of computation do: every header and every voxel. Prints what is wrong (errors) and
what is doubtful (warnings) with what to do about it. Exit code: 0 without errors, 1 with errors, 2 if flags are
wrong or no dataset is found. All findings are also in verification.json. --fix writes a corrected copy and leaves the dataset as it is.
The commands that train check headers by themselves, and voxels as they prepare scans.
"""

import dataclasses
import shlex
import sys
from typing import Any

from scnas_keras.console import is_quiet
from scnas_keras.verify.config import VerifyConfig


def verify(config: VerifyConfig) -> Any:
    """See `scnas_keras.verify.runner.run_verification`, which this calls."""
    from scnas_keras.verify.runner import run_verification

    return run_verification(config)


def main(config: VerifyConfig) -> str:
    from scnas_keras.declarations import config_of
    from scnas_keras.metrics.paired import FEWEST_UNITS
    from scnas_keras.options import parse
    from scnas_keras.planning.names import rank_named
    from scnas_keras.runs.following import following
    from scnas_keras.tasks.layout_pictures import is_pictures_layout
    from scnas_keras.tasks.names import KFOLD
    from scnas_keras.verify.runner import report_file

    report = verify(config)
    if report.findings:
        print(f"All findings are in {report_file(config)}")
    print(report.text())
    if report.has_errors:
        if not is_quiet():
            print(f"Next: {_correct(config)}", file=sys.stderr)
        sys.exit(1)
    checked = dataclasses.replace(config, data_dir=config.fixed_dir or config.data_dir)
    enough = report.cases // FEWEST_UNITS  # folds that leave enough scans for a verdict
    usual = parse(config_of("select"), ["", f"--task={config.task}"])
    folds = min(usual.num_folds, enough if enough > 1 else report.cases)
    fewer = {} if folds == usual.num_folds or usual.protocol != KFOLD else {"num_folds": folds}
    flat = is_pictures_layout(report.root) and rank_named(usual.configuration) == 3
    two = {"configuration": "2d"} if flat else {}  # pictures have no other configuration
    return following("select", checked, data_dir=checked.data_dir, **two, **fewer, workdir="runs/selected", budget_minutes=100)


def _correct(config: VerifyConfig) -> str:
    """What to do about errors. A copy is verified from now on, whose unchanged files are the dataset's own."""
    if config.fixed_dir is None:
        return "correct these, then give the same command again"
    again = shlex.join(["scnas", "verify", f"--data_dir={config.fixed_dir}"])
    return f"replace these files in {config.fixed_dir} by correct ones (not in place: they are links to the dataset's), then: {again}"
