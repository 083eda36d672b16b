"""scnas evaluate --predictions=DIR --labels=DIR --output=FILE.json

Compares segmentations with labels: overlap, surface distances, volumes, lesions. These are Dice, Jaccard, precision, recall, normalised
surface Dice (NSD), 95 % Hausdorff distance, mean surface distance, volumes, and lesions found and invented, of each case and class.
Prints the mean over cases with its 95 % bootstrap interval; FILE.json has everything, FILE.csv a line a case and class, FILE.png a
figure. --labels is the dataset's folder, or one of label files that are called like the segmentations. --predictions=RUN takes the
validation scans of a training run.
"""

from scnas_keras.evaluate.config import EvaluateConfig


def evaluate(config: EvaluateConfig):
    """See `scnas_keras.evaluate.runner.run_evaluation`, which this calls."""
    from scnas_keras.evaluate.runner import run_evaluation

    return run_evaluation(config)


def main(config: EvaluateConfig) -> None:
    print(evaluate(config).text)
