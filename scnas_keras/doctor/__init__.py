"""scnas doctor

Checks this machine: versions, cores, memory, disk, and by trying them GPUs, NCCL and half precision. What is missing comes with what to
install. Exit code: 0 if scnas_keras can work here, 1 if something that it needs is missing or fails.
"""

import sys

from scnas_keras.doctor.config import DoctorConfig
from scnas_keras.doctor.findings import Finding


def doctor(config: DoctorConfig) -> list[Finding]:
    """See `scnas_keras.doctor.runner.run_doctor`, which this calls."""
    from scnas_keras.doctor.runner import run_doctor

    return run_doctor(config)


def main(config: DoctorConfig) -> str:
    from scnas_keras.doctor.findings import FAILS

    found = doctor(config)
    print("\n".join(map(str, found)))
    if any(finding.state == FAILS for finding in found):
        sys.exit(1)
    return "scnas search --task=phantom --workdir=runs/first --patch_size=32,32,32 --stem_channels=16 --budget_minutes=2"
