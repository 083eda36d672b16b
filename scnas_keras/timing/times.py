"""The times of the parts that a search space's networks have on this machine: kept ones, and others measured now."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.machine.memory import usable_cpus
from scnas_keras.machine.names import NONE
from scnas_keras.machine.processor import processor
from scnas_keras.networks.buildable import check_buildable
from scnas_keras.networks.derived import has_own_layer
from scnas_keras.progress import each
from scnas_keras.spaces.known import find_space, space_names
from scnas_keras.spaces.milliseconds import NETWORK, REFERENCES, Part, TimeTables, reference
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.time_tables import Timed
from scnas_keras.timing.process import to_json
from scnas_keras.timing.records import Machine, cache_file, keep_times, kept_times

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


class Setting:
    """What networks are timed at: `spaces.time_tables.Timed`, with the whole networks that put it right.

    Args:
        space: the search space.
        width: channels at full resolution.
        patch_size: voxels along each axis.
        batch: patches a step on one device.
        channels: image channels.
        num_classes: classes, background included.
        slices: in which the batch is computed, one after the other.

    Raises:
        ConfigError: the space can't be built, or doesn't fit the patch or the width.
    """

    def __init__(
        self, space: SearchSpace, width: int, patch_size: Sequence[int], batch: int, channels: int, num_classes: int, slices: int = 1
    ):
        check_buildable(space)
        self.slices = slices
        self._timed = Timed(space, width, tuple(patch_size), batch // slices, channels, num_classes, has_own_layer)
        self.references = {}
        if space.name in space_names() and find_space(space.name, space.rank) == space:
            self.references = {
                Part(NETWORK, batch // slices, tuple(patch_size), width, num_classes, space.name, count=number, shift=channels): number
                for number in range(REFERENCES)
            }
        self.parts = [*self._timed.parts(), *self.references]

    def tables(self, times: Mapping[Part, float]) -> TimeTables:
        """The tables, from the times of all parts.

        In a step parts take less than by themselves: they run side by side, and find memory that others have left. By how much the
        networks tell that were measured as a whole; without any, or of a space that isn't in the catalog, parts add up as they are.
        """
        alone = self._timed.tables(times.__getitem__)
        whole = {number: times[part] for part, number in self.references.items() if part in times}
        added = sum(alone.of_genotype(reference(self._timed.space, number)) for number in whole)
        factor = self.slices * (sum(whole.values()) / added if whole else 1.0)
        return self._timed.tables(lambda part: factor * times[part])


def this_machine(precision: str, deterministic: bool, on_gpu: bool) -> Machine:
    """What this process computes on."""
    devices = tf.config.list_physical_devices("GPU") if on_gpu else []
    gpu = tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU") if devices else None
    return Machine(processor(), usable_cpus(), gpu, tf.__version__, precision, deterministic, os.environ.get(ONEDNN) == "1")


def machine_tables(
    space: SearchSpace, width: int, patch_size: Sequence[int], batch: int, channels: int, num_classes: int, cache_dir: str | os.PathLike
) -> TimeTables:
    """Tables for this machine as runs use it by default: in float32, on the GPU, or on the CPU with deterministic operations.

    Raises:
        ConfigError: see `Setting` and `part_times`.
    """
    setting, on_gpu = Setting(space, width, patch_size, batch, channels, num_classes), bool(tf.config.list_physical_devices("GPU"))
    return setting.tables(part_times(setting.parts, this_machine(NONE, not on_gpu, on_gpu), cache_dir))


def part_times(parts: Sequence[Part], machine: Machine, cache_dir: str | os.PathLike) -> dict[Part, float]:
    """Milliseconds of parts on this machine: what the cache has, and the others measured in a process of their own and kept there.

    Raises:
        ConfigError: the other process failed.
    """
    file = cache_file(cache_dir, machine)
    kept = kept_times(file, machine)
    times = {part: kept[part] for part in parts if part in kept}
    missing = [part for part in parts if part not in times]
    if missing:
        logging.info("measuring %d parts of networks on this machine, once: %s; they are kept in %s", len(missing), machine, file)
        new: dict[Part, float] = {}
        try:
            for part, time in each(measured(missing, machine), "Measuring", len(missing), "part"):
                new[part] = time
        finally:
            if new:
                keep_times(file, machine, new)
        times |= new
    return {part: times[part] for part in parts}


def measured(parts: Sequence[Part], machine: Machine) -> Iterator[tuple[Part, float]]:
    """Each part with its milliseconds as soon as it is measured, in a process that leaves nothing in this one.

    Raises:
        ConfigError: it failed.
    """
    environment = os.environ | ({} if machine.gpu else {"CUDA_VISIBLE_DEVICES": "-1"})
    command = [sys.executable, "-m", "scnas_keras.timing.process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(to_json(parts, machine))
                child.stdin.close()
            done = 0
            for part, line in zip(parts, child.stdout):
                yield part, float(line)
                done += 1
        except BaseException:
            child.kill()
            raise
        child.wait()
    if done < len(parts):
        raise ConfigError(f"Measuring {parts[done]} failed with exit code {child.returncode} (-9: out of memory). Its message is above.")
