"""Spaces that Auto-LW-MISN is compared with, DARTS' and NAS-Unet's, and published architectures."""

import itertools

import keras
import numpy as np
import pytest

from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.reporting.genotype_figure import genotype_figure
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.spaces.catalog import nas_unet
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.published import PUBLISHED_NAMES
from scnas_keras.spaces.random_genotypes import random_genotype


def test_nas_unet_has_the_candidates_of_the_paper_by_role():
    """6 that halve, 4 that double, 7 others (Weng et al. 2019, Table 1)."""
    space = find_space("nas_unet", 2)
    candidates = {edge.role: edge.candidates for cell in space.placed for edge in cell.edges}
    assert {role: len(names) for role, names in candidates.items()} == {"halving": 6, "ordinary": 7, "doubling": 4}
    assert space.levels == (0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0) and [stem.level for stem in space.stems] == [0, 1]
    for cell in space.placed:
        halves = cell.kind == "down"
        assert {edge.source for edge in cell.edges if edge.role != "ordinary"} == ({0, 1} if halves else {1})
    skips = [cell.inputs[0].sources for cell in space.placed if cell.kind == "up"]
    assert skips == [(4,), (3,), (2,), (1,), (0,)]


def test_probabilities_of_unequal_tables_count_as_multiples_of_chance():
    """A third of four candidates is more than chance by a third; a quarter of seven is more by three quarters, and is kept."""
    space = find_space("nas_unet", 2)
    alpha = {table.name: np.zeros((table.rows, len(table.candidates))) for table in space.tables}
    for row in range(3):
        alpha["up"][row, 0] = np.log(1 / 3 / (2 / 9))  # of four: 1/3, 2/9, 2/9, 2/9
        alpha["normal"][3 + row, 1] = np.log(1 / 4 / (1 / 8))  # of seven: 1/4, six times 1/8
    first = [edge for edge in derive(space, alpha).cells["up"] if edge.target == 4]
    assert [edge.operation for edge in first] == ["channel_weight", "channel_weight_up", None, None]
    alpha["normal"][:3, 1] = np.log(0.3 / (0.7 / 6))
    last = [edge for edge in derive(space, alpha).cells["up"] if edge.target == 4]
    assert [edge.source for edge in last if edge.operation] == [2, 3]


SMALL = {
    "darts": lambda rank: find_space("darts", rank),
    "darts_chain": lambda rank: find_space("darts_chain", rank),
    "nas_unet": lambda rank: nas_unet.build(rank, depth=2),
}


@pytest.mark.parametrize(
    "name, rank", [pytest.param(n, r, marks=pytest.mark.nightly if r == 3 else ()) for n, r in itertools.product(SMALL, (2, 3))]
)
def test_their_networks_are_as_large_as_was_counted_and_come_back(name, rank, tmp_path):
    space, patch = SMALL[name](rank), (16, 24, 8)[:rank]
    genotype = random_genotype(space, 0, 1)
    model = from_genotype(genotype, 2, 3, stem_channels=48)
    found, expected = network_cost(model, patch), cost_tables(space, 48, patch, 2, 3).of_genotype(genotype)
    assert (found.parameters, found.multiply_adds) == (expected.parameters, expected.multiply_adds)
    planned = DerivedNetwork(space, 48, genotype)
    assert planned.elements(planned.topology((1.0,) * rank, patch), 2, 3) == found.elements
    for size in (patch, tuple(3 * n for n in patch)):
        logits = model(np.zeros((1, *size, 2), np.float32))
        assert tuple(logits.shape) == (1, *size, 3) and np.isfinite(logits).all()
    model.save(tmp_path / "model.keras")
    image = np.random.default_rng(0).normal(size=(1, *patch, 2)).astype(np.float32)
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(image), model(image), atol=1e-4)


def test_the_published_nas_unet():
    """NAS_UNET_V2 of the authors' program, whose edges are written there as (operation, source), two a node."""
    assert PUBLISHED_NAMES == ("published:nas_unet",)
    genotype = Genotype.load("published:nas_unet")
    assert genotype.space == find_space("nas_unet", 2)
    cells = {kind: [(edge.target, edge.source, edge.operation) for edge in genotype.present(kind)] for kind in genotype.cells}
    assert cells["down"] == [
        (2, 0, "depthwise_conv_3"),
        (2, 1, "conv_3"),
        (3, 0, "conv_3_rate_2"),
        (3, 1, "channel_weight_down"),
        (4, 0, "conv_3"),
        (4, 1, "conv_3_rate_2"),
    ]
    assert cells["up"] == [
        (2, 0, "identity"),
        (2, 1, "channel_weight_up"),
        (3, 1, "channel_weight_up"),
        (3, 2, "identity"),
        (4, 1, "conv_3_up"),
        (4, 3, "channel_weight"),
    ]
    model = from_genotype(genotype, 3, 2, stem_channels=48)
    assert network_cost(model, (64, 64)).parameters == cost_tables(genotype.space, 48, (64, 64), 3, 2).of_genotype(genotype).parameters
    costs = [cost_tables(genotype.space, width, (256, 256), 3, 2).of_genotype(genotype) for width in (96, 336)]
    assert [round(cost.parameters / 1e6, 2) for cost in costs] == [0.39, 4.75]
    assert [round(cost.multiply_adds / 1e9, 1) for cost in costs] == [1.6, 17.1]
    table = genotype_table(genotype)
    assert "skip: identity (1.00)" in table and "previous: channel weight, up (1.00)" in table and "two back: depthwise conv 3" in table
    figure = genotype_figure(genotype)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "skip" in texts and texts.count("previous\nc(k\N{MINUS SIGN}1)") == 2 and "two back\nc(k\N{MINUS SIGN}2)" in texts
    figure.canvas.draw()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1
    with pytest.raises(ConfigError, match="published:darts: there is no published architecture.*known: published:nas_unet"):
        Genotype.load("published:darts")
