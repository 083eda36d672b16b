"""A case's segmentation over its image: a scan in three orthogonal slices, a picture as it is."""

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import PIXELS, Volume
from scnas_keras.metrics.dice import dice_scores
from scnas_keras.reporting.figure_files import COLOURS, DPI, check_suffix, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plane = tuple[str, int, str]
"""Name, the axis across it, and what lies at its left and upper edge."""
PLANES: tuple[Plane, ...] = (("axial", 2, "RA"), ("coronal", 1, "RS"), ("sagittal", 0, "AS"))
PICTURE: tuple[Plane, ...] = (("", 2, ""),)
"""A picture's only plane, which has no directions and is shown as it is stored."""

OPACITY = 0.5
COLUMN, WIDEST_COLUMN, LINE, GAP = 2.3, 6.0, 0.18, 0.08  # inches
FONT, SMALL = 9, 7


def draw_overlay(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    path: str | os.PathLike,
    class_names: Sequence[str],
    spacing: Sequence[float],
    title: str,
    white: int = 255,
) -> None:
    """Draws a case as PNG: axial, coronal and sagittal slices of the image, the reference, the prediction; a single slice alone.

    The slices meet in the centre of mass of the reference's foreground (else of the prediction's, else in the middle) and
    are shown as radiologists expect: the patient's right is at the left, anterior and superior are at the top. A picture, by its spacing,
    is shown as it is stored, in its own colours if it has any. The title gives the Dice of every foreground class if there is a reference.

    Args:
        image: [x, y, z, channels] in RAS+ orientation, of which the first is shown, but of a picture's three all, as red, green and blue
            from 0 to `white`; or [x, y, z].
        label: reference classes [x, y, z], integers, or None for a case without one.
        prediction: predicted classes [x, y, z], integers.
        path: the .png file to write.
        class_names: name of every class, the background (0) first.
        spacing: edge lengths of a voxel, mm.
        title: first line of the title, such as the case's name.
        white: what the brightest number of a picture in colour would be, see `Volume`.

    Raises:
        ConfigError: another suffix than .png, or the folder doesn't exist.
        DataError: shapes that differ, or a class without a name.
    """
    check_suffix(path, (".png",))
    save_figure(overlay_figure(image, label, prediction, class_names, spacing, title, white), path)


def shown(volume: Volume, files: Sequence[object]) -> np.ndarray:
    """What `draw_overlay` shows of a scan read from files, [x, y, z, channels]: three files of a picture are no colours."""
    return volume.array if len(files) == 1 else volume.array[..., :1]


def overlay_figure(
    image: np.ndarray,
    label: np.ndarray | None,
    prediction: np.ndarray,
    class_names: Sequence[str],
    spacing: Sequence[float],
    title: str,
    white: int = 255,
) -> "Figure":
    """The figure that `draw_overlay` writes."""
    from matplotlib.figure import Figure

    masks = {"prediction": prediction} if label is None else {"reference": label, "prediction": prediction}
    image = image if image.ndim == 4 else image[..., None]
    for name, mask in masks.items():
        _check_mask(name, mask, image.shape[:3], len(class_names))
    if label is not None:
        title += "\n" + _dice_line(dice_scores(label, prediction, len(class_names)), class_names[1:])
    centre = _centre(prediction if label is None or not np.any(label) else label)
    planes = planes_of(image.shape, spacing)
    in_colour = planes == PICTURE and image.shape[3] == 3
    pictures = _slices(np.clip(image / white, 0, 1) if in_colour else image[..., 0], centre, planes)
    colours = _class_colours(len(class_names), first=2 if in_colour else 0)  # blue is hard to see on stained tissue
    window = np.percentile(np.concatenate([plane.ravel() for plane in pictures]), (0.5, 99.5))  # of greys
    layers = [(None,) * len(planes)] + [[colours[classes] for classes in _slices(mask, centre, planes)] for mask in masks.values()]
    sizes = _picture_sizes(image.shape[:3], spacing, planes)
    column = min(max(COLUMN, image.shape[0] / DPI), WIDEST_COLUMN) if planes == PICTURE else COLUMN  # a pixel at least for each
    figure = Figure(facecolor="white")
    panels = _panels(
        figure, sizes, column, columns=len(layers), header=title.count("\n") + 3, footer=2 + (len(class_names) - 2) // len(layers)
    )
    figure.suptitle(title, fontsize=FONT, y=1 - LINE / 2 / figure.get_figheight(), va="top", linespacing=1.4)
    for i, (plane, _, edges) in enumerate(planes):
        for axes, layer in zip(panels[i], layers):
            _draw_slice(axes, pictures[i], layer[i], window, sizes[i], edges)
        panels[i][0].set_ylabel(plane, fontsize=FONT)
    for axes, name in zip(panels[0], ("image", *masks)):
        axes.set_title(name, fontsize=FONT)
    _draw_legend(figure, class_names, colours, columns=len(layers))
    return figure


def _dice_line(scores: Sequence[float], names: Sequence[str]) -> str:
    parts = [f"{name} {'absent' if np.isnan(score) else f'{score:.3f}'}" for name, score in zip(names, scores)]
    return textwrap.fill("Dice: " + ", ".join(parts), 80)


def _check_mask(name: str, mask: np.ndarray, shape: tuple[int, ...], num_classes: int) -> None:
    if len(shape) != 3 or mask.shape != shape:
        raise DataError(f"An overlay needs an image [x, y, z] and a {name} of its shape, found {shape} and {mask.shape}.")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high >= num_classes:
        raise DataError(f"The {name} holds the classes {low} to {high}, but only 0 to {num_classes - 1} have a name.")


def _centre(mask: np.ndarray) -> tuple[int, ...]:
    """Voxel nearest to the foreground's centre of mass, the middle of the volume without any."""
    foreground = np.nonzero(mask)
    if not foreground[0].size:
        return tuple(size // 2 for size in mask.shape)
    return tuple(int(np.rint(indices.mean())) for indices in foreground)


def _slices(volume: np.ndarray, centre: Sequence[int], planes: Sequence[Plane]) -> list[np.ndarray]:
    """[rows, columns, ...] of each plane; a scan's first row is anterior or superior, its first column right or anterior."""
    slices = [np.take(volume, centre[normal], axis=normal).swapaxes(0, 1) for _, normal, _ in planes]
    return slices if planes == PICTURE else [plane[::-1, ::-1] for plane in slices]


def planes_of(shape: Sequence[int], spacing: Sequence[float]) -> tuple[Plane, ...]:
    """The planes of a scan [x, y, z, ...], of one that is a single slice that slice's, and `PICTURE` of a picture."""
    if shape[2] == 1 and spacing[2] == PIXELS[2]:
        return PICTURE
    return tuple(plane for plane in PLANES if shape[plane[1]] == 1)[:1] or PLANES


def _picture_sizes(shape: Sequence[int], spacing: Sequence[float], planes: Sequence[Plane]) -> list[tuple[float, float]]:
    """Width and height of every plane's picture, mm."""
    lengths = [size * step for size, step in zip(shape, spacing, strict=True)]
    return [(lengths[0 if normal else 1], lengths[1 if normal == 2 else 2]) for _, normal, _ in planes]


def _panels(figure: "Figure", sizes: Sequence[tuple[float, float]], column: float, columns: int, header: int, footer: int) -> np.ndarray:
    """Axes [planes, columns] of one scale; sets the figure's size. `column` is in inches, `header` and `footer` are lines of text."""
    scale = column / max(width for width, _ in sizes)
    heights = [scale * height for _, height in sizes]
    left, right, gaps = 1.5 * LINE, 0.5 * LINE, GAP * (columns - 1)
    width = left + columns * column + gaps + right
    height = header * LINE + sum(heights) + GAP * (len(heights) - 1) + footer * LINE
    figure.set_size_inches(width, height)
    grid = {"left": left / width, "right": 1 - right / width, "top": 1 - header * LINE / height, "bottom": footer * LINE / height}
    grid |= {"wspace": GAP / column, "hspace": GAP * len(heights) / sum(heights), "height_ratios": heights}
    return figure.subplots(len(heights), columns, squeeze=False, gridspec_kw=grid)


def _draw_slice(
    axes: "Axes", shown: np.ndarray, layer: np.ndarray | None, window: Sequence[float], size: tuple[float, float], edges: str
) -> None:
    from matplotlib.patheffects import withStroke

    where = {"extent": (0, size[0], size[1], 0), "interpolation": "nearest"}
    axes.imshow(shown, cmap="gray", vmin=window[0], vmax=window[1], **where)
    if layer is not None:
        axes.imshow(layer, **where)
    axes.set(xticks=[], yticks=[])
    letter = {"transform": axes.transAxes, "fontsize": SMALL, "color": "white"}
    letter["path_effects"] = [withStroke(linewidth=1.5, foreground="black")]
    for (x, y), edge in zip(((0.02, 0.5), (0.5, 0.98)), edges):
        axes.text(x, y, edge, ha="left" if x < 0.5 else "center", va="center" if x < 0.5 else "top", **letter)


def _class_colours(num_classes: int, first: int = 0) -> np.ndarray:
    """RGBA of every class, [num_classes, 4], from the palette's `first` colour on; the background is transparent."""
    import matplotlib
    from matplotlib.colors import to_rgba

    count = num_classes - 1
    few = [to_rgba(colour) for colour in (COLOURS[first:] + COLOURS[:first])[:count]]
    colours = few if len(few) == count else matplotlib.colormaps["turbo"](np.linspace(0, 1, count))
    table = np.zeros((num_classes, 4))
    table[1:] = colours
    table[1:, 3] = OPACITY
    return table


def _draw_legend(figure: "Figure", class_names: Sequence[str], colours: np.ndarray, columns: int) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=tuple(colour), label=name) for name, colour in zip(class_names[1:], colours[1:])]
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=8, borderpad=0)
