"""Published figures that a cross-validation's table shows beside its own: facts, with what they were measured on."""

import dataclasses
from collections.abc import Mapping

SLICES = "slices"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where figures are from.

    Attributes:
        text: authors, place, data.
        number, what: of the data, such as 484 "scans"; of `SLICES` the figures are means over these, not over scans.
        protocol: how they were split, in the words of `CrossvalReport.protocol`.
        counted_on: voxels along the axes on which multiply-adds were counted; none where these aren't published.
    """

    text: str
    number: int
    what: str
    protocol: str
    counted_on: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Published:
    """A row: a network's Dice (0 to 1) of each class, in the order of the task's labels, and their average.

    Attributes:
        miou: mean IoU, 0 to 1; None where it isn't published.
        costs: "parameters", and "multiply_adds" of a forward pass; empty likewise.
    """

    source: Source
    network: str
    dice: tuple[float, ...]
    average: float
    miou: float | None = None
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)


def _scnas(number: int, note: str = "") -> Source:
    return Source(f"Kim et al. 2019, arXiv 1906.05956, Table 1: the Decathlon's training images{note}", number, "scans", "5 folds")


_BRAIN, _HEART = _scnas(484), _scnas(20)
_LUNG = _scnas(63, ", which the paper counts as 64")

SCNAS: dict[str, tuple[Published, ...]] = {
    "brain": (
        Published(_BRAIN, "3D nnU-Net (2018)", (0.8071, 0.6222, 0.7907), 0.7400),
        Published(_BRAIN, "3D U-ResNet", (0.7074, 0.5669, 0.7323), 0.6689),
        Published(_BRAIN, "SCNAS", (0.8041, 0.5985, 0.7850), 0.7292),
    ),
    "heart": (
        Published(_HEART, "3D nnU-Net (2018)", (0.9245,), 0.9245),
        Published(_HEART, "3D U-ResNet", (0.9148,), 0.9148),
        Published(_HEART, "SCNAS", (0.9129,), 0.9129),
        Published(_HEART, "SCNAS (transfer)", (0.9191,), 0.9191),
    ),
    "lung": (
        Published(_LUNG, "3D nnU-Net (2018)", (0.5587,), 0.5587),
        Published(_LUNG, "3D U-ResNet", (0.6328,), 0.6328),
        Published(_LUNG, "SCNAS", (0.6482,), 0.6482),
        Published(_LUNG, "SCNAS (transfer)", (0.6862,), 0.6862),
    ),
}
"""By task; brain's classes are edema, non-enhancing and enhancing tumour."""


def _zhang(table: int, data: str, number: int, what: str, protocol: str, rows: Mapping[str, tuple[float, ...]]) -> tuple[Published, ...]:
    """Rows of Zhang et al., as printed: MIoU and Dice in percent, then parameters in millions and multiply-adds in 1e9, at 256 x 256."""
    text = f"Zhang et al. 2022, Computer Science 49(10), Tables {table} and 5: {data}, all resized to 256 x 256"
    source = Source(text, number, what, protocol, (256, 256))
    units = {"parameters": 1e6, "multiply_adds": 1e9}
    found = []
    for name, (miou, dice, *costs) in rows.items():
        own = {cost: value * unit for (cost, unit), value in zip(units.items(), costs)}
        found.append(Published(source, name, (dice / 100,), dice / 100, miou / 100, own))
    return tuple(found)


ZHANG: dict[str, tuple[Published, ...]] = {
    "nuclei": _zhang(
        2,
        "2018 Data Science Bowl",
        670,
        "pictures",
        "4 repeats with a share of 0.3 held out",
        {
            "U-Net": (80.57, 87.77, 9.81, 20.17),
            "FCN": (84.03, 90.17, 18.64, 25.50),
            "Attention U-Net": (78.70, 86.54, 34.88, 66.23),
            "UNet++": (83.79, 90.12, 9.16, 35.00),
            "R2U-Net": (77.50, 84.87, 39.09, 153.18),
            "DARTS_Based": (79.37, 86.02, 7.01, 16.69),
            "NAS-Unet": (83.15, 89.18, 10.95, 17.43),
            "Auto-LW-MISN": (85.75, 92.11, 0.57, 15.76),
            "Auto-LW-MISN in DARTS' supernet": (82.16, 89.73),
        },
    ),
    "liver_ct": _zhang(
        3,
        "CHAOS",
        2874,
        SLICES,
        "slices divided 1:1 in the search",
        {
            "U-Net": (88.00, 91.96, 9.81, 20.17),
            "Attention U-Net": (91.60, 94.64, 34.88, 66.23),
            "R2U-Net": (91.63, 95.13, 39.09, 153.18),
            "UNet++": (90.20, 93.53, 9.16, 35.00),
            "AutoDeepLab": (92.01, 95.89, 15.43, 36.18),
            "NAS-Unet": (92.32, 96.54, 12.33, 27.15),
            "DARTS_Based": (88.02, 90.97, 7.11, 18.17),
            "Auto-LW-MISN": (93.17, 97.86, 0.56, 15.03),
            "Auto-LW-MISN in DARTS' supernet": (91.15, 95.31),
        },
    ),
    "prostate_mr": _zhang(
        4,
        "PROMISE12",
        1377,
        SLICES,
        "slices divided 3:2 in the search",
        {
            "U-Net": (50.06, 57.92, 9.81, 20.17),
            "Attention U-Net": (56.22, 61.41, 34.88, 66.23),
            "R2U-Net": (50.59, 57.96, 39.09, 153.18),
            "UNet++": (51.66, 58.65, 9.16, 35.00),
            "AutoDeepLab": (58.18, 68.20, 15.43, 36.18),
            "NAS-Unet": (64.82, 72.43, 12.33, 27.15),
            "DARTS_Based": (50.16, 57.06, 6.69, 17.65),
            "Auto-LW-MISN": (66.88, 72.71, 0.61, 15.98),
            "Auto-LW-MISN in DARTS' supernet": (63.01, 69.78),
        },
    ),
}
"""By task; all have one class. The last rows are the ablation of section 3.6, whose cost isn't printed.

A mean of IoU = Dice / (2 - Dice) over slices is at least that of their mean Dice. AutoDeepLab, NAS-Unet and Auto-LW-MISN on the liver have
less: their two columns can't be means over the same slices."""

PUBLISHED = SCNAS | ZHANG
