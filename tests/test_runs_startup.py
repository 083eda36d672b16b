"""What every run that trains does first."""

import types

from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs import startup


def test_a_run_starts_with_its_seed(monkeypatch):
    seeds = []
    monkeypatch.setattr(startup, "open_cluster", lambda devices: startup.Cluster(None))
    monkeypatch.setattr(startup.keras.utils, "set_random_seed", seeds.append)
    startup.start(RetrainConfig(seed=7, deterministic="false"))
    assert seeds == [7]


def test_runs_on_cpus_are_deterministic_unless_told_otherwise():
    for word, expected in {"auto": [True, False], "true": [True, True], "false": [False, False]}.items():
        found = [startup.is_deterministic(RetrainConfig(deterministic=word), types.SimpleNamespace(on_gpu=gpu)) for gpu in (False, True)]
        assert found == expected, word
