"""The cache when a run is killed, a worker is killed, or the disk is full."""

import os
import shutil
import signal
import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import psutil
import pytest
from processes import PYTHON, run
from small_task import change, write_task

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.preprocessing import budget, cache, prepared_case
from scnas_keras.preprocessing.budget import check_disk, disk_needed, memory_needed
from scnas_keras.preprocessing.cache import prepare
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.tasks.loading import load_task

PLAN = PreprocessingPlan(
    (1.2, 0.8, 1.0), (Normalization("T1", "zscore"), Normalization("T2", "zscore")), {0: "background", 1: "left", 2: "right"}, (2, 0, 1)
)
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs signals and resource limits")
HERE = Path(__file__).parent
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def task(tmp_path):
    return load_task(write_task(tmp_path / "task"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("written", ["image.npy", "label.npy", "foreground.npy", "meta.json"])
def test_a_half_written_case_is_not_accepted(tmp_path, task, monkeypatch, written):
    """Kills the run while it writes each of a case's files."""
    expected = prepare(task, PLAN, tmp_path / "whole", processes=1)[0]
    write, remove = prepared_case.write_file, shutil.rmtree

    def killed(path, fill):
        if path.name == written:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, fill)

    monkeypatch.setattr(prepared_case, "write_file", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process doesn't tidy up
    with pytest.raises(KeyboardInterrupt):
        prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert list((tmp_path / "cache").glob("*/.partial-*"))

    monkeypatch.setattr(prepared_case, "write_file", write)
    monkeypatch.setattr(shutil, "rmtree", remove)
    for partial in (tmp_path / "cache").glob("*/.partial-*"):
        os.utime(partial, (0, 0))
    case = prepare(task, PLAN, tmp_path / "cache", processes=1)[0]
    np.testing.assert_array_equal(case.image(), expected.image())
    assert case.crop == expected.crop
    assert not list((tmp_path / "cache").glob("*/.partial-*"))  # what is a day old is tidied up


@pytest.mark.parametrize("file", ["image.npy", "label.npy", "foreground.npy", "meta.json"])
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: os.truncate(path, path.stat().st_size // 2)])
def test_a_case_that_was_damaged_later_is_prepared_again(tmp_path, task, file, spoil):
    expected = prepare(task, PLAN, tmp_path / "cache", processes=1)
    whole = contents(tmp_path / "cache")
    spoil(expected[1].folder / file)
    times = {case.name: case.folder.stat().st_mtime_ns for case in expected}
    assert prepare(task, PLAN, tmp_path / "cache", processes=1) == expected
    assert contents(tmp_path / "cache") == whole
    again = [case.name for case in expected if case.folder.stat().st_mtime_ns != times[case.name]]
    assert again == ["case_1"] and not list((tmp_path / "cache").glob("*/.partial-*"))


def test_a_cache_that_may_only_be_read_serves_what_it_holds(tmp_path, task, monkeypatch):
    prepared = prepare(task, PLAN, tmp_path / "cache", processes=1)
    monkeypatch.setattr(cache.os, "access", lambda folder, mode: mode != os.W_OK)
    assert prepare(task, PLAN, tmp_path / "cache", processes=1) == prepared
    shutil.rmtree(prepared[2].folder)
    with pytest.raises(ConfigError, match="--cache_dir=.*can't be written, and 1 case must be prepared"):
        prepare(task, PLAN, tmp_path / "cache", processes=1)


@POSIX
@pytest.mark.serial
def test_workers_killed_in_the_middle_cost_nothing(tmp_path):
    """SIGKILL to every worker as soon as one of them is seen writing: their cases are done again, alone."""
    task = load_task(write_task(tmp_path / "task", num_cases=4, shape=(64, 64, 48)))
    expected = prepare(task, PLAN, tmp_path / "whole", processes=1, progress=False)
    killed, over = [], threading.Event()

    def kill():
        while not over.is_set() and not killed:
            if list((tmp_path / "cache").glob("*/.partial-*")):
                for child in psutil.Process().children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.send_signal(signal.SIGKILL)
                        killed.append(child.pid)
            time.sleep(0.0005)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        prepared = prepare(task, PLAN, tmp_path / "cache", processes=2, progress=False)
    finally:
        over.set()
        thread.join()
    assert len(killed) in (1, 2)
    for one, other in zip(expected, prepared):
        assert contents(one.folder) == contents(other.folder)


@POSIX
@pytest.mark.parametrize("processes", [1, 2])
def test_a_disk_that_fills_up_names_the_case_and_leaves_no_half_file(tmp_path, processes):
    """A limit on the size of files fails a write in its middle, as a full disk does."""
    task = load_task(write_task(tmp_path / "task", num_cases=3))
    large = load_task(write_task(tmp_path / "large", num_cases=2, shape=(64, 48, 40)))
    for path, source in zip(task.cases[1].files, large.cases[1].files):
        shutil.copy(source, path)
    script = tmp_path / "run.py"
    script.write_text(
        "import resource, sys; sys.path[:0] = sys.argv[1:3]\n"
        "import test_preprocessing_interrupted as test\n"
        "if __name__ == '__main__':\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "    task = test.load_task(sys.argv[3])\n"
        "    test.prepare(task, test.PLAN, sys.argv[4], int(sys.argv[5]), progress=False)\n"
    )
    arguments = [HERE, HERE.parent, tmp_path / "task", tmp_path / "cache", str(processes)]
    errors = run(PYTHON, script, *arguments, code=1, timeout=120).stderr
    last = errors[errors.index("DataError") :]
    assert "1 of 3 cases failed" in last and "case_1: " in last and "--cache_dir" in last
    assert "case_0" not in last and "case_2" not in last
    (folder,) = (tmp_path / "cache").glob("Small-*")
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["case_0", "case_2", "plan.json"]

    before = contents(tmp_path / "cache")
    prepared = prepare(task, PLAN, tmp_path / "cache", processes=1)
    assert before.items() <= contents(tmp_path / "cache").items()
    assert prepared[1].image().nbytes > 200_000
    np.testing.assert_array_equal(prepared[1].image(), prepare(task, PLAN, tmp_path / "whole", processes=1)[1].image())


def test_a_disk_that_is_too_small_is_found_before_the_work(tmp_path, task, monkeypatch):
    monkeypatch.setattr(budget.shutil, "disk_usage", lambda folder: Usage(0, 0, 600_000_000))
    monkeypatch.setattr(budget, "DISK_RESERVE", 599_900_000)
    with pytest.raises(
        DataError,
        match=r"cache.*3 cases needs up to 0\.0 GB.*only 0\.6 GB are free.*--cache_dir.*"
        "--storage=float16",
    ):
        prepare(task, PLAN, tmp_path / "cache", processes=1, storage="float32")
    (folder,) = (tmp_path / "cache").glob("Small-*")
    assert not list(folder.iterdir())
    monkeypatch.setattr(budget, "DISK_RESERVE", 500_000_000)
    prepared = prepare(task, PLAN, tmp_path / "cache", processes=1)
    monkeypatch.setattr(budget, "DISK_RESERVE", 600_000_000)
    assert prepare(task, PLAN, tmp_path / "cache", processes=1) == prepared  # nothing to do needs no space


def test_a_disk_that_halving_would_not_help_gets_no_such_advice(task, tmp_path, monkeypatch):
    monkeypatch.setattr(budget.shutil, "disk_usage", lambda folder: Usage(0, 0, 0))
    with pytest.raises(DataError, match="--cache_dir") as error:
        check_disk(task.cases, PLAN, "float16", tmp_path)
    assert "--storage" not in str(error.value)


@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_the_disk_needed_is_an_upper_bound_and_not_far_off(tmp_path, storage):
    task = load_task(write_task(tmp_path / "task", num_cases=2, shape=(64, 60, 40)))
    for case in task.cases:
        change(case.images[0], lambda array: np.add(array, 1, out=array))  # no air, nothing is cropped
        change(case.label, lambda array: array[10:50, 10:50].fill(1))
    needed = disk_needed(task.cases, PLAN, storage)
    prepared = prepare(task, PLAN, tmp_path / "cache", processes=1, storage=storage)
    used = sum(path.stat().st_size for case in prepared for path in case.folder.iterdir())
    assert 0.6 * needed < used < needed


def test_slices_keep_their_distance_in_the_estimates(task):
    slices = PreprocessingPlan((None, 0.5, 0.5), PLAN.channels, PLAN.labels, (2, 0, 1))
    voxels = 8 * 24 * 20  # of 12 x 10 x 8, spacing 1 x 1 x 1.5
    assert disk_needed(task.cases[:1], slices, "float32") == pytest.approx(voxels * 9.12 + 3 * 120_000, rel=1e-3)


def test_a_size_of_slices_counts_in_the_estimates(task):
    sized = PreprocessingPlan((None, 0.5, 0.5), PLAN.channels, PLAN.labels, (2, 0, 1), slice_size=(30, 7))
    voxels = 8 * 30 * 7  # of 12 x 10 x 8
    assert disk_needed(task.cases[:1], sized, "float32") == pytest.approx(voxels * 9.12 + 3 * 120_000, rel=1e-3)


def test_the_largest_case_sets_the_memory(tmp_path, task):
    large = load_task(write_task(tmp_path / "large", num_cases=1, shape=(64, 60, 40)))
    both = memory_needed(task.cases + large.cases, PLAN)
    assert both == memory_needed(large.cases, PLAN) > memory_needed(task.cases, PLAN)
    large.cases[0].images[0].write_text("hello")
    assert memory_needed(large.cases, PLAN) == 0  # its turn will tell
    assert cache.prepare(task, PLAN, tmp_path / "cache", processes=1)
