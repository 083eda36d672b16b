"""From a task's name to prepared cases in their parts of a fold: what every command that trains does first."""

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

from absl import logging

from scnas_keras.architectures.registry import DEFAULT_WIDTHS
from scnas_keras.checks.headers import verify_headers
from scnas_keras.errors import ConfigError, DataError, times
from scnas_keras.patches.names import NONE
from scnas_keras.patches.presets import preset
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.planning.checks import planned_topology, warn_of_memory
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.names import PLANS, RULES
from scnas_keras.planning.planner import Wishes, make_plans
from scnas_keras.planning.plans import Configuration, Plans, load_plans
from scnas_keras.preprocessing.cache import prepare
from scnas_keras.preprocessing.contents import read_contents
from scnas_keras.preprocessing.fingerprint import CANONICAL_AXES
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.prepared_case import PreparedCase
from scnas_keras.runs.before import check_flags, task_folder
from scnas_keras.runs.data_config import DataConfig, PlanningConfig, TaskConfig
from scnas_keras.runs.run_data import Digests, check_data_files, check_folds, write_data_files
from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.loading import load_task, other_organ
from scnas_keras.tasks.names import SPLITS
from scnas_keras.tasks.split_files import FoldNames, write_splits
from scnas_keras.tasks.splits import Split, find_folds, split_fold

_OF_PLAN = "spacing", "resize", "normalization", "denoise", "augmentation", "mirror_axes"
"""Flags that a plan in a file decides."""


@dataclasses.dataclass(frozen=True)
class Fold:
    """Prepared cases of one fold, and how they are cut into patches. Patches have the plan's axes.

    Attributes:
        task: what the dataset says of itself.
        plans: all that was planned.
        name: of the plans' configuration that is used.
        configuration: the same, with what the flags changed.
        plan: how scans are preprocessed.
        folds: all folds of the cross-validation.
        split: names of the cases in each part of this one.
        cases: all prepared cases by name.
        files: the digests of their files.
    """

    task: Task
    plans: Plans
    name: str
    configuration: Configuration
    plan: PreprocessingPlan
    folds: tuple[FoldNames, ...]
    split: Split
    cases: dict[str, PreparedCase]
    files: Digests

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Voxels of a patch along the plan's axes."""
        return self.configuration.patch_size

    @property
    def digest(self) -> str:
        """Tells whether two runs have the same data, split, preprocessing and patches."""
        parts = self.split  # written with the names that checkpoints of version 3 have, whose digests are compared
        split = f"Split(weights={parts.train}, logits={parts.held_out}, validation={parts.validation})"
        cases = {name: case.folder.name for name, case in self.cases.items()}
        later = (getattr(self.plan, field.name) for field in dataclasses.fields(self.plan) if not field.repr)  # steps since version 3
        steps = "".join(f", {step!r}" for step in later if step is not None)
        return hashlib.sha256(f"[{split}, {self.plan!r}{steps}, {self.configuration!r}, {cases}]".encode()).hexdigest()

    def part(self, *names: str) -> list[PreparedCase]:
        """Cases of some parts ("train", "held_out", "validation"), in order."""
        return [self.cases[case] for name in names for case in getattr(self.split, name)]

    def patches_of_epoch(self, *names: str) -> int:
        """How many patches an epoch takes: one of each case of some parts, or of each slice where patches are of two axes."""
        cases = self.part(*names)
        return sum(case.shape[0] for case in cases) if len(self.patch_size) == 2 else len(cases)

    def check(self, folder: pathlib.Path) -> None:
        """Raises DataError if a run's folder holds other data, another split or another plan, by which the run was begun."""
        check_data_files(folder, self.files)
        check_folds(folder, self.folds)
        file = folder / PLANS
        if file.is_file() and load_plans(file) != self._plans_used:
            raise DataError(
                f"{file}: this run was begun with another plan than flags and scans give now: an older version planned otherwise by the "
                f"same rules, or the file was edited. To go on by the plan in this file add --plan={file} to the command; for another plan "
                "name another --workdir. Nothing was changed."
            )

    def save(self, folder: pathlib.Path) -> None:
        """Writes plans.json and splits.json into a run's folder, either of which may be given to another run, and data.json.

        Raises:
            DataError: see `check`.
        """
        self.check(folder)
        self._plans_used.save(folder / PLANS)
        write_splits(folder / SPLITS, self.folds)
        write_data_files(folder, self.files)

    @property
    def _plans_used(self) -> Plans:
        """The plans with what flags changed."""
        return dataclasses.replace(self.plans, configurations={**self.plans.configurations, self.name: self.configuration})

    def sampler(self, *parts: str, seed: int, augmented: bool) -> PatchSampler:
        """Patches of some parts; those to validate on aren't augmented."""
        configuration = self.configuration
        augmentation = configuration.augmentation if augmented else preset(NONE, configuration.patch_size, ())
        return PatchSampler(
            self.part(*parts),
            configuration.patch_size,
            configuration.foreground_share,
            seed,
            augmentation=augmentation,
            spacing=self.plan.spacing,
            mask_channels=self.plan.mask_channels,
        )

    def dataset(self, *parts: str, batches: int, first: int = 0, seed: int = 0, augmented: bool = False):
        """A `tf.data.Dataset` of patches of some parts, for `fit`.

        Args:
            parts: "train", "held_out", "validation"; a fixed network trains on the first two, unless the second is to judge it.
            batches: how many, each of the configuration's size.
            first: number of batches to skip: patch n is a function of the seed and n.
            seed: of the patches.
            augmented: whether patches are changed at random, as the configuration says.

        Returns:
            image float32 [batch, *patch_size, channels], label int32 [batch, *patch_size].
        """
        return patch_dataset(self.sampler(*parts, seed=seed, augmented=augmented), self.configuration.batch_size, first, batches)


def open_fold(
    config: DataConfig, network: Footprint, fold: int | Literal["all"] = 0, trained: Sequence[str] = ("train", "held_out")
) -> Fold:
    """Finds, checks, splits, plans and prepares a task's cases. All that can be found wrong is found here.

    Args:
        config: what the user asks for.
        network: what is going to be trained; it decides which patches are possible, and how large.
        fold: whose cases are validated on; "all" for none: every case is trained on.
        trained: the parts that are trained on.

    Raises:
        ConfigError, DataError: with file and remedy.
    """
    plans = check_flags(config, network)
    unused = [
        f"--{field.name}"
        for field in dataclasses.fields(PlanningConfig)
        if field.name in _OF_PLAN and getattr(config, field.name) != field.default
    ]
    if plans and unused:
        logging.warning("%s decides what %s would: the flags are not used. Edit it there.", config.plan, ", ".join(unused))
    task = open_task(config)
    if plans:
        _check_plans(plans, task, config)
    if task.regions:
        raise ConfigError(
            f"{task.root}: training with regions isn't possible yet; plan and verify take them. Give each voxel one class in dataset.json."
        )
    names = [case.name for case in task.cases]
    how = (config.num_folds, config.split_seed, config.split, config.group_pattern, config.splits, config.protocol)
    folds, groups = find_folds(names, *how)
    split = split_fold(folds, fold, config.split_seed, groups, config.architecture_share, config.protocol)
    plans = plans or plan_by_rules(config, task, network)
    configuration = configure(config, plans, network)
    at_once = dataclasses.replace(configuration, batch_size=-(-configuration.batch_size // max(1, config.accumulate)))
    warn_of_memory(at_once, network, plans, config.memory_gb or plans.memory_gb)
    plan = plans.preprocessing(config.configuration, task.labels)
    cases = prepare(task, plan, config.cache_folder, config.processes, storage=config.storage)
    by_name, files = {case.name: case for case in cases}, read_contents(task.cases, config.cache_folder)
    opened = Fold(task, plans, config.configuration, configuration, plan, tuple(folds), split, by_name, files)
    _check_foreground(opened, trained, fold)
    _tell(opened, fold, trained)
    return opened


def _check_foreground(opened: Fold, trained: Sequence[str], fold: int | Literal["all"]) -> None:
    """Raises DataError if there is nothing to learn: cases without any class are data, but not all of them."""
    cases = opened.part(*trained)
    if not any(count for case in cases for count in case.classes.values()):
        raise DataError(
            f"{opened.task.root}: none of the {len(cases)} cases that fold {fold} trains on has any class. Label some of them, or take "
            "another --fold or --split_seed."
        )


def open_task(config: TaskConfig) -> Task:
    """Finds and loads the task that flags name, and checks its headers.

    Raises:
        ConfigError, DataError: with file and remedy.
    """
    folder = task_folder(config)
    if other := other_organ(folder, str(config.task)):
        logging.warning(
            "%s: --task=%s, and the folder's name is that of --task=%s: the settings of %s are used",
            folder,
            config.task,
            other,
            config.task,
        )
    task = load_task(folder)
    verify_headers(task)
    return task


def plan_by_rules(config: DataConfig, task: Task, network: Footprint) -> Plans:
    """The plans that the rules of --plan give for a task and a network."""
    fingerprint = measure_task(task, config.cache_folder, config.processes)
    return make_plans(fingerprint, network, config.plan, wishes_of(config))


def wishes_of(config: PlanningConfig) -> Wishes:
    """What flags decide instead of the rules."""
    return Wishes(
        config.memory_gb, config.spacing, config.augmentation, config.mirror_axes, config.resize, config.normalization, config.denoise
    )


def configure(config: DataConfig, plans: Plans, network: Footprint) -> Configuration:
    """The configuration of a plan with what flags say instead.

    Raises:
        ConfigError: there is none of that name, or the network can't take its patches.
    """
    found = plans.configuration(config.configuration)
    if found.previous_stage:
        raise ConfigError(
            f"--configuration={config.configuration} can't be trained: its networks take what another one found besides the scan. The plan "
            f"has {', '.join(plans.configurations)}."
        )
    changes: dict[str, Any] = {}
    if config.patch_size is not None:
        axes = plans.transpose_forward[-len(found.spacing) :]
        if len(config.patch_size) != len(axes):
            raise ConfigError(
                f"--patch_size={','.join(map(str, config.patch_size))}: a patch of --configuration={config.configuration} has "
                f"{len(axes)} sizes."
            )
        changes["patch_size"] = tuple(config.patch_size[sorted(axes).index(axis)] for axis in axes)
    for name in ("batch_size", "foreground_share"):
        if getattr(config, name) is not None:
            changes[name] = getattr(config, name)
    if config.plan not in RULES:
        for name, value in changes.items():
            if value != getattr(found, name):
                logging.warning(
                    "%s: %s is %s, but by --%s, %s is used. --%s=auto leaves it to the plan.",
                    config.plan,
                    name,
                    getattr(found, name),
                    name,
                    value,
                    name,
                )
    patch_size = changes.get("patch_size", found.patch_size)
    topology = planned_topology(config.plan, plans, found, patch_size, network)
    own = network.stages_of_plan and plans.network == network.name  # the plan was made for it
    if not own or topology != found.topology or network.width != DEFAULT_WIDTHS[network.name]:
        changes["features_per_stage"] = network.features(topology)
    changes |= {"strides": topology.strides, "kernel_sizes": topology.kernel_sizes, "blocks_per_stage": topology.blocks}
    return dataclasses.replace(found, **changes)


def _tell(opened: Fold, fold: int | str, trained: Sequence[str]) -> None:
    """Logs what a fold holds and how it is cut into patches."""
    task, split, configuration = opened.task, opened.split, opened.configuration
    counts = {"to train on": split.train, "held out for the architecture": split.held_out, "for validation": split.validation}
    if "held_out" in trained:
        counts = {"to train on": split.train + split.held_out, "for validation": split.validation}
    parts = ", ".join(f"{len(cases)} {'cases ' * (not number)}{what}" for number, (what, cases) in enumerate(counts.items()) if cases)
    channels, classes = ", ".join(task.channel_names), ", ".join(task.labels.values())
    logging.info("%s: %d cases, channels %s, classes %s; fold %s: %s", task.name, len(task.cases), channels, classes, fold, parts)
    spacing, patch = times(f"{step:g}" for step in configuration.spacing), times(configuration.patch_size)
    axes = ",".join(opened.plans.axes[-len(configuration.spacing) :])
    if configuration.slice_size:
        logging.info("%s: each slice is brought to %s pixels", opened.name, times(configuration.slice_size))
    logging.info("%s: spacing %s mm, patch %s voxels along %s, batch %d", opened.name, spacing, patch, axes, configuration.batch_size)
    if math.prod(configuration.topology.stage_sizes()[-1]) == 1:
        logging.warning("of patches of %s voxels the coarsest stage keeps one, of which a normalisation leaves nothing: use larger", patch)


def _check_plans(plans: Plans, task: Task, config: DataConfig) -> None:
    """Raises ConfigError for a plan that isn't of these scans."""
    axes = tuple(CANONICAL_AXES[axis] for axis in plans.transpose_forward)
    if plans.axes != axes:
        raise ConfigError(
            f"--plan={config.plan}: was made for the axes {', '.join(plans.axes)} of a fingerprint that doesn't say how a patient "
            f"lies in them (nnU-Net's), or axes and transpose_forward disagree. Expected axes {', '.join(axes)}: plan from the scans "
            "with scnas plan --data_dir."
        )
    if plans.channel_names != task.channel_names:
        raise ConfigError(
            f"--plan={config.plan}: is for the channels {', '.join(plans.channel_names)}, and {task.root} has "
            f"{', '.join(task.channel_names)}. Give the plan that belongs to this task, or fix channel_names there."
        )
