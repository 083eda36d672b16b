"""What was published on a task, as rows of the tables, and whether it can be compared."""

from collections.abc import Sequence

from scnas_keras.crossval.published import PUBLISHED, Published


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
        lines.append(f"published: {source.text}")
        others = [f"{source.number} {source.what} there, {cases} cases here"] * (cases not in (None, source.number))
        others += [f"{source.protocol} there, {protocol} here"] * (protocol != source.protocol)
        lines += [f"  not comparable: {'; '.join(others)}"] * bool(others)
    return lines
