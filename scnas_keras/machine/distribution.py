"""What computes a run: the CPU, one or several GPUs, or several hosts that share each batch."""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from scnas_keras.errors import ConfigError, UserError
from scnas_keras.machine.accumulation import count_slices
from scnas_keras.machine.hosts import TF_CONFIG, hosts_of_run


class WorkerLost(UserError):
    """Another host of a run is gone."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The devices of a run, on one host or several.

    Attributes:
        strategy: TensorFlow's; models and optimizers are built in its scope.
        worker: number of this host.
        workers: hosts.
        on_gpu: whether the devices are GPUs.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1
    on_gpu: bool = False

    @property
    def chief(self) -> bool:
        """Whether this host writes the run's folder."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Devices of all hosts; each holds the model."""
        return self.strategy.num_replicas_in_sync

    def batch_size(self, planned: int) -> int:
        """The planned batch, or the next larger one that all replicas share equally."""
        return -(-planned // self.replicas) * self.replicas

    def slices(self, planned: int, accumulate: int) -> int:
        """In how many slices each replica computes its share of the planned batch; ConfigError if it can't be divided so."""
        return count_slices(self.batch_size(planned) // self.replicas, accumulate)

    @property
    def share(self) -> dict[str, Any]:
        """Arguments of `patch_dataset` that make a dataset of this host's share of each batch."""
        return {"host": (self.worker, self.workers), "replicas": self.replicas}

    def distribute(self, make: Callable[[], tf.data.Dataset]) -> Any:
        """A dataset as what `strategy.run` takes; its elements are this host's share, in batches for one replica each."""
        return self.strategy.distribute_datasets_from_function(lambda context: make())

    def total(self, values: Sequence[float]) -> np.ndarray:
        """Sum over hosts, float64; all must ask together."""
        if self.workers == 1:
            return np.asarray(values, np.float64)
        local = self.replicas // self.workers

        def own(context):
            first = context.replica_id_in_sync_group % local == 0
            return tf.constant(values if first else [0.0] * len(values), tf.float64)

        return self._sum(self.strategy.experimental_distribute_values_from_function(own)).numpy()

    def from_chief(self, values: Sequence[float]) -> np.ndarray:
        """The first host's values, on all hosts."""
        return self.total(values if self.chief else [0.0] * len(values))

    def mean(self, value: Any) -> tf.Tensor:
        """Mean over replicas of what `strategy.run` returned."""
        return self.strategy.reduce("MEAN", value, axis=None)

    def local(self, results: dict[str, Any]) -> dict[str, Any]:
        """What the first replica of this host returned."""
        return {name: self.strategy.experimental_local_results(value)[0] for name, value in results.items()}

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turns the failure of what hosts do together into an error that says what to do.

        Raises:
            WorkerLost: on a host that is left alone.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or not isinstance(error, _LOST) or "Traceback" in error.message:  # the last: of this host's own patches
                raise
            raise WorkerLost(
                f"host {self.worker} of {self.workers}: another host stopped or can't be reached ({_reason(error)}). Its own messages "
                "say why. Start the same command on all hosts again: the run goes on from its last checkpoint."
            ) from error

    @functools.cached_property
    def _sum(self):
        strategy = self.strategy
        return tf.function(lambda value: strategy.reduce("SUM", strategy.run(tf.identity, args=(value,)), axis=None), autograph=False)


_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)


def open_cluster(devices: str) -> Cluster:
    """The devices that `--devices` and, for several hosts, TF_CONFIG name. Must come before TensorFlow computes anything.

    Args:
        devices: "auto" for all GPUs or else the CPU; a number of GPUs; or names with commas between, "gpu:0,gpu:2", "cpu".
            "cpu:0,cpu:1" splits the CPU into logical devices, to try what several devices do.

    Raises:
        ConfigError: there are no such devices, or TF_CONFIG makes no sense.
    """
    hosts, worker = hosts_of_run()
    if len(hosts) < 2:
        os.environ.pop(TF_CONFIG, None)  # managed platforms set it for a single host too
    else:
        if devices != "auto":
            raise ConfigError(
                f"--devices={devices}: several hosts ({TF_CONFIG} is set) use all GPUs that each of them sees; choose with "
                "CUDA_VISIBLE_DEVICES."
            )
        return _several_hosts(hosts, worker)
    gpus = len(tf.config.list_physical_devices("GPU"))
    names = _names(devices, gpus)
    if names is None:
        return Cluster(tf.distribute.get_strategy(), on_gpu=gpus > 0)
    strategy = tf.distribute.OneDeviceStrategy(names[0]) if len(names) == 1 else tf.distribute.MirroredStrategy(names)
    return Cluster(strategy, on_gpu=names[0].startswith("GPU"))


def _names(devices: str, gpus: int) -> list[str] | None:
    """Devices by name; None for TensorFlow's own choice of one."""
    if devices == "auto":
        return [f"GPU:{i}" for i in range(gpus)] if gpus > 1 else None
    if devices.isdigit():
        if not 1 <= int(devices) <= gpus:
            raise ConfigError(f"--devices={devices}: TensorFlow sees {gpus} GPUs. Name as many as there are, or --devices=cpu.")
        return [f"GPU:{i}" for i in range(int(devices))]
    names = [name if ":" in name else f"{name}:0" for name in devices.upper().split(",")]
    kinds, numbers = zip(*(name.split(":", 1) for name in names))
    if len({*kinds}) > 1 or kinds[0] not in ("CPU", "GPU") or not all(number.isdigit() for number in numbers) or len({*names}) < len(names):
        raise ConfigError(f"--devices={devices}: expected auto, a number of GPUs, or names of one kind like gpu:0,gpu:2 or cpu.")
    needed = 1 + max(map(int, numbers))
    if kinds[0] == "GPU" and needed > gpus:
        raise ConfigError(f"--devices={devices}: TensorFlow sees {gpus} GPUs.")
    if kinds[0] == "CPU" and needed > 1:
        _split_cpu(needed)
    return names


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError as error:
            raise ConfigError(f"--devices: this process computes already; {count} logical CPUs must be asked for before.") from error


def _several_hosts(hosts: list[str], worker: int) -> Cluster:
    tf.get_logger().setLevel("WARNING")  # it tells of every collective that is traced
    logging.info("host %d of %d, waiting for the others (%s)", worker, len(hosts), ", ".join(hosts))
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkerLost(
            f"host {worker}: the other hosts can't be reached ({_reason(error)}). Check {TF_CONFIG}, and start all of them."
        ) from error
    return Cluster(strategy, worker, len(hosts), on_gpu=bool(tf.config.list_physical_devices("GPU")))


def _reason(error: tf.errors.OpError) -> str:
    """What TensorFlow says of a failure, without the name of the operation that noticed it: one line for people."""
    text = re.sub(r"\{\{.*?\}\}", "", error.message.partition("Additional GRPC")[0]).replace("Collective ops is aborted by:", "")
    return " ".join(text.split())[:240] or type(error).__name__
