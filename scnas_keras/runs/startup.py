"""What every run sets before it builds anything: devices, seeds, determinism, precision."""

import zlib

import keras

from scnas_keras.errors import ConfigError
from scnas_keras.machine.determinism import make_deterministic
from scnas_keras.machine.distribution import Cluster, open_cluster
from scnas_keras.machine.names import FLOAT16
from scnas_keras.machine.precision import set_precision
from scnas_keras.options import to_flagfile
from scnas_keras.runs.config import OF_HOST, RunConfig


def start(config: RunConfig) -> Cluster:
    """Sets up this process for a run; returns what computes it.

    Operations stay deterministic for the rest of the process once they are.

    Raises:
        ConfigError: there are no such devices, or they can't compute in that precision, or hosts have different flags.
        WorkerLost: another host of the run is gone.
    """
    cluster = open_cluster(config.devices)
    _check_flags(config, cluster)
    if config.mixed_precision == FLOAT16 and not cluster.on_gpu:
        raise ConfigError("--mixed_precision=float16 needs GPUs: TensorFlow can't pool in it on CPUs. Use bfloat16 or none.")
    keras.utils.set_random_seed(config.seed)
    if is_deterministic(config, cluster):
        make_deterministic()
    set_precision(config.mixed_precision)
    return cluster


def is_deterministic(config: RunConfig, cluster: Cluster) -> bool:
    """Whether a run computes with operations that always give the same."""
    return config.deterministic == "true" or (config.deterministic == "auto" and not cluster.on_gpu)


def _check_flags(config: RunConfig, cluster: Cluster) -> None:
    shared = [line for line in to_flagfile(config).splitlines() if line.partition("=")[0].removeprefix("--") not in OF_HOST]
    own = zlib.crc32("\n".join(shared).encode())
    with cluster.watched():
        if own != int(cluster.from_chief([own])[0]):
            raise ConfigError(
                f"host {cluster.worker} of {cluster.workers}: has other flags than host 0. Start the same command on all hosts; only "
                f"{', '.join(f'--{name}' for name in OF_HOST)} may differ."
            )
