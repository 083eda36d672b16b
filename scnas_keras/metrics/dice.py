"""Dice of label maps."""

import numpy as np


def dice_scores(label: np.ndarray, prediction: np.ndarray, num_classes: int) -> list[float]:
    """Dice of every foreground class: 2 |A and B| / (|A| + |B|), NaN for a class that is in neither.

    Raises:
        ValueError: shapes that differ, or values that are no classes.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"The label has shape {label.shape} and the prediction {prediction.shape}; expected the same.")
    for name, values in (("label", label), ("prediction", prediction)):
        if not _are_classes(values, num_classes):
            raise ValueError(f"The {name} must hold whole numbers from 0 to {num_classes - 1}; found {values.min()} to {values.max()}.")
    scores = []
    for index in range(1, num_classes):
        actual, predicted = label == index, prediction == index
        total = np.count_nonzero(actual) + np.count_nonzero(predicted)
        scores.append(2 * np.count_nonzero(actual & predicted) / total if total else float("nan"))
    return scores


def iou_of_dice(dice: float) -> float:
    """Intersection over union, TP / (TP + FP + FN), of two masks by their Dice, 2 TP / (2 TP + FP + FN): the Jaccard index."""
    return dice / (2 - dice)


def _are_classes(values: np.ndarray, num_classes: int) -> bool:
    if not values.size:
        return True
    whole = values.dtype.kind in "biu" or bool((values == np.round(values)).all())
    return whole and bool(values.min() >= 0 and values.max() < num_classes)
