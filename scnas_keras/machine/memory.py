"""How much memory and how many cores this process may use, also inside a container or a job of a cluster."""

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2_MEMORY = ("memory.max", "memory.current", "inactive_file")


def available_memory(own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> int:
    """Bytes that can be used without swapping: what the machine has free, or less where a control group or `ulimit -v` sets a limit.

    A group's limit counts for all groups inside it, so every one from this process' own up to the root is asked. File
    pages that the kernel can drop at once aren't counted as used.

    Args:
        own_groups: file that names this process' control groups (Linux; absent elsewhere).
        groups: where control groups of version 1 and 2 are mounted.
    """
    free = psutil.virtual_memory().available
    for folder, version in _groups("memory", own_groups, groups):
        limit_file, usage_file, dropped = _V2_MEMORY if version == 2 else _V1_MEMORY
        limit, usage = _number(folder / limit_file), _number(folder / usage_file)
        if limit is not None and usage is not None:
            free = min(free, limit - usage + min(usage, _statistic(folder / "memory.stat", dropped)))
    return max(min(free, _address_space()), 0)


def usable_cpus(own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> int:
    """Cores that this process may keep busy by its affinity and by what its control groups grant it; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder, version in _groups("cpu", own_groups, groups):
        if version == 2:
            granted = [int(word) if word.isdigit() else None for word in _text(folder / "cpu.max").split()]
        else:
            granted = [_number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")]
        if len(granted) == 2 and granted[0] is not None and granted[1]:
            cores = min(cores, granted[0] // granted[1])
    return max(cores, 1)


def _address_space() -> float:
    """Bytes that this process may still map, as `ulimit -v` limits them."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().vms


def _groups(controller: str, own_groups: Path, groups: Path) -> Iterator[tuple[Path, int]]:
    """Folders of this process' control groups and of those around them, each with its version, 1 or 2.

    Inside a container the named folder may not be there, since only the container's own part of the tree is mounted:
    the root of the mount is that part then.
    """
    for line in _text(own_groups).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        for root in (groups / controllers, groups / controller) if controllers else (groups, groups / "unified"):
            names = [name for name in path.split("/") if name not in ("", "..")]
            for depth in range(len(names), -1, -1):
                yield root.joinpath(*names[:depth]), version


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    """The file's only number; None if there's no such file, or no limit ("max", or -1 in version 1)."""
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _statistic(file: Path, name: str) -> int:
    values = dict(line.split(maxsplit=1) for line in _text(file).splitlines() if " " in line)
    return int(values.get(name, 0))
