"""Dice of label maps."""

import numpy as np


def dice_scores(label: np.ndarray, prediction: np.ndarray, num_classes: int) -> list[float]:
    """Dice of every foreground class: 2 |A and B| / (|A| + |B|), NaN for a class that is in neither."""
    scores = []
    for index in range(1, num_classes):
        actual, predicted = label == index, prediction == index
        total = np.count_nonzero(actual) + np.count_nonzero(predicted)
        scores.append(2 * np.count_nonzero(actual & predicted) / total if total else float("nan"))
    return scores
