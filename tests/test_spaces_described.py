"""Spaces of other papers as data only: their places, what they cost, random genotypes. There are no layers for some of them yet."""

import dataclasses
import json

import numpy as np
import pytest

import scnas_keras.operations as operations
from scnas_keras.errors import ConfigError
from scnas_keras.networks.buildable import check_buildable
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import STRONGEST_TWO, Cell, CellEdge, Head, Input, Place, Stem, Table
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.space import SearchSpace

FACTS = """
from scnas_keras.operations.facts import DOUBLING, HALVING, ORDINARY, Facts


def square(rank, channels):
    return {"kernel": ((3,) * rank + (channels, channels), 0.1)}


def depthwise(rank, channels):
    return {"depthwise": ((3,) * rank + (channels, 1), 0.1), "pointwise": ((channels, channels), 0.1)}


def gate(rank, channels):
    return {"squeeze": ((channels, channels // 2), 0.1), "excite": ((channels // 2, channels), 0.1)}


def three(role, prefix, names):
    kernels = {"conv": square, "dil_conv": square, "dep_conv": depthwise, "cweight": gate}
    return [Facts(prefix + name, prefix + name, name, kernels=kernels[name], normalizations=(1,), roles=role) for name in names]


OPERATIONS = (
    *three((ORDINARY, HALVING), "", ("cweight", "dil_conv", "dep_conv", "conv")),
    *three((HALVING,), "down_", ("cweight", "dil_conv", "dep_conv", "conv")),
    *three((DOUBLING,), "up_", ("cweight", "dil_conv", "dep_conv", "conv")),
    Facts("sep_conv_5", "sep conv 5", "dep_conv", kernels=depthwise, normalizations=(1, 1)),
)
"""
DOWN = ("average_pool_3", "max_pool_3", "down_cweight", "down_dil_conv", "down_dep_conv", "down_conv")
UP = ("up_cweight", "up_dep_conv", "up_conv", "up_dil_conv")
NORMAL = ("identity", "cweight", "dil_conv", "dep_conv", "conv")
DARTS = ("zero", "max_pool_3", "average_pool_3", "identity", "sep_conv_5", "dep_conv", "dil_conv")


@pytest.fixture(autouse=True)
def facts(tmp_path, monkeypatch):
    """Facts of operations that the package doesn't have, in a folder like the package's own."""
    (tmp_path / "of_other_papers").mkdir()
    (tmp_path / "of_other_papers" / "__init__.py").touch()
    (tmp_path / "of_other_papers" / "facts.py").write_text(FACTS)
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(tmp_path)])


def pairs(inputs, nodes):
    return [(i, j) for j in range(inputs, inputs + nodes) for i in range(j)]


def nas_unet(nodes=3, depth=3):
    """NAS-Unet (Weng et al. 2019): two stems, down and up cells; edges within cells, and from a skip, share one table."""
    within = {pair: row for row, pair in enumerate(pair for pair in pairs(2, nodes) if pair[0] >= 2)}
    down, up, skip = [], [], len(within)
    for i, j in pairs(2, nodes):
        down.append(CellEdge(i, j, "down", 2 * (j - 2) + i) if i < 2 else CellEdge(i, j, "normal", within[i, j]))
        up.append(CellEdge(i, j, *(("normal", skip + j - 2), ("up", j - 2))[i]) if i < 2 else CellEdge(i, j, "normal", within[i, j]))
    output = tuple(range(2, 2 + nodes))
    places, outputs = [], [0, 1]
    for level in range(1, depth + 1):
        places.append(Place("down_cell", (Input((outputs[-2],), level=level), Input((outputs[-1],), level=level)), level + 1))
        outputs.append(len(outputs))
    lower, number = outputs[-1], len(outputs)
    for level in range(depth, 0, -1):
        places.append(Place("up_cell", (Input((outputs[level],)), Input((lower,), level=level + 1)), level))
        lower, number = number, number + 1
    return SearchSpace(
        "nas_unet",
        2,
        (Table("down", DOWN, 2 * nodes), Table("up", UP, nodes), Table("normal", NORMAL, len(within) + nodes)),
        (Cell("down_cell", 2, tuple(down), output), Cell("up_cell", 2, tuple(up), output)),
        tuple(places),
        Head((lower,)),
        stems=(Stem(), Stem(level=1, width=2)),
        widths=(1, 2, 4, 8, 16),
        derivation=STRONGEST_TWO,
    )


def darts_chain(nodes=4, cells=6):
    """DARTS (Liu et al. 2019): normal cells with a reduction after each third of them; the output is coarse."""
    edges = pairs(2, nodes)
    tables = tuple(Table(kind, DARTS, len(edges)) for kind in ("normal", "reduction"))
    kinds = tuple(
        Cell(kind, 2, tuple(CellEdge(i, j, kind, row) for row, (i, j) in enumerate(edges)), tuple(range(2, 2 + nodes)))
        for kind in ("normal", "reduction")
    )
    places, level = [], 0
    for number in range(1, cells + 1):
        reduces = number in (cells // 3, 2 * cells // 3)
        own = tuple(Input((source,), level=level, halve="factorized") for source in (max(number - 2, 0), number - 1))
        level += reduces
        places.append(Place("reduction" if reduces else "normal", own, level))
    return SearchSpace("darts", 2, tables, kinds, tuple(places), Head((cells,)), (Stem(width=3),), (4, 8, 16), STRONGEST_TWO)


def lattice(layers=3, scales=3):
    """Three scales side by side (after DiNTS and Auto-DeepLab): every cell reads a weighted sum of what is at most a scale away."""
    cell = Cell("cell", 1, (CellEdge(0, 1, "operations", 0), CellEdge(0, 2, "operations", 1), CellEdge(1, 2, "operations", 2)), (1, 2))
    tables, places = [Table("operations", ("conv_3", "identity", "zero"), 3)], []
    for scale in range(scales):
        tables.append(Table(f"paths_{scale}", tuple(f"from {s}" for s in range(scales) if abs(s - scale) <= 1), layers, paths=True))
    for layer in range(layers):
        for scale in range(scales):
            near = tuple(layer * scales + s for s in range(scales) if abs(s - scale) <= 1)
            places.append(Place("cell", (Input(near, "weighted", (f"paths_{scale}", layer), halve="max_pool", double="linear"),), scale))
    stems = tuple(Stem(level=scale, width=2**scale) for scale in range(scales))
    last = tuple(layers * scales + s for s in range(scales))
    return SearchSpace("lattice", 3, tuple(tables), (cell,), tuple(places), Head(last), stems, (1, 2, 4))


SPACES = {"nas_unet": nas_unet, "darts": darts_chain, "lattice": lattice}


def test_roles_follow_from_cell_and_input():
    down, *_, up = nas_unet().placed
    roles = {(edge.source, edge.target): (edge.role, edge.table) for edge in down.edges}
    assert roles[0, 2] == roles[1, 4] == ("halving", "down") and roles[2, 3] == ("ordinary", "normal")
    roles = {(edge.source, edge.target): (edge.role, edge.table) for edge in up.edges}
    assert roles[0, 2] == ("ordinary", "normal") and roles[1, 2] == ("doubling", "up") and roles[2, 3] == ("ordinary", "normal")
    assert [len(edge.candidates) for edge in up.edges[:2]] == [5, 4]
    shared = {(edge.table, edge.row) for edge in down.edges} & {(edge.table, edge.row) for edge in up.edges}
    assert shared == {("normal", row) for row in range(3)}


def test_places_know_their_levels_and_widths():
    space = nas_unet()
    assert space.levels == (0, 1, 2, 3, 4, 3, 2, 1) and space.depth == 4
    assert [own.shifts for own in space.placed[0].inputs] == [(-1,), (0,)]  # the first stem is halved, then edges halve both
    chain = darts_chain()
    assert chain.levels[-1] == 2 and [cell.width for cell in chain.placed] == [4, 8, 8, 16, 16, 16]
    assert [own.shifts for own in chain.placed[2].inputs] == [(-1,), (0,)]  # the cell after a reduction reads what is finer
    assert [own.shifts for own in lattice().placed[1].inputs] == [(-1, 0, 1)]
    assert chain.width_step == 1 and lattice().width_step == 2


def test_a_width_is_divided_among_the_nodes_of_every_cell():
    """Two nodes in one cell and three in the next, which is twice as wide: 6, and 3 where the first is so too."""
    tables = tuple(Table(name, ("conv_3", "identity"), nodes) for name, nodes in (("two", 2), ("three", 3)))
    cells = tuple(
        Cell(own.name, 1, tuple(CellEdge(0, 1 + row, own.name, row) for row in range(own.rows)), tuple(range(1, own.rows + 1)))
        for own in tables
    )
    for width, step in ((1, 6), (2, 3)):
        places = Place("two", (Input((0,)),), 0, width=width), Place("three", (Input((1,)),), 0, width=2)
        assert SearchSpace("both", 2, tables, cells, places, Head((2,))).width_step == step


def network_by_hand(space, genotype, width, patch, channels, classes):
    """(parameters, multiply-adds) by walking the genotype's network once more, place by place."""
    from scnas_keras.operations.registry import operation

    rank, voxels = space.rank, [np.prod([n // 2**level for n in patch]) for level in range(space.depth + 1)]
    widths = [*(stem.width for stem in space.stems), *(cell.width for cell in space.placed)]
    parameters = multiply_adds = 0
    for stem in space.stems:
        kernel = 3**rank * channels * stem.width * width
        parameters, multiply_adds = parameters + kernel + 2 * stem.width * width, multiply_adds + kernel * voxels[stem.level]
    for cell in space.placed:
        if cell.number in genotype.dropped:
            continue
        node = cell.width * width // len(cell.output)
        kept = [(edge, found.operation) for edge, found in zip(cell.edges, genotype.cells[cell.kind]) if found.operation]
        for own in [cell.inputs[i] for i in sorted({edge.source for edge, _ in kept if edge.source < len(cell.inputs)})]:
            sources = own.sources if own.weights is None else [own.sources[genotype.paths[own.weights[0]][own.weights[1]].source]]
            for source in sources:
                kernel = widths[source] * width * node
                parameters += kernel + 2 * node
                multiply_adds += kernel * voxels[max(space.levels[source], own.level)]
        for _, name in kept:
            parameters += operation(name).parameters(rank, node)
            multiply_adds += operation(name).multiply_adds(rank, node, voxels[cell.level])
    kernel = sum(widths[source] for source in space.head.sources) * width * classes
    finest = min(space.levels[source] for source in space.head.sources)
    return parameters + kernel + classes, multiply_adds + kernel * voxels[finest]


@pytest.mark.parametrize("name", SPACES)
def test_random_genotypes_cost_what_a_walk_through_their_network_finds(name):
    space, rng = SPACES[name](), np.random.default_rng(0)
    tables, compared = cost_tables(space, 6, (32, 16, 16)[: space.rank], 2, 3), 0
    for index in range(5):
        genotype = random_genotype(space, 0, index)
        assert Genotype.from_json(json.loads(json.dumps(genotype.to_json()))) == genotype
        found = tables.of_genotype(genotype)
        # a place that nothing reads any more isn't built: where all are read, the walk agrees
        if not _unread(genotype):
            assert dataclasses.astuple(found) == network_by_hand(space, genotype, 6, (32, 16, 16)[: space.rank], 2, 3)
            compared += 1
    assert compared >= 2
    alpha = {table.name: 50 * rng.normal(size=(table.rows, len(table.candidates))) for table in space.tables}
    decided, least = derive(space, alpha), tables.least()
    assert least.parameters <= tables.of_genotype(decided).parameters and least.multiply_adds <= tables.expected(alpha).multiply_adds


def _unread(genotype):
    """Places that no present edge leads to, besides those that are dropped."""
    space, needed = genotype.space, set(genotype.space.head.sources)
    for cell in reversed(space.placed):
        if cell.number in needed:
            read = {edge.source for edge in genotype.present(cell.kind)}
            for i, own in enumerate(cell.inputs):
                if i in read:
                    kept = own.sources if own.weights is None else [own.sources[genotype.paths[own.weights[0]][own.weights[1]].source]]
                    needed |= set(kept)
    return {cell.number for cell in space.placed} - needed - set(genotype.dropped)


def test_each_node_keeps_its_two_strongest_edges():
    for space in (nas_unet(), darts_chain()):
        genotype = random_genotype(space, 1, 0)
        for cell in space.cells:
            for node in {edge.target for edge in cell.edges}:
                incoming = [edge for edge in genotype.cells[cell.name] if edge.target == node]
                assert sum(edge.operation is not None for edge in incoming) == 2 and all(edge.operation != "zero" for edge in incoming)


def test_shared_rows_decide_alike_and_best_paths_drop_places():
    space = nas_unet()
    alpha = {table.name: np.random.default_rng(3).normal(size=(table.rows, len(table.candidates))) for table in space.tables}
    genotype = derive(space, alpha)
    both = [{(e.source, e.target): e.operation for e in genotype.present(kind)} for kind in ("down_cell", "up_cell")]
    for pair in both[0].keys() & both[1].keys():
        if pair[0] >= 2:
            assert both[0][pair] == both[1][pair]
    space = lattice()
    straight = {table.name: np.zeros((table.rows, len(table.candidates))) for table in space.tables}
    straight["operations"][:, 0] = 1
    for scale in range(3):
        straight[f"paths_{scale}"][:, 0] = 5  # always from the finest that there is
    genotype = derive(space, straight)
    kept = set(range(3, 12)) - set(genotype.dropped)
    assert kept == {9, 10, 11, 6, 7, 3}  # three of the last layer, which read scales 0, 0, 1; these read scale 0
    assert [path.source for path in genotype.paths["paths_1"]] == [0, 0, 0]


@pytest.mark.parametrize("name, words", [("darts", "halving by 'factorized'"), ("lattice", "stems that halve more than once")])
def test_what_has_no_layers_yet_is_refused_by_name(name, words):
    with pytest.raises(ConfigError, match=f"{name}.*can't be built yet: .*{words}"):
        check_buildable(SPACES[name]())


MISFITS = {
    "no such cell": (lambda s: {"places": (dataclasses.replace(s.places[0], cell="other"), *s.places[1:])}, "there is no cell 'other'"),
    "reads what is later": (
        lambda s: {"places": (dataclasses.replace(s.places[0], inputs=(Input((5,)), Input((1,)))), *s.places[1:])},
        "reads the outputs \\[5\\]",
    ),
    "two levels at once": (lambda s: {"places": (dataclasses.replace(s.places[0], level=3), *s.places[1:])}, "edges bridge one level"),
    "a role that candidates lack": (lambda s: {"tables": (Table("down", UP, 6), *s.tables[1:])}, "is halving.*, which .*can't be"),
    "an unread row": (lambda s: {"tables": (dataclasses.replace(s.tables[0], rows=9), *s.tables[1:])}, "no edge reads the rows"),
    "a row too few": (lambda s: {"tables": (dataclasses.replace(s.tables[0], rows=2), *s.tables[1:])}, "reads row 2 of table 'down'"),
    "an unknown operation": (lambda s: {"tables": (Table("down", ("conv_3", "conv_9"), 6), *s.tables[1:])}, "conv_9"),
    "nothing read": (lambda s: {"head": Head((7,)), "places": s.places + (s.places[-1],)}, "nothing reads the outputs"),
    "rank": (lambda s: {"rank": 4}, "rank is 4"),
    "derivation": (lambda s: {"derivation": "best"}, "derivation is 'best'"),
    "head": (lambda s: {"head": Head((40,))}, "head: sources are"),
    "a head before the first output": (lambda s: {"head": Head((-1,))}, "head: sources are \\[-1\\]"),
    "an auxiliary output at full resolution": (
        lambda s: {"head": Head(s.head.sources, auxiliary=(0,))},
        "auxiliary are outputs at the levels \\[0\\], expected coarser ones",
    ),
    "auxiliary outputs, coarsest first": (
        lambda s: {"head": Head(s.head.sources, auxiliary=(3, 2))},
        "expected coarser ones than full resolution, finest first",
    ),
    "a stem of many channels": (lambda s: {"stems": (Stem(width=10**30), *s.stems[1:])}, "stem 0: .*expected 0 to"),
    "a cell that stands nowhere": (
        lambda s: {"cells": (*s.cells, dataclasses.replace(s.cells[0], name="idle"))},
        "cell 'idle' stands nowhere",
    ),
    "one candidate": (lambda s: {"tables": (Table("down", ("max_pool_3",), 6), *s.tables[1:])}, "two candidates or more"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_are_named(name):
    change, words = MISFITS[name]
    space = nas_unet()
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(space, **change(space))
