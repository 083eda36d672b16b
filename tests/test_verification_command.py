import json
import pathlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from processes import PYTHON, run
from small_task import change, save, write_json, write_task

from scnas_keras import verify
from scnas_keras.errors import DataError
from scnas_keras.tasks.splits import find_folds
from scnas_keras.verify.config import VerifyConfig
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.report import Report

COMMAND = "scnas_keras.verify"


def undeclared(array):
    array[5, 5, 5] = 9


def found_in(folder):
    report = verify_dataset(folder, processes=1, progress=False)
    return [(finding.key, finding.case, finding.file) for finding in report.findings]


def test_a_sound_dataset_ends_with_one_line_and_code_0(tmp_path, command, capsys):
    write_task(tmp_path, num_cases=5)
    command(COMMAND, data_dir=tmp_path, processes=1)
    captured = capsys.readouterr()
    assert captured.out == "5 cases: no errors, no warnings.\n"
    assert captured.err == f"Next: scnas select --task=custom --data_dir={tmp_path} --workdir=runs/selected --budget_minutes=100\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "imagesTr", "labelsTr"]


@pytest.mark.parametrize("cases, folds", [(3, 3), (11, None), (12, 2), (20, 3), (40, None)])
def test_the_next_command_has_folds_of_six_scans_where_there_are_enough(cases, folds, monkeypatch):
    monkeypatch.setattr(verify, "verify", lambda config: Report(pathlib.Path("data"), cases, (), {}))
    following = verify.main(VerifyConfig(data_dir="data"))
    assert ("--num_folds" in following) == (folds is not None) and (folds is None or f"--num_folds={folds}" in following)


def test_the_next_command_of_a_task_that_holds_cases_out_names_no_number_of_folds(monkeypatch):
    """Which it would refuse."""
    monkeypatch.setattr(verify, "verify", lambda config: Report(pathlib.Path("data"), 12, (), {}))
    following = verify.main(VerifyConfig(data_dir="data", task="nuclei"))
    assert "--task=nuclei" in following and "--num_folds" not in following


def test_the_next_command_names_a_folder_that_isnt_there_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify, "verify", lambda config: Report(pathlib.Path("data"), 40, (), {}))
    for folder in ("runs/selected", "runs/selected_2", "runs/selected_3"):
        assert f"--workdir={folder} " in verify.main(VerifyConfig(data_dir="data"))
        (tmp_path / folder).mkdir(parents=True)


def test_warnings_alone_are_code_0(tmp_path, command, capsys):
    write_task(tmp_path, num_cases=5)
    change(tmp_path / "imagesTr/case_1.nii.gz", lambda array: array[..., 0].fill(3))
    command(COMMAND, data_dir=tmp_path, processes=1)
    assert capsys.readouterr().out.endswith("5 cases: no errors, 1 kind of warning.\n")


def test_errors_are_code_1_and_told_in_full_in_json(tmp_path, command, capsys):
    write_task(tmp_path / "data", num_cases=7)
    for index in range(7):
        change(tmp_path / f"data/labelsTr/case_{index}.nii.gz", undeclared)
    with pytest.raises(SystemExit) as end:
        command(COMMAND, data_dir=tmp_path, output=tmp_path / "report", processes=1)
    assert end.value.code == 1
    captured = capsys.readouterr().out
    assert captured.startswith(f"All findings are in {tmp_path / 'report' / 'verification.json'}\n")
    assert captured.endswith("7 cases: 1 kind of error, no warnings.\n")
    content = json.loads((tmp_path / "report" / "verification.json").read_text())
    assert len(content["errors"][0]["cases"]) == 7


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"data_dir": "nowhere"}, "nowhere: no such folder"),
        ({"spacing": "1,1"}, "--spacing=1.0,1.0: expected three positive"),
        ({"spacing": "1,1,0"}, "--spacing=1,1,0: expected 1e-06 at least"),
        ({"fix": "header"}, "--fixed_dir go together"),
        ({"fixed_dir": "copy"}, "--fixed_dir go together"),
        ({"fix": "all", "fixed_dir": "copy"}, "header|remap"),
        ({"group_pattern": "x("}, "group_pattern"),
        ({"datadir": "x"}, "datadir"),
    ],
)
def test_wrong_flags_are_code_2(tmp_path, command, capsys, flags, message):
    write_task(tmp_path)
    with pytest.raises(SystemExit) as end:
        command(COMMAND, **{"data_dir": tmp_path, "processes": 1} | flags)
    assert end.value.code == 2
    assert any(part in capsys.readouterr().err for part in message.split("|"))


def test_two_classes_of_one_name_are_a_fault(tmp_path, command, capsys):
    """Summaries, tables and plans hold classes by their names."""
    write_task(tmp_path / "data", num_cases=5)
    write_json(tmp_path / "data", [f"case_{index}" for index in range(5)], labels={"0": "background", "1": "tumour", "2": "tumour"})
    with pytest.raises(SystemExit) as caught:
        command(COMMAND, data_dir=tmp_path / "data", output=tmp_path / "report", processes=1)
    assert caught.value.code == 1 and 'found the name "tumour" of 2 values, 1, 2' in capsys.readouterr().out
    assert (tmp_path / "report" / "verification.json").is_file()


def test_help_loads_no_library_that_takes_long():
    code = (
        f"import sys, runpy; sys.argv = ['verify', '--help']; runpy.run_module('{COMMAND}', run_name='__main__'); "
        "print({'numpy', 'nibabel', 'scipy', 'tensorflow'} & set(sys.modules))"
    )
    result = run(PYTHON, "-c", code)
    assert "--group_pattern" in result.stdout
    assert result.stdout.splitlines()[-1] == "set()"


def test_missing_files_do_not_hide_other_faults(tmp_path):
    write_task(tmp_path, num_cases=7)
    (tmp_path / "labelsTr/case_1.nii.gz").unlink()
    change(tmp_path / "labelsTr/case_2.nii.gz", undeclared)
    write_json(tmp_path, [f"case_{index}" for index in range(6)])
    assert found_in(tmp_path) == [
        ("missing", "case_1", tmp_path / "labelsTr/case_1.nii.gz"),
        ("unlisted", None, tmp_path / "imagesTr/case_6.nii.gz"),
        ("unlisted", None, tmp_path / "labelsTr/case_6.nii.gz"),
        ("undeclared", "case_2", tmp_path / "labelsTr/case_2.nii.gz"),
    ]


def write_nnunet(folder, num_cases=7):
    """The small task with a file per channel."""
    write_task(folder, num_cases)
    for path in sorted((folder / "imagesTr").iterdir()):
        array = np.asarray(nib.load(path).dataobj)
        for channel in range(2):
            save(path.with_name(path.name.replace(".nii.gz", f"_{channel:04d}.nii.gz")), array[..., channel])
        path.unlink()
    content = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": num_cases,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_nnunets_layout_is_verified_and_missing_files_are_told(tmp_path):
    write_nnunet(tmp_path)
    assert found_in(tmp_path) == []
    (tmp_path / "imagesTr/case_1_0001.nii.gz").unlink()
    (tmp_path / "labelsTr/case_2.nii.gz").unlink()
    change(tmp_path / "labelsTr/case_3.nii.gz", undeclared)
    assert found_in(tmp_path) == [
        ("missing", "case_1", tmp_path / "imagesTr/case_1_0001.nii.gz"),
        ("missing", "case_2", tmp_path / "labelsTr/case_2.nii.gz"),
        ("undeclared", "case_3", tmp_path / "labelsTr/case_3.nii.gz"),
        ("declared_count", None, tmp_path / "dataset.json"),
    ]


def test_missing_files_of_nnunets_list_are_told(tmp_path):
    write_task(tmp_path, num_cases=6)
    listed = {
        f"case_{index}": {"images": [f"imagesTr/case_{index}.nii.gz"], "label": f"labelsTr/case_{index}.nii.gz"} for index in range(6)
    }
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "left": 1, "right": 2}, "dataset": listed}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert found_in(tmp_path) == []
    (tmp_path / "labelsTr/case_1.nii.gz").unlink()
    change(tmp_path / "labelsTr/case_2.nii.gz", undeclared)
    assert found_in(tmp_path) == [
        ("missing", "case_1", tmp_path / "labelsTr/case_1.nii.gz"),
        ("undeclared", "case_2", tmp_path / "labelsTr/case_2.nii.gz"),
    ]


def test_a_place_that_cant_be_written_is_told_before_a_scan_is_read(tmp_path, command, capsys, monkeypatch):
    monkeypatch.setattr("scnas_keras.verify.runner.verify_dataset", None)
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "verification.json").mkdir(parents=True)
    write_task(tmp_path / "data")
    for output in ("file/report", "folder"):
        with pytest.raises(SystemExit) as end:
            command(COMMAND, data_dir=tmp_path / "data", output=tmp_path / output)
        assert end.value.code == 74 and "That is what --output=DIR is for" in capsys.readouterr().err


def test_a_folder_that_is_no_dataset_is_an_error_in_the_report(tmp_path, command, capsys):
    write_task(tmp_path / "data")
    write_json(tmp_path / "data", ["case_0"], labels={"0": "background", "1": "left", "4": "right"})
    with pytest.raises(SystemExit) as end:
        command(COMMAND, data_dir=tmp_path / "data", output=tmp_path, processes=1)
    assert end.value.code == 1
    assert "--fix=remap" in capsys.readouterr().out
    (error,) = json.loads((tmp_path / "verification.json").read_text())["errors"]
    assert error["kind"] == "dataset" and '"4": "right"' in error["cases"][0]["detail"]


def write_pictures(folder, number=5):
    random = np.random.default_rng(3)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(number):
        mask = np.zeros((20, 30), np.uint8)
        mask[5:12, 8:20] = 255
        Image.fromarray(random.integers(1, 255, (20, 30, 3), np.uint8)).save(folder / "images" / f"p{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"p{index}.png")
    return folder


def test_pictures_are_verified(tmp_path):
    write_pictures(tmp_path)
    assert found_in(tmp_path) == []
    Image.fromarray(np.zeros((20, 31), np.uint8)).save(tmp_path / "masks/p1.png")
    assert found_in(tmp_path) == [("shapes", "p1", tmp_path / "masks/p1.png"), ("all_background", "p1", tmp_path / "masks/p1.png")]


def test_faulty_pictures_are_told_one_by_one(tmp_path):
    write_pictures(tmp_path, number=7)
    names = ("images/p0.png", "masks/p3.png", "masks/p1.png", "images/p4.png")
    for name in names[:2]:
        (tmp_path / name).unlink()
    for name in names[2:]:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
    assert sorted(found_in(tmp_path)) == [
        ("missing", "p0", tmp_path / "masks/p0.png"),
        ("missing", "p3", tmp_path / "images/p3.png"),
        ("unreadable", "p1", tmp_path / "masks/p1.png"),
        ("unreadable", "p4", tmp_path / "images/p4.png"),
    ]


def test_masks_with_a_value_too_many_are_named(tmp_path):
    write_pictures(tmp_path)
    mask = np.asarray(Image.open(tmp_path / "masks/p1.png")).copy()
    mask[0, 0] = 128
    Image.fromarray(mask).save(tmp_path / "masks/p1.png")
    (finding,) = verify_dataset(tmp_path, processes=1, progress=False).findings
    assert finding.key == "dataset" and "128 is the rarest, in p1.png" in finding.detail


@pytest.mark.parametrize(
    "number, kind, detail", [(2, "too_few_cases", "2 labelled cases"), (4, "few_cases", "4 labelled cases; --num_folds=4")]
)
def test_too_few_cases_for_folds_are_told(tmp_path, number, kind, detail):
    write_task(tmp_path, num_cases=number)
    report = verify_dataset(tmp_path, processes=1, progress=False)
    assert [(finding.key, finding.detail) for finding in report.findings] == [(kind, detail)]
    assert report.has_errors == (kind == "too_few_cases")
    names = [f"case_{index}" for index in range(number)]
    with pytest.raises(DataError):
        find_folds(names)
    if not report.has_errors:
        assert len(find_folds(names, num_folds=number)[0]) == number  # as the remedy says


def test_without_any_class_there_is_nothing_to_learn(tmp_path):
    write_task(tmp_path, num_cases=5)
    for index in range(5):
        change(tmp_path / f"labelsTr/case_{index}.nii.gz", lambda array: array.fill(0))
    report = verify_dataset(tmp_path, processes=1, progress=False)
    assert report.has_errors and [f.detail for f in report.findings if f.key == "no_class"] == ["none of 5 cases has any class"]


def test_folds_that_train_on_healthy_cases_only_are_named(tmp_path):
    write_task(tmp_path, num_cases=5)
    for index in range(4):
        change(tmp_path / f"labelsTr/case_{index}.nii.gz", lambda array: array.fill(0))
    report = verify_dataset(tmp_path, processes=1, progress=False)
    folds, groups = find_folds([f"case_{index}" for index in range(5)])
    (number,) = [number for number, fold in enumerate(folds) if fold.validation == ("case_4",)]
    expected = f"fold {number} trains on 4 such cases: case_0, case_1, case_2, case_3"
    assert not report.has_errors and [f.detail for f in report.findings if f.key == "fold_without_class"] == [expected]


def test_regions_are_told(tmp_path):
    write_task(tmp_path, num_cases=5)
    labels = {"background": 0, "both": [1, 2], "right": [2]}
    write_json(tmp_path, [f"case_{index}" for index in range(5)], labels=labels, regions_class_order=[1, 2])
    report = verify_dataset(tmp_path, processes=1, progress=False)
    assert [(finding.key, finding.detail) for finding in report.findings] == [("regions", "the regions both, right")]


def test_a_segmentation_of_many_undeclared_classes_is_no_image(tmp_path):
    write_task(tmp_path, num_cases=5, shape=(120, 10, 8))
    slabs, places = np.arange(120)[:, None, None] // 3, np.arange(120 * 80).reshape(120, 10, 8)
    change(tmp_path / "labelsTr/case_1.nii.gz", lambda array: np.copyto(array, slabs, casting="unsafe"))
    change(tmp_path / "labelsTr/case_2.nii.gz", lambda array: np.copyto(array, places % 61, casting="unsafe"))
    report = verify_dataset(tmp_path, processes=1, progress=False)
    keys = {finding.case: finding.key for finding in report.findings if finding.key in ("undeclared", "label_is_image")}
    assert keys == {"case_1": "undeclared", "case_2": "label_is_image"}
