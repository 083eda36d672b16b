"""What verification can find: one table of kinds, and what is found of each kind in which file."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from scnas_keras.formats.geometry import TOLERANCE

ERROR, WARNING = "error", "warning"
SPACING_FACTOR = 3.0
FEW_CASES = 3


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        key: its name in verification.json.
        severity: "error" (can't be trained on as it is) or "warning" (can, but the user should know).
        heading: what is the matter, in a few words.
        remedy: what to do about it, with the flag that helps.
    """

    key: str
    severity: str
    heading: str
    remedy: str


KINDS = {kind.key: kind for kind in (
    Kind("dataset", ERROR, "the folder can't be read as a dataset",
         "Fix this first; its scans can only be verified then."),
    Kind("missing", ERROR, "files are missing",
         "Unpack the download again, or take these cases out of the dataset."),
    Kind("left_out", ERROR, "scans that belong to no case by their ending",
         "Convert them to the dataset's ending, or move them out of the folder."),
    Kind("unreadable", ERROR, "files that can't be read",
         "Of files that are damaged, download or export them again."),
    Kind("memory", ERROR, "cases that memory didn't suffice for or a process died of, with voxels not verified",
         "Verify them with more memory free; training needs more than this. A process may also die of damaged files."),
    Kind("channels", ERROR, "number of channels differs from the declared one",
         'Of channels, correct "modality" (or "channel_names") in dataset.json, or export the missing ones. Time points are no channels: '
         "of a series, export the one that was labelled, or the mean."),
    Kind("mixed_channels", ERROR, "number of channels differs among cases",
         "A network has one input: leave out the channels that some cases lack, or take these cases out."),
    Kind("channel_grids", ERROR, "channel files of a case lie on different voxel grids",
         "Resample the channels of a case to the grid of its first one."),
    Kind("shapes", ERROR, "image and label have different shapes",
         "A label needs the voxel grid of its image; resample it with nearest-neighbour."),
    Kind("affines", ERROR, f"image and label lie in different places (more than {TOLERANCE} voxels apart)",
         "If they look aligned voxel by voxel, --fix=header --fixed_dir=DIR writes a copy of the dataset whose labels "
         "have their image's header; otherwise resample the label."),
    Kind("other_form", ERROR, "image and label lie together by one of two places in a header, and apart by the other",
         "Image or label has an sform and a qform that differ. Find out which is right, and write it into both (as with nibabel's "
         "set_sform and set_qform). Don't resample the label: it would move."),
    Kind("spacing", ERROR, "spacing isn't positive, or the axes don't span a volume",
         "Fix the header, for example by converting from DICOM again."),
    Kind("not_finite", ERROR, "voxels are NaN or infinite",
         "Replace them, for example by 0, or take the case out of the dataset."),
    Kind("constant", ERROR, "image is constant",
         "Export it again, or take the case out of the dataset."),
    Kind("padding", ERROR, "values far from all others, which leave these no contrast",
         "Set them to 0, or to the lowest intensity that counts: they are padding, or voxels of a fault."),
    Kind("label_is_image", ERROR, "label file looks like an image",
         "Was the scan saved as the label? Export the segmentation again."),
    Kind("fractional", ERROR, "label values aren't whole numbers",
         "If all are within 0.01 of whole numbers, --fix=remap --fixed_dir=DIR writes a rounded copy of the dataset; "
         "otherwise the label was resampled with interpolation: do it again with nearest-neighbour."),
    Kind("undeclared", ERROR, "label values that aren't declared",
         'Declare them under "labels" in dataset.json or correct the file; --fix=remap --fixed_dir=DIR writes a copy '
         "with consecutive values where there are as many values as declared classes (like 0/255 for one class)."),
    Kind("all_ignored", ERROR, "label of nothing but voxels to ignore",
         "Label the case, or take it out of the dataset."),
    Kind("duplicate", ERROR, "the same image under two names",
         "Keep one of them: with one in training and the other in validation, scores come out too good."),
    Kind("too_few_cases", ERROR, "too few cases",
         "Label at least 3 (of 3 patients): one each for the weights, the architecture and the validation."),
    Kind("no_class", ERROR, "nothing to learn", "Label some cases, or correct the labels' values."),
    Kind("no_plan", ERROR, "no plan follows from these scans",
         "Correct the headers, or the flag that this names."),
    Kind("test_channels", ERROR, "test image with another number of channels than the training images",
         "Export it with the channels of the training images; it can't be segmented as it is."),
    Kind("constant_channel", WARNING, "channel is constant",
         "The other channels are used all the same. Export it again if it should hold a scan."),
    Kind("orientation", WARNING, "axes point in other directions than in most cases",
         "Harmless here: every scan is turned to RAS+ (left to right, back to front, bottom to top) when it is read, "
         "and its segmentation turned back. Other programs may need one orientation."),
    Kind("spacing_outlier", WARNING, f"spacing is off the median by more than a factor of {SPACING_FACTOR:g}",
         "Check the header. If it is right, the case is resampled a long way; --spacing=x,y,z sets the target."),
    Kind("no_unit", WARNING, "headers without a unit of length",
         "Millimetres are assumed. Write the unit into the headers (xyzt_units) if it is another one."),
    Kind("other_unit", WARNING, "headers of NRRD or MetaImage in another unit than millimetres",
         "They are converted, but ITK's programs read the numbers as millimetres and show scan and segmentation apart. Save them in mm."),
    Kind("no_orientation", WARNING, "headers that don't say how the scan lies",
         "Programs assume different orientations there, so left and right may be exchanged. Convert from DICOM again."),
    Kind("no_spacing", WARNING, "headers without the size of voxels",
         "1 mm is assumed. Write the true size into the headers, or convert from DICOM again."),
    Kind("two_places", WARNING, "headers that put the voxels in two different places",
         "Other programs may believe the other place and see the scan there. Correct the one that is wrong."),
    Kind("repaired", WARNING, "headers with faults that were fixed, or passed over, while reading",
         "Scans are read as written here. Other programs may read or refuse them: write these files again with the program they are from."),
    Kind("unfinished", WARNING, "unfinished files beside the slices of a scan",
         "The slices are evenly spaced without them. Download or copy the scan again if it ends too early; otherwise remove these files."),
    Kind("gray", WARNING, "gray pictures among those in colour, taken as three equal channels",
         "They are trained on and segmented so. If they mean something else, take them out of the dataset."),
    Kind("unit_spacing", WARNING, "spacing of exactly 1 x 1 x 1 mm, which often means that it was lost",
         "Compare with the scanner's protocol, and convert from DICOM again if it is wrong."),
    Kind("intensities", WARNING, "cases with intensities apart from those of the other cases",
         "Bring all cases to the same units: of CT Hounsfield units, which raw values are 1024 above. Set padding that reaches far beyond "
         "to the lowest intensity that counts."),
    Kind("declared_padding", WARNING, "values that the header declares to be padding (PixelPaddingValue), kept as stored",
         "Of CT they are clipped when it is normalised. In other scans they take contrast: set them to 0, or to the lowest intensity that "
         "counts."),
    Kind("small_structure", WARNING, "structure smaller than two voxels of the target spacing",
         "Resampling may erase it; give search and retrain a finer --spacing=x,y,z."),
    Kind("all_background", WARNING, "cases without any class",
         "They are trained on as they are: healthy ones. Where something should be there, label it."),
    Kind("absent_class", WARNING, "class that no case has",
         "Nothing can be learned of it, and its score will be empty. Take it out of the labels, or label it."),
    Kind("rare_class", WARNING, f"class in fewer than {FEW_CASES} cases",
         "Some folds have no case of it to train on or to be scored with. Label more cases, or merge it with another "
         "class."),
    Kind("foreground_outside", WARNING, "labelled voxels where the image is 0",
         "Scans are cropped to the box around their nonzero voxels, and labels beyond it are lost. Check that image "
         "and label belong together and that the image wasn't masked too tightly."),
    Kind("shared_patient", WARNING, "one patient in several cases",
         "Give select, search and retrain this --group_pattern, so that a patient's cases stay in one fold; otherwise "
         "validation scores come out too good."),
    Kind("test_intensities", WARNING, "test image with intensities far from those of the training images",
         "Check its units (Hounsfield units or raw values?) and its modality; what the network does there is unknown."),
    Kind("test_spacing", WARNING,
         f"test image with a spacing beyond the training images' by a factor of {SPACING_FACTOR:g}",
         "Check its header; what the network does there is unknown."),
    Kind("few_cases", WARNING, "fewer cases (or patients) than folds, of which there are 5 by default",
         "Give select, search, retrain and crossval this --num_folds."),
    Kind("fold_without_class", WARNING, "folds that train on cases without any class",
         "These folds can't be trained: take another --fold or --split_seed, or label more cases."),
    Kind("regions", WARNING, "labels that are regions",
         "They are verified and planned, but can't be trained on yet: give each voxel one class."),
    Kind("other_name", WARNING, "images listed with the label of another case, by their names",
         "Compare such a pair in a viewer; if they don't belong together, correct the list in dataset.json."),
    Kind("ignore_spelling", WARNING, "class whose name is nearly ignore",
         'It is trained as a class. If it marks voxels that nobody annotated, call it "ignore", in small letters, with the highest value.'),
    Kind("declared_count", WARNING, "dataset.json announces another number of cases than there are",
         "Some may be lost: download again, or correct the number."),
    Kind("unlisted", WARNING, "files that belong to no case",
         "Give each image a label and list both in dataset.json, or move the files away."),
    Kind("big_scan", WARNING, "scan much bigger than the rest",
         "Preparing and segmenting it needs memory in proportion; start with fewer --processes, or crop it."),
)}  # fmt: skip  # a table: a kind in two lines is found and compared faster than in six


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        key: its kind in `KINDS`.
        case: the case's name, or None if it concerns the dataset.
        file: the file it is in, or None.
        detail: what exactly, with numbers.
    """

    key: str
    case: str | None
    file: Path | None
    detail: str

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return KINDS[self.key]

    def text(self, root: Path | None = None) -> str:
        """One line: the file (relative to `root` if it lies in there) and the detail."""
        if self.file is None:
            return self.detail
        inside = root is not None and self.file.is_relative_to(root)
        return f"{self.file.relative_to(root) if inside else self.file}: {self.detail}"


def by_kind(findings: Iterable[Finding], severity: str) -> dict[Kind, list[Finding]]:
    """The findings of one severity, grouped, in the order of the table."""
    findings = list(findings)
    groups = {kind: [finding for finding in findings if finding.key == key] for key, kind in KINDS.items()}
    return {kind: group for kind, group in groups.items() if group and kind.severity == severity}


def grouped_lines(groups: dict[Kind, list[Finding]], root: Path, limit: int = 5) -> list[str]:
    """Lines for people: each kind's heading and count, up to `limit` examples, the remedy."""
    lines = []
    for kind, group in groups.items():
        lines.append(f"  {kind.heading} ({len(group)}):")
        lines += [f"    {finding.text(root)}" for finding in group[:limit]]
        if len(group) > limit:
            lines.append(f"    and {len(group) - limit} more")
        lines.append(f"    -> {kind.remedy}")
    return lines
