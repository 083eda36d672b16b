"""What can only be told by comparing images: duplicates, and test images that differ from the training images."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from scnas_keras.checks.across import millimetres, spacing_factor
from scnas_keras.checks.findings import SPACING_FACTOR, Finding
from scnas_keras.checks.intensities import apart, is_foreign
from scnas_keras.checks.scan import Scan
from scnas_keras.tasks.cases import Task


def image_comparisons(scans: Sequence[Scan], tests: Sequence[Scan], task: Task) -> list[Finding]:
    """Compares the images of labelled cases (`scans`) and test images (`tests`)."""
    return [
        *_duplicates(scans, tests),
        *_groups_apart(scans, task),
        *_test_channels(scans, tests),
        *_test_spacings(scans, tests),
        *_test_intensities(scans, tests, task),
    ]


def _duplicates(scans: Sequence[Scan], tests: Sequence[Scan]) -> list[Finding]:
    first, findings = {}, []
    for scan, part in [*((scan, "case") for scan in scans), *((scan, "test image") for scan in tests)]:
        digest = scan.image and scan.image.digest
        if digest is None:
            continue
        name = f"{part} {scan.case.name}"
        if digest in first:
            findings.append(scan.finding("duplicate", f"{name} has the voxels of {first[digest]}"))
        first.setdefault(digest, name)
    return findings


def _groups_apart(scans: Sequence[Scan], task: Task) -> list[Finding]:
    known = {scan.case.name: scan for scan in scans if scan.image}
    return [
        known[name].finding("intensities", group.text)
        for group in apart(task.channel_names, {name: scan.image.ranges for name, scan in known.items()})
        for name in group.cases
    ]


def _test_channels(scans: Sequence[Scan], tests: Sequence[Scan]) -> list[Finding]:
    usual = [number for number, _ in Counter(scan.grid.channels for scan in scans if scan.grid).most_common(1)]
    return [
        test.finding("test_channels", f"{test.grid.channels}; training images have {usual[0]}")
        for test in tests
        if usual and test.grid and test.grid.channels != usual[0]
    ]


def _test_spacings(scans: Sequence[Scan], tests: Sequence[Scan]) -> list[Finding]:
    spacings = [scan.grid.spacing for scan in scans if scan.grid]
    if not spacings:
        return []
    low, high = np.min(spacings, axis=0), np.max(spacings, axis=0)
    return [
        test.finding(
            "test_spacing", f"{millimetres(test.grid.spacing)}; the training images have {millimetres(low)} to {millimetres(high)}"
        )
        for test in tests
        if test.grid and spacing_factor(test.grid.spacing, np.clip(test.grid.spacing, low, high)) > SPACING_FACTOR
    ]


def _test_intensities(scans: Sequence[Scan], tests: Sequence[Scan], task: Task) -> list[Finding]:
    """Test images whose intensities are unlike those of the training images."""
    findings, channels = [], len(task.channel_names)
    known = np.array([scan.image.ranges for scan in scans if scan.image and len(scan.image.ranges) == channels])
    for test in tests if len(known) else ():
        if test.image is None or len(test.image.ranges) != channels:
            continue
        for channel, (low, high) in enumerate(test.image.ranges):
            lows, highs = known[:, channel].T
            least, most, contrast = lows.min(), highs.max(), (highs - lows).min()
            if is_foreign(low, high, least, most, contrast):
                findings.append(
                    test.finding(
                        "test_intensities",
                        f"channel {channel} ({task.channel_names[channel]}) "
                        f"goes from {low:.4g} to {high:.4g}; the training images' go from "
                        f"{least:.4g} to {most:.4g}",
                    )
                )
    return findings
