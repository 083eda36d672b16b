"""What an assessment says of a search, without any network."""

import csv
import dataclasses
import io
import re
import statistics

import numpy as np
import pytest
from some_spaces import OPERATIONS, SCNAS, SMALL, U, genotype_of, pairs

from scnas_keras.assess import AssessConfig
from scnas_keras.assess.comparison import Comparison
from scnas_keras.assess.finished import load_search
from scnas_keras.assess.genotypes import Agreement, agreement
from scnas_keras.assess.report import FOUND, RANDOM, SAMPLED, NetworkRow, Report, networks_csv, report_text, runs_text, table
from scnas_keras.assess.runner import open_searches
from scnas_keras.assess.verdict import Evidence, verdict, verdict_of_runs
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.options import to_flagfile
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder
from scnas_keras.search import SearchConfig
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.u_shape import u_shaped

CLOSE = Comparison(0.51, (0.4, 0.5, 0.6))
AHEAD, BEHIND = (Comparison(found, (0.49, 0.5, 0.51)) for found in (0.9, 0.1))
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


def test_chance_is_students_prediction_of_one_more():
    # two random networks: one degree of freedom, a Cauchy distribution, P(T > t) = 1/2 - arctan(t) / pi
    comparison = Comparison(0.6, (0.4, 0.5))
    t = (0.6 - 0.45) / (statistics.stdev((0.4, 0.5)) * 1.5**0.5)
    assert comparison.chance == pytest.approx(0.5 - np.arctan(t) / np.pi)
    assert Comparison(0.5, (0.4, 0.6)).chance == pytest.approx(0.5)
    assert [Comparison(found, (0.37, 0.37, 0.37)).chance for found in (0.3, 0.37, 0.4)] == [1, 0.5, 0]  # whose mean is not 0.37


@pytest.mark.parametrize(
    "changes, start, parts",
    [
        (
            {},
            "Not distinguishable from random after 20 epochs",
            [
                "0.510 against 0.500 ± 0.100 of 3",
                "with shared weights",
                "entropy 0.97 of maximum",
                "search longer or raise the learning rate of alpha",
            ],
        ),
        ({"entropy": 0.5}, "Not distinguishable from random", ["has decided", "--retrain_minutes"]),
        ({"entropy": 0.5, "retrained": CLOSE}, "Not distinguishable from random", ["each trained alike", "cheaper"]),
        ({"shared": AHEAD, "sampled": (0.9, 0.9)}, "Better than random", ["0.900 against 0.500", "confirm it with --retrain_minutes"]),
        ({"shared": BEHIND, "sampled": (0.1, 0.1)}, "Worse than random", ["search longer"]),
        ({"retrained": AHEAD}, "Better than random", ["0.900", "each trained alike"]),
        ({"shared": AHEAD, "retrained": CLOSE}, "Not distinguishable", ["0.510", "each trained alike"]),
        ({"shared": AHEAD, "retrained": BEHIND}, "Worse than random", ["0.100"]),
        ({"sampled": (0.01,), "shared": Comparison(0.05, (0.0, 0.09))}, "Nothing can be said", ["hardly learned", "search longer"]),
        ({"retrained": Comparison(0.05, (0.0, 0.09))}, "Nothing can be said after 20 epochs", ["too short", "raise --retrain_minutes"]),
        ({"relaxation": "uniform", "entropy": 1.0}, "Not distinguishable from random", ["doesn't learn", "baseline"]),
        ({"relaxation": "uniform", "shared": AHEAD, "sampled": (0.99, 0.99)}, "Better than random", ["by luck", "baseline"]),
        ({"epochs": 1}, "Not distinguishable from random after 1 epoch:", []),
    ],
    ids=[
        "undecided",
        "decided",
        "decided-trained",
        "better",
        "worse",
        "trained-better",
        "trained-refutes",
        "trained-worse",
        "untrained",
        "trained-too-short",
        "uniform",
        "uniform-luck",
        "one-epoch",
    ],
)
def test_verdict(changes, start, parts):
    sentence = verdict(dataclasses.replace(EVIDENCE, **changes))
    assert sentence.startswith(start) and not [part for part in parts if part not in sentence], sentence
    assert sentence.endswith(".") and "\n" not in sentence and "deriving loses" not in sentence


def test_a_confirmed_search_needs_no_caution():
    assert "--retrain_minutes" not in verdict(dataclasses.replace(EVIDENCE, shared=AHEAD, retrained=AHEAD))


def test_untrained_weights_do_not_matter_once_networks_were_trained():
    bad = Comparison(0.05, (0.0, 0.09))
    assert verdict(dataclasses.replace(EVIDENCE, sampled=(0.01, 0.02), shared=bad, retrained=AHEAD)).startswith("Better than random")


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
    ],
    ids=["same", "alike", "chance", "some"],
)
def test_verdict_of_runs(agreements, part):
    assert re.search(part, verdict_of_runs(agreements))


def report(run="runs/a", **changes):
    networks = (
        NetworkRow("found", FOUND, 0.5, 0.4, 1_000_000, 2_000_000_000, 0.7, 9),
        NetworkRow("random_0", RANDOM, 0.3, 0.6, 2_000_000, 3_000_000_000, 0.6, 8),
        NetworkRow("random_1", RANDOM, 0.4, 0.5, 4_000_000, 5_000_000_000, 0.8, 7),
        NetworkRow("sampled_0", SAMPLED, 0.5, 0.5),
        NetworkRow("sampled_1", SAMPLED, 0.6, 0.3),
    )
    fields = {"relaxation": "gumbel_pair", "seed": 1, "epochs": 20, "seconds": 61.0, "validation_dice": 0.55, "entropy": 0.97}
    return Report(run, **fields | {"patches": 4, "retrain_minutes": 3, "networks": networks} | changes)


def test_report_has_both_comparisons_gap_cost_and_verdict():
    lines = report_text(report()).splitlines()
    rows = {line.partition("  ")[0]: line.split() for line in lines}
    assert rows["shared weights"][2:-1] == ["0.500", "0.350", "±", "0.071", "0.400", "1", "of", "3", "+42.9%", "±", "20.2%"]
    assert rows["trained 3 min"][3:10] == ["0.700", "0.700", "±", "0.141", "0.800", "2", "of"]
    assert rows["M parameters"][2:4] == ["1", "3"] and rows["G multiply-adds"][2:4] == ["2", "4"]
    assert rows["epochs trained"][2:4] == ["9", "7.5"]
    assert "+0.050 Dice (derived 0.500, sampled 0.550 ± 0.071), +0.000 loss" in lines[-2]
    assert lines[-1] == verdict(report().evidence)
    assert "trained 3 min" not in report_text(report(retrain_minutes=0))


def test_json_and_csv_hold_the_same_networks():
    document, rows = report().to_json(), list(csv.DictReader(io.StringIO(networks_csv(report()))))
    assert [row["name"] for row in rows] == [row["name"] for row in document["networks"]]
    assert rows[3]["parameters"] == "" and rows[0]["retrained_dice"] == "0.7"
    assert document["gap"]["dice"] == pytest.approx(0.05) and document["retrained"]["rank"] == 2
    assert report(retrain_minutes=0).to_json()["retrained"] is None


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
    with pytest.raises(ConfigError, match="has not finished.*scnas_keras.search --flagfile"):
        load_search(str(write_run(tmp_path / "unfinished", finished=False)))
    with pytest.raises(ConfigError, match="another command"):
        load_search(str(write_run(tmp_path / "retrained", config=RetrainConfig(genotype="x"))))
    older = write_run(tmp_path / "older")
    (older / "flags.cfg").write_text((older / "flags.cfg").read_text() + "--forgotten=1\n")
    with pytest.raises(ConfigError, match="flags.cfg.*forgotten.*another version"):
        load_search(str(older))
    before = write_run(tmp_path / "before")
    CheckpointFolder(before / "checkpoint").write(LAST, 7, {"step": 7}, {})
    with pytest.raises(DataError, match=f"last-000000007.ckpt.*can't be assessed.*scnas_keras.retrain --genotype={before}"):
        load_search(str(before))
    damaged = write_run(tmp_path / "damaged")
    (damaged / "summary.json").write_text('{"result": {')
    with pytest.raises(DataError, match="summary.json: damaged"):
        load_search(str(damaged))


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"workdir": None}, "--workdir=RUN"),
        ({"random": 1}, "--random=1"),
        ({"patches": 0}, "--patches=0"),
        ({"retrain_minutes": -1.0}, "--retrain_minutes=-1"),
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
