import os
from pathlib import Path

import psutil
import pytest

from scnas_keras.data.tasks import Case
from scnas_keras.data.workers import map_cases
from scnas_keras.errors import DataError

CASES = tuple(Case(f"case_{index}", Path(f"image_{index}"), Path(f"label_{index}")) for index in range(5))
NOBODY_HAS = 2**60


def name_of(case: Case) -> str:
    return case.name


def process_of(case: Case) -> int:
    return os.getpid()


def die(case: Case) -> None:
    os._exit(9)


def run_into_a_bug(case: Case) -> None:
    raise ZeroDivisionError("a bug")


def run_out_of_disk(case: Case) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_cases(processes):
    assert map_cases(name_of, CASES, "Naming", 1, processes, progress=False) == [case.name for case in CASES]


def test_a_killed_worker_is_explained():
    with pytest.raises(DataError, match="killed.*memory.*fewer processes"):
        map_cases(die, CASES, "Dying", 1, processes=2, progress=False)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bug_is_not_taken_for_bad_data(processes):
    with pytest.raises(ZeroDivisionError):
        map_cases(run_into_a_bug, CASES, "Failing", 1, processes, progress=False)


def test_a_full_disk_is_reported_with_the_case():
    with pytest.raises(DataError, match=r"(?s)5 of 5.*case_3: image_3: .*No space left"):
        map_cases(run_out_of_disk, CASES, "Writing", 1, processes=1, progress=False)


def test_memory_bounds_the_number_of_workers():
    assert set(map_cases(process_of, CASES, "Asking", NOBODY_HAS, progress=False)) == {os.getpid()}
    assert psutil.virtual_memory().available < NOBODY_HAS
