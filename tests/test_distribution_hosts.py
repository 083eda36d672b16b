"""Two hosts of one run, as processes: they compute what one device does, and notice when the other is gone."""

import json
import signal
import socket
import time
from pathlib import Path

import processes
import pytest
from processes import PYTHON, with_package
from test_distribution import assert_close, assert_close_searches
from test_resume import last_step
from two_devices import SEARCH

HERE = Path(__file__).parent


def start(*arguments, **environment):
    """The processes of small_run.py with its arguments."""
    return processes.start(PYTHON, HERE / "small_run.py", *arguments, env=with_package(TF_CPP_MIN_LOG_LEVEL="2", **environment))


def start_hosts(*arguments):
    """Two processes that share one run."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    configs = [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}} for index in range(2)]
    return [start(*arguments, TF_CONFIG=json.dumps(config)) for config in configs]


def finish(*processes):
    """Waits for the ends; returns codes and what was written to stderr."""
    errors = [process.communicate(timeout=400)[1] for process in processes]
    return [process.returncode for process in processes], errors


def checked(*processes):
    codes, errors = finish(*processes)
    assert not any(codes), "\n".join(errors)


def wait_for(run, step, processes):
    while last_step(run) < step and all(process.poll() is None for process in processes):
        time.sleep(0.01)


@pytest.mark.nightly
def test_both_hosts_stop_and_save_when_one_is_told_to(two_devices, tmp_path):
    run = tmp_path / "hosts"
    hosts = start_hosts("learner", run, "auto", "none", 0.3)
    wait_for(run, 1, hosts)
    hosts[1].send_signal(signal.SIGTERM)
    codes, errors = finish(*hosts)
    assert codes == [143, 143] and all("stopped by SIGTERM and saved" in text for text in errors), errors
    checked(*start_hosts("learner", run, "auto", "none", 0))
    assert_close(run, two_devices / "single", 1e-6)


@pytest.mark.nightly
def test_two_hosts_learn_what_one_does_though_one_is_killed(two_devices, tmp_path):
    run = tmp_path / "hosts"
    hosts = start_hosts("learner", run, "auto", "none", 0.3)
    wait_for(run, 2, hosts)
    hosts[1].kill()
    codes, errors = finish(*hosts)
    assert codes[1] == -signal.SIGKILL and codes[0] == 1
    assert "another host stopped or can't be reached" in errors[0] and "Start the same command on all hosts again" in errors[0], errors[0]

    step = last_step(run)
    assert 0 < step < 9
    checked(*start_hosts("learner", run, "auto", "none", 0))
    assert_close(run, two_devices / "single", 1e-6)


@pytest.mark.nightly
def test_a_search_on_two_hosts_is_the_search_on_one(two_devices_at_night, tmp_path):
    checked(*start_hosts(*SEARCH, f"--cache_dir={two_devices_at_night / 'cache'}", f"--workdir={tmp_path / 'hosts'}"))
    assert_close_searches(tmp_path / "hosts", two_devices_at_night / "search_one")
