"""What was published on a task, as rows of the tables, and whether it can be compared."""

from collections.abc import Sequence

from scnas_keras.crossval.published import PUBLISHED, SLICES, Published


def published_of(task: str, classes: int) -> list[Published]:
    """Rows of the task, if they are of so many classes."""
    return [row for row in PUBLISHED.get(task, ()) if len(row.dice) == classes]


def notes(rows: Sequence[Published], cases: int | None, protocol: str) -> list[str]:
    """Each source, and what was another there.

    Args:
        rows: published ones.
        cases: in all, here; None if nobody knows.
        protocol: how they were split here.
    """
    lines = []
    for source in dict.fromkeys(row.source for row in rows):
        lines.append(f"paper: {source.text}")
        others, there = [], f"{source.number} {source.what} there"
        if source.what == SLICES:
            others = [f"means over {there}, over whole scans here"]
        elif cases not in (None, source.number):
            others = [f"{there}, {cases} cases here"]
        others += [f"{source.protocol} there, {protocol} here"] * (protocol != source.protocol)
        unknown = [f"{there}, and how many cases here isn't known"] * (cases is None and source.what != SLICES)
        verdict = "not comparable" if others else "perhaps not comparable"
        lines += [f"  {verdict}: {'; '.join([*unknown, *others])}"] * bool(others or unknown)
        if source.counted_on:
            lines.append("  multiply-adds of a transposed convolution are counted at its outputs there, at its inputs here")
    return lines
