import functools
import os
import signal
import time
from pathlib import Path

import pytest
from processes import PYTHON, run, start

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.machine import workers
from scnas_keras.machine.workers import fitting_processes, map_cases
from scnas_keras.tasks.cases import Case

CASES = tuple(Case(f"case_{index}", (Path(f"image_{index}"),), Path(f"label_{index}")) for index in range(5))
POSIX = pytest.mark.skipif(os.name != "posix", reason="kills by signals")


def name_of(case: Case) -> str:
    return case.name


def process_of(case: Case) -> int:
    return os.getpid()


def die_at(case: Case, folder: Path, victims: tuple[str, ...], times: int) -> str:
    """Kills its own process the first `times` times it meets each of the victims, as the kernel would."""
    met = len(list(folder.glob(f"{case.name}-*")))
    (folder / f"{case.name}-{met}").write_text(str(os.getpid()))
    if case.name in victims and met < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return case.name


def lack_memory_at(case: Case, folder: Path, victims: tuple[str, ...], times: int) -> str:
    met = len(list(folder.glob(f"{case.name}-*")))
    (folder / f"{case.name}-{met}").write_text(str(os.getpid()))
    if case.name in victims and met < times:
        raise MemoryError("Unable to allocate 7 GiB")
    return case.name


def run_into_a_bug(case: Case) -> None:
    raise ZeroDivisionError("a bug")


def run_into_a_strange_bug(case: Case) -> None:
    class Strange(Exception):
        pass

    raise Strange("a bug")


def run_out_of_disk(case: Case) -> None:
    raise OSError(28, "No space left on device")


def sleep_long(case: Case, folder: Path) -> None:
    try:
        (folder / f"started-{os.getpid()}").touch()
        time.sleep(600)
    finally:
        (folder / f"tidied-{os.getpid()}").touch()


def visits(folder: Path) -> dict[str, list[str]]:
    """Which processes met each case, in order."""
    return {case.name: [path.read_text() for path in sorted(folder.glob(f"{case.name}-*"))] for case in CASES}


@pytest.mark.parametrize("processes", [1, 2, 9, None])
def test_results_come_in_the_order_of_the_cases(processes):
    assert map_cases(name_of, CASES, "Naming", 1, processes, progress=False) == [case.name for case in CASES]


def test_no_cases_are_no_work():
    assert map_cases(run_into_a_bug, (), "Nothing", 1, progress=False) == []


@POSIX
@pytest.mark.parametrize("processes", [1, 2])
def test_one_process_is_this_one(processes):
    mine = map_cases(process_of, CASES, "Asking", 1, processes, progress=False)
    assert (set(mine) == {os.getpid()}) == (processes == 1)
    assert len(set(mine)) <= processes


@POSIX
@pytest.mark.parametrize("victims", [("case_1",), ("case_0", "case_1", "case_2", "case_3", "case_4")])
@pytest.mark.serial
def test_a_case_whose_worker_was_killed_is_tried_again_alone(tmp_path, victims):
    work = functools.partial(die_at, folder=tmp_path, victims=victims, times=1)
    assert map_cases(work, CASES, "Dying", 1, 2, progress=False) == [case.name for case in CASES]
    met = visits(tmp_path)
    assert [len(met[case.name]) for case in CASES] == [1 + (case.name in victims) for case in CASES]
    again = [met[name][1] for name in victims]
    assert len(set(again)) == len(victims)  # a fresh process each
    first = {processes[0] for processes in met.values()}
    assert not first & set(again)


@POSIX
@pytest.mark.serial
def test_a_case_that_always_kills_its_worker_is_named_and_the_others_are_done(tmp_path):
    work = functools.partial(die_at, folder=tmp_path, victims=("case_1", "case_3"), times=99)
    with pytest.raises(
        DataError,
        match=r"(?s)2 of 5 cases failed.*case_1: image_1: .*was killed.*"
        r"up to about 12\.3 GB, and [0-9.]+ GB are free.*case_3: image_3",
    ) as error:
        map_cases(work, CASES, "Dying", 12_000_000_000, 2)
    assert not any(name in str(error.value) for name in ("case_0", "case_2", "case_4"))
    met = visits(tmp_path)
    assert [len(met[case.name]) for case in CASES] == [1, 2, 1, 2, 1]


def test_a_case_that_lacks_memory_is_tried_again_alone(tmp_path):
    work = functools.partial(lack_memory_at, folder=tmp_path, victims=("case_1",), times=1)
    assert map_cases(work, CASES, "Filling", 1, 2, progress=False) == [case.name for case in CASES]
    assert visits(tmp_path)["case_1"][1] not in sum((processes[:1] for processes in visits(tmp_path).values()), [])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_case_that_always_lacks_memory_is_named(tmp_path, processes):
    work = functools.partial(lack_memory_at, folder=tmp_path, victims=("case_1",), times=99)
    with pytest.raises(DataError, match=r"(?s)1 of 5.*case_1: image_1: memory ran out \(Unable to allocate 7 GiB"):
        map_cases(work, CASES, "Filling", 1, processes, progress=False)
    assert [len(met) for met in visits(tmp_path).values()] == [1, processes, 1, 1, 1]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bug_is_not_taken_for_bad_data(processes):
    with pytest.raises(ZeroDivisionError) as error:
        map_cases(run_into_a_bug, CASES, "Failing", 1, processes, progress=False)
    here = [entry.name for entry in error.traceback]
    assert "run_into_a_bug" in "\n".join(here + getattr(error.value, "__notes__", []))


def test_a_bug_whose_exception_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="(?s)run_into_a_strange_bug.*Strange: a bug"):
        map_cases(run_into_a_strange_bug, CASES, "Failing", 1, 2, progress=False)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_is_reported_with_the_case(processes):
    with pytest.raises(DataError, match=r"(?s)5 of 5.*case_3: image_3: .*No space left"):
        map_cases(run_out_of_disk, CASES, "Writing", 1, processes, progress=False)


def test_memory_and_cores_bound_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(workers, "available_memory", lambda: 10_000_000_000)
    monkeypatch.setattr(workers, "usable_cpus", lambda: 6)
    assert fitting_processes(1_000_000_000) == 5  # 1.3 GB each of 7.5
    assert fitting_processes(1) == 6
    assert fitting_processes(2**60) == 1


def test_a_script_without_the_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import test_data_workers as test\n"
        "test.map_cases(test.name_of, test.CASES, 'Naming', 1, 2, progress=False)\n"
    )
    here = Path(__file__).parent
    done = run(PYTHON, script, here, here.parent, code=1, timeout=120)
    assert ConfigError.__name__ in done.stderr and 'if __name__ == "__main__"' in done.stderr


def _heed_signals():
    for sent in (signal.SIGINT, signal.SIGHUP):  # a shell's background job, in which the tests may run, ignores the one, nohup the other
        signal.signal(sent, signal.SIG_DFL)


@POSIX
@pytest.mark.serial
@pytest.mark.parametrize("sent, send", [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill), (signal.SIGHUP, os.killpg)], ids=str)
def test_a_command_that_is_stopped_says_so_and_its_workers_tidy_up(sent, send, tmp_path):
    """The terminal sends to all processes of a command, `kill` to one of them."""
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, pathlib, sys\n"
        "import test_data_workers as test\n"
        "from scnas_keras import options, verify\n"
        "if __name__ == '__main__':\n"
        "    work = functools.partial(test.sleep_long, folder=pathlib.Path(__file__).parent)\n"
        "    options.run(verify.VerifyConfig, lambda config: test.map_cases(work, test.CASES, 'Sleeping', 1, 2, False), '')\n"
    )
    path = f"{Path(__file__).parent}{os.pathsep}{Path(__file__).parents[1]}"
    process = start(PYTHON, script, env={**os.environ, "PYTHONPATH": path}, start_new_session=True, preexec_fn=_heed_signals)
    for _ in range(600):
        if len(list(tmp_path.glob("started-*"))) == 2:
            break
        time.sleep(0.1)
    send(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + sent, f"stopped by {sent.name}\n")
    assert len(list(tmp_path.glob("tidied-*"))) == 2
    for started in tmp_path.glob("started-*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.name.split("-")[1]), 0)
