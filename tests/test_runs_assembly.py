"""What search and training share: the batches that a step takes, the callbacks' order, what a checkpoint names."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from patch_cases import random_case
from small_run import SmallRun

from scnas_keras.machine.distribution import Cluster
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.runs import assembly
from scnas_keras.runs.assembly import patch_batches
from scnas_keras.runs.checkpoint_files import CHECKPOINT, LAST, CheckpointFolder

CLUSTER = Cluster(tf.distribute.get_strategy())


def assert_patches(batch, sampler, first):
    """A batch is the sampler's items from a number on."""
    for row in range(2):
        for one, other in zip(batch, sampler.sample(first + row)):
            np.testing.assert_array_equal(one[row], other)


@pytest.fixture(scope="module")
def samplers():
    return [PatchSampler([random_case(seed=seed)], (8, 8, 8), seed=seed) for seed in range(3)]


def test_a_step_takes_a_batch_of_each_stream(samplers):
    weights, logits, validation = samplers
    one = patch_batches([weights], validation, 2, steps=5, validation_steps=3, cluster=CLUSTER)
    two = patch_batches([weights, logits], validation, 2, steps=5, validation_steps=3, cluster=CLUSTER)
    assert one.steps == two.steps == 5
    assert_patches(next(iter(one.training(4))), weights, 8)
    first, second = next(iter(two.training(4)))
    assert_patches(first, weights, 8)
    assert_patches(second, logits, 8)


@pytest.mark.parametrize(("free", "drawn"), [(12, 6), (9, 12)])
def test_validation_is_the_same_each_time(samplers, monkeypatch, free, drawn):
    """Whether its patches fit into a tenth of the memory, where they stay, or not, when they are cut again."""
    cut, sample = [], samplers[2].sample
    monkeypatch.setattr(assembly, "available_memory", lambda: free * 3 * 2 * 8**3 * (samplers[2].num_channels + 1) * 4)
    monkeypatch.setattr(samplers[2], "sample", lambda number: cut.append(number) or sample(number))
    batches = patch_batches(samplers[:1], samplers[2], 2, steps=5, validation_steps=3, cluster=CLUSTER)
    for _ in range(2):
        found = list(batches.validation)
        assert len(found) == 3
        for number, batch in enumerate(found):
            for row in range(2):
                np.testing.assert_array_equal(batch[0][row], sample(2 * number + row)[0])
    assert len(cut) == drawn


def test_a_runs_own_callbacks_come_between_pace_and_history(tmp_path):
    seen = []

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((run.position.epoch, "learning_rate" in logs, len(run.history.rows)))
            logs["loss"] = 7.0

    run = SmallRun(tmp_path, 2, callbacks=[Own()])
    run.loop.run()
    assert seen == [(1, True, 0), (2, True, 1)]
    assert [row["loss"] for row in run.history.rows] == [7.0, 7.0]
    assert (tmp_path / "timings.csv").read_text().count("\n") == 3 and len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_checkpoints_keep_the_names_that_runs_go_on_from(tmp_path):
    SmallRun(tmp_path, 1).loop.run()
    _, state, arrays = CheckpointFolder(tmp_path / CHECKPOINT).read(LAST)
    assert list(state) == ["version", "step", "at", "digest", "batch_size", "parts"] and json.dumps(state)
    assert list(state["parts"]) == ["position", "horizon", "history", "plateau"]
    assert {name.rpartition("_")[0] for name in arrays} == {"model", "metric", "optimizer"}
