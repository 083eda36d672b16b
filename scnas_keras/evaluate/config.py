"""The options of `scnas_keras.evaluate`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of an evaluation."""

    predictions: str | None = option(None, "Folder of segmentations, or that of a training run, whose validation is meant.", "Evaluation")
    labels: str | None = option(None, "The dataset's folder, or one of label files. A segmentation is called like its label.", "Evaluation")
    output: str | None = option(None, "The file to write, FILE.json; FILE.csv and FILE.png come beside it.", "Evaluation")
    subset: bool = option(False, "Evaluate only the cases that have both a label and a segmentation.", "Evaluation")
    second_reader: str | None = option(
        None, "Folder of a second person's labels of the same cases: how far two people agree, beside the network.", "Evaluation"
    )
    unions: str | None = option(None, 'Structures made of several classes, by values or names: "whole=1+2+3,core=2+3".', "Structures")
    tolerance_mm: float = option(1.0, "Distance up to which surfaces count as equal in NSD.", "Structures", least=0, most=10**4)
    processes: int | None = option(None, "Processes that compare. Default: as cores and free memory allow.", "Work", least=1, most=10**4)
