import os

import psutil
import pytest

from scnas_keras.machine.memory import available_memory, usable_cpus

GB = 10**9


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 64 GB free and 16 cores, whose control groups the test writes."""

    class Memory:
        available = 64 * GB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)

    def measure(own_groups):
        (tmp_path / "cgroup").write_text(own_groups)
        paths = tmp_path / "cgroup", tmp_path / "fs"
        return available_memory(*paths) // GB, usable_cpus(*paths)

    return tmp_path / "fs", measure


def test_without_control_groups_the_machine_counts(tmp_path, machine):
    paths = tmp_path / "nothing", tmp_path / "nowhere"
    assert (available_memory(*paths), usable_cpus(*paths)) == (64 * GB, 16)


def test_this_machine_has_some_of_both():
    assert 0 < available_memory() <= psutil.virtual_memory().total
    assert 1 <= usable_cpus() <= os.cpu_count()


def test_version_2_limits_the_groups_inside_it(machine):
    root, measure = machine
    write(root / "job" / "step", memory__max="max", memory__current=3 * GB, cpu__max="max 100000")
    write(root / "job", memory__max=10 * GB, memory__current=4 * GB, cpu__max="250000 100000")
    write(root, memory__current=50 * GB)
    assert measure("0::/job/step\n") == (6, 2)


def test_pages_that_can_be_dropped_are_not_used_up(machine):
    root, measure = machine
    write(root / "job", memory__max=10 * GB, memory__current=9 * GB, memory__stat=f"anon {2 * GB}\ninactive_file {6 * GB}")
    assert measure("0::/job\n") == (7, 16)


def test_version_1_has_its_own_names(machine):
    root, measure = machine
    write(
        root / "memory" / "docker" / "abc",
        memory__limit_in_bytes=8 * GB,
        memory__usage_in_bytes=5 * GB,
        memory__stat=f"inactive_file 7\ntotal_inactive_file {GB}",
    )
    write(root / "memory", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=5 * GB)
    write(root / "cpu,cpuacct" / "docker" / "abc", **{"cpu__cfs_quota_us": 300000, "cpu__cfs_period_us": 100000})
    write(root / "cpu,cpuacct", **{"cpu__cfs_quota_us": -1, "cpu__cfs_period_us": 100000})
    assert measure("11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n") == (4, 3)


def test_inside_a_container_the_mount_shows_its_own_group_as_the_root(machine):
    root, measure = machine
    write(root / "memory", memory__limit_in_bytes=2 * GB, memory__usage_in_bytes=GB)
    assert measure("11:memory:/docker/abc\n") == (1, 16)


def test_a_group_without_memory_left_has_none(machine):
    root, measure = machine
    write(root, memory__max=GB, memory__current=2 * GB, cpu__max="1000 100000")
    assert measure("0::/../..\n") == (0, 1)


def test_a_limit_of_the_address_space_counts(machine, monkeypatch):
    resource = pytest.importorskip("resource", reason="no such limits here")
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (used + 2 * GB + GB // 2, -1) if kind == resource.RLIMIT_AS else None)
    assert machine[1]("") == (2, 16)
