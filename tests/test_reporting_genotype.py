import collections
import functools
import itertools
import os
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.patches import FancyBboxPatch, PathPatch
from processes import PYTHON, run, with_package
from some_spaces import SCNAS, U, genotype_of, kinds, pairs

from scnas_keras.errors import ConfigError
from scnas_keras.operations.registry import operation
from scnas_keras.reporting.figure_files import DPI
from scnas_keras.reporting.genotype_figure import draw_genotype, genotype_figure, group_colours
from scnas_keras.reporting.genotype_table import WIDTH, genotype_table
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import u_shaped

ONE_NODE = u_shaped("one_node", 3, SCNAS.operations, 1, U)


def random_genotype(zero_share: float, seed: int = 0, space: SearchSpace = SCNAS, notes: tuple[str, ...] = ()) -> Genotype:
    """A genotype with about this share of zero edges; the edge from the node before is kept to keep each node alive."""
    generator = np.random.default_rng(seed)
    others = [name for name in space.operations if name != "zero"]

    def choose(source: int, target: int) -> Edge:
        is_zero = source != target - 1 and generator.random() < zero_share
        return Edge(source, target, None if is_zero else str(generator.choice(others)), float(generator.uniform(0.13, 1)))

    return Genotype(space, {kind: tuple(choose(*pair) for pair in pairs(space)) for kind in kinds(space)}, notes)


def longest_label_genotype(space: SearchSpace = SCNAS) -> Genotype:
    """The hardest to draw: no zero edge, every label as long and every edge as wide as possible."""
    return genotype_of(space, lambda *edge: "dilated_conv_3_rate_2", 1.0)


GENOTYPES = {
    "no zero edge": random_genotype(0),
    "long labels": longest_label_genotype(),
    "half zero": random_genotype(0.5),
    "chain": random_genotype(1),
    "one node": random_genotype(0, space=ONE_NODE),
    "seven nodes": longest_label_genotype(u_shaped("seven", 3, SCNAS.operations, 7, U)),
}
each_genotype = pytest.mark.parametrize("genotype", GENOTYPES.values(), ids=GENOTYPES)


def svg_labels(path):
    """Text of the edge labels in an SVG by the edge's id."""
    groups = [element for element in xml.etree.ElementTree.parse(path).iter() if element.tag.endswith("}g")]
    texts = {group.get("id"): "".join(group.itertext()).strip() for group in groups}
    return {name: text for name, text in texts.items() if name and name.count("-") == 2}


@each_genotype
def test_svg_names_every_edge_that_is_there_and_no_other(genotype, tmp_path):
    draw_genotype(genotype, tmp_path / "cells.svg")
    expected = {
        f"{kind}-{edge.source}-{edge.target}": operation(edge.operation).label
        for kind, edges in genotype.cells.items()
        for edge in edges
        if edge.operation is not None
    }
    assert svg_labels(tmp_path / "cells.svg") == expected
    assert ">zero<" not in (tmp_path / "cells.svg").read_text(encoding="utf-8")


@each_genotype
def test_labels_are_clear_of_each_other_of_nodes_and_of_foreign_edges(genotype):
    figure = genotype_figure(genotype)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        labels = {text.get_gid(): text.get_window_extent() for text in axes.texts if text.get_gid()}
        nodes = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
        assert labels and nodes
        for one, other in itertools.chain(itertools.combinations(labels.values(), 2), itertools.product(labels.values(), nodes)):
            assert not one.overlaps(other)
        halos = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
        paths = [patch.get_path().transformed(patch.get_transform()) for patch in halos]
        for label in labels.values():  # only its own line runs behind a label
            assert sum(path.intersects_bbox(label, filled=False) for path in paths) == 1
        for box in (*labels.values(), *nodes, figure.legends[0].get_window_extent()):
            assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and 0 <= box.y0 and box.y1 <= figure.bbox.y1


@each_genotype
def test_edges_into_one_node_never_cross(genotype):
    for axes in genotype_figure(genotype).axes:
        paths = [patch.get_path() for patch in axes.patches if isinstance(patch, PathPatch)]
        for one, other in itertools.combinations(paths, 2):
            assert one.vertices[-1, 0] != other.vertices[-1, 0] or not one.intersects_path(other, filled=False)


def test_svg_is_the_same_every_time_and_its_text_is_text(tmp_path):
    genotype = GENOTYPES["half zero"]
    for name in ("a.svg", "b.svg"):
        draw_genotype(genotype, tmp_path / name)
    content = (tmp_path / "a.svg").read_bytes()
    assert content == (tmp_path / "b.svg").read_bytes()
    for text in (b">Encoder normal cell<", b">Reduction cell<", b">two back<", b">previous<", b">concatenation<"):
        assert text in content
    assert b"<dc:date>" not in content


def test_png_has_the_figures_size_and_the_colours_of_the_groups(tmp_path):
    genotype = GENOTYPES["no zero edge"]
    draw_genotype(genotype, tmp_path / "cells.PNG")
    pixels = imread(tmp_path / "cells.PNG", format="png")
    width, height = genotype_figure(genotype).get_size_inches()
    assert abs(pixels.shape[1] - width * DPI) <= 1 and abs(pixels.shape[0] - height * DPI) <= 1
    found = np.unique((pixels[..., :3] * 255).round().astype(int) @ (1 << 16, 1 << 8, 1))
    groups = {operation(edge.operation).group for edges in genotype.cells.values() for edge in edges if edge.operation}
    assert len(groups) > 3 and {int(group_colours()[group][1:], 16) for group in groups} <= set(found)
    assert os.listdir(tmp_path) == ["cells.PNG"]


def test_more_probable_edges_are_wider_and_figures_say_what_is_absent():
    figure = genotype_figure(GENOTYPES["chain"])
    assert [text.get_text() for axes in figure.axes for text in axes.texts].count("10 of 14 edges absent") == 4
    legend = {line.get_label(): line.get_linewidth() for line in figure.legends[0].get_lines()}
    assert legend["probability 0.2"] < legend["probability 0.5"] < legend["probability 1.0"]


@pytest.mark.parametrize("name, message", [("cells.pdf", "'.pdf'"), ("cells", "''"), ("missing/cells.svg", "doesn't exist")])
def test_a_path_that_cannot_be_written_is_refused(name, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        draw_genotype(GENOTYPES["chain"], tmp_path / name)
    assert not list(tmp_path.iterdir())


@each_genotype
def test_table_lists_what_the_genotype_holds(genotype):
    table = genotype_table(genotype)
    assert max(map(len, table.splitlines())) <= WIDTH
    edges = [edge for kind in kinds(genotype.space) for edge in genotype.cells[kind]]
    listed = collections.Counter(
        f"{operation(edge.operation).label} ({edge.probability:.2f})" for edge in edges if edge.operation is not None
    )
    for text, count in listed.items():
        assert table.count(f": {text}") == count
    assert table.count(": ") == listed.total()
    counted = [int(match) for match in re.findall(r" (\d+) zero$", table, re.MULTILINE)]
    assert sum(counted) == len(edges) - listed.total()


def test_table_reads_as_written_here():
    two_nodes = u_shaped("two_nodes", 3, SCNAS.operations, 2, U)
    choices = {"reduction": (None, "conv_3", "identity", None, "max_pool_3"), "expansion": ("dilated_conv_3_rate_4",) * 5}
    choices = {**choices, "encoder_normal": ("conv_3",) * 5, "decoder_normal": ("identity",) * 5}
    names = {(kind, *pair): name for kind, names in choices.items() for pair, name in zip(pairs(two_nodes), names)}
    found = genotype_of(two_nodes, lambda *edge: names[edge], notes=("An edge was restored.",))
    assert (
        genotype_table(found)
        == """\
Search space two_nodes, cells 4, nodes a cell 2, edges a cell 5

Reduction cell
--------------
node 1    previous: conv 3 (0.50)                      1 zero
node 2    two back: identity (0.50)                    node 1: max pool 3 (0.50)
          1 zero

Encoder normal cell
-------------------
node 1    two back: conv 3 (0.50)                      previous: conv 3 (0.50)
node 2    two back: conv 3 (0.50)                      previous: conv 3 (0.50)
          node 1: conv 3 (0.50)

Expansion cell
--------------
node 1    two back: dilated conv 3, rate 4 (0.50)      previous: dilated conv 3, rate 4 (0.50)
node 2    two back: dilated conv 3, rate 4 (0.50)      previous: dilated conv 3, rate 4 (0.50)
          node 1: dilated conv 3, rate 4 (0.50)

Decoder normal cell
-------------------
node 1    two back: identity (0.50)                    previous: identity (0.50)
node 2    two back: identity (0.50)                    previous: identity (0.50)
          node 1: identity (0.50)

Share of operations
                         conv   dilated      pool  identity      zero
Reduction cell            20%        0%       20%       20%       40%
Encoder normal cell      100%        0%        0%        0%        0%
Expansion cell             0%      100%        0%        0%        0%
Decoder normal cell        0%        0%        0%      100%        0%

Note: An edge was restored.
"""
    )


@pytest.fixture
def draw_tool():
    return functools.partial(run, PYTHON, "-m", "scnas_keras.draw", env=with_package(), timeout=60)


def test_tool_draws_a_genotype_file(draw_tool, tmp_path):
    GENOTYPES["half zero"].save(tmp_path / "genotype.json")
    done = draw_tool(f"--genotype={tmp_path / 'genotype.json'}", f"--output={tmp_path / 'cells.svg'}")
    assert (done.stdout, done.stderr) == (f"{tmp_path / 'cells.svg'}\n", "")
    draw_genotype(GENOTYPES["half zero"], tmp_path / "expected.svg")
    assert (tmp_path / "cells.svg").read_bytes() == (tmp_path / "expected.svg").read_bytes()


def test_tool_refuses_a_damaged_genotype_without_a_traceback(draw_tool, tmp_path):
    (tmp_path / "genotype.json").write_text('{"format": ')
    done = draw_tool(f"--genotype={tmp_path / 'genotype.json'}", f"--output={tmp_path / 'cells.svg'}", code=2)
    assert "genotype.json: line 1, column 12: found broken JSON" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "cells.svg").exists()
