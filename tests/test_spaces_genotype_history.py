"""One genotype an epoch in one file: any of them comes back, resumed runs repeat theirs, damage is named."""

import dataclasses

import numpy as np
import pytest

from scnas_keras.errors import GenotypeError
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SCNAS
from scnas_keras.supernet.derive import derive


def found(seed):
    return derive(SCNAS, np.random.default_rng(seed).normal(size=(4, 14, 8)))


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "genotypes.jsonl"
    for epoch in (1, 2, 3):
        genotype_history.record(path, epoch, found(epoch))
    return path


def test_every_epoch_comes_back(history):
    for epoch in (1, 2, 3):
        assert genotype_history.load(history, epoch) == found(epoch)
    assert genotype_history.load(history) == found(3)


def test_a_resumed_run_repeats_its_epochs(history):
    whole = history.read_bytes()
    genotype_history.record(history, 2, found(7))
    assert genotype_history.load(history) == found(7) == genotype_history.load(history, 2)
    genotype_history.record(history, 2, found(2))
    genotype_history.record(history, 3, found(3))
    assert history.read_bytes() == whole


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda text: text[:-40], "Was the file cut off"),
        (lambda text: text.replace("scnas_keras.genotypes", "other"), "first line"),
        (lambda text: text.replace('"epoch": 2', '"epoch": "two"'), "whole number"),
        (lambda text: text.replace("[[", "[", 1), "Was the file cut off"),
        (lambda text: text.replace('"reduction": [[', '"reduction": [["conv_3", 1.0], ['), "don't fit"),
    ],
)
def test_damage_is_named(history, damage, message):
    history.write_text(damage(history.read_text()))
    with pytest.raises(GenotypeError, match=f"genotypes.jsonl.*{message}"):
        genotype_history.load(history)


def test_absent_epochs_and_files_are_named(history, tmp_path):
    with pytest.raises(GenotypeError, match="epochs 1 to 3, not 9"):
        genotype_history.load(history, 9)
    with pytest.raises(GenotypeError, match="can't be read"):
        genotype_history.load(tmp_path / "absent.jsonl")


def test_another_space_is_refused(history):
    other = dataclasses.replace(found(1), space=dataclasses.replace(SCNAS, name="other"))
    with pytest.raises(GenotypeError, match="another search space"):
        genotype_history.record(history, 4, other)


def test_the_derive_tool_takes_an_epoch(history, tmp_path, command, capsys):
    command("tools/derive", genotype=history, epoch=2, output=tmp_path / "two.json")
    assert Genotype.load(tmp_path / "two.json") == found(2)
    found(1).save(tmp_path / "one.json")
    with pytest.raises(SystemExit):
        command("tools/derive", genotype=tmp_path / "one.json", epoch=2, output=tmp_path / "x.json")
    assert "--epoch=2 needs the history of a search" in capsys.readouterr().err


@pytest.mark.slow
def test_the_derive_tool_builds_an_epochs_network(history, tmp_path, command, capsys):
    command("tools/derive", genotype=history, epoch=1, channels=1, classes=2, width=8, output=tmp_path / "one.keras")
    assert (tmp_path / "one.keras").is_file() and "parameters" in capsys.readouterr().out
