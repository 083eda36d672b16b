"""Cases without any structure, as healthy controls are: data like others."""

import json

import numpy as np
import pytest
from small_task import change, write_task
from small_training import retrain

from scnas_keras.architectures.registry import footprint
from scnas_keras.checks.findings import WARNING
from scnas_keras.errors import DataError
from scnas_keras.runs.data_config import DataConfig
from scnas_keras.runs.folds import open_fold
from scnas_keras.verify.dataset import verify_dataset


def write(folder, healthy):
    task = write_task(folder / "task", 5)
    for index in healthy:
        change(task / "labelsTr" / f"case_{index}.nii.gz", lambda label: label.fill(0))
    return task


def open_it(task, **flags):
    config = DataConfig(task="custom", data_dir=str(task), cache_dir=str(task.parent / "cache"), processes=1, num_folds=5, **flags)
    return open_fold(config, footprint("nnunet", 4))


def test_healthy_cases_are_told_and_prepared(tmp_path):
    task = write(tmp_path, [1, 3])
    found = [finding for finding in verify_dataset(task, processes=1, progress=False).findings if finding.key == "all_background"]
    assert [finding.case for finding in found] == ["case_1", "case_3"] and found[0].kind.severity == WARNING
    fold = open_it(task)
    assert [name for name, case in sorted(fold.cases.items()) if not any(case.classes.values())] == ["case_1", "case_3"]
    sampler = fold.sampler("train", "held_out", seed=0, augmented=True)
    healthy = [number for number, case in enumerate(sampler.cases) if case.name in ("case_1", "case_3")]
    drawn = [(sampler.draw(index).case in healthy, sampler.sample(index)[1].max()) for index in range(60)]
    assert any(own for own, _ in drawn) and all(most == 0 for own, most in drawn if own) and any(most > 0 for own, most in drawn if not own)


def test_nothing_but_healthy_cases_cannot_be_learned_from(tmp_path):
    validated = open_it(write(tmp_path, [])).split.validation
    task = write(tmp_path, [index for index in range(5) if f"case_{index}" not in validated])
    with pytest.raises(DataError, match="none of the 4 cases that fold 0 trains on has any class"):
        open_it(task)


def test_a_healthy_case_counts_only_where_something_was_found(tmp_path):
    """Its Dice is undefined, and left out; of a false finding it is 0. The table tells how many of each there are."""
    task = write(tmp_path, [0, 1, 2])
    flags = ("--task=custom", f"--data_dir={task}", "--network=unet", "--width=2", "--patch_size=8,8,8", "--epochs=1")
    trained = retrain(tmp_path, *flags, "--fold=0", "--num_folds=5", "--workdir=run")
    result = json.loads((tmp_path / "run/summary.json").read_text())["result"]
    (scores,) = trained.dice.values()
    for line, value in zip(trained.table.splitlines()[2:], scores):
        assert ("left out: 1 scans" in line) == np.isnan(value) and ("0 in 1" in line) == (value == 0)
    assert all(mean is None or 0 <= mean <= 1 for mean in result["dice"].values())
