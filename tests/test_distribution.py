"""Several devices and several hosts compute what one device computes."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_resume import FLAGS, last_step

from scnas_keras.errors import ConfigError
from scnas_keras.machine import distribution
from scnas_keras.machine.distribution import Cluster, WorkerLost, open_cluster
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs import startup
from scnas_keras.runs.checkpoint import CHECKPOINT
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder

HERE = Path(__file__).parent
SEARCH = (*FLAGS, "--epochs=2", "--steps_per_epoch=3", "--batch_size=2")


def start(*arguments, **environment):
    """The processes of small_run.py with its arguments."""
    words = [sys.executable, str(HERE / "small_run.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "2", **environment}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_code(code):
    """Runs code in a process of its own, since a process' devices can't be split once it computes."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


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


def arrays(run, group):
    return [array for name, array in CheckpointFolder(run / CHECKPOINT).read(LAST)[2].items() if name.startswith(group)]


def assert_close(one, other, atol):
    for group in ("model", "metric"):
        for ours, theirs in zip(arrays(one, group), arrays(other, group), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=atol if group == "model" else 2, err_msg=group)
    rows, expected = (
        [[float(value or "nan") for value in row] for row in list(csv.reader(open(run / "history.csv")))[1:]] for run in (one, other)
    )  # fmt: skip
    np.testing.assert_allclose(rows, expected, atol=2e-4)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    run = tmp_path_factory.mktemp("learner") / "single"
    checked(start("learner", run, "cpu", "none", 0))
    return run


@pytest.mark.slow
def test_two_devices_learn_what_one_does(single):
    run = single.with_name("mirrored")
    checked(start("learner", run, "cpu:0,cpu:1", "none", 0))
    assert_close(run, single, 1e-6)


@pytest.mark.slow
def test_two_hosts_learn_what_one_does_though_one_is_stopped_and_killed(single):
    run = single.with_name("hosts")
    hosts = start_hosts("learner", run, "auto", "none", 0.3)
    wait_for(run, 1, hosts)
    hosts[1].send_signal(signal.SIGTERM)
    codes, errors = finish(*hosts)
    assert codes == [143, 143] and all("stopped by SIGTERM and saved" in text for text in errors), errors

    hosts, step = start_hosts("learner", run, "auto", "none", 0.3), last_step(run)
    wait_for(run, step + 2, hosts)
    hosts[1].kill()
    codes, errors = finish(*hosts)
    assert codes[1] == -signal.SIGKILL and codes[0] == 1
    assert "another host stopped or can't be reached" in errors[0] and "Start the same command on all hosts again" in errors[0], errors[0]

    step = last_step(run)
    assert 0 < step < 9
    checked(*start_hosts("learner", run, "auto", "none", 0))
    assert_close(run, single, 1e-6)


def test_an_error_of_this_hosts_own_data_is_not_taken_for_a_lost_host():
    def fail(number):
        raise FileNotFoundError("image.npy")

    data = tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(fail, [number], tf.float32))
    with pytest.raises(tf.errors.UnknownError, match="image.npy"), Cluster(None, 0, 2).watched():
        next(iter(data))
    with pytest.raises(WorkerLost, match="host 0 of 2: .*Socket closed"), Cluster(None, 0, 2).watched():
        raise tf.errors.UnavailableError(None, None, "Socket closed")


@pytest.mark.slow
def test_a_search_on_two_devices_and_on_two_hosts_is_the_search_on_one(tmp_path):
    runs = [tmp_path / name for name in ("one", "devices", "hosts")]
    flags = [(*SEARCH, f"--cache_dir={tmp_path / 'cache'}", f"--workdir={run}") for run in runs]
    checked(start(*flags[0]))
    checked(start(*flags[1], "--devices=cpu:0,cpu:1"))
    checked(*start_hosts(*flags[2]))
    for run in runs[1:]:
        assert_close(run, runs[0], 0.01)  # Adam makes a step of the rate, 0.003, of a gradient that rounding has the sign of
        assert (run / "summary.json").is_file()
        rows, expected = (json.loads((one / "summary.json").read_text())["result"]["logits"] for one in (run, runs[0]))
        np.testing.assert_allclose([rows[kind] for kind in expected], list(expected.values()), atol=0.01)


@pytest.mark.slow
def test_both_levels_of_a_search_add_up_their_gradients_over_devices():
    code = """if True:
        import keras, numpy as np, tensorflow as tf
        from small_run import SMALL
        from scnas_keras.supernet.supernet import Supernet
        from scnas_keras.machine.distribution import Cluster, open_cluster
        from scnas_keras.training.losses import JaccardLoss

        def numbers(seed):
            return np.random.default_rng(seed)

        def items(seed):
            images = numbers(seed).normal(size=(4, 8, 8, 8, 1)).astype("float32")
            return tf.data.Dataset.from_tensor_slices((images, (images[..., 0] > 0).astype("int32")))

        def train(cluster):
            keras.utils.set_random_seed(0)
            with cluster.strategy.scope():
                supernet = Supernet(SMALL, 1, 2, 8, seed=1)
                supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0), JaccardLoss())
            step = tf.function(lambda batch: cluster.strategy.run(supernet.train_step, args=(batch,)), autograph=False)
            pairs = tf.data.Dataset.zip(items(0), items(1)).repeat().batch(4 // cluster.replicas)
            data = iter(cluster.distribute(lambda: pairs))
            step(next(data))  # one: the roundings of a step become the next one's differences
            losses = [float(np.asarray(tracker.result())) for tracker in (supernet.loss_tracker, supernet.held_out_tracker)]
            return losses, [keras.ops.convert_to_numpy(v) for v in supernet.trainable_variables]

        cluster = open_cluster("cpu:0,cpu:1")
        (losses, variables), (expected_losses, expected) = train(cluster), train(Cluster(tf.distribute.get_strategy()))
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
        for one, other in zip(variables, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    """
    result = run_code(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_on_two_devices(precision, single):
    run = single.with_name(precision)
    checked(start("learner", run, "cpu:0,cpu:1", precision, 0))
    for ours, theirs in zip(arrays(run, "model"), arrays(single, "model"), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=0.05)
        assert np.any(ours != theirs)


@pytest.mark.slow
def test_a_step_that_overflows_on_one_device_is_left_out_on_both():
    code = """if True:
        import keras, numpy as np, tensorflow as tf
        from scnas_keras.machine.distribution import open_cluster
        from scnas_keras.machine.precision import apply_gradients, scaled, scaled_loss
        strategy = open_cluster("cpu:0,cpu:1").strategy
        with strategy.scope():
            variable = keras.Variable([1.0, 2.0])
            optimizer = scaled(keras.optimizers.SGD(1.0), "float16")
            optimizer.build([variable])

        @tf.function(autograph=False)
        def step(bad):
            def run(bad):
                own = tf.distribute.get_replica_context().replica_id_in_sync_group
                gradient = scaled_loss(optimizer, tf.constant([0.25, 0.5]))
                apply_gradients(optimizer, [tf.where((own == 1) & bad, np.inf, 1.0) * gradient], [variable])
            strategy.run(run, args=(bad,))

        step(tf.constant(True))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), [1, 2])
        assert float(keras.ops.convert_to_numpy(optimizer.dynamic_scale)) == 2.0 ** 14
        step(tf.constant(False))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), [0.5, 1])
    """
    result = run_code(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("devices, gpus, names", [
    ("auto", 0, None), ("auto", 1, None), ("auto", 3, ["GPU:0", "GPU:1", "GPU:2"]), ("2", 3, ["GPU:0", "GPU:1"]), ("1", 3, ["GPU:0"]),
    ("gpu:0,gpu:2", 3, ["GPU:0", "GPU:2"]), ("gpu:2", 3, ["GPU:2"]), ("cpu", 3, ["CPU:0"]),
])  # fmt: skip
def test_devices_by_flag(devices, gpus, names):
    assert distribution._names(devices, gpus) == names


@pytest.mark.parametrize("devices, message", [
    ("2", "TensorFlow sees 1 GPUs"), ("0", "TensorFlow sees 1 GPUs"), ("gpu:1", "TensorFlow sees 1 GPUs"), ("cpu,gpu", "of one kind"),
    ("tpu", "of one kind"), ("gpu:0,gpu:0", "of one kind"), ("gpu:x", "of one kind"), ("", "of one kind"),
])  # fmt: skip
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
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
        open_cluster("cpu")


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
