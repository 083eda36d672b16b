import pytest
from processes import PYTHON, ROOT, run
from some_spaces import SCNAS

from scnas_keras.architectures.registry import footprint
from scnas_keras.planning.topology import fixed_topology
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.random_genotypes import random_genotype

PRINTED = 2e-3  # four digits
ROWS = ("nnunet", "genotype")


@pytest.mark.nightly
@pytest.mark.serial
def test_the_figures_of_a_row_agree_with_each_other_and_with_the_tables():
    words = "tools/benchmark", "train", "--cases=16x2", "--width=4", "--steps=1", f"--rows={','.join(ROWS)}"
    done = run(PYTHON, *words, cwd=ROOT)
    assert max(map(len, done.stdout.splitlines())) <= 110
    cells = [line.split() for line in done.stdout.splitlines() if line.startswith(ROWS)]
    assert [len(row) for row in cells] == [9, 9]
    rows = {name: tuple(map(float, figures)) for name, *figures in cells}
    for parameters, giga, seconds, per_giga, ratio, first, peak, _ in rows.values():
        assert per_giga == pytest.approx(1000 * seconds / giga, rel=PRINTED)
        assert ratio == pytest.approx(per_giga / rows["nnunet"][3], rel=PRINTED)
        assert min(parameters, seconds, first, peak) > 0
    genotype = random_genotype(SCNAS, 0, 0)
    cost = cost_tables(SCNAS, 4, (16,) * 3, 4, 4).of_genotype(genotype)
    network, topology = footprint("genotype", 4, genotype), fixed_topology((16,) * 3, 3)
    parameters, giga, *_, estimate = rows["genotype"]
    assert parameters == pytest.approx(cost.parameters / 1e6, abs=5e-4)
    assert giga == pytest.approx(2 * cost.multiply_adds / 1e9, rel=PRINTED)
    assert estimate == pytest.approx(network.measured(3).gigabytes_for(network.elements(topology, 4, 4), 2), abs=5e-3)


def test_all_rows_are_those_with_the_patches_axes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from benchmarks import train as benchmark

    flat, solid, both = (benchmark.chosen(benchmark.Config(cases=cases))[0] for cases in ("64x64x1", "64x1", "64x64x1,64x1"))
    assert {*flat} - {*solid} == {"unet2d"} and both == solid and {"nnunet", "genotype", "fcn8s"} <= {*both}
    for cases, rows in (("64x64x1", flat), ("64x1", [*solid, *benchmark.TORCH_ROWS])):
        assert benchmark.chosen(benchmark.Config(cases=cases, torch_python="python"))[0] == rows


def test_an_unknown_benchmark_is_refused_as_a_flag_is():
    done = run(PYTHON, "tools/benchmark", "nope", code=2, cwd=ROOT)
    assert done.stderr.startswith("error: name one benchmark of ") and done.stdout == ""


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"cases": "64"}, "'64' must be one size, two or three, and a batch"),
        ({"cases": "8x8x8x8x1"}, "'8x8x8x8x1' must be"),
        ({"cases": "64x1", "rows": "unet2d"}, "unet2d has 2 axes, and there are patches of 3"),
        ({"cases": "64x64x1", "rows": "dynunet", "torch_python": "python"}, "dynunet has 3 axes, and 64x64x1 has 2. Leave it out"),
        ({"cases": "64x0"}, "'64x0' must be"),
        ({"cases": "20x1", "rows": "unet"}, "unet can't halve a patch of 20x20x20; the next that it can is 24x24x24"),
        ({"rows": "unet", "genotype": "own.json"}, "--rows leaves it out"),
        ({"rows": "dynunet"}, "unknown dynunet"),
        ({"torch_python": "python", "preset": "scnas"}, "trained as --preset=nnunet"),
        ({"torch_python": "python", "deep_supervision": "true"}, "have no coarser outputs; leave them out by --rows"),
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_runs(flags, message, command, capsys):
    with pytest.raises(SystemExit) as end:
        command("tools/benchmark", "train", **flags)
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
