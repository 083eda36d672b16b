"""What a dataset holds, whatever its layout: cases, and what their channels and labels mean."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Case:
    """One scan.

    Attributes:
        name: unique in its task.
        images: its image files, one, or one per channel.
        label: its label file, where there is one.
        own_series: whether its DICOM slices may each have a series of their own; see `read_image`.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    own_series: bool = False

    @property
    def label_file(self) -> Path:
        """The label of a case that has one; ValueError for another."""
        if self.label is None:
            raise ValueError(f"Case {self.name} has no label.")
        return self.label

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case."""
        return self.images + ((self.label,) if self.label else ())


@dataclasses.dataclass(frozen=True)
class Task:
    """What a dataset folder holds.

    Attributes:
        name: the dataset's name, or its folder's where dataset.json has none.
        root: the dataset's folder.
        channel_names: one per image channel, in order.
        labels: label value to class name, 0 (background) to n without a gap, the ignore label left out.
        cases: the labelled cases, sorted by name.
        test_cases: the cases without a label, sorted by name.
        regions: region name to the label values it unites, in painting order (a later region is drawn over the ones
            before it); empty unless dataset.json declares labels as lists.
        ignore_label: the value of voxels that nobody annotated, or None.
        label_map: value in the label files to label value, for files that store other values ({255: 1}); else empty.
    """

    name: str
    root: Path
    channel_names: tuple[str, ...]
    labels: dict[int, str]
    cases: tuple[Case, ...]
    test_cases: tuple[Case, ...] = ()
    regions: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    ignore_label: int | None = None
    label_map: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """Number of classes, background included and the ignore label not."""
        return len(self.labels)

    @property
    def declared_values(self) -> tuple[int, ...]:
        """All values that a label array from `load_label` may hold, in rising order."""
        return tuple(self.labels) + (() if self.ignore_label is None else (self.ignore_label,))

    @property
    def is_ct(self) -> tuple[bool, ...]:
        """For each channel, whether its values are Hounsfield units."""
        return tuple(name.strip().lower() == "ct" for name in self.channel_names)
