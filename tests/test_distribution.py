"""Several devices and several hosts compute what one device computes."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.errors import ConfigError
from scnas_keras.machine import distribution
from scnas_keras.machine.distribution import Cluster, WorkerLost, open_cluster
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs import startup
from scnas_keras.runs.checkpoint_files import CHECKPOINT, LAST, CheckpointFolder

HERE = Path(__file__).parent


def arrays(run, group):
    return [array for name, array in CheckpointFolder(run / CHECKPOINT).read(LAST)[2].items() if name.startswith(group)]


def assert_close(one, other, atol, history=1e-6):
    """That two runs have the same weights and history: with plain SGD, up to the rounding of sums in another order."""
    for group in ("model", "metric"):
        for ours, theirs in zip(arrays(one, group), arrays(other, group), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=atol if group == "model" else 2, err_msg=group)  # replicas count apart
    rows, expected = (
        [[float(value or "nan") for value in row] for row in list(csv.reader(open(run / "history.csv")))[1:]] for run in (one, other)
    )
    np.testing.assert_allclose(rows, expected, atol=history)


def test_two_devices_learn_what_one_does(two_devices):
    assert_close(two_devices / "mirrored", two_devices / "single", 1e-6)


def test_an_error_of_this_hosts_own_data_is_not_taken_for_a_lost_host():
    def fail(number):
        raise FileNotFoundError("image.npy")

    data = tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(fail, [number], tf.float32))
    with pytest.raises(tf.errors.UnknownError, match="image.npy"), Cluster(None, 0, 2).watched():
        next(iter(data))
    with pytest.raises(WorkerLost, match="host 0 of 2: .*Socket closed"), Cluster(None, 0, 2).watched():
        raise tf.errors.UnavailableError(None, None, "Socket closed")


def assert_close_searches(run, single):
    assert_close(run, single, 0.01, 2e-4)  # Adam makes a step of the rate, 0.003, of a gradient that rounding has the sign of
    assert (run / "summary.json").is_file()
    rows, expected = (json.loads((one / "summary.json").read_text())["result"]["alpha"] for one in (run, single))
    np.testing.assert_allclose([rows[kind] for kind in expected], list(expected.values()), atol=0.01)


@pytest.mark.nightly
def test_a_search_on_two_devices_is_the_search_on_one(two_devices_at_night):
    assert_close_searches(two_devices_at_night / "search_two", two_devices_at_night / "search_one")


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_optimizers_and_their_averages_are_alike_on_two_devices(name, two_devices):
    with np.load(two_devices / f"{name}_two.npz") as two, np.load(two_devices / f"{name}_one.npz") as one:
        assert two.files == one.files
        for part in one.files:
            np.testing.assert_array_equal(*two[part])
            np.testing.assert_allclose(two[part][0], one[part][0], rtol=1e-6)


@pytest.mark.parametrize("name", ["two", "slices"])
def test_both_levels_of_a_search_add_up_their_gradients_over_devices_and_slices(name, two_devices):
    with np.load(two_devices / f"step_{name}.npz") as two, np.load(two_devices / "step_one.npz") as one:
        assert two.files == one.files
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], err_msg=name, **({"rtol": 1e-5} if name == "losses" else {"atol": 1e-6}))


@pytest.mark.parametrize("name", ["two", "slices"])
def test_two_devices_leave_out_the_paths_that_one_does(name, two_devices):
    with np.load(two_devices / "dropped.npz") as found:
        np.testing.assert_allclose(found[name], found["one"], atol=2e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_on_two_devices(precision, two_devices, two_devices_at_night):
    for ours, theirs in zip(arrays(two_devices_at_night / precision, "model"), arrays(two_devices / "single", "model"), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=0.05)
        assert np.any(ours != theirs)


def test_a_step_that_overflows_on_one_device_is_left_out_on_both(two_devices):
    with np.load(two_devices / "overflow.npz") as found:
        np.testing.assert_array_equal(found["after_bad"], [1, 2])
        assert found["scale"] == 2.0**14
        np.testing.assert_array_equal(found["after_good"], [0.5, 1])


@pytest.mark.parametrize(
    "devices, gpus, names",
    [
        ("auto", 0, None),
        ("auto", 1, None),
        ("auto", 3, ["GPU:0", "GPU:1", "GPU:2"]),
        ("2", 3, ["GPU:0", "GPU:1"]),
        ("1", 3, ["GPU:0"]),
        ("gpu:0,gpu:2", 3, ["GPU:0", "GPU:2"]),
        ("gpu:2", 3, ["GPU:2"]),
        ("cpu", 3, ["CPU:0"]),
    ],
)
def test_devices_by_flag(devices, gpus, names):
    assert distribution._names(devices, gpus) == names


@pytest.mark.parametrize(
    "devices, message",
    [
        ("2", "TensorFlow sees 1 GPUs"),
        ("0", "TensorFlow sees 1 GPUs"),
        ("gpu:1", "TensorFlow sees 1 GPUs"),
        ("cpu,gpu", "of one kind"),
        ("tpu", "of one kind"),
        ("gpu:0,gpu:0", "of one kind"),
        ("gpu:x", "of one kind"),
        ("", "of one kind"),
    ],
)
def test_devices_that_are_not_there_are_refused(devices, message):
    with pytest.raises(ConfigError, match=f"--devices={devices}: .*{message}"):
        distribution._names(devices, 1)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_makes_no_sense_is_refused(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match="TF_CONFIG: can't be used"):
        open_cluster("auto")


def test_several_hosts_use_all_gpus(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
        open_cluster("cpu")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"cluster": {}, "environment": "cloud"}',
        '{"cluster": {"chief": ["a:1"]}, "environment": "cloud", "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_one_host_of_a_managed_platform_runs_as_without_it(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    cluster = open_cluster("cpu")
    assert (cluster.workers, cluster.chief, cluster.replicas) == (1, True, 1) and "TF_CONFIG" not in os.environ


def test_hosts_with_different_flags_are_refused(monkeypatch):
    class Hosts(Cluster):
        def total(self, values):
            return np.asarray([of_chief[-1] if self.worker else of_chief.append(values[0]) or values[0]])

    of_chief = []
    for worker, flags in enumerate([{"seed": 1, "workdir": "/a", "processes": 2}, {"seed": 1, "workdir": "/b"}]):
        monkeypatch.setattr(startup, "open_cluster", lambda devices, worker=worker: Hosts(None, worker, 2))
        startup.start(RetrainConfig(deterministic="false", **flags))
    with pytest.raises(ConfigError, match="host 1 of 2: has other flags than host 0"):
        startup.start(RetrainConfig(deterministic="false", seed=2))


def test_float16_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(startup, "open_cluster", lambda devices: Cluster(None))
    with pytest.raises(ConfigError, match="--mixed_precision=float16 needs GPUs"):
        startup.start(RetrainConfig(mixed_precision="float16"))


@pytest.mark.parametrize("replicas, planned, size", [(1, 5, 5), (2, 4, 4), (2, 5, 6), (4, 1, 4), (3, 7, 9)])
def test_a_batch_that_cannot_be_shared_equally_is_raised(replicas, planned, size):
    class Strategy:
        num_replicas_in_sync = replicas

    assert Cluster(Strategy()).batch_size(planned) == size
