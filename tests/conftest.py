"""What several test files use, and how tests are run: several at a time, `serial` ones alone, `nightly` ones only when asked for."""

import collections
import gc
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest
from processes import PYTHON, ROOT, run, with_package
from quick_graphs import QUICK
from turns import once, turn

WORKER = "PYTEST_XDIST_WORKER" in os.environ  # one of several processes that run tests, as tools/test starts them
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"} if WORKER else {}

gc.set_threshold(50_000, 20, 20)  # tracing makes many objects, and few of them are garbage
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `console.load_tensorflow` has it
os.environ.update(ONE_THREAD)  # workers share the cores
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would what tests start


def pytest_addoption(parser):
    parser.addoption("--nightly", action="store_true", help="run the long measurements too")


def pytest_collection_modifyitems(config, items):
    """What runs alone comes last; what is for the night is skipped, and counted with its reason."""
    items.sort(key=lambda item: item.get_closest_marker("serial") is not None)
    for item in items:
        if item.get_closest_marker("nightly") and not config.getoption("nightly"):
            item.add_marker(pytest.mark.skip(reason="a long measurement, run by tools/test --nightly"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that the workers of one run of tests share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if WORKER else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def two_devices(shared_folder):
    """The folder that two_devices.py has filled."""
    return once(shared_folder / "two_devices", compute_on_two_devices)


@pytest.fixture(scope="session")
def two_devices_at_night(shared_folder):
    """The folder that it has filled at night."""
    return once(shared_folder / "two_devices_at_night", lambda folder: compute_on_two_devices(folder, "night"))


def compute_on_two_devices(*words):
    run(PYTHON, ROOT / "tests" / "two_devices.py", *words, env=with_package(TF_CPP_MIN_LOG_LEVEL="2"))


def pytest_runtest_setup(item):
    if tensorflow := sys.modules.get("tensorflow"):
        wanted = {name: not item.config.getoption("nightly") for name in QUICK}
        now = tensorflow.config.optimizer.get_experimental_options()
        if any(now.get(name, False) != value for name, value in wanted.items()):
            tensorflow.config.optimizer.set_experimental_options(wanted)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Only one worker runs a test while it is a `serial` one, whose processes have the machine's threads."""
    if not WORKER:
        return (yield)
    alone = item.get_closest_marker("serial") is not None
    with turn(Path(item.config.getoption("basetemp")).parent, alone):
        if not alone:
            return (yield)
        for name in ONE_THREAD:
            del os.environ[name]
        try:
            return (yield)
        finally:
            os.environ.update(ONE_THREAD)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """The last line but the closing one: how many were skipped, by reason."""
    yield
    reasons = collections.Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ()))
    if reasons:
        terminalreporter.write_line("Skipped: " + "; ".join(f"{count} ({reason})" for reason, count in reasons.most_common()))


@pytest.fixture
def command(monkeypatch, tmp_path_factory):
    """Runs a command in this process, in an empty folder: a module or a file under tools/, with flags as keyword arguments."""
    monkeypatch.chdir(tmp_path_factory.mktemp("current"))

    def call(name, *arguments, **flags):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments), *(f"--{key}={value}" for key, value in flags.items())])
        if name.startswith("tools/"):
            runpy.run_path(str(ROOT / name), run_name="__main__")
        else:
            runpy.run_module(f"{name}.__main__", run_name="__main__")

    return call
