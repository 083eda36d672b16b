"""What all figures share: colours that colour-blind readers can tell apart, and files that are whole or absent."""

import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scnas_keras.errors import ConfigError
from scnas_keras.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C", "#7A4B1E")
"""Okabe and Ito's palette in an order that keeps neighbours far apart; yellow is left out, too pale on white, a grey and a brown added."""

_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "scnas_keras"}


def check_suffix(path: str | os.PathLike, suffixes: Sequence[str]) -> None:
    """Refuses a figure's path before any work is done.

    Raises:
        ConfigError: the path doesn't end in one of the suffixes, or its folder doesn't exist.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{path}: the figure is written as {' or '.join(suffixes)}, found the suffix {path.suffix!r}.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} doesn't exist; create it first.")


def save_figure(figure: "Figure", path: str | os.PathLike) -> None:
    """Writes a figure as SVG or, at `DPI`, as PNG, by the path's suffix.

    The text of an SVG stays text, and equal figures give equal bytes.
    """
    import matplotlib
    from matplotlib.backends import backend_agg, backend_svg

    stream = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        if pathlib.Path(path).suffix.lower() == ".svg":
            backend_svg.FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
        else:
            figure.set_dpi(DPI)
            backend_agg.FigureCanvasAgg(figure).print_png(stream)
    write_bytes(path, stream.getvalue())
