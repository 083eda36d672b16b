"""Documents that nobody would write: mutated dataset.json of both layouts give a task or one clear refusal, in every reader alike."""

import json

import numpy as np
import pytest
from mutations import mutated, outcome, seeds
from small_task import save, write_task

from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.loading import find_task, load_task
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.fix_remap import remap_labels


def write_both(folder):
    msd = write_task(folder / "msd")
    nnunet = folder / "nnunet"
    for name in ("a", "b", "c"):
        for channel in (0, 1):
            image = np.random.default_rng(ord(name) + channel).uniform(1, 9, (4, 4, 4)).astype(np.float32)
            save(nnunet / "imagesTr" / f"{name}_{channel:04d}.nii.gz", image)
        save(nnunet / "labelsTr" / f"{name}.nii.gz", np.eye(4, dtype=np.uint8)[None].repeat(4, 0))
    labels = {"background": 0, "left": 1}
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": labels, "numTraining": 3, "file_ending": ".nii.gz"}
    (nnunet / "dataset.json").write_text(json.dumps(content))
    more = {"description": "", "licence": {"name": "CC0"}, "tensorImageSize": "3D", "numTest": 0, "release": 1.0, "test": []}
    return [(place, more | json.loads((place / "dataset.json").read_text())) for place in (msd, nnunet)]


@pytest.mark.parametrize("seed", seeds(80, 12))
def test_a_mutated_document_is_a_task_or_a_refusal(tmp_path, seed):
    folder, content = write_both(tmp_path)[seed % 2]
    (folder / "dataset.json").write_text(mutated(content, np.random.default_rng(seed)), encoding="utf-8")
    assert outcome(lambda: find_task("custom", folder)) == folder
    task = outcome(lambda: load_task(folder))
    assert task is None or isinstance(task, Task) and task.cases
    report = verify_dataset(folder, processes=1, progress=False)
    json.loads(report.json().encode()), report.text().encode()
    assert task is not None or report.has_errors
    said = outcome(lambda: remap_labels(folder, tmp_path / "fixed", processes=1))
    assert (said is not None) == (tmp_path / "fixed").exists()
