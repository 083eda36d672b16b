"""What an assessment says of a search, without any network."""

import collections
import csv
import dataclasses
import io
import re

import numpy as np
import pytest
from scipy import stats
from some_spaces import OPERATIONS, SCNAS, SMALL, U, genotype_of, pairs, uniform_genotype

from scnas_keras.assess import AssessConfig
from scnas_keras.assess.finished import load_search
from scnas_keras.assess.genotypes import Agreement, agreement
from scnas_keras.assess.report import FOUND, RANDOM, SAMPLED, NetworkRow, Report, networks_csv, report_text, runs_text, table
from scnas_keras.assess.searches import open_searches
from scnas_keras.assess.verdict import Evidence, verdict, verdict_of_runs
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.metrics.comparison import Comparison
from scnas_keras.options import to_flagfile
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder
from scnas_keras.search import SearchConfig
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.random_genotypes import cost_slopes, matched_genotypes, random_genotype
from scnas_keras.spaces.u_shape import u_shaped

SPREAD = tuple(np.linspace(0.4, 0.6, 19))
CLOSE, AHEAD, BEHIND = (Comparison(found, SPREAD) for found in (0.51, 0.9, 0.1))
POOR = Comparison(0.05, (0.0, 0.09))
EVIDENCE = Evidence("gumbel_pair", epochs=20, entropy=0.97, sampled=(0.5, 0.52, 0.51), shared=CLOSE)


def genotype(*operations, space=SMALL):
    """A genotype whose edges carry these operations, in all kinds, over and over."""
    names = {pair: operations[i % len(operations)] for i, pair in enumerate(pairs(space))}
    return genotype_of(space, lambda kind, *pair: None if names[pair] == "zero" else names[pair])


def test_random_genotypes_are_uniform_and_a_function_of_seed_and_index():
    first = random_genotype(SCNAS, 3, 0)
    assert first == random_genotype(SCNAS, 3, 0)
    assert first not in (random_genotype(SCNAS, 3, 1), random_genotype(SCNAS, 4, 0))
    drawn = [edge.operation or "zero" for i in range(100) for edges in random_genotype(SCNAS, 0, i).cells.values() for edge in edges]
    counts = np.array([drawn.count(name) for name in OPERATIONS])
    assert np.abs(counts / len(drawn) - 1 / 8).max() < 0.02  # 5600 draws: 4.5 standard deviations
    assert {edge.probability for edge in first.cells["reduction"]} == {0.125}


def test_a_random_genotype_has_no_dead_node():
    space = u_shaped("sparse", 3, ("conv_3", "zero"), 2, U)
    drawn = [random_genotype(space, 0, i) for i in range(30)]
    assert any(one.notes for one in drawn)  # some were restored, else Genotype would have refused them


def test_random_genotypes_keep_the_searchs_cap_on_identities():
    free, capped = (random_genotype(SCNAS, 0, 0, most) for most in (None, 0))
    assert free == random_genotype(SCNAS, 0, 0) and any(edge.operation == "identity" for edges in free.cells.values() for edge in edges)
    assert not any(edge.operation == "identity" for edges in capped.cells.values() for edge in edges)


COSTS = cost_tables(SCNAS, 16, (32, 32, 32), 1, 3)


@pytest.mark.parametrize("name", [pytest.param("conv_3", marks=pytest.mark.nightly), "max_pool_3", "mixed"])
def test_matched_genotypes_cost_what_is_wanted(name):
    """Also at the ends of the scale, which uniform ones never reach; but not one network over and over."""
    dear = dict.fromkeys([0, 2, 3, 5, 8, 12], "conv_3")  # of 14 edges a kind
    mixed = genotype_of(SCNAS, lambda kind, *pair: dear.get(pairs(SCNAS).index(pair), "max_pool_3" if pair[0] else "average_pool_3"))
    own = mixed if name == "mixed" else uniform_genotype(name)
    wanted = COSTS.of_genotype(own).multiply_adds
    found = matched_genotypes(COSTS, own, 19, 5)
    assert len(found) == 19 and all(COSTS.of_genotype(one).multiply_adds == pytest.approx(wanted, rel=0.1) for one in found)
    chosen = {tuple(edge.operation for edges in one.cells.values() for edge in edges) for one in found}
    assert len(chosen) == 19
    assert tuple(edge.operation for edges in own.cells.values() for edge in edges) not in chosen  # nobody is his own opponent
    assert found == matched_genotypes(COSTS, own, 19, 5) != matched_genotypes(COSTS, own, 19, 6)


def test_uniform_genotypes_hardly_ever_cost_as_much():
    dear = genotype_of(SCNAS, lambda kind, *pair: "conv_3" if pairs(SCNAS).index(pair) < 10 else "max_pool_3")
    wanted = COSTS.of_genotype(dear).multiply_adds
    costs = [COSTS.of_genotype(random_genotype(SCNAS, 0, i)).multiply_adds for i in range(200)]
    assert max(costs) < 0.9 * wanted and len(matched_genotypes(COSTS, dear, 19, 0)) == 19


def test_genotypes_of_equal_cost_are_equally_likely():
    """Of two edges a kind, four kinds at two widths, those that share a cost are counted under a strong preference for the dear ones."""
    space = u_shaped("two", 3, ("conv_3", "identity"), 1, U)
    costs = cost_tables(space, 4, (8, 8, 8), 1, 2)
    preference = {name: 1.5 * slope for name, slope in cost_slopes(costs).items()}
    drawn = [random_genotype(space, 1, i, preference=preference) for i in range(4000)]
    by_cost = collections.defaultdict(collections.Counter)
    for one in drawn:
        by_cost[costs.of_genotype(one).multiply_adds][tuple(edge.operation for edges in one.cells.values() for edge in edges)] += 1
    alike = [counts for counts in by_cost.values() if len(counts) > 1 and sum(counts.values()) / len(counts) >= 20]
    assert len(alike) >= 3
    for counts in alike:
        assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_a_space_with_too_few_networks_of_a_cost_says_so():
    space = u_shaped("two", 3, ("conv_3", "identity"), 1, U)
    costs = cost_tables(space, 4, (8, 8, 8), 1, 2)
    with pytest.raises(ConfigError, match="Only [0-9]+ of 19 random networks of search space 'two'.*give or take 10%"):
        matched_genotypes(costs, uniform_genotype("conv_3", space), 19, 0)


def test_agreement_by_hand():
    # 5 edges a kind: conv conv zero identity conv / conv dilated2 zero identity dilated3
    ours = genotype("conv_3", "conv_3", "zero", "identity", "dilated_conv_3_rate_2")
    theirs = genotype("conv_3", "dilated_conv_3_rate_2", "zero", "identity", "dilated_conv_3_rate_3")
    found = agreement(ours, theirs)
    assert found.edges == 20 and found.operations == pytest.approx(3 / 5) and found.groups == pytest.approx(4 / 5)
    assert found.chance_operations == pytest.approx((2 * 1 + 1 + 1 + 1 * 1) / 25)
    assert found.chance_groups == pytest.approx((2 * 1 + 1 + 1 + 1 * 2) / 25)
    assert agreement(ours, ours).operations == 1 and agreement(ours, ours).probability < 1e-6


def test_genotypes_of_one_operation_agree_by_chance_alone():
    found = agreement(genotype("conv_3"), genotype("conv_3"))
    assert found.operations == found.chance_operations == found.probability == 1


def test_the_probability_of_an_agreement_is_binomial():
    assert Agreement(3, 2 / 3, 0, 0.5, 0).probability == pytest.approx(0.5)  # 3 of 8 with two, 1 of 8 with three
    assert Agreement(3, 0, 0, 0.5, 0).probability == pytest.approx(1)


def test_genotypes_of_two_spaces_do_not_compare():
    with pytest.raises(ConfigError, match="'small' and 'scnas'"):
        agreement(genotype("conv_3"), genotype("conv_3", space=SCNAS))


def test_comparison_by_hand():
    comparison = Comparison(0.6, (0.4, 0.5, 0.6))
    assert comparison.mean == pytest.approx(0.5) and comparison.deviation == pytest.approx(0.1)
    assert comparison.rank == 1 and Comparison(0.45, (0.4, 0.5, 0.6)).rank == 3
    assert comparison.improvement == pytest.approx(0.2) and comparison.improvement_deviation == pytest.approx(0.2)
    assert Comparison(0.1, (0.0, 0.0)).improvement is None


def test_p_is_that_of_the_rank():
    random = tuple(np.linspace(0.1, 0.5, 19))
    assert [Comparison(found, random).p for found in (0.6, 0.5, 0.49, 0.0)] == [1 / 20, 2 / 20, 2 / 20, 1]
    assert Comparison(0.37, (0.37, 0.37, 0.37)).p == 1 and Comparison(0.9, (0.4, 0.5)).p == Comparison(0.9, (0.4, 0.5)).smallest_p == 1 / 3


def test_p_of_one_more_random_network_is_right_however_they_are_distributed():
    """Student's t called a skewed null worse in 9 to 11 % of cases at 5 %."""
    drawn = np.random.default_rng(0).lognormal(sigma=1.5, size=(20000, 20))
    rank = (drawn[:, :1] < drawn[:, 1:]).sum(1)
    found = [Comparison(row[0], tuple(row[1:])) for row in drawn]
    assert [one.rank - 1 for one in found] == rank.tolist()
    assert np.mean([one.p <= 0.05 for one in found]) == pytest.approx(0.05, abs=0.005)  # 3 standard deviations


@pytest.mark.parametrize(
    "changes, start, parts",
    [
        pytest.param(
            {},
            "Not better than random after 20 epochs: Dice 0.510 against 0.500",
            ["of 19 of its cost, with shared weights: rank 10 of 20, p 0.50", "entropy 0.97 of maximum, so search longer or raise"],
            id="undecided",
        ),
        pytest.param({"entropy": 0.5}, "Not better than random", ["has decided", "hand-made"], id="decided"),
        pytest.param(
            {"entropy": 0.5, "shared": AHEAD},
            "The search has decided after 20 epochs; whether it pays only training shows (scnas select)",
            ["0.900 against 0.500", "rank 1 of 20, p 0.05", "favour what was drawn most"],
            id="ahead",
        ),
        pytest.param(
            {"shared": AHEAD}, "The search has not decided after 20 epochs, mean entropy 0.97", ["search longer"], id="ahead-undecided"
        ),
        pytest.param({"shared": BEHIND, "sampled": (0.1, 0.1)}, "Not better than random", ["rank 20 of 20, p 1.00"], id="behind"),
        pytest.param({"sampled": (0.01,), "shared": POOR}, "Nothing can be said", ["hardly learned", "search longer"], id="untrained"),
        pytest.param({"relaxation": "uniform", "entropy": 1.0}, "A baseline after 20 epochs", ["doesn't learn", "baseline"], id="uniform"),
        pytest.param({"relaxation": "uniform", "shared": AHEAD, "sampled": (0.99,)}, "A baseline", ["doesn't learn"], id="uniform-ahead"),
        pytest.param({"epochs": 1}, "Not better than random after 1 epoch:", [], id="one-epoch"),
    ],
)
def test_verdict(changes, start, parts):
    sentence = verdict(dataclasses.replace(EVIDENCE, **changes))
    assert sentence.startswith(start) and not [part for part in parts if part not in sentence], sentence
    assert sentence.endswith(".") and "\n" not in sentence and "deriving loses" not in sentence


def test_shared_weights_never_show_that_a_search_is_better():
    every = [dataclasses.replace(EVIDENCE, entropy=h, shared=c) for h in (0.0, 0.5, 0.95) for c in (AHEAD, CLOSE, BEHIND)]
    assert not [one for one in every if "Better" in verdict(one)]


@pytest.mark.parametrize(
    "sampled, told",
    [
        ((0.70, 0.71), True),  # 0.51 derived
        ((0.54, 0.55), False),  # under 0.05
        ((0.40, 1.00), False),  # within twice their spread
        ((0.30, 0.31), False),  # a gain
    ],
)
def test_a_large_discretisation_gap_is_told(sampled, told):
    assert ("deriving loses" in verdict(dataclasses.replace(EVIDENCE, sampled=sampled))) is told


@pytest.mark.parametrize(
    "agreements, part",
    [
        (
            [Agreement(56, 0.5, 0.6, 0.125, 0.25)],
            "2 searches chose the same operation on 50% of the edges, 12% expected by chance: they find much the same",
        ),
        (
            [Agreement(56, 0.25, 0.4, 0.125, 0.25)],
            "25% of the edges, 12% expected by chance: more than chance, yet the networks differ on most edges",
        ),
        ([Agreement(56, 0.125, 0.25, 0.125, 0.25)], "each found something of its own"),
        ([Agreement(56, share, 0.25, 0.125, 0.25) for share in (0.5, 0.125, 0.125)], "The 3 searches .* more than chance in 1 of 3 pairs"),
        (  # 12 of 56 edges: p = 0.046, which one of 10 pairs has by chance in four of ten cases
            [Agreement(56, share, 0.25, 0.125, 0.25) for share in (12 / 56, *[0.125] * 9)],
            "The 5 searches .*: each found something of its own",
        ),
    ],
    ids=["same", "alike", "chance", "some", "one by chance"],
)
def test_verdict_of_runs(agreements, part):
    assert re.search(part, verdict_of_runs(agreements))


def report(run="runs/a", **changes):
    networks = (
        NetworkRow("found", FOUND, 0.5, 0.4, 1_000_000, 2_000_000_000),
        NetworkRow("random_0", RANDOM, 0.3, 0.6, 2_000_000, 3_000_000_000),
        NetworkRow("random_1", RANDOM, 0.4, 0.5, 4_000_000, 5_000_000_000),
        NetworkRow("sampled_0", SAMPLED, 0.5, 0.5),
        NetworkRow("sampled_1", SAMPLED, 0.6, 0.3),
    )
    fields = {"relaxation": "gumbel_pair", "seed": 1, "epochs": 20, "seconds": 61.0, "judged_on": "validation", "validation_dice": 0.55}
    return Report(run, **fields | {"entropy": 0.97, "patches": 4, "networks": networks} | changes)


def test_report_has_comparison_gap_cost_and_verdict():
    lines = report_text(report()).splitlines()
    rows = {line.partition("  ")[0]: line.split() for line in lines}
    assert rows["shared weights"][2:-1] == ["0.500", "0.350", "±", "0.071", "0.400", "1", "of", "3", "+42.9%", "±", "20.2%"]
    assert rows["M parameters"][2:4] == ["1", "3"] and rows["G multiply-adds"][2:4] == ["2", "4"]
    assert "+0.050 Dice (derived 0.500, sampled 0.550 ± 0.071), +0.000 loss" in lines[-2]
    assert lines[-1] == verdict(report().evidence)
    assert "in 1:01, validation Dice 0.550" in lines[0] and "held-out Dice 0.550" in report_text(report(judged_on="held_out"))


def test_json_and_csv_hold_the_same_networks():
    document, rows = report().to_json(), list(csv.DictReader(io.StringIO(networks_csv(report()))))
    assert [row["name"] for row in rows] == [row["name"] for row in document["networks"]]
    assert rows[3]["parameters"] == "" and rows[0]["shared_dice"] == "0.5"
    assert document["gap"]["dice"] == pytest.approx(0.05) and document["shared_weights"]["rank"] == 1


def test_runs_stand_in_one_table():
    pair = Agreement(56, 0.25, 0.5, 0.125, 0.25)
    lines = runs_text([report(), report("runs/b", relaxation="softmax", seconds=59.0)], [("runs/a", "runs/b", pair)]).splitlines()
    assert lines[1].split()[:8] == ["runs/a", "gumbel_pair", "1", "20", "1:01", "0.550", "0.970", "+0.050"]
    assert lines[2].split()[1] == "softmax" and lines[4].split() == ["runs/a", "runs/b", "25%", "12%", "50%", "25%"]
    assert lines[-1] == verdict_of_runs([pair])


def test_table_aligns():
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc   d"]


def write_run(folder, finished=True, config=None):
    folder.mkdir()
    (folder / "flags.cfg").write_text(to_flagfile(config or SearchConfig(task="phantom", workdir=str(folder))))
    genotype("conv_3", space=SCNAS).save(folder / "genotype.json")
    (folder / "history.csv").write_text("epoch,loss,val_dice\n1,0.5,0.25\n2,0.4,\n")
    if finished:
        result = '{"task": "Phantom", "cases": {"validation": ["a"]}, "mean_edge_entropy": 0.9}'
        (folder / "summary.json").write_text(f'{{"result": {result}}}')
    return folder


def test_a_finished_search_is_read_back(tmp_path):
    search = load_search(str(write_run(tmp_path / "run")))
    assert search.config == SearchConfig(task="phantom", workdir=str(tmp_path / "run")) and search.genotype.space == SCNAS
    assert search.history == [{"epoch": 1, "loss": 0.5, "val_dice": 0.25}, {"epoch": 2, "loss": 0.4}]


def test_folders_that_cannot_be_assessed_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: is no folder"):
        load_search(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="holds no flags.cfg.*Name the --workdir of a search"):
        load_search(str(tmp_path))
    with pytest.raises(ConfigError, match="has not finished.*scnas search --flagfile"):
        load_search(str(write_run(tmp_path / "unfinished", finished=False)))
    with pytest.raises(ConfigError, match="another command"):
        load_search(str(write_run(tmp_path / "retrained", config=RetrainConfig(genotype="x"))))
    older = write_run(tmp_path / "older")
    (older / "flags.cfg").write_text((older / "flags.cfg").read_text() + "--forgotten=1\n")
    with pytest.raises(ConfigError, match="flags.cfg.*forgotten.*another version"):
        load_search(str(older))
    before = write_run(tmp_path / "before")
    CheckpointFolder(before / "checkpoint").write(LAST, 7, {"step": 7}, {})
    with pytest.raises(DataError, match=f"last-000000007.ckpt.*can't be assessed.*scnas retrain --genotype={before}"):
        load_search(str(before))
    damaged = write_run(tmp_path / "damaged")
    (damaged / "summary.json").write_text('{"result": {')
    with pytest.raises(DataError, match="summary.json: line 1.*found broken JSON"):
        load_search(str(damaged))


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"workdir": None}, "--workdir=RUN"),
        ({"random": 18}, "--random=18: at least 19"),
        ({"patches": 0}, "--patches=0"),
        ({"seed": -1}, "--seed=-1"),
    ],
)
def test_flags_are_checked_before_any_work(flags, message):
    with pytest.raises(ConfigError, match=message):
        open_searches(AssessConfig(**{"workdir": "nowhere"} | flags))


def test_runs_that_do_not_go_together(tmp_path):
    run = write_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="twice"):
        open_searches(AssessConfig(workdir=f"{run},{run}/"))
    other = write_run(tmp_path / "other")
    (other / "summary.json").write_text((other / "summary.json").read_text().replace("Phantom", "Liver"))
    with pytest.raises(ConfigError, match="Liver.*Phantom"):
        open_searches(AssessConfig(workdir=f"{run},{other}"))
