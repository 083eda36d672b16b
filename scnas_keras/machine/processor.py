"""Which CPU this is."""

import contextlib
import pathlib
import platform

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}


def processor() -> str:
    """Model of the CPU."""
    return _line("model name") or platform.processor() or platform.machine()


def vector_units() -> str | None:
    """The widest vector instructions that it has, or none; None where the system doesn't say."""
    flags = _line("flags").split()
    return next((name for flag, name in _VECTORS.items() if flag in flags), "no AVX") if flags else None


def _line(name: str) -> str:
    """What Linux says of the first core."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""
