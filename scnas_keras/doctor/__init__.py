"""scnas doctor

Checks whether this machine has what runs need, and says what to install. Looks at versions, cores, memory and disk, and tries GPUs, NCCL
and half precision. Exit code: 0 if scnas_keras can work here, 1 if something that it needs is missing or fails.
"""

import sys

from scnas_keras.doctor.config import DoctorConfig
from scnas_keras.doctor.findings import FAILS, Finding


def doctor(config: DoctorConfig) -> list[Finding]:
    """See `scnas_keras.doctor.runner.run_doctor`, which this calls."""
    from scnas_keras.doctor.runner import run_doctor

    return run_doctor(config)


def main(config: DoctorConfig) -> str:
    found = doctor(config)
    print("\n".join(map(str, found)))
    if any(finding.state == FAILS for finding in found):
        sys.exit(1)
    return "scnas verify --data_dir=DIR"
