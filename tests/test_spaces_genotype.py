"""Search spaces and genotype documents."""

import json
from pathlib import Path

import numpy as np
import pytest
from some_spaces import PATHS, SCNAS, SMALL, U, genotype_of, kinds, num_edges, pairs, sparse_genotype, uniform_genotype

from scnas_keras.errors import ConfigError, GenotypeError
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped

DATA = Path(__file__).parent / "data" / "format_1"
"""Files of a version that knew only U-shaped spaces."""


def test_scnas_has_the_papers_size():
    assert len(SCNAS.placed) == 12 and len(SCNAS.operations) == 8 and SCNAS.depth == 3
    assert kinds(SCNAS) == (REDUCTION, ENCODER, EXPANSION, DECODER) == tuple(table.name for table in SCNAS.tables)
    assert [len(cell.edges) for cell in SCNAS.cells] == [14] * 4 == [table.rows for table in SCNAS.tables] and num_edges(SCNAS) == 56


def test_layout_is_a_u_whose_skips_mirror():
    cells = SCNAS.placed
    assert SCNAS.levels == (0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0) == (0, *(cell.level for cell in cells))
    two_back, previous = ([cell.inputs[i].sources for cell in cells] for i in (0, 1))
    assert two_back == [(max(i - 1, 0),) for i in range(12)]
    assert [sources[0] for sources in previous] == list(range(12))
    assert [sources[1:] for sources in previous] == [()] * 6 + [(5,), (4,), (3,), (2,), (1,), (0,)]
    for sources in previous:
        assert len({SCNAS.levels[source] for source in sources}) == 1


def test_only_edges_from_a_reduction_cells_inputs_are_strided():
    for cell in SCNAS.placed:
        strided = {i for i in (0, 1) if cell.kind == REDUCTION}
        assert [edge.role for edge in cell.edges] == ["halving" if edge.source in strided else "ordinary" for edge in cell.edges]


@pytest.mark.parametrize(
    "change",
    [
        {"operations": ("conv_3", "conv_9")},
        {"operations": ("zero",)},
        {"operations": ("conv_3", "conv_3")},
        {"rank": 4},
        {"nodes": 0},
        {"layout": (REDUCTION, DECODER)},
        {"layout": (REDUCTION, EXPANSION, ENCODER)},
        {"layout": ()},
    ],
)
def test_impossible_spaces_are_refused(change):
    fields = {"name": "x", "rank": 3, "operations": ("conv_3", "zero"), "nodes": 2, "layout": U}
    u_shaped(**fields)
    with pytest.raises(ConfigError, match="'x'"):
        u_shaped(**{**fields, **change})


def test_stem_channels_must_divide():
    assert [SCNAS.node_channels(48, cell) for cell in SCNAS.placed if cell.level == 3] == [96, 96]
    SCNAS.check_width(48)
    with pytest.raises(ConfigError, match="for example 48 or 52"):
        SCNAS.check_width(50)


def test_genotype_round_trip(tmp_path):
    genotype = uniform_genotype()
    genotype.save(tmp_path / "genotype.json")
    assert Genotype.load(tmp_path / "genotype.json") == genotype
    document = json.loads((tmp_path / "genotype.json").read_text())
    assert list(document)[:4] == ["format", "version", "space", "cells"] and document["version"] == 2
    assert document["cells"][REDUCTION][0] == {"from": 0, "to": 2, "operation": "conv_3", "probability": 0.5}


def test_paths_and_absent_edges_come_back_from_a_file(tmp_path):
    """In a space without the operation zero, by the rule that keeps two edges a node: with paths, and with what they leave out."""
    dropped = set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        genotype = derive(PATHS, {table.name: rng.normal(size=(table.rows, len(table.candidates))) for table in PATHS.tables})
        genotype.save(tmp_path / "genotype.json")
        assert Genotype.load(tmp_path / "genotype.json") == genotype
        absent = [edge for edges in genotype.cells.values() for edge in edges if edge.operation is None]
        assert len(absent) == num_edges(PATHS) - 2 * 3 and {edge.probability for edge in absent} == {0}
        (path,) = genotype.paths["paths"]
        assert genotype.dropped == (() if path.source else (2,))  # the second place reads the first, not the other way round
        dropped.add(genotype.dropped)
    assert len(dropped) == 2


@pytest.mark.parametrize("space", [SCNAS, SMALL, PATHS], ids=lambda space: space.name)
def test_random_genotypes_come_back_from_a_file(space, tmp_path):
    for index in range(5):
        genotype = random_genotype(space, 3, index)
        chances = {(edge.operation is None, edge.probability) for edges in genotype.cells.values() for edge in edges}
        assert chances == ({(True, 0.0), (False, 0.333333)} if space == PATHS else {(True, 0.125), (False, 0.125)})
        genotype.save(tmp_path / "genotype.json")
        assert Genotype.load(tmp_path / "genotype.json") == genotype


def test_an_absent_edge_is_null_in_the_document():
    found = genotype_of(SMALL, lambda kind, i, j: "identity" if i == j - 1 else None).to_json()
    assert [edge["operation"] for edge in found["cells"][DECODER]] == [None, "identity", None, None, "identity"]


def broken(change):
    document = json.loads(json.dumps(uniform_genotype().to_json()))
    change(document)
    return document


def of_paths(change):
    document = json.loads(json.dumps(random_genotype(PATHS, 0, 0).to_json()))
    change(document)
    return document


DAMAGES = {
    "format": lambda d: d.update(format="other"),
    "version": lambda d: d.update(version=99),
    "tables": lambda d: d["space"].pop("tables"),
    r"rows: found \"4\"": lambda d: d["space"]["tables"][0].update(rows="4"),
    "conv_9": lambda d: d["space"]["tables"][2]["candidates"].append("conv_9"),
    "edges bridge one level at most": lambda d: d["space"]["places"][6]["inputs"][0].update(level=0),
    r"nothing reads the outputs .11.": lambda d: d["space"]["places"][11]["inputs"][1].update(sources=[10]),
    "reads row 14": lambda d: d["space"]["cells"][1]["edges"][3].update(row=14),
    "Cell kinds": lambda d: d["cells"].pop(EXPANSION),
    "in this order": lambda d: d["cells"][ENCODER].pop(),
    "not in the search space": lambda d: d["cells"][ENCODER][3].update(operation="conv_9"),
    "found 1.5": lambda d: d["cells"][ENCODER][3].update(probability=1.5),
    'found "high", expected a number': lambda d: d["cells"][ENCODER][3].update(probability="high"),
    'from: found "zero"': lambda d: d["cells"][ENCODER][3].update({"from": "zero"}),
    "no input": lambda d: [d["cells"][ENCODER][e].update(operation=None) for e in (0, 1)],
    "found {}, expected a list": lambda d: d["cells"].update({ENCODER: {}}),
    "cells: found": lambda d: d.update(cells=[]),
    "dropped is": lambda d: d.update(dropped=[12]),
    r"candidates\[0\]: found \[.a.\]": lambda d: d["space"]["tables"][0].update(candidates=[["a"]]),
    "has 2000000 rows, expected at most 10000": lambda d: d["space"]["tables"][0].update(rows=2_000_000),
    "with width 0": lambda d: d["space"]["places"][0].update(width=0),
    "widths are .-3.": lambda d: d["space"].update(widths=[-3]),
    "cell 'a/b': expected a name of letters": lambda d: d["space"]["cells"][0].update(name="a/b"),
    "is at level -1": lambda d: d["space"]["places"][0]["inputs"][0].update(level=-1),
    "sources are .12, 12., expected each once": lambda d: d["space"]["head"].update(sources=[12, 12]),
    "operation 'zero' is no edge at all": lambda d: d["cells"][ENCODER][3].update(operation="zero"),
    "Paths are of the tables": lambda d: d.update(paths={"x": []}),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_damaged_documents_are_refused(words, tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(broken(DAMAGES[words])))
    with pytest.raises(GenotypeError, match=words) as caught:
        Genotype.load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d.pop("paths"), "Paths are of the tables .., the search space has .'paths'."),
        (lambda d: d["paths"]["paths"].append(d["paths"]["paths"][0]), "'paths' must keep one of 2 sources in each of 1 rows"),
        (lambda d: d["paths"]["paths"][0].update(source=2), "'paths' must keep one of 2 sources"),
    ],
)
def test_damaged_paths_are_refused(change, words):
    with pytest.raises(GenotypeError, match=words):
        Genotype.from_json(of_paths(change))


OF_VERSION_1 = {
    "space: found the keys": lambda d: d["space"].pop("nodes"),
    'nodes: found "2"': lambda d: d["space"].update(nodes="2"),
    "'small'.*conv_9": lambda d: d["space"]["operations"].append("conv_9"),
    "layout must be": lambda d: d["space"]["layout"].pop(),
    "in this order": lambda d: d["cells"][ENCODER].pop(),
    "not in the search space": lambda d: d["cells"][ENCODER][3].update(operation="conv_9"),
    "no input": lambda d: [d["cells"][ENCODER][e].update(operation="zero") for e in (0, 1)],
}


@pytest.mark.parametrize("words", OF_VERSION_1)
def test_damaged_documents_of_version_1_are_refused(words, tmp_path):
    document = json.loads((DATA / "small.json").read_text())
    OF_VERSION_1[words](document)
    with pytest.raises(GenotypeError, match=f"^found.json: .*{words}"):
        Genotype.from_json(document, "found.json")


@pytest.mark.parametrize("name", ["scnas", "small"])
def test_documents_of_version_1_are_read_and_written_as_version_2(name):
    """Zero was an operation then, and is an absent edge now."""
    document = json.loads((DATA / f"{name}.json").read_text())
    found = Genotype.from_json(document)
    assert (
        document["version"] == 1
        and found.space == {"scnas": SCNAS}.get(name, found.space)
        and found.space.rank == document["space"]["rank"]
    )
    for kind, edges in document["cells"].items():
        assert [edge.operation or "zero" for edge in found.cells[kind]] == [edge["operation"] for edge in edges]
        assert [edge.probability for edge in found.cells[kind]] == [edge["probability"] for edge in edges]
    again = json.loads(json.dumps(found.to_json()))
    assert again["version"] == 2 and Genotype.from_json(again) == found


def test_a_newer_format_is_refused_with_its_remedy():
    with pytest.raises(GenotypeError) as caught:
        Genotype.from_json(broken(lambda d: d.update(version=3)), "found.json")
    assert str(caught.value) == (
        "found.json: version 3 can't be read; this release reads version 1 and 2. "
        "A newer version of scnas_keras wrote it: install that, or search again with this one."
    )


def test_operations_of_another_version_are_refused_by_space_and_name():
    damaged = broken(lambda d: [table["candidates"].insert(0, "shift_3") for table in d["space"]["tables"]])
    with pytest.raises(
        GenotypeError, match=r"found.json: search space 'scnas' .*'shift_3' is not known .*which has channel_weight, .*install that"
    ):
        Genotype.from_json(damaged, "found.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"'])
def test_files_that_are_no_genotype_are_refused(text, tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text(text)
    with pytest.raises(GenotypeError, match=r"genotype\.json"):
        Genotype.load(path)
    with pytest.raises(GenotypeError, match="can't be read"):
        Genotype.load(tmp_path / "absent.json")


def test_half_a_file_is_refused(tmp_path):
    path = tmp_path / "genotype.json"
    sparse_genotype(0).save(path)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(GenotypeError, match="cut off"):
        Genotype.load(path)


def test_edges_are_those_of_the_space():
    assert pairs(SMALL) == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert [edge.target for edge in sparse_genotype(0, SMALL).present(ENCODER)].count(2) >= 1
