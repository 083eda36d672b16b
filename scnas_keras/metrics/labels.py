"""Labels as losses and metrics take them: class numbers, and nothing else in silence."""

from typing import Any

from keras import ops


def class_numbers(labels, num_classes: int, ignore_label: int | None = None) -> tuple[Any, Any]:
    """Labels as int32, and 1 if all of them are class numbers or the ignore label, else NaN.

    Whatever is multiplied by the second result becomes NaN too: a graph can't raise an error on every backend.

    Args:
        labels: numbers of any type, [batch, *space] or [batch, *space, 1].
        num_classes: classes, background included.
        ignore_label: label value of voxels that don't count.

    Raises:
        ValueError: outside of a graph, for labels that are none.
    """
    whole: Any = ops.cast(labels, "int32")
    known: Any = (whole >= 0) & (whole < num_classes)
    if ignore_label is not None:
        known = known | (whole == ignore_label)
    known = ops.all(known & (ops.cast(whole, "float32") == ops.cast(labels, "float32")))
    if _in_hand(known) is False:
        spare = "" if ignore_label is None else f", or {ignore_label} where nobody annotated"
        raise ValueError(
            f"Labels must be whole numbers from 0 to {num_classes - 1}{spare}; found values from {ops.min(labels)} to {ops.max(labels)}, "
            "some of them others."
        )
    return whole, ops.where(known, 1.0, float("nan"))


def _in_hand(flag) -> bool | None:
    """The value of a flag, or None in a graph, which doesn't have it yet."""
    try:
        return bool(ops.convert_to_numpy(flag))
    except Exception:  # noqa: BLE001  each backend has its own
        return None
