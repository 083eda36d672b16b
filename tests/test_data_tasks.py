import json

import pytest
from small_task import REAL_DATA, write_json, write_task

from scnas_keras.data.tasks import DATA_DIR_VARIABLE, find_task, load_task
from scnas_keras.errors import DataError


def test_a_task_is_read_from_dataset_json(tmp_path):
    write_task(tmp_path, channels=("CT", "PET"))
    task = load_task(tmp_path)
    assert task.name == "Small"
    assert task.channel_names == ("CT", "PET")
    assert task.is_ct == (True, False)
    assert task.labels == {0: "background", 1: "left", 2: "right"}
    assert task.num_classes == 3
    assert [case.name for case in task.cases] == ["case_0", "case_1", "case_2"]
    assert task.cases[1].images[0] == tmp_path / "imagesTr" / "case_1.nii.gz"


def test_nnunet_spelling_means_the_same(tmp_path):
    write_task(tmp_path)
    expected = load_task(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["channel_names"] = content.pop("modality")
    content["labels"] = {"right": 2, "background": 0, "left": 1}
    content["training"].reverse()
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert load_task(tmp_path) == expected


def test_macos_companions_are_ignored(tmp_path):
    write_task(tmp_path)
    write_json(tmp_path, ["case_0", "._case_0"])
    assert [case.name for case in load_task(tmp_path).cases] == ["case_0"]


BROKEN_JSON = [("no dataset.json", None, "not found.*imagesTr"),
               ("broken JSON", '{"name": "x",\n  "labels": }', "line 2, column 13"),
               ("not an object", "[]", "object"),
               ("not UTF-8", b"\xff\xfe\x00", "UTF-8")]
BROKEN_CONTENT = [({"labels": {"1": "tumour"}}, "labels"),
                  ({"labels": {"0": "background", "2": "tumour"}}, "gap"),
                  ({"labels": {"0": "background", "edema": "1"}}, "gap"),
                  ({"labels": {"background": 0, "whole": [1, 2]}}, "gap"),
                  ({"modality": {"1": "MRI"}}, "modality"),
                  ({"modality": "MRI"}, "modality"),
                  ({"training": []}, "no labelled case"),
                  ({"training": {}}, "no labelled case"),
                  ({"training": ["a.nii.gz"]}, "must name an image and a label"),
                  ({"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}] * 2}, "more than once: b"),
                  ({"training": [{"image": "imagesTr/gone.nii.gz", "label": "labelsTr/case_0.nii.gz"}]}, "gone.nii.gz")]


@pytest.mark.parametrize("text, message", [row[1:] for row in BROKEN_JSON], ids=[row[0] for row in BROKEN_JSON])
def test_a_broken_dataset_json_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "dataset.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=rf"(?s)dataset\.json.*{message}"):
        load_task(tmp_path)


@pytest.mark.parametrize("changes, message", BROKEN_CONTENT)
def test_contents_that_make_no_task_are_refused(tmp_path, changes, message):
    write_task(tmp_path, num_cases=1)
    write_json(tmp_path, ["case_0"], **changes)
    with pytest.raises(DataError, match=rf"dataset\.json.*{message}"):
        load_task(tmp_path)


@pytest.mark.parametrize("key, example", [("labels", "background"), ("training", "imagesTr"), ("modality", "FLAIR")])
def test_a_missing_key_is_named_with_an_example(tmp_path, key, example):
    write_task(tmp_path, num_cases=1)
    content = json.loads((tmp_path / "dataset.json").read_text())
    del content[key]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf'"{key}".*{example}'):
        load_task(tmp_path)


def test_of_many_missing_files_five_are_named(tmp_path):
    write_task(tmp_path, num_cases=1)
    write_json(tmp_path, ["case_0"] + [f"gone_{index}" for index in range(4)])
    with pytest.raises(DataError, match=r"8 of the files.*gone_0.*gone_2.*and 3 more.*Unpack"):
        load_task(tmp_path)


@pytest.fixture
def decathlon(tmp_path):
    for name in ("Task01_BrainTumour", "Task02_Heart", "Task04_Hippocampus", "Task008_Liver", "MyProstates"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name, [])
    (tmp_path / "Task06_Lung").mkdir()  # no dataset.json: not a task
    return tmp_path


@pytest.mark.parametrize("hint, folder", [("brain", "Task01_BrainTumour"), ("Heart", "Task02_Heart"),
                                          ("HIPPOCAMPUS", "Task04_Hippocampus"), ("prostate", "MyProstates"),
                                          ("Task02_Heart", "Task02_Heart"), ("vessel", "Task008_Liver"),
                                          ("liver", "Task008_Liver")])
def test_a_task_is_found_by_number_or_name(decathlon, hint, folder, monkeypatch):
    assert find_task(hint, decathlon) == decathlon / folder
    assert find_task(hint, decathlon / folder) == decathlon / folder
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(decathlon))
    assert find_task(hint) == decathlon / folder


def test_custom_takes_the_only_task(tmp_path, decathlon):
    with pytest.raises(DataError, match="exactly one.*MyProstates, Task008_Liver"):
        find_task("custom", decathlon)
    (tmp_path / "alone" / "Anything").mkdir(parents=True)
    write_json(tmp_path / "alone" / "Anything", [])
    assert find_task("custom", tmp_path / "alone").name == "Anything"


def test_without_a_folder_the_error_says_where_to_get_one(monkeypatch, decathlon):
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"(?s)--data_dir.*medicaldecathlon\.com.*dataset\.json.*labelsTr"):
        find_task("brain")
    with pytest.raises(DataError, match="no such folder"):
        find_task("brain", decathlon / "elsewhere")
    with pytest.raises(DataError, match="no match.*Task02_Heart"):
        find_task("lung", decathlon)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
@pytest.mark.parametrize("hint, cases, ct", [("brain", 4, False), ("hippocampus", 208, False), ("lung", 91, True)])
def test_real_tasks_are_read(hint, cases, ct):
    task = load_task(find_task(hint, REAL_DATA))
    assert len(task.cases) == cases
    assert any(task.is_ct) == ct
