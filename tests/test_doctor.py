"""`scnas doctor`: what it says of machines of all kinds, planted, and of this one."""

import importlib.metadata
import stat
import sys

import pytest
from absl import logging

from scnas_keras.doctor import main, runner
from scnas_keras.doctor.config import DoctorConfig
from scnas_keras.doctor.findings import FAILS, NOTE, OK
from scnas_keras.doctor.runner import computing, resources, trial, versions

GPU = "NVIDIA A100, compute capability (8, 0)"


def planted(**changes):
    return {"gpus": [], "precisions": {"float32": 10.0, "bfloat16": 8.0}} | changes


@pytest.mark.parametrize(
    "found, has_driver, expected",
    [
        (planted(), False, [(NOTE, "GPU", "none: the CPU computes"), (OK, "float32", "10.0 ms"), (OK, "bfloat16", "8.0 ms")]),
        (planted(), True, [(NOTE, "GPU", "pip install '.[and-cuda]'"), (OK, "float32", ""), (OK, "bfloat16", "")]),
        (
            planted(precisions={"float32": 10.0, "bfloat16": 384.0}),
            False,
            [(NOTE, "GPU", ""), (OK, "float32", ""), (NOTE, "bfloat16", "38.4 times as long as in float32: leave out --mixed_precision")],
        ),
        (
            planted(gpus=[GPU], precisions={"float32": 1.0, "bfloat16": "NotFoundError: no kernel", "float16": 0.5}),
            True,
            [(OK, "GPU 0", GPU), (OK, "float32", ""), (NOTE, "bfloat16", "doesn't work here: NotFoundError"), (OK, "float16", "0.5 ms")],
        ),
        (
            planted(gpus=[GPU, GPU], precisions={"float32": 1.0}, all_reduce=4.0),
            True,
            [(OK, "GPU 0", ""), (OK, "GPU 1", ""), (OK, "float32", ""), (OK, "NCCL", "2 GPUs add up their gradients")],
        ),
        (
            planted(gpus=[GPU, GPU], precisions={"float32": 1.0}, all_reduce="InternalError: NCCL"),
            True,
            [(OK, "GPU 0", ""), (OK, "GPU 1", ""), (OK, "float32", ""), (NOTE, "NCCL", "Use one: --devices=1")],
        ),
        (
            planted(precisions={"float32": "ResourceExhaustedError: oom"}),
            False,
            [(NOTE, "GPU", ""), (FAILS, "float32", "doesn't work here: ResourceExhaustedError")],
        ),
        ("ended by SIGILL", False, [(FAILS, "TensorFlow", "needs a CPU with AVX")]),
        ("ImportError: libfoo.so", True, [(FAILS, "TensorFlow", "can't compute: ImportError: libfoo.so")]),
    ],
)
def test_what_computes_is_told_with_what_to_do(found, has_driver, expected):
    findings = list(computing(found, has_driver))
    assert [(finding.state, finding.name) for finding in findings] == [(state, name) for state, name, _ in expected]
    for finding, (*_, text) in zip(findings, expected):
        assert text in finding.text


def test_what_is_missing_comes_with_what_to_install(monkeypatch):
    def version(name):
        if name in ("nibabel", "msgspec"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(runner.importlib.metadata, "version", version)
    monkeypatch.setattr(runner.importlib.util, "find_spec", lambda name: None if name == "pydicom" else object())
    found = {finding.name: finding for finding in versions()}
    assert (found["nibabel"].state, found["nibabel"].text) == (FAILS, "isn't installed: pip install nibabel")
    assert found["msgspec"].state == FAILS and "h5py" not in found
    assert found["pydicom"].state == NOTE and found["pydicom"].text.endswith("pip install '.[dicom]'")
    assert found["SimpleITK"].state == found["keras"].state == OK


def test_little_memory_and_disk_are_noted_and_closed_places_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "available_memory", lambda: 2 * 2**30)
    monkeypatch.setattr(runner.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**30}))
    (tmp_path / "file").touch()
    found = {finding.name: finding for finding in resources(DoctorConfig(str(tmp_path / "new" / "er"), str(tmp_path / "file" / "cache")))}
    assert found["memory"].state == NOTE and "2.0 GiB free" in found["memory"].text
    assert found["disk of runs"].state == NOTE and "1.0 GiB free" in found["disk of runs"].text
    assert found["disk of the cache"].state == FAILS and str(tmp_path / "file") in found["disk of the cache"].text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_cache_without_a_home_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_cache", lambda config: None)
    assert [finding.state for finding in resources(DoctorConfig(str(tmp_path)))][-1] == NOTE


@pytest.mark.parametrize("ends, told", [("kill -ILL $$", "ended by SIGILL"), ("echo ImportError: no >&2; exit 1", "ImportError: no")])
def test_a_process_that_dies_is_a_finding(ends, told, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{ends}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(python))
    assert trial() == told


@pytest.mark.nightly
def test_this_machine_can_compute(tmp_path, capsys, caplog):
    caplog.set_level("INFO", logger="absl")
    logging.set_verbosity(logging.INFO)
    following = main(DoctorConfig(str(tmp_path), str(tmp_path)))
    lines = capsys.readouterr().out.splitlines()
    assert following == "scnas verify --data_dir=DIR" and "takes some seconds" in caplog.text
    assert any(line.startswith("ok     float32") and line.endswith(" ms") for line in lines)
    assert not [line for line in lines if line.startswith(FAILS)]


def test_a_machine_that_cant_compute_ends_with_code_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "trial", lambda: "ended by SIGILL")
    with pytest.raises(SystemExit) as caught:
        main(DoctorConfig(str(tmp_path), str(tmp_path)))
    assert caught.value.code == 1 and "FAILS  TensorFlow" in capsys.readouterr().out
