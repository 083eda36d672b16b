"""One genotype an epoch in one file: any of them comes back, resumed runs repeat theirs, damage is named."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from some_spaces import PATHS, SCNAS, alpha_shape, tables

from scnas_keras.errors import GenotypeError
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import random_genotype

DATA = Path(__file__).parent / "data" / "format_1"


def found(seed):
    return derive(SCNAS, tables(SCNAS, np.random.default_rng(seed).normal(size=alpha_shape(SCNAS))))


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


def test_paths_dropped_outputs_and_notes_come_back(tmp_path):
    """A history of paths, and of edges that a space without zero leaves out."""
    drawn = [random_genotype(PATHS, 0, index) for index in range(6)]
    drawn[2] = dataclasses.replace(drawn[2], notes=("a note",))
    for epoch, genotype in enumerate(drawn, start=1):
        genotype_history.record(tmp_path / "genotypes.jsonl", epoch, genotype)
    assert [genotype_history.load(tmp_path / "genotypes.jsonl", epoch) for epoch in range(1, 7)] == drawn
    assert {genotype.dropped for genotype in drawn} == {(), (2,)}


@pytest.mark.parametrize("name, epochs", [("scnas", 2), ("small", 2)])
def test_histories_of_version_1_are_read(name, epochs):
    file = DATA / f"{name}.jsonl"
    every = [genotype_history.load(file, epoch) for epoch in range(1, epochs + 1)]
    assert genotype_history.load(file) == every[-1] == Genotype.load(DATA / f"{name}.json") != every[0]
    with pytest.raises(GenotypeError, match=f"epochs 1 to {epochs}, not 9"):
        genotype_history.load(file, 9)


def test_a_newer_history_is_refused_with_its_remedy(history):
    history.write_text(history.read_text().replace('"version": 2', '"version": 3', 1))
    with pytest.raises(
        GenotypeError, match="genotypes.jsonl.*version 3 can't be read.*A newer version of scnas_keras wrote it: install that"
    ):
        genotype_history.load(history)


def test_a_history_of_unknown_operations_is_refused_by_space_and_name(history):
    history.write_text(history.read_text().replace('"conv_3"', '"shift_3"'))
    with pytest.raises(GenotypeError, match="genotypes.jsonl, epoch 3: search space 'scnas'.*'shift_3' is not known"):
        genotype_history.load(history)


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


def test_a_history_of_version_1_with_too_many_nodes_is_damaged(tmp_path):
    space = {"name": "x", "rank": 3, "operations": ["conv_3", "zero"], "nodes": 10**9, "layout": ["encoder"]}
    lines = [{"format": "scnas_keras.genotypes", "version": 1, "space": space}, {"epoch": 1, "cells": {"encoder": []}}]
    (tmp_path / "old.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(GenotypeError, match="old.jsonl, epoch 1: .*1000000000 nodes in a cell"):
        genotype_history.load(tmp_path / "old.jsonl")


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
    command("scnas_keras.derive", genotype=history, epoch=2, output=tmp_path / "two.json")
    assert Genotype.load(tmp_path / "two.json") == found(2)
    found(1).save(tmp_path / "one.json")
    with pytest.raises(SystemExit):
        command("scnas_keras.derive", genotype=tmp_path / "one.json", epoch=2, output=tmp_path / "x.json")
    assert "--epoch=2 needs the history of a search" in capsys.readouterr().err


def test_the_derive_tool_builds_an_epochs_network(history, tmp_path, command, capsys):
    command("scnas_keras.derive", genotype=history, epoch=1, channels=1, classes=2, width=8, output=tmp_path / "one.keras")
    assert (tmp_path / "one.keras").is_file() and "parameters" in capsys.readouterr().out


def test_dropped_outputs_that_the_paths_keep_are_refused():
    drawn = next(genotype for index in range(6) if (genotype := random_genotype(PATHS, 0, index)).dropped)
    document = drawn.to_json()
    assert Genotype.from_json(document) == drawn
    del document["dropped"]
    with pytest.raises(GenotypeError, match=r"dropped is \[\], but its paths leave out \[2\]"):
        Genotype.from_json(document)
