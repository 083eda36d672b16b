"""The options about data that commands share."""

import dataclasses
import os
import pathlib
from collections.abc import Collection

from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path
from scnas_keras.options import LAST_SEED, MANY, option
from scnas_keras.patches.names import AUGMENTATIONS
from scnas_keras.planning.names import NNUNET, RULES
from scnas_keras.preprocessing.names import FIXED, FLOAT16, STORAGES
from scnas_keras.tasks.names import ARCHITECTURE_SHARE, BY_PATIENT, KFOLD, SPLIT_METHODS

CACHE_DIR_VARIABLE = "SCNAS_CACHE_DIR"


def cache_folder(given: str | None) -> pathlib.Path:
    """The cache's folder by --cache_dir, environment or default."""
    if named := given or os.environ.get(CACHE_DIR_VARIABLE):
        return user_path(named)
    try:
        return user_path("~/.cache/scnas_keras")
    except ConfigError as error:
        raise ConfigError("Nobody's home is known here, so name a folder for what is kept between runs with --cache_dir.") from error


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """Which data, and where what is computed of it is kept."""

    task: str | None = option(None, "Task, which names a flagfile with its settings.", "Data")
    data_dir: str | None = option(
        None,
        "The task's folder, in the layout of the Decathlon, of nnU-Net, of CHAOS (CT), of PROMISE12, or of 2D pictures (images/, masks/); "
        "or the folder around it. Default: $SCNAS_DATA_DIR.",
        "Data",
        path=True,
    )
    cache_dir: str | None = option(
        None, "Where prepared scans are kept between runs. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Data", path=True
    )
    processes: int | None = option(
        None, "Processes that read and prepare scans. Default: as cores and free memory allow.", "Data", least=1, most=10**4
    )
    num_phantoms: int = option(24, "Number of cases of the task phantom.", "Data", most=10**5, least=1)

    @property
    def cache_folder(self) -> pathlib.Path:
        """The cache's folder by flag, environment or default."""
        return cache_folder(self.cache_dir)


@dataclasses.dataclass(frozen=True)
class PlanningConfig(TaskConfig):
    """How a plan is made from the data."""

    memory_gb: float | None = option(
        None,
        "Memory in GiB that patch and batch are planned for. Default: 8, or what the network's authors planned for.",
        "Plan",
        most=10**6,
        above=0,
    )
    spacing: tuple[float, ...] | None = option(
        None,
        "Voxel spacing in mm that scans are resampled to, along x,y,z. Default: by the plan's rules.",
        "Plan",
        least=1e-6,
        most=10**4,
    )
    resize: tuple[int, ...] | None = option(
        None,
        "Pixels that each picture, or slice of a scan, is brought to, along those of x,y,z that it has, such as 256,256; in place of "
        "--spacing, and for --configuration=2d. Segmentations have the pictures' own sizes.",
        "Plan",
        least=1,
        most=10**4,
    )
    normalization: str | None = option(
        None,
        "fixed: each scan's own range becomes 0 to 1, minus 0.3667, over 0.3533 (Auto-LW-MISN's numbers for the liver in CT; others in "
        "plans.json). Default: by the channels' names, or the rules of the plan.",
        "Plan",
        choices=(FIXED,),
    )
    denoise: bool = option(False, "Take noise out of the slices of scans, by curvature flow, before all else. Needs SimpleITK.", "Plan")
    augmentation: str | None = option(
        None,
        "What is done to training patches: as nnU-Net did in 2018 (the paper's), as its version 2 does, nothing, or a hole of 16 voxels a "
        "side (cutout). Default: v2, and 2018 in the plan scnas.",
        "Plan",
        choices=AUGMENTATIONS,
    )
    mirror_axes: str = option(
        "auto",
        "Axes along which patches are flipped: some of x,y,z, or none. auto: all, but not x if classes come in pairs of "
        "left and right, nor y for anterior and posterior, nor z for superior and inferior.",
        "Plan",
    )


@dataclasses.dataclass(frozen=True)
class DataConfig(PlanningConfig):
    """How data are prepared, cut into patches and split."""

    plan: str = option(
        NNUNET,
        "Rules by which spacing, patch and batch follow from the data: nnunet, or scnas (0.7 mm, patches of 128^3 voxels at most); or a "
        "plans.json that scnas plan wrote and you edited.",
        "Plan",
        path=True,
        words=RULES,
    )
    configuration: str = option("3d_fullres", "Which of the plan's configurations.", "Plan")
    patch_size: tuple[int, ...] | None = option(
        None, "Voxels of a training patch along x,y,z. Default: the plan's.", "Plan", most=10**4, least=1
    )
    batch_size: int | None = option(None, "Patches a step. Default: the plan's.", "Plan", most=MANY, least=1)
    accumulate: int = option(
        1,
        "Slices that a device computes its patches of a step in, one after the other: the update of the whole batch in the memory of a "
        "slice. One a patch if there are fewer.",
        "Plan",
        least=1,
        most=MANY,
    )
    foreground_share: float | None = option(
        None, "Share of the patches that are centred on a labelled voxel. Default: the plan's.", "Plan", least=0, most=1
    )
    storage: str = option(FLOAT16, "Number type of prepared scans on disk.", "Data", choices=STORAGES)
    protocol: str = option(
        KFOLD,
        "kfold: --num_folds folds, each case validated in one of them; or like holdout:0.3x4: a share of 0.3 of the cases is held out, "
        "four times, by the seeds from --split_seed on. Repeat K is --fold=K.",
        "Split",
    )
    num_folds: int = option(5, "Number of folds.", "Split", least=2, most=10**6)
    split_seed: int = option(
        0, "Of the folds. Keep it for all runs that are compared or build on each other.", "Split", least=0, most=LAST_SEED
    )
    architecture_share: float = option(
        ARCHITECTURE_SHARE,
        "Share of a fold's training cases on which a search trains the architecture instead of the weights; they are the held-out ones.",
        "Split",
        above=0,
        most=0.5,
    )
    split: str = option(
        BY_PATIENT,
        "How cases are dealt out to folds: a patient's together by --split_seed, or as nnU-Net does.",
        "Split",
        choices=SPLIT_METHODS,
    )
    splits: str | None = option(
        None, 'A splits.json of your own: a list of {"train": [...], "val": [...]}, as nnU-Net\'s.', "Split", path=True
    )
    group_pattern: str | None = option(
        None, "Regular expression that finds the patient in a case's name; a patient's cases stay in one fold.", "Split"
    )
    seed: int = option(0, "Of patches, start values and draws.", "Run", least=0, most=LAST_SEED)

    def check_given(self, names: Collection[str]) -> None:
        """Raises ConfigError for --num_folds or --protocol where something else says which folds there are."""
        holdout = self.protocol != KFOLD
        if "num_folds" in names and self.splits:
            raise ConfigError(
                f"--num_folds={self.num_folds}: --splits={self.splits} says how many folds there are. Leave out one of the two."
            )
        if "protocol" in names and holdout and self.splits:
            raise ConfigError(f"--protocol={self.protocol}: --splits={self.splits} says which folds there are. Leave out one of the two.")
        if "num_folds" in names and "protocol" in names and holdout:
            raise ConfigError(
                f"--num_folds={self.num_folds}: --protocol={self.protocol} has repeats instead of folds. Leave out one of the two."
            )
        if "num_folds" in names and holdout:
            raise ConfigError(
                f"--num_folds={self.num_folds}: the protocol of --task={self.task}, {self.protocol}, has repeats instead of folds. Add "
                f"--protocol={KFOLD}, or leave out --num_folds."
            )
