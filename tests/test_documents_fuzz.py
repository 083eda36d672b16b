"""Mutated plans, genotypes and model.json: read and usable, or refused in one line."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated, outcome, seeds
from some_spaces import FLAT, PATHS, SMALL
from test_planning_documents import MADE

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.registry import footprint
from scnas_keras.inference.companion import read_companion
from scnas_keras.networks.buildable import check_buildable
from scnas_keras.planning.planner import make_plans
from scnas_keras.planning.plans import load_plans
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import random_genotype

FORMAT_1 = sorted((Path(__file__).parent / "data" / "format_1").glob("*.json"))
PLAN = PreprocessingPlan((1.0, 1.0, 1.0), (Normalization("T1", "zscore"),), {0: "background", 1: "a"})
COMPANION = {"patch_size": [32, 32, 32], "mirror_axes": [0], "plan": json.loads(PLAN.to_json()), "seen": None, "dice": {"a": 0.5}}


def changed(content, seed, file):
    file.write_text(mutated(content, np.random.default_rng(seed)), encoding="utf-8")
    return file


@pytest.mark.parametrize("seed", seeds(120, 12))
def test_a_mutated_plan(seed, tmp_path):
    content = json.loads(make_plans(MADE, NNUNet()).to_json())
    plans = outcome(lambda: load_plans(changed(content, seed, tmp_path / "plans.json")))
    for name, configuration in plans.configurations.items() if plans else ():
        assert all(size > 0 for stage in configuration.topology.stage_sizes() for size in stage)
        plans.preprocessing(name, {0: "background", 1: "left"}).to_json()


@pytest.mark.parametrize("seed", seeds(120, 12))
def test_a_mutated_genotype(seed, tmp_path):
    documents = [json.loads(file.read_text()) for file in FORMAT_1]
    documents += [random_genotype(space, seed, 0).to_json() for space in (SMALL, FLAT, PATHS)]
    genotype = outcome(lambda: Genotype.load(changed(documents[seed % len(documents)], seed, tmp_path / "genotype.json")))
    if genotype is not None:
        again = json.loads(json.dumps(genotype.to_json()))
        assert dataclasses.replace(Genotype.from_json(again)) == genotype
        genotype_table(genotype)
        outcome(lambda: check_buildable(genotype.space))
        if width := outcome(lambda: footprint("genotype", 4 * genotype.space.width_step, genotype)):
            sizes = (2**genotype.space.depth * 2,) * genotype.space.rank
            assert width.elements(width.topology((1,) * len(sizes), sizes), 1, 2) > 0
            cost_tables(genotype.space, width.width, sizes, 1, 2)


@pytest.mark.parametrize("seed", seeds(80, 8))
def test_a_mutated_companion_of_a_model(seed, tmp_path):
    found = outcome(lambda: read_companion(changed(COMPANION, seed, tmp_path / "model.json")))
    assert found is None or len(found.patch_size) in (2, 3)
