"""Searches that have not decided, and what is said of them."""

import dataclasses
import re

import pytest
from some_spaces import TINY, uniform_genotype

from scnas_keras.reporting.genotype_figure import genotype_figure
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.spaces.decision import time_note, undecided_note, updates_to_decide, weightless_note
from scnas_keras.spaces.genotype import Genotype


def test_a_decided_search_gets_no_note():
    assert undecided_note(0.9, 10, 100, 0.03) is None and uniform_genotype("conv_3", TINY).undecided is None


@pytest.mark.parametrize(
    "updates, part", [(40, "after 40 updates of alpha.* a decision takes some 100[.]"), (100, "at --alpha_lr=0.03 that is mostly enough")]
)
def test_an_undecided_one_is_told_what_it_takes(updates, part):
    assert updates_to_decide(0.03, 1) == 100 and updates_to_decide(0.03, 2 / 8) == 400
    note = undecided_note(0.97, updates, 100, 0.03)
    assert "entropy 0.97" in note and "--network=nnunet" in note and re.search(part, note)


def test_what_has_no_weights_left_is_told_so_with_its_remedy():
    assert weightless_note(["identity", "conv_3", "max_pool_3"], True) is None
    note = weightless_note(["identity", "max_pool_3"], True)
    assert "No operation with weights is left" in note and "lower --penalty_parameters" in note and "--target_mparams" in note
    assert "--parameter_free_dropout" in weightless_note(["identity"], False)


def test_the_time_is_that_of_the_updates_at_the_pace_there_was():
    assert "--budget_minutes=5 " in time_note(40, 100, 3.0)  # 100 updates of 3 s
    assert "--budget_minutes=20 " in time_note(200, 100, 3.0)  # they weren't enough: twice as many


def test_the_note_stays_with_the_genotype_and_stands_in_table_and_figure(tmp_path):
    note = undecided_note(0.97, 40, 100, 0.03)
    dataclasses.replace(uniform_genotype("conv_3", TINY), notes=("Restored.", note)).save(tmp_path / "genotype.json")
    genotype = Genotype.load(tmp_path / "genotype.json")
    assert genotype.undecided == note
    table = " ".join(genotype_table(genotype).split())
    assert table.endswith(note)
    shown = [text.get_text() for text in genotype_figure(genotype).texts]
    assert note in [" ".join(text.split()) for text in shown]
    decided = dataclasses.replace(genotype, notes=("Restored.",))
    assert not [text.get_text() for text in genotype_figure(decided).texts if text.get_text()]
