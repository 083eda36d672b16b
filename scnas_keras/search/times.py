"""The times that a search with --target_ms goes by: measured before it begins, and from then on those of its folder."""

import dataclasses

from scnas_keras.errors import DataError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.runs.startup import is_deterministic
from scnas_keras.search.config import SearchConfig
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.timing.records import Record
from scnas_keras.timing.times import Setting, part_times, this_machine

TIMES, REMEDY = "milliseconds.json", "Restore it from a copy, or name another --workdir."


@dataclasses.dataclass(frozen=True)
class SearchTimes:
    """Tables of the derived networks' milliseconds, and what they are made of; the latter on the first host only."""

    tables: TimeTables
    record: Record | None

    def save(self, run: RunFolder) -> None:
        """Writes milliseconds.json."""
        if self.record:
            self.record.save(run[TIMES])


def times_record(config: SearchConfig, space: SearchSpace, fold: Fold, run: RunFolder, cluster: Cluster) -> SearchTimes:
    """The times of a search, which all hosts have from the first; a resumed search keeps to those that it began with.

    Raises:
        ConfigError: they can't be measured.
        DataError: the run's milliseconds.json is damaged, or lacks a part.
    """
    planned = fold.configuration.batch_size
    share, slices = cluster.batch_size(planned) // cluster.replicas, cluster.slices(planned, config.accumulate)
    setting = Setting(space, config.width, fold.patch_size, share, len(fold.task.channel_names), fold.task.num_classes, slices)
    record = _record(config, setting, run, cluster) if cluster.chief else None
    values = cluster.from_chief([record.times[part] for part in setting.parts] if record else [0.0] * len(setting.parts))
    return SearchTimes(setting.tables(dict(zip(setting.parts, map(float, values)))), record)


def _record(config: SearchConfig, setting: Setting, run: RunFolder, cluster: Cluster) -> Record:
    if run[TIMES].is_file():
        record = Record.load(run[TIMES], REMEDY)
        if lacking := [part for part in setting.parts if part not in record.times]:
            raise DataError(f"{run[TIMES]}: lacks {len(lacking)} of {len(setting.parts)} parts, such as {lacking[0]}. {REMEDY}")
        return record
    machine = this_machine(config.mixed_precision, is_deterministic(config, cluster), cluster.on_gpu)
    return Record(machine, part_times(setting.parts, machine, config.cache_folder))
