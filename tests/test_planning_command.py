"""scnas plan from the command line, and what becomes of its files."""

import json

import pytest
from small_task import REAL_DATA, write_json, write_task

from scnas_keras.errors import ConfigError
from scnas_keras.plan import PlanConfig, plan
from scnas_keras.planning.plans import load_plans

REFERENCE = sorted((REAL_DATA.parent / "reference" / "nnunet_plans").glob("*.json"))


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setenv("SCNAS_CACHE_DIR", str(tmp_path / "cache"))
    return write_task(tmp_path / "task", num_cases=4, shape=(24, 30, 16), spacing=(1.0, 0.5, 2.5))


def test_from_scans_and_again_from_the_fingerprint(command, task, tmp_path, capsys):
    command("scnas_keras.plan", data_dir=task, output=tmp_path / "plan", processes=1)
    printed = capsys.readouterr().out
    for part in ("Small: T1, T2", "3d_fullres", "2.5 x 1 x 0.5", "z, x, y", "plans.json", "fingerprint.json"):
        assert part in printed
    plans = load_plans(tmp_path / "plan" / "plans.json")
    assert list(plans.configurations) == ["2d", "3d_fullres"] and plans.configuration("3d_fullres").spacing == (2.5, 1.0, 0.5)
    command("scnas_keras.plan", fingerprint=tmp_path / "plan" / "fingerprint.json", output=tmp_path / "again")
    for name in ("plans.json", "fingerprint.json"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "plan" / name).read_text()


def test_regions_and_an_ignore_label_read_back_equal(task, tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    write_json(task, [f"case_{index}" for index in range(4)], labels=labels, regions_class_order=[1, 2])
    made = plan(PlanConfig(data_dir=str(task), output=str(tmp_path / "plan"), processes=1))
    assert load_plans(tmp_path / "plan" / "plans.json") == made and made.labels["whole"] == (1, 2)
    assert plan(PlanConfig(fingerprint=str(tmp_path / "plan" / "fingerprint.json"), output=str(tmp_path / "again"))) == made


@pytest.mark.skipif(not REFERENCE, reason="the reference plans of nnU-Net aren't here")
def test_from_a_file_of_nnunets_shape(command, tmp_path):
    command("scnas_keras.plan", fingerprint=REFERENCE[0], output=tmp_path, network="resenc_l")
    plans, reference = json.loads((tmp_path / "plans.json").read_text()), json.loads(REFERENCE[0].read_text())
    expected = reference["residual_encoder_L"]["3d_fullres"]["patch_size"]
    assert plans["configurations"]["3d_fullres"]["patch_size"] == expected and plans["axes"] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"output": None}, "--output=DIR"),
        ({"output": "file/plan"}, "--output=.*file is no folder"),
        ({"memory_gb": float("nan")}, "--memory_gb=nan must be a number above 0"),
        ({"spacing": (1.0, 1.0)}, "three positive sizes in mm"),
        ({"mirror_axes": "1,2"}, "--mirror_axes=1,2: expected auto, none, or some of x, y, z"),
        ({"resize": (64, 64), "plan": "scnas"}, "--resize=64,64 is for pictures and slices.*found --plan=scnas"),
        ({"resize": (64, 64, 64)}, "--resize=64,64,64: expected two sizes in pixels"),
        ({"fingerprint": "fingerprint.json"}, "leave out --data_dir"),
        ({"genotype": "genotype.json"}, "--genotype=genotype.json is for --network=genotype"),
        ({"width": 15}, "width 15 can't be built"),
        ({"network": "supernet", "width": 0}, "channels"),
    ],
)
def test_flags_without_effect_and_impossible_ones_are_refused_before_a_scan_is_read(task, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=message):
        plan(PlanConfig(**{"data_dir": str(task), "output": "plan", "processes": 1} | flags))
    assert not (tmp_path / "cache").exists() and not (tmp_path / "plan").exists()


def test_a_network_is_as_wide_as_in_its_command(task, tmp_path):
    for network, width in (("supernet", 48), ("genotype", 64), ("nnunet", 32), ("u_resnet", 32)):
        made = plan(PlanConfig(data_dir=str(task), output=str(tmp_path / network), processes=1, network=network))
        assert list(made.configurations) == ["2d", "3d_fullres"]
        assert all(configuration.features_per_stage[0] == width for configuration in made.configurations.values())


def test_an_edited_plan_is_kept_when_the_command_is_given_again(task, tmp_path):
    config = PlanConfig(data_dir=str(task), output=str(tmp_path / "plan"), processes=1)
    file, previous = tmp_path / "plan" / "plans.json", tmp_path / "plan" / "plans.previous.json"
    plan(config)
    original = file.read_text()
    plan(config)
    assert not previous.exists()
    file.write_text(original.replace('"batch_size": 2', '"batch_size": 3'))
    edited = file.read_text()
    plan(config)
    assert (file.read_text(), previous.read_text()) == (original, edited) and edited != original
