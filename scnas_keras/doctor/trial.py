"""A process that tries what computes: TensorFlow, its devices, half precision, and whether several GPUs reach each other.

Its last line is a JSON object. In a process of its own, since a broken driver or a CPU that is too old ends the process. Defined here is
only what it does; `doctor.runner` starts it.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from scnas_keras.console import load_tensorflow


def main() -> None:
    load_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    found: dict[str, Any] = {"gpus": [], "precisions": {}}
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        found["gpus"].append(f"{details.get('device_name', gpu.name)}, compute capability {details.get('compute_capability', 'unknown')}")
    for name in ("float32", "bfloat16", *(["float16"] if gpus else [])):
        found["precisions"][name] = _outcome(lambda name=name: _milliseconds(name))
    if len(gpus) > 1:
        found["all_reduce"] = _outcome(lambda: _all_reduce(len(gpus)))
    print(json.dumps(found))


def _outcome(work: Callable[[], float]) -> float | str:
    """What it gives, or the error in a line."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _milliseconds(precision: str) -> float:
    """Of a 3D convolution of 16 channels in 32^3 voxels, forwards and backwards, after the first."""
    import tensorflow as tf

    image, kernel = tf.ones([1, 32, 32, 32, 16], precision), tf.ones([3, 3, 3, 16, 16], precision)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            result = tf.reduce_sum(tf.nn.conv3d(image, kernel, [1] * 5, "SAME"))
        return tape.gradient(result, kernel)

    step().numpy()
    began = time.perf_counter()
    for _ in range(5):
        step().numpy()
    return (time.perf_counter() - began) / 5 * 1000


def _all_reduce(devices: int) -> float:
    """The sum of one from each GPU, by NCCL as MirroredStrategy uses it."""
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy()
    total = strategy.reduce("SUM", strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones([]))), axis=None)
    if float(total) != devices**2:
        raise ValueError(f"the sum of one from each of {devices} GPUs on each is {float(total):g}, expected {devices**2}")
    return float(total)


if __name__ == "__main__":
    main()
