"""Which part this process plays where several machines share a selection: KerasTuner's variables say it.

KERASTUNER_TUNER_ID is "chief" on the machine that hands out training runs, and any other name on one that trains. All have
KERASTUNER_ORACLE_PORT, and KERASTUNER_ORACLE_IP, the chief's address, unless all run on one machine.
"""

import contextlib
import dataclasses
import ipaddress
import os
import pathlib
import re
import socket
from collections.abc import Mapping

from absl import logging

from scnas_keras.architectures.registry import DEFAULT_WIDTHS
from scnas_keras.errors import ConfigError
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.select import trials
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.job_flags import training_config
from scnas_keras.select.names import DEFAULT

ALONE, CHIEF, WORKER = "alone", "chief", "worker"
LEASE, HEARTBEAT, PAUSE = 90.0, 10.0, 2.0
"""Seconds: after so many a worker that says nothing has lost its job; how often it says something; between questions to a chief who has
nothing to do."""
_ID, _ADDRESS, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_HERE = "127.0.0.1"
_MEASURED_STEPS = 12
"""Of the default network, by which machines are compared."""
_CHANCE = 0.1
_FOLDER = "machines"


def role() -> str:
    """ALONE, CHIEF or WORKER.

    Raises:
        ConfigError: variables are missing, or no address and port.
    """
    if not any(name in os.environ for name in (_ID, _ADDRESS, _PORT)):
        return ALONE
    if missing := [name for name in (_ID, _PORT) if not os.environ.get(name)]:
        raise ConfigError(f"KerasTuner's variables say that several machines share this selection, and {missing[0]} isn't set.")
    port = os.environ[_PORT]
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16):
        raise ConfigError(f"{_PORT}={port}: expected a number from 1 to 65535.")
    if not re.fullmatch(r"[\w.-]+", os.environ[_ID], re.ASCII):
        raise ConfigError(f"{_ID}={os.environ[_ID]}: it names a folder; use letters, digits, '-', '_' and '.' only.")
    found = CHIEF if os.environ[_ID] == CHIEF else WORKER
    if found == WORKER and CHIEF in os.environ[_ID]:
        raise ConfigError(f"{_ID}={os.environ[_ID]}: KerasTuner takes every name with {CHIEF!r} in it for the chief's. Take another.")
    return found


def check_port() -> None:
    """Of a chief, before it begins; says so if other machines can reach it.

    Raises:
        ConfigError: the address isn't this machine's, or the port is in use.
    """
    address, port = place()
    try:
        with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a chief that has just ended, connections may linger
            trial.bind((address, port))
    except OSError as error:
        raise ConfigError(
            f"{_ADDRESS}={address}, {_PORT}={port}: the chief can't listen there ({error.strerror or error}). Name an address of this "
            "machine, and a port that is free."
        ) from error
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(address).is_loopback:
            return
    logging.warning(
        "%s:%d can be reached from other machines, without a password: whoever reaches it can steer this selection. Keep it inside a "
        "network that you trust",
        address,
        port,
    )


def place() -> tuple[str, int]:
    """The chief's address and port."""
    return os.environ.get(_ADDRESS, _HERE), int(os.environ[_PORT])


def tell_kerastuner() -> None:
    """Sets the address that KerasTuner reads where none is given: this machine's own, so that nobody else reaches the chief."""
    os.environ.setdefault(_ADDRESS, _HERE)


def chief_answers() -> bool:
    """Whether somebody listens at the chief's address now."""
    with contextlib.suppress(OSError), socket.create_connection(place(), timeout=2.0):
        return True
    return False


def own_name() -> str:
    """This worker's name, with its host."""
    return f"{os.environ[_ID]}@{socket.gethostname()}"


def measure(config: SelectConfig, run: pathlib.Path) -> None:
    """Measures a step of the default network on this machine, unless that was done: the slower it is, the longer training runs here last.

    Raises:
        ConfigError: it can't train here.
    """
    folder = _folder(run, own_name())
    candidate = Candidate(DEFAULT, DEFAULT, DEFAULT, str(DEFAULT_WIDTHS[DEFAULT]))
    own = training_config(config, candidate, folder, 3600.0, HELD_OUT, config.seed)
    changes = {"budget_minutes": None, "epochs": 1, "steps_per_epoch": _MEASURED_STEPS}
    failure = trials.run("retrain", dataclasses.replace(own, **changes), "measuring this machine", 60.0)
    if failure:
        raise ConfigError(f"{DEFAULT} can't be trained here: it {failure.reason} (see {folder}.log).")


def seconds_per_step(run: pathlib.Path, name: str) -> float | None:
    """What a worker measured; None if it hasn't."""
    result = trials.result_of(_folder(run, name))
    return result and result.seconds_per_step


def slowness(name: str, measured: Mapping[str, float]) -> float:
    """How many times as long a worker's training runs last as those of the worker that came first; 1 where that may be chance.

    Args:
        name: of the worker.
        measured: worker -> seconds of a step, the first worker's first.
    """
    first = next(iter(measured.values()), None)
    found = measured[name] / first if first and name in measured else 1.0
    return found if abs(found - 1) > _CHANCE else 1.0


def _folder(run: pathlib.Path, name: str) -> pathlib.Path:
    return run / _FOLDER / name
