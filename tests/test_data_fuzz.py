"""Documents that nobody would write: mutated dataset.json of both layouts give a task or one clear refusal, in every reader alike."""

import copy
import json

import numpy as np
import pytest
from small_task import save, write_task

from scnas_keras.errors import UserError
from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.loading import find_task, load_task
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.fix_remap import remap_labels

DOCUMENTS, BY_DAY = 80, 12
ODD = (
    *(None, True, False, 0, -1, 1.5, 1e300, 10**400, 255, "", " ", "0", "1", "-1", "\u00fc\u75c5\U0001f9e0", "\\ud800", "a\tb", "nul\0"),
    *("x" * 300, "/" + "y/" * 200, "/etc/passwd", "../../case_0.nii.gz", ".", "..", "~nobody/x", "$HOME/x", "imagesTr", "dataset.json"),
    *([], {}, [[]], [[[1]], {"a": [None]}], {"": ""}, {"0": None}, [0, "1", 2.0], {"a": {"b": {"c": []}}}, ["background", "left"]),
)


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


def places(value, place=()):
    """All places of a document but the document itself."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield (*place, key)
        yield from places(inner, (*place, key))


def mutated(content, random):
    """The text of a document after one or two changes at random places."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 3)):
        found = list(places(content))
        *way, key = found[random.integers(len(found))]
        holder = content
        for step in way:
            holder = holder[step]
        match random.choice(["replace", "remove", "repeat", "rename"], p=[0.6, 0.15, 0.1, 0.15]):
            case "replace":
                holder[key] = copy.deepcopy(ODD[random.integers(len(ODD))])
            case "remove":
                del holder[key]
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "repeat":
                holder[f"{key}@"] = copy.deepcopy(holder[key])
            case "rename" if isinstance(holder, dict):
                holder[str(ODD[random.integers(len(ODD))])] = holder.pop(key)
        if not content:
            break
    return json.dumps(content, ensure_ascii=False).replace('@": ', '": ').replace("\\\\ud800", "\\ud800")


def outcome(read):
    """What a reader gives: a task, a refusal of one to a few lines, or anything else, which is an error."""
    try:
        return read()
    except UserError as error:
        text = str(error)
        text.encode()
        assert text and "\0" not in text and "Traceback" not in text
        return None


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=() if seed < BY_DAY else pytest.mark.nightly) for seed in range(DOCUMENTS)])
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
