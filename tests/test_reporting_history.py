import csv
import io

import numpy as np
import pytest
from matplotlib.image import imread

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.reporting.training_figure import draw_history, history_figure

HISTORY = """\
epoch,loss,held_out_loss,val_dice,temperature,entropy,share_reduction_pool,share_encoder_normal_pool,share_reduction_zero,changes
1,1.5,1.6,,5.0,1.0,0.5,0.25,0,3
2,1.0,nan,0.25,4.0,0.9,0.5,0.75,0,2
3,0.5,0.7,,3.0,0.7,,1,0.5,2
4,0.4,0.6,0.75,2.0,0.4,0,0,1,0
"""


def history():
    return list(csv.DictReader(io.StringIO(HISTORY)))


def curves(axes):
    return {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.lines}


def test_every_column_is_in_its_panel_and_gaps_are_skipped():
    loss, dice, edges, operations, temperature = map(curves, history_figure(history()).axes)
    assert loss == {"loss": [[1, 1.5], [2, 1], [3, 0.5], [4, 0.4]], "held out loss": [[1, 1.6], [3, 0.7], [4, 0.6]]}
    assert dice == {"val dice": [[2, 0.25], [4, 0.75]]}
    assert temperature == {"temperature": [[1, 5], [2, 4], [3, 3], [4, 2]]}
    assert edges == {"entropy": [[1, 1], [2, 0.9], [3, 0.7], [4, 0.4]]}
    # means over the kinds of cells
    assert operations == {"pool": [[1, 0.375], [2, 0.625], [3, 1], [4, 0]], "zero": [[1, 0], [2, 0], [3, 0.5], [4, 1]]}


def test_panels_without_data_are_left_out_and_keys_may_start_late():
    figure = history_figure([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "entropy": 0.5}])
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Edges"]
    assert curves(figure.axes[1]) == {"entropy": [[2, 0.5]]}


@pytest.mark.parametrize("name", ["history.png", "history.svg"])
def test_files_are_written(name, tmp_path):
    draw_history(history(), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    if name.endswith("png"):
        assert imread(tmp_path / name).shape == (480, 2400, 4)
    else:
        assert b">held out loss<" in content
        draw_history(history(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == content


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'.jpg'"):
        draw_history(history(), tmp_path / "history.jpg")
    with pytest.raises(DataError, match="nothing to draw: 0 rows"):
        history_figure([])
    with pytest.raises(DataError, match="nothing to draw"):
        history_figure([{"epoch": 1, "seconds": 3}])
    with pytest.raises(DataError, match="'loss' must be a number.*'high'"):
        history_figure([{"epoch": 1, "loss": "high"}])
    with pytest.raises(DataError, match="'epoch' must be a number"):
        history_figure([{"loss": 1}])


def test_few_epochs_are_points_on_axes_that_fit():
    rows = [{"epoch": epoch, "loss": 1.0, "val_dice": dice} for epoch, dice in ((1, 0.05), (2, 0.1), (3, 0.08))]
    _, dice = history_figure(rows).axes
    assert dice.lines[0].get_marker() == "o" and dice.get_ylim() == (0, pytest.approx(0.115))
    (dice,) = history_figure([{"epoch": 1, "val_dice": 0.5}]).axes
    assert dice.get_xlim() == (0, 2)
    rows = [{"epoch": epoch, "val_dice": 0.95} for epoch in range(100)]
    (dice,) = history_figure(rows).axes
    assert dice.lines[0].get_marker() == "" and dice.get_ylim() == (0, 1)
