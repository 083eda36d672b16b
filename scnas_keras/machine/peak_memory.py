"""The memory that a process has held."""

import pathlib
import resource


def peak_bytes() -> int:
    """The most memory that this process has held since its program started.

    Linux hands the `ru_maxrss` of a parent on to the programs that it starts, so that a small child of a large process would
    report its parent's; VmHWM begins anew with every program.
    """
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
