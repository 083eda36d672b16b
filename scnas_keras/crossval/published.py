"""Published figures that a cross-validation's table shows beside its own: facts, in percent Dice, with their source."""

import dataclasses

SCNAS = "Kim et al. 2019, arXiv 1906.05956, Table 1: 5-fold cross-validation on the Decathlon's training images"


@dataclasses.dataclass(frozen=True)
class Published:
    """A row: a network's Dice (0 to 1) of each class, in the order of the Decathlon's labels, and their average."""

    network: str
    dice: tuple[float, ...]
    average: float
    source: str = SCNAS


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "brain": (
        Published("3D nnU-Net (2018)", (0.8071, 0.6222, 0.7907), 0.7400),
        Published("3D U-ResNet", (0.7074, 0.5669, 0.7323), 0.6689),
        Published("SCNAS", (0.8041, 0.5985, 0.7850), 0.7292),
    ),
    "heart": (
        Published("3D nnU-Net (2018)", (0.9245,), 0.9245),
        Published("3D U-ResNet", (0.9148,), 0.9148),
        Published("SCNAS", (0.9129,), 0.9129),
        Published("SCNAS (transfer)", (0.9191,), 0.9191),
    ),
    "lung": (
        Published("3D nnU-Net (2018)", (0.5587,), 0.5587),
        Published("3D U-ResNet", (0.6328,), 0.6328),
        Published("SCNAS", (0.6482,), 0.6482),
        Published("SCNAS (transfer)", (0.6862,), 0.6862),
    ),
}
"""By task; brain's classes are edema, non-enhancing and enhancing tumour."""
