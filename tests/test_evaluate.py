"""`scnas evaluate`: which files belong together, what is told of them, and what is refused."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from small_task import AFFINE, change, save, write_json, write_task

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.evaluate import EvaluateConfig, main
from scnas_keras.evaluate.inputs import parse_unions
from scnas_keras.evaluate.runner import run_evaluation
from scnas_keras.formats.regrid import onto_grid
from scnas_keras.formats.volumes import read_label

CASES = 4


@pytest.fixture
def folders(tmp_path):
    """A dataset, and segmentations of which the first has a voxel of `left` too few."""
    task = write_task(tmp_path / "data", CASES)
    shutil.copytree(task / "labelsTr", tmp_path / "found")
    change(tmp_path / "found" / "case_0.nii.gz", lambda array: array.__setitem__((3, 3, 2), 0))
    return tmp_path


def evaluation(folder, **flags):
    own = {"predictions": str(folder / "found"), "labels": str(folder / "data"), "output": str(folder / "result.json"), "processes": 1}
    return run_evaluation(EvaluateConfig(**own | {name: str(value) if hasattr(value, "parts") else value for name, value in flags.items()}))


def test_from_two_folders_to_text_json_csv_and_figure(folders):
    found = evaluation(folders, unions="both=1+right")
    assert found.structures == ("left", "right", "both")
    left = found.results["case_0"]["left"]
    assert left.dice == pytest.approx(2 * 26 / 53) and left.recall == pytest.approx(26 / 27) and left.precision == 1.0
    assert found.results["case_0"]["both"].dice == pytest.approx(2 * 53 / 107) and found.results["case_1"]["left"].hd95 == 0.0
    document = json.loads((folders / "result.json").read_text())
    own = document["summary"]["left"]
    assert own["dice"]["mean"] == pytest.approx((3 + 52 / 53) / 4) and own["dice"]["count"] == CASES
    assert own["dice"]["low"] < own["dice"]["mean"] < own["dice"]["high"] == 1.0
    assert own["volume_difference_ml"]["mean"] == pytest.approx(-1.5e-3 / 4) and own["lesions"] == own["lesions_found"] == CASES
    rows = list(csv.DictReader((folders / "result.csv").open()))
    assert len(rows) == 3 * CASES and float(rows[0]["dice"]) == pytest.approx(left.dice, abs=1e-6)
    assert (folders / "result.png").stat().st_size > 1000
    assert "4 cases" in found.text and "0.995" in found.text and "NSD at 1 mm" in found.text


def test_the_command_prints_a_table(folders, capsys):
    flags = {"predictions": str(folders / "found"), "labels": str(folders / "data"), "output": str(folders / "a.json"), "processes": 1}
    main(EvaluateConfig(**flags))
    assert capsys.readouterr().out.splitlines()[1].startswith("left")


def test_several_processes_find_the_same(folders):
    assert evaluation(folders, processes=2).results == evaluation(folders).results


def test_plain_folders_name_classes_by_their_values(folders):
    found = evaluation(folders, labels=folders / "data" / "labelsTr", unions="both=1+2")
    assert found.structures == ("1", "2", "both")


def test_foregrounds_of_two_values_are_refused(folders):
    """Masks of 0 and 255, segmentations of 0 and 1: every Dice would be 0."""
    shutil.copytree(folders / "data" / "labelsTr", folders / "labels")
    for folder, value in ((folders / "labels", 255), (folders / "found", 1)):
        for file in folder.glob("*.nii.gz"):
            change(file, lambda array, value=value: array.__setitem__(array > 0, value))
    with pytest.raises(DataError, match="The labels hold 0 and 255, the segmentations 0 and 1: no class in common"):
        evaluation(folders, labels=folders / "labels")


def test_a_run_stands_for_its_validation(folders):
    run = folders / "run"
    (run / "validation").mkdir(parents=True)
    (run / "flags.cfg").write_text("")
    shutil.move(folders / "found" / "case_0.nii.gz", run / "validation")
    found = evaluation(folders, predictions=run)
    assert list(found.results) == ["case_0"]


def test_files_without_their_other_are_named(folders):
    (folders / "found" / "case_1.nii.gz").unlink()
    with pytest.raises(ConfigError, match="There is no segmentation of 1 label: case_1. Add the files, or give --subset"):
        evaluation(folders)
    assert list(evaluation(folders, subset=True).results) == ["case_0", "case_2", "case_3"]
    shutil.copy(folders / "found" / "case_0.nii.gz", folders / "found" / "other.nii.gz")
    shutil.copy(folders / "found" / "case_0.nii.gz", folders / "found" / "case_1.nii.gz")
    with pytest.raises(ConfigError, match="no label of 1 segmentation: other"):
        evaluation(folders)


def test_folders_of_other_names_have_nothing_in_common(folders):
    for path in (folders / "found").iterdir():
        path.rename(path.with_name(f"seg_{path.name}"))
    with pytest.raises(ConfigError, match="No segmentation is called like a label: seg_case_0"):
        evaluation(folders, subset=True)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"predictions": None}, "Missing: --predictions"),
        ({"predictions": "nowhere"}, "nowhere: no such folder"),
        ({"output": "result.csv"}, "let the name end in .json"),
        ({"unions": "both=1+3"}, r"3 is no class; there are 1 \(left\), 2 \(right\)"),
        ({"unions": "both"}, "expected NAME=CLASS"),
        ({"unions": "left=1+2"}, "a structure called left already"),
        ({"second_reader": "nowhere"}, "--second_reader=.*nowhere: no such folder"),
    ],
)
def test_bad_flags_are_refused(folders, flags, message):
    with pytest.raises(ConfigError, match=message):
        evaluation(folders, **flags)


def test_overlays_beside_segmentations_are_none(folders):
    (folders / "found" / "case_0.png").write_bytes(b"picture")
    assert len(evaluation(folders).results) == CASES


def test_a_value_that_is_no_class_is_refused(folders):
    change(folders / "found" / "case_2.nii.gz", lambda array: array.__setitem__((0, 0, 0), 7))
    with pytest.raises(DataError, match="case_2.nii.gz: holds 7, and the dataset declares 0, 1, 2"):
        evaluation(folders)


def test_voxels_to_ignore_dont_count(folders):
    labels = {"background": 0, "left": 1, "right": 2, "ignore": 3}
    names = [f"case_{number}" for number in range(CASES)]
    listed = {name: {"images": [f"imagesTr/{name}.nii.gz"], "label": f"labelsTr/{name}.nii.gz"} for name in names}
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": labels, "file_ending": ".nii.gz", "dataset": listed}
    (folders / "data" / "dataset.json").write_text(json.dumps(content))
    change(folders / "data" / "labelsTr" / "case_0.nii.gz", lambda array: array.__setitem__((3, 3, 2), 3))
    change(folders / "found" / "case_0.nii.gz", lambda array: array.__setitem__((3, 3, 2), 2))
    assert evaluation(folders).results["case_0"]["right"].dice == 1.0


def test_a_second_reader_stands_beside(folders):
    (folders / "second").mkdir()
    for number in (1, 2):
        shutil.copy(folders / "data" / "labelsTr" / f"case_{number}.nii.gz", folders / "second")
    change(folders / "second" / "case_1.nii.gz", lambda array: array.__setitem__((slice(3, 6), slice(3, 6), 2), 0))
    found = evaluation(folders, second_reader=folders / "second")
    assert list(found.second_reader) == ["case_1", "case_2"] and found.second_reader["case_1"]["left"].recall == pytest.approx(2 / 3)
    assert "second reader, 2 cases" in found.text
    assert json.loads((folders / "result.json").read_text())["second_reader"]["summary"]["left"]["dice"]["count"] == 2


def test_structures_that_are_missing_are_counted_in_words(folders):
    change(folders / "found" / "case_1.nii.gz", lambda array: array.__setitem__(array == 1, 0))
    for place in ("found", "data/labelsTr"):
        change(folders / place / "case_2.nii.gz", lambda array: array.__setitem__(array == 2, 0))
    text = evaluation(folders).text
    assert "left: only label or segmentation has it in 1: Dice 0 there" in text and "right: in neither label nor segmentation of 1" in text


def test_another_order_of_axes_is_the_same(folders):
    for path in (folders / "found").iterdir():
        image = nib.load(path)
        turned = image.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "L")))
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    assert evaluation(folders).results["case_0"]["left"].dice == pytest.approx(2 * 26 / 53)


def test_another_grid_of_the_same_places_is_brought_onto_that_of_the_label(tmp_path):
    label = np.zeros((12, 10, 8), np.uint8)
    label[2:8, 4:8, 2:6] = 1
    fine = label.repeat(2, 0).repeat(2, 2)
    affine = AFFINE @ np.diag([0.5, 1, 0.5, 1])
    affine[:3, 3] = [-0.25, 0, -0.375]  # the same box: centres lie half a fine voxel further out
    save(tmp_path / "label.nii.gz", label)
    save(tmp_path / "found.nii.gz", fine, affine)
    _, wanted = read_label(tmp_path / "label.nii.gz")
    assert np.array_equal(onto_grid(*read_label(tmp_path / "found.nii.gz"), wanted), label)


@pytest.mark.parametrize("move", [(5, 0, 0), (0, 0, -3), (0.4, 0, 0)])
def test_a_segmentation_of_another_place_is_refused(folders, move):
    for path in (folders / "found").iterdir():
        image = nib.load(path)
        affine = image.affine.copy()
        affine[:3, 3] += move
        save(path, np.asarray(image.dataobj), affine)
    with pytest.raises(DataError, match="and doesn't cover the same places"):
        evaluation(folders)


def test_a_cut_segmentation_is_refused(folders):
    image = nib.load(folders / "found" / "case_0.nii.gz")
    save(folders / "found" / "case_0.nii.gz", np.asarray(image.dataobj)[:8], image.affine)
    with pytest.raises(DataError, match=r"8x10x8, not 12x10x8 like .*doesn't cover the same places"):
        evaluation(folders)


def test_names_and_values_of_classes_may_be_mixed():
    classes = {1: "edema", 2: "core", 3: "1"}  # a name that is another's value
    assert parse_unions("whole=edema+2", classes) == {"edema": (1,), "core": (2,), "1": (3,), "whole": (1, 2)}


def test_a_dataset_that_moved_its_labels_is_told_by_loading(folders):
    write_json(folders / "data", ["case_0", "absent"])
    with pytest.raises(DataError, match="absent"):
        evaluation(folders)
