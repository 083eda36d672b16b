import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_task import REAL_DATA, save, write_json, write_task

from scnas_keras.errors import DataError
from scnas_keras.tasks.dataset_json import channel_names, read_dataset
from scnas_keras.tasks.labels import parse_labels
from scnas_keras.tasks.loading import find_task, load_task
from scnas_keras.tasks.names import DATA_DIR_VARIABLE
from scnas_keras.tasks.nearest import nearest


def edit_json(folder, **changes):
    """Changes entries of dataset.json; None takes one out."""
    content = json.loads((folder / "dataset.json").read_text()) | changes
    (folder / "dataset.json").write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_task_is_read_from_dataset_json(tmp_path):
    write_task(tmp_path, channels=("CT", "PET"))
    task = load_task(tmp_path)
    assert task.name == "Small"
    assert task.channel_names == ("CT", "PET")
    assert task.is_ct == (True, False)
    assert task.labels == {0: "background", 1: "left", 2: "right"}
    assert task.num_classes == 3
    assert [case.name for case in task.cases] == ["case_0", "case_1", "case_2"]
    assert task.declared_values == (0, 1, 2)
    assert (task.test_cases, task.regions, task.ignore_label, task.label_map) == ((), {}, None, {})
    assert task.cases[1].images[0] == tmp_path / "imagesTr" / "case_1.nii.gz"


def test_nnunet_spelling_means_the_same(tmp_path):
    write_task(tmp_path)
    expected = load_task(tmp_path)
    edit_json(tmp_path, modality=None, channel_names={"0": "T1", "1": "T2"}, labels={"right": 2, "background": 0, "left": 1})
    assert load_task(tmp_path) == expected


@pytest.mark.parametrize(
    "listed",
    [
        ["./imagesTs/b.nii.gz", "./imagesTs/a.nii.gz", "./imagesTs/._a.nii.gz"],
        [{"image": "./imagesTs/b.nii.gz"}, {"image": "imagesTs/a.nii.gz"}, "imagesTs/gone.nii.gz"],
    ],
)
def test_test_images_that_are_there_have_no_label(tmp_path, listed):
    write_task(tmp_path)
    for name in ("a", "b"):
        save(tmp_path / "imagesTs" / f"{name}.nii.gz", np.zeros((2, 2, 2, 2)))
    edit_json(tmp_path, test=listed)
    tests = load_task(tmp_path).test_cases
    assert [(case.name, case.label, case.files) for case in tests] == [
        (name, None, (tmp_path / "imagesTs" / f"{name}.nii.gz",)) for name in ("a", "b")
    ]


def test_other_formats_and_one_file_a_channel_may_be_listed(tmp_path):
    write_task(tmp_path, num_cases=1)
    for name in ("x_0000.nrrd", "x_0001.nrrd", "x.mha"):
        (tmp_path / name).write_text("")
    edit_json(tmp_path, training=[{"image": "x.nrrd", "label": "x.mha"}])
    (case,) = load_task(tmp_path).cases
    assert (case.name, case.images, case.label) == ("x", (tmp_path / "x_0000.nrrd", tmp_path / "x_0001.nrrd"), tmp_path / "x.mha")


# What is painted last wins, so the smaller regions come after the ones around them.
REGION_CASES = [
    (
        {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4},
        [1, 2, 3],
        {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)},
        {0: "background", 1: "whole", 2: "core", 3: "enhancing"},
        4,
    ),
    (
        {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2},
        [1, 3, 2],
        {"kidney": (1, 2, 3), "masses": (3, 2), "tumor": (2,)},
        {0: "background", 1: "kidney", 2: "tumor", 3: "masses"},
        None,
    ),
    ({"air": [0], "both": [1, 2]}, [2], {"both": (2, 1)}, {0: "air", 1: "1", 2: "both"}, None),
]


@pytest.mark.parametrize("labels, order, regions, names, ignore", REGION_CASES)
def test_regions_are_read_in_painting_order(tmp_path, labels, order, regions, names, ignore):
    write_task(tmp_path, num_cases=1)
    edit_json(tmp_path, labels=labels, regions_class_order=order)
    task = load_task(tmp_path)
    assert list(task.regions.items()) == list(regions.items())
    assert (task.labels, task.ignore_label) == (names, ignore)
    assert task.declared_values == tuple(range(len(names) + (ignore is not None)))


@pytest.mark.parametrize("order", [None, [1, 2], [1, 2, 2], [3, 2, 1]])
def test_an_order_of_regions_that_does_not_fit_is_refused(tmp_path, order):
    write_task(tmp_path, num_cases=1)
    edit_json(tmp_path, labels=REGION_CASES[0][0], regions_class_order=order)
    with pytest.raises(DataError, match="regions_class_order.*whole, core, enhancing"):
        load_task(tmp_path)


@pytest.mark.parametrize(
    "labels",
    [{"background": 0, "ignore": 1, "left": 2}, {"background": 0, "left": 1, "ignore": 3}, {"0": "background", "1": "ignore", "2": "left"}],
)
def test_the_ignore_label_is_the_highest(tmp_path, labels):
    write_task(tmp_path, num_cases=1)
    edit_json(tmp_path, labels=labels)
    with pytest.raises(DataError, match="labels.ignore: found [13], expected the highest value, here 2|gap"):
        load_task(tmp_path)
    edit_json(tmp_path, labels={"background": 0, "left": 1, "ignore": 2})
    task = load_task(tmp_path)
    assert (task.labels, task.ignore_label, task.num_classes, task.declared_values) == ({0: "background", 1: "left"}, 2, 2, (0, 1, 2))


def test_macos_companions_are_ignored(tmp_path):
    write_task(tmp_path)
    write_json(tmp_path, ["case_0", "._case_0"])
    assert [case.name for case in load_task(tmp_path).cases] == ["case_0"]


BROKEN_JSON = [
    ("no dataset.json", None, "not found.*imagesTr"),
    ("broken JSON", '{"name": "x",\n  "labels": }', "line 2, column 13"),
    ("not an object", "[]", "object"),
    ("not UTF-8", b"\xff\xfe\x00", "UTF-8"),
]
BROKEN_CONTENT = [
    ({"labels": {"1": "tumour"}}, "labels"),
    ({"labels": {"0": "background", "2": "tumour"}}, "gap"),
    ({"labels": {"0": "background", "edema": "1"}}, "gap"),
    ({"labels": {"background": 0, "whole": [1, 2]}}, "regions_class_order"),
    ({"labels": {"0": "", "1": "left"}}, 'labels.0: found "", expected a word in quotes of length >= 1'),
    ({"labels": {"": 0, "left": 1}}, 'labels.*: found the key "", expected a word in quotes of length >= 1 as key'),
    ({"labels": {"0": "background", "1": "a\tb"}}, r'labels.1: found "a..b", expected a word in quotes on one line\.'),
    ({"labels": {"background": 0, "left": 1.5}}, "labels.left: found 1.5, expected a whole number or a word in quotes or a list"),
    ({"labels": {"background": 0, "left": True}}, "labels.left: found true, expected a whole number or a word in quotes or a list"),
    ({"labels": {"background": 0, "left": -1}}, 'labels: found {"background": 0, "left": -1}, expected names for the values 0'),
    (
        {"labels": {"background": 0, "whole": [1, 2]}, "regions_class_order": "12"},
        'regions_class_order: found "12", expected a list or null',
    ),
    ({"labels": {"0": "background", "9" * 5000: "left"}}, "gap"),
    ({"training": [{"image": "a" * 300, "label": "b"}]}, "files that it lists are missing"),
    ({"modality": {"1": "MRI"}}, 'modality: found {"1": "MRI"}, expected indices 0, 1, 2'),
    ({"labels": ["background", 1]}, r'labels: found \["background", 1\], expected an object \{...\}\.'),
    ({"labels": {"background": 0, "left": ["1", "b"]}}, r'labels.left\[1\]: found "b", expected a whole number'),
    ({"labels": {"1": "tumour"}}, 'Add "0": "background"'),
    ({"labels": {"background": 0, "whole": [1, 3]}}, r"Renumber the labels here and in the label files\.$"),
    ({"labels": {str(value): f"class {value}" for value in range(300)}}, "These are 300 values: unite classes"),
    ({"labels": {"0": "background", "1": "left", "5": "ignore"}}, r"labels.ignore: found 5, expected the highest value, here 2.*remap"),
    ({"labels": {"background": 0, "a": 1, "b": 1}}, "Give each value one name"),
    ({"modality": {"MRI": "0", "CT": "0"}}, 'modality.MRI: found the key "MRI", expected a whole number as key'),
    ({"channel_names": {"0": "T2", "1": "T1"}}, '"modality" and "channel_names" say different things'),
    ({"dataset": {"a": {"images": ["a"], "label": "b"}}}, '"training" and "dataset" say different things'),
    (
        {"training": [{"image": "imagesTr/case_0.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in "ab"]},
        "1 files belong to more than one case: .*imagesTr/case_0.nii.gz",
    ),
    ({"modality": {"0": 1}}, "modality.0: found 1, expected a word in quotes"),
    ({"test": None}, "test: found null, expected a list"),
    ({"test": [{"label": "a"}]}, r'test\[0\]: found the keys "label", expected the key "image"'),
    ({"test": [1]}, r"test\[0\]: found 1, expected a word in quotes or an object"),
    ({"training": []}, 'found no entry for "training", expected for example'),
    ({"training": {}}, "training: found {}, expected a list"),
    ({"training": ["a.nii.gz"]}, r'training\[0\]: found "a.nii.gz", expected an object'),
    ({"training": [{"image": "a.nii.gz", "lable": "b"}]}, r'training\[0\]: found .* expected the key "label" \(is it "lable"\?\)'),
    ({"training": [{"image": "", "label": "b.nii.gz"}]}, r'training\[0\].image: found "", expected a word in quotes of length >= 1'),
    ({"training": None, "dataset": {"a": {"images": [], "label": "b"}}}, r"dataset.a.images: found \[\], expected a list of length >= 1"),
    ({"training": None, "dataset": {}}, "dataset: found no case"),
    ({"training": None, "file_ending": ".nii.gzip"}, 'file_ending: found ".nii.gzip", expected one of'),
    ({"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}] * 2}, "more than once: b"),
    ({"training": [{"image": "imagesTr/gone.nii.gz", "label": "labelsTr/case_0.nii.gz"}]}, "gone.nii.gz"),
]


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"background": "0", "left": "1", "right": " 2"}},
        {"labels": {"background": 0, "left": 1.0, "right": "2.0"}},
        {"labels": {"0.0": "background", "01": "left", "2": "right"}},
        {"labels": ["background", "left", "right"]},
        {"modality": ["T1", "T2"]},
        {"modality": {"T1": 0, "T2": "1"}},
        {"modality": None, "channel_names": {"0": "T1", "1.0": "T2"}},
        {"channel_names": {"0": "T1", "1": "T2"}},
        {"numTraining": "1", "numTest": 0.0},
    ],
)
def test_spellings_that_can_mean_one_thing_are_read(tmp_path, changes):
    write_task(tmp_path, num_cases=1)
    expected = load_task(tmp_path)
    edit_json(tmp_path, **changes)
    assert load_task(tmp_path) == expected


def test_one_channel_may_be_named_alone(tmp_path):
    write_task(tmp_path, num_cases=1, channels=("CT",))
    edit_json(tmp_path, modality="CT")
    assert load_task(tmp_path).channel_names == ("CT",)


def test_regions_may_be_spelled_with_text(tmp_path):
    write_task(tmp_path, num_cases=1)
    edit_json(tmp_path, labels={"background": "0", "both": ["1", "2"], "right": ["2"]}, regions_class_order=["1", "2"])
    assert load_task(tmp_path).regions == {"both": (1, 2), "right": (2,)}


@pytest.mark.parametrize(
    "listed, there, difference",
    [
        ("imagesTr/case_0.nii.gz", "imagesTr/CASE_0.NII.gz", "capitals and small letters differ"),
        ("imagesTr/case_0.nii.gz", "imagesTr/case_0.nii", "the ending differs"),
        ("imagesTr/case_0.nii.gz", "imagesTr/case_000.nii.gz", "the zeros before a number differ"),
        ("imagesTr/case_0.nii.gz", "imagesTr/case-0.nii.gz", "the signs between words differ"),
        ("imagesTr/case_0.nii.gz", "imagesTr/case_0_0001.nii.gz", "the number of the channel differs"),
        ("imagesTr/case_0.nii.gz", "imagesTs/case_0.nii.gz", "in another folder"),
        ("imagesTr/case_0.nii.gz", "imagesTr/cases_0x.nii.gz", "a name that is like it"),
        ("imagesTr/M\u00fcller.nii.gz", "imagesTr/Mu\u0308ller.nii.gz", "the same letters in another Unicode form"),
        ("imagesTr/a b.nii.gz", "imagesTr/ab .nii.gz", "spaces differ"),
        ("imagesTR/case_0.nii.gz", "imagesTr/case_0.nii.gz", "capitals and small letters differ"),
    ],
)
def test_of_a_missing_file_the_nearest_is_told(tmp_path, listed, there, difference):
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / listed).parent.mkdir(exist_ok=True) if "imagesTR" not in listed else None
    (tmp_path / there).write_text("")
    named = there.split("/")[0] if "imagesTR" in listed else there
    assert nearest(tmp_path / listed).endswith(f" There is {tmp_path / named}: {difference}.")


def test_nothing_like_a_missing_file_is_not_told(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    assert nearest(tmp_path / "case.nii.gz") == ""


def test_a_missing_file_is_told_with_the_nearest(tmp_path):
    write_task(tmp_path, num_cases=1)
    (tmp_path / "imagesTr/case_0.nii.gz").rename(tmp_path / "imagesTr/Case_0.nii.gz")
    with pytest.raises(DataError, match=r"missing: .*imagesTr/case_0.nii.gz. There is .*imagesTr/Case_0.nii.gz: capitals"):
        load_task(tmp_path)


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("read", [find_task, load_task], ids=["find", "load"])
def test_a_folder_that_may_not_be_entered_is_told(tmp_path, monkeypatch, read, around):
    folder = tmp_path / "Task04_Hippocampus"
    write_task(folder, num_cases=1)
    close(monkeypatch, folder)
    with pytest.raises(DataError, match=r"Hippocampus: can't be read \(Permission denied\)\. Ask for .*chmod u\+rx"):
        if read is load_task:
            load_task(folder)
        else:
            find_task("hippocampus", tmp_path if around else folder)


def test_a_closed_folder_beside_the_wanted_one_does_no_harm(tmp_path, monkeypatch):
    write_task(tmp_path / "Task04_Hippocampus", num_cases=1)
    (tmp_path / "lost+found").mkdir()
    close(monkeypatch, tmp_path / "lost+found")
    assert find_task("hippocampus", tmp_path).name == "Task04_Hippocampus"


def close(monkeypatch, folder):
    """Makes a folder one that may not be entered, to root as well."""

    def stat(path, **options):
        if folder in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return os.stat(path, **options)

    access = os.access
    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder and access(path, mode))


def test_names_that_are_no_text_are_refused(tmp_path):
    write_task(tmp_path, num_cases=1)
    name = os.fsdecode(b"M\xfcller.nii.gz")
    folder = tmp_path / "nnunet"
    for place, file in (("imagesTr", name.replace(".", "_0000.", 1)), ("labelsTr", name)):
        (folder / place).mkdir(parents=True)
        (folder / place / file).write_text("")
    (folder / "dataset.json").write_text('{"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}')
    with pytest.raises(DataError, match=r"2 names of files aren't text in UTF-8: .*M.udcfcller_0000.*convmv") as caught:
        load_task(folder)
    str(caught.value).encode()
    odd = tmp_path / os.fsdecode(b"d\xfc")
    odd.mkdir()
    with pytest.raises(DataError, match=r"d.udcfc': the folder's name isn't text in UTF-8"):
        find_task("custom", odd)


def test_test_images_do_not_keep_from_training(tmp_path, caplog):
    write_task(tmp_path, num_cases=1)
    for folder in ("imagesTs", "more"):
        save(tmp_path / folder / "a.nii.gz", np.zeros((2, 2, 2, 2)))
    edit_json(tmp_path, test=["imagesTs/a.nii.gz", "more/a.nii.gz"])
    task = load_task(tmp_path)
    assert (len(task.cases), task.test_cases) == (1, ()) and "case names occur more than once: a" in caplog.text


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


def test_other_keys_of_other_programs_are_passed_over(tmp_path):
    write_task(tmp_path, num_cases=1)
    before = load_task(tmp_path)
    edit_json(tmp_path, licence={"a": [1]}, tensorImageSize="3D", relase="1.0")
    assert load_task(tmp_path) == before


@pytest.mark.parametrize("file", sorted(REAL_DATA.glob("*/dataset.json")), ids=lambda file: file.parent.name)
def test_the_documents_of_real_datasets_are_read(file):
    content = read_dataset(file)
    channels, labels = channel_names(file, content), parse_labels(file, content)
    assert channels and list(labels.names) == list(range(len(content.labels)))


@pytest.mark.parametrize("key, example", [("labels", "background"), ("training", "imagesTr"), ("modality", "FLAIR")])
def test_a_missing_key_is_named_with_an_example(tmp_path, key, example):
    write_task(tmp_path, num_cases=1)
    edit_json(tmp_path, **{key: None})
    with pytest.raises(DataError, match=rf'(?s)"{key}".*{example}'):
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


@pytest.mark.parametrize(
    "hint, folder",
    [
        ("brain", "Task01_BrainTumour"),
        ("Heart", "Task02_Heart"),
        ("HIPPOCAMPUS", "Task04_Hippocampus"),
        ("prostate", "MyProstates"),
        ("Task02_Heart", "Task02_Heart"),
        ("vessel", "Task008_Liver"),
        ("liver", "Task008_Liver"),
    ],
)
def test_a_task_is_found_by_number_or_name(decathlon, hint, folder, monkeypatch):
    assert find_task(hint, decathlon) == decathlon / folder
    assert find_task(hint, decathlon / folder) == decathlon / folder
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(decathlon))
    assert find_task(hint) == decathlon / folder


def test_custom_takes_the_only_task(tmp_path, decathlon):
    with pytest.raises(DataError, match="a task here or one folder below, found several.*MyProstates, Task008_Liver"):
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
    with pytest.raises(DataError, match="found none.*Task02_Heart"):
        find_task("lung", decathlon)


def test_a_folder_without_a_layout_is_described(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for read in (load_task, lambda folder: find_task("custom", folder)):
        with pytest.raises(DataError, match=r"(?s)holds notes\.txt, scans/.*Decathlon.*imagesTr.*nnU-Net.*_0000.*images/a\.png"):
            read(tmp_path)
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}}')
    with pytest.raises(DataError, match=r'(?s)neither "training" nor "file_ending".*scans/.*nnU-Net'):
        load_task(tmp_path)


@pytest.mark.parametrize("folder, hint", [("Dataset008_Vessels3", "vessels3"), ("Dataset8_X", "vessel"), ("Dataset008_X", "vessel")])
def test_nnunet_folders_are_found_by_name_and_number(tmp_path, folder, hint):
    for name in (folder, "Dataset018_Y"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name, [])
    assert find_task(hint, tmp_path).name == folder


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
@pytest.mark.parametrize("hint, cases, ct", [("brain", 4, False), ("hippocampus", 208, False), ("lung", 91, True)])
def test_real_tasks_are_read(hint, cases, ct):
    task = load_task(find_task(hint, REAL_DATA))
    assert len(task.cases) == cases
    assert any(task.is_ct) == ct


def test_a_folder_that_cant_be_looked_into_is_named(tmp_path, monkeypatch):
    (tmp_path / "imagesTr").mkdir()

    def refused(folder):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)
    assert "imagesTr can't be looked into (Permission denied)" in nearest(tmp_path / "imagesTr" / "a.nii.gz")


def test_files_in_a_closed_folder_are_not_called_missing(tmp_path, monkeypatch):
    task, looked = write_task(tmp_path / "task", num_cases=3), os.path.exists
    closed = task / "imagesTr"
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != closed)
    monkeypatch.setattr(os.path, "exists", lambda path: closed not in Path(path).parents and looked(path))
    with pytest.raises(DataError, match=r"whether 3 of the files that it lists are there can't be told.*imagesTr may not be looked into"):
        load_task(task)


@pytest.mark.parametrize(
    "labels, message",
    [
        ({"0": "background", "1": "x", "2": "x"}, 'found the name "x" of 2 values, 1, 2'),
        ({"0": "shell", "1": "background", "2": "core"}, 'found "background" as the name of 1, and the background is always 0'),
        ({"shell": 0, "Background": 1, "core": 2}, 'found "Background" as the name of 1'),
    ],
)
def test_names_that_contradict_themselves_are_refused(tmp_path, labels, message):
    write_task(tmp_path)
    edit_json(tmp_path, labels=labels)
    with pytest.raises(DataError, match=message):
        load_task(tmp_path)


def test_a_folder_inside_of_a_task_names_the_task(tmp_path):
    write_task(tmp_path / "Task04_Small")
    with pytest.raises(DataError, match=r"imagesTr: is a folder inside of the task .*Task04_Small\. Give --data_dir=.*Task04_Small\.$"):
        find_task("custom", tmp_path / "Task04_Small" / "imagesTr")


def test_a_file_is_no_data_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is a file, not a folder"):
        find_task("custom", tmp_path / "file")
