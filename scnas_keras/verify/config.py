"""The options of `scnas_keras.verify`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class VerifyConfig:
    """Settings of a verification."""

    data_dir: str | None = option(None, "The task's folder, or the folder around it. Default: $SCNAS_DATA_DIR.", "Data")
    task: str = option("custom", "Task, to pick a folder out of several.", "Data")
    spacing: tuple[float, ...] | None = option(
        None,
        "Voxel spacing in mm that scans will be resampled to, along x,y,z; structures too small for it are told. Default: the median.",
        "Data",
        least=1e-6,
        most=10**4,
    )
    group_pattern: str | None = option(
        None,
        "Regular expression that finds the patient in a case's name. Default: guessed from the names.",
        "Data",
    )
    processes: int | None = option(None, "Processes that read scans. Default: as cores and free memory allow.", "Data", least=1, most=10**4)
    output: str = option(".", "Folder for verification.json with all findings; made if absent.", "Result")
    fix: str | None = option(
        None,
        "Write a fixed copy of the dataset and verify that: labels get their image's header, or label values "
        "become consecutive whole numbers.",
        "Fixing",
        choices=("header", "remap"),
    )
    fixed_dir: str | None = option(None, "Folder for the fixed copy; must not exist. Unchanged files are hard links.", "Fixing")
