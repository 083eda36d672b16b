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


def check_shapes(labels, logits, num_classes: int | None = None) -> None:
    """Raises ValueError for labels that aren't [batch, *space] or [batch, *space, 1] of logits [batch, *space, classes].

    Sizes that a graph doesn't know yet agree with any. `num_classes` says how many classes the logits should have.
    """
    found, expected = _shape(labels), _shape(logits)
    if found is None or expected is None:
        return
    if num_classes is not None and expected[-1] not in (None, num_classes):
        raise ValueError(f"Expected logits of {num_classes} classes, the last axis, found {expected[-1]}.")
    wanted = expected[:-1]
    if len(found) == len(wanted) + 1 and found[-1] == 1:
        found = found[:-1]
    if len(found) != len(wanted) or any(None not in sizes and sizes[0] != sizes[1] for sizes in zip(found, wanted)):
        raise ValueError(f"Labels of shape {_shape(labels)} don't belong to logits of shape {expected}; expected {wanted}.")


def _shape(values) -> tuple[int | None, ...] | None:
    """The sizes as far as they are known; None where not even their number is."""
    try:
        return tuple(values.shape)
    except ValueError:  # TensorFlow's of unknown rank
        return None


def _in_hand(flag) -> bool | None:
    """The value of a flag, or None in a graph, which doesn't have it yet."""
    try:
        return bool(ops.convert_to_numpy(flag))
    except Exception:  # noqa: BLE001  each backend has its own
        return None
