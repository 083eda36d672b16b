"""Search spaces and genotype documents."""

import json

import pytest

from scnas_keras.errors import ConfigError, GenotypeError
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.space import DECODER, ENCODER, EXPANSION, REDUCTION, SCNAS, SearchSpace


def uniform_genotype(operation="conv_3", space=SCNAS):
    cells = {kind: tuple(Edge(i, j, operation, 0.5) for i, j in space.edges) for kind in space.kinds}
    return Genotype(space, cells, ("a note",))


def test_scnas_has_the_papers_size():
    assert len(SCNAS.cells()) == 12 and len(SCNAS.edges) == 14 and len(SCNAS.operations) == 8
    assert SCNAS.kinds == (REDUCTION, ENCODER, EXPANSION, DECODER) and SCNAS.depth == 3


def test_layout_is_a_u_whose_skips_mirror():
    cells = SCNAS.cells()
    levels = [0, *(cell.level for cell in cells)]
    assert levels == [0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0]
    assert [cell.skip for cell in cells] == [None] * 6 + [5, 4, 3, 2, 1, 0]
    for cell in cells:
        if cell.skip is not None:
            assert levels[cell.skip] == levels[cell.inputs[1]]
    assert cells[0].inputs == (0, 0) and all(cell.inputs == (i - 1, i) for i, cell in enumerate(cells[1:], start=1))


def test_only_edges_from_a_reduction_cells_inputs_are_strided():
    reduction, normal = SCNAS.cells()[:2]
    assert [reduction.stride(edge) for edge in SCNAS.edges] == [2 if i < 2 else 1 for i, _ in SCNAS.edges]
    assert {normal.stride(edge) for edge in SCNAS.edges} == {1}


@pytest.mark.parametrize(
    "change",
    [
        {"operations": ("conv_3", "conv_9")},
        {"operations": ("zero",)},
        {"rank": 4},
        {"nodes": 0},
        {"layout": (REDUCTION, DECODER)},
        {"layout": (REDUCTION, EXPANSION, ENCODER)},
        {"layout": ()},
        {"layout": (REDUCTION, EXPANSION)},
        {"layout": (REDUCTION, REDUCTION, ENCODER, EXPANSION, EXPANSION, DECODER)},
    ],
)
def test_impossible_spaces_are_refused(change):
    fields = {"name": "x", "rank": 3, "operations": ("conv_3",), "nodes": 2, "layout": (REDUCTION, ENCODER, EXPANSION, DECODER)}
    SearchSpace(**fields)
    with pytest.raises(ConfigError, match="'x'"):
        SearchSpace(**{**fields, **change})


def test_stem_channels_must_divide():
    assert SCNAS.node_channels(48, 3) == 96
    with pytest.raises(ConfigError, match="for example 48 or 52"):
        SCNAS.node_channels(50, 0)


def test_genotype_round_trip(tmp_path):
    genotype = uniform_genotype()
    genotype.save(tmp_path / "genotype.json")
    assert Genotype.load(tmp_path / "genotype.json") == genotype
    document = json.loads((tmp_path / "genotype.json").read_text())
    assert list(document)[:4] == ["format", "version", "space", "cells"]
    assert document["cells"][REDUCTION][0] == {"from": 0, "to": 2, "operation": "conv_3", "probability": 0.5}


def broken(change):
    document = json.loads(json.dumps(uniform_genotype().to_json()))
    change(document)
    return document


DAMAGES = {
    "format": lambda d: d.update(format="other"),
    "version": lambda d: d.update(version=99),
    "space": lambda d: d["space"].pop("nodes"),
    "wrong type": lambda d: d["space"].update(nodes="4"),
    "unknown operations": lambda d: d["space"]["operations"].append("conv_9"),
    "layout": lambda d: d["space"]["layout"].pop(),
    "Cell kinds": lambda d: d["cells"].pop(EXPANSION),
    "in this order": lambda d: d["cells"][ENCODER].pop(),
    "not in the search space": lambda d: d["cells"][ENCODER][3].update(operation="conv_9"),
    "outside 0..1": lambda d: d["cells"][ENCODER][3].update(probability=1.5),
    "must be a number": lambda d: d["cells"][ENCODER][3].update(probability="high"),
    "node numbers": lambda d: d["cells"][ENCODER][3].update({"from": "zero"}),
    "no input": lambda d: [d["cells"][ENCODER][e].update(operation="zero") for e in (0, 1)],
    "list of edges": lambda d: d["cells"].update({ENCODER: {}}),
    '"cells"': lambda d: d.update(cells=[]),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_damaged_documents_are_refused(words, tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(broken(DAMAGES[words])))
    with pytest.raises(GenotypeError, match=words) as caught:
        Genotype.load(path)
    assert str(path) in str(caught.value)


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
    uniform_genotype().save(path)
    path.write_text(path.read_text()[:-200])
    with pytest.raises(GenotypeError, match="cut off"):
        Genotype.load(path)
