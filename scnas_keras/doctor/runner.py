"""Looks at a machine, and tries what computes in a process of its own."""

import importlib.metadata
import importlib.util
import json
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from absl import logging

from scnas_keras import __version__
from scnas_keras.doctor.config import DoctorConfig
from scnas_keras.doctor.findings import FAILS, NOTE, OK, Finding
from scnas_keras.errors import ConfigError
from scnas_keras.files import unwritable, user_path
from scnas_keras.machine.memory import available_memory, usable_cpus
from scnas_keras.machine.processor import processor, vector_units
from scnas_keras.preprocessing.names import FLOAT32
from scnas_keras.runs.data_config import cache_folder

SHOWN = ("keras", "tensorflow", "tensorflow-probability", "numpy", "scipy", "nibabel")
"""Packages whose versions are shown; of others that are needed, only those that are missing."""
EXTRAS = {"SimpleITK": "reads .nrrd, .mha and .mhd", "pydicom": "reads DICOM"}
LEAST_MEMORY, LEAST_DISK = 4 * 2**30, 10 * 2**30
"""Bytes that a search of small patches takes, and those that scans, checkpoints and models of a usual task take."""
_LONGEST = 600.0


def run_doctor(config: DoctorConfig) -> list[Finding]:
    """All findings, in the order in which they are shown."""
    return [*versions(), *resources(config), *computing(trial(), pathlib.Path("/dev/nvidia0").exists())]


def versions() -> Iterator[Finding]:
    """Of Python and packages, those that some files need among them."""
    try:
        needed = [re.split(r"[^\w.-]", line)[0] for line in importlib.metadata.requires("scnas_keras") or () if "extra ==" not in line]
        yield Finding(OK, "scnas_keras", importlib.metadata.version("scnas_keras"))
    except importlib.metadata.PackageNotFoundError:
        needed = []
        yield Finding(OK, "scnas_keras", f"{__version__}, a checkout that isn't installed")
    for name in dict.fromkeys((*SHOWN, *needed)):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(FAILS, name, f"isn't installed: pip install {name}")
            continue
        if name in SHOWN:
            yield Finding(OK, name, version)
    yield Finding(OK, "Python", platform.python_version())
    for name, use in EXTRAS.items():
        if importlib.util.find_spec(name):
            yield Finding(OK, name, f"{importlib.metadata.version(name)}, {use}")
        else:
            yield Finding(NOTE, name, f"isn't installed; it {use}: pip install '.[dicom]'")


def resources(config: DoctorConfig) -> Iterator[Finding]:
    """Cores, memory, disks."""
    yield Finding(OK, "CPU", ", ".join(filter(None, (processor(), f"{usable_cpus()} cores", vector_units()))))
    free = available_memory()
    enough = free >= LEAST_MEMORY
    more = "" if enough else f"; a search of small patches takes {LEAST_MEMORY / 2**30:.0f}: close other programs"
    yield Finding(OK if enough else NOTE, "memory", f"{free / 2**30:.1f} GiB free{more}")
    for name, folder in (("disk of runs", user_path(config.workdir)), ("disk of the cache", _cache(config))):
        if folder is None:
            yield Finding(NOTE, name, "nobody's home is known here: name a folder with --cache_dir or $SCNAS_CACHE_DIR")
            continue
        closed = unwritable(folder)
        if closed:
            yield Finding(FAILS, name, f"{folder}: {closed} can't be written; name another folder")
            continue
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        enough = free >= LEAST_DISK
        more = "" if enough else f"; prepared scans and runs of a usual task take {LEAST_DISK / 2**30:.0f}"
        yield Finding(OK if enough else NOTE, name, f"{folder}: {free / 2**30:.1f} GiB free{more}")


def trial() -> dict[str, Any] | str:
    """What the process of `doctor.trial` found, or how it failed."""
    logging.info("trying TensorFlow and what computes, which takes some seconds ...")
    try:
        done = subprocess.run([sys.executable, "-m", "scnas_keras.doctor.trial"], capture_output=True, text=True, timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        return f"gave no answer within {_LONGEST:.0f} s"
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def computing(found: dict[str, Any] | str, has_driver: bool) -> Iterator[Finding]:
    """What a trial says of TensorFlow and devices; `has_driver` is whether the system has an NVIDIA driver."""
    if isinstance(found, str):
        hint = " (this build needs a CPU with AVX)" if "SIGILL" in found else ""
        yield Finding(FAILS, "TensorFlow", f"can't compute: {found}{hint}")
        return
    gpus = found["gpus"]
    for number, gpu in enumerate(gpus):
        yield Finding(OK, f"GPU {number}", gpu)
    if not gpus and has_driver:
        yield Finding(NOTE, "GPU", "there is one, but TensorFlow has no CUDA for it: pip install '.[and-cuda]'")
    elif not gpus:
        yield Finding(NOTE, "GPU", "none: the CPU computes, which does for small patches; searches of the paper's size need one")
    whole = found["precisions"].get(FLOAT32)
    for name, outcome in found["precisions"].items():
        if isinstance(outcome, str):
            yield Finding(FAILS if name == FLOAT32 else NOTE, name, f"doesn't work here: {outcome}")
            continue
        text = f"a 3D convolution of 16 channels in 32^3 voxels and its gradient in {outcome:.1f} ms"
        slower = name != FLOAT32 and isinstance(whole, float) and outcome > whole
        if slower:
            text += f", {outcome / whole:.1f} times as long as in {FLOAT32}: leave out --mixed_precision={name}"
        yield Finding(NOTE if slower else OK, name, text)
    if "all_reduce" in found:
        outcome = found["all_reduce"]
        works = not isinstance(outcome, str)
        text = f"{len(gpus)} GPUs add up their gradients" if works else f"GPUs don't reach each other: {outcome}. Use one: --devices=1"
        yield Finding(OK if works else NOTE, "NCCL", text)


def _cache(config: DoctorConfig) -> pathlib.Path | None:
    try:
        return cache_folder(config.cache_dir)
    except ConfigError:
        return None
