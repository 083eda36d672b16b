"""Curvature flow against ITK's own, and what it leaves of noise and edges."""

import builtins
import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.formats.volumes import volume_of
from scnas_keras.inference.companion import Companion, find_models
from scnas_keras.predict import runner as predict
from scnas_keras.predict.config import PredictConfig
from scnas_keras.preprocessing.denoising import denoised
from scnas_keras.preprocessing.plan import Denoising, Normalization, PreprocessingPlan
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.runs import before
from scnas_keras.runs.data_config import DataConfig

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

LABELS = {0: "background", 1: "prostate"}


def noisy(shape=(3, 24, 20)):
    """Slices of 100 and, from the middle on, 300, with noise of deviation 10."""
    values = np.full(shape, 100, np.float32)
    values[:, shape[1] // 2 :] = 300
    return values + np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)


def test_a_slice_keeps_its_range():
    """The flow's steps overshoot where pixels are black and white by chance; colours beyond 255 would be refused."""
    values = np.random.default_rng(0).choice([0.0, 255.0], (2, 32, 32)).astype(np.float32)
    plain = sitk.GetArrayFromImage(sitk.CurvatureFlow(sitk.GetImageFromArray(values[0]), Denoising().time_step, Denoising().iterations))
    assert plain.min() < 0 or plain.max() > 255
    result = denoised(values, Denoising())
    assert result.min() >= 0 and result.max() <= 255


def test_noise_goes_and_edges_stay():
    values = noisy()
    result = denoised(values, Denoising())
    assert result.dtype == np.float32 and result.shape == values.shape
    for rows in (slice(2, 9), slice(15, 22)):
        assert result[:, rows].std() < 0.6 * values[:, rows].std()
    assert (result[:, 13] - result[:, 10]).mean() > 180
    np.testing.assert_allclose(denoised(np.full((2, 5, 6), 7, np.float32), Denoising()), 7)


def test_each_slice_is_denoised_by_itself():
    values, how = noisy(), Denoising(iterations=3, time_step=0.1)
    for index, section in enumerate(values):
        expected = sitk.GetArrayFromImage(sitk.CurvatureFlow(sitk.GetImageFromArray(section), 0.1, 3))
        np.testing.assert_allclose(denoised(values, how)[index], expected, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["zscore", "zscore_resampled"])
def test_scans_are_denoised_before_they_are_normalised_and_resampled(scheme):
    """Slices lie across the plan's first axis, whatever the scan's spacing."""
    array = noisy((20, 24, 4))[..., None]
    volume = volume_of(array, (0.4, 0.4, 3.0))
    plain, with_flow = (
        PreprocessingPlan((None, 0.6, 0.5), (Normalization("T2", scheme),), LABELS, (2, 0, 1), denoising=how) for how in (None, Denoising())
    )
    flowed = denoised(array[..., 0].transpose(2, 0, 1), Denoising()).transpose(1, 2, 0)[..., None]
    expected = preprocess_image(volume_of(flowed, volume.spacing), plain).image
    np.testing.assert_allclose(preprocess_image(volume, with_flow).image, expected, atol=1e-5)
    assert abs(preprocess_image(volume, plain).image - expected).max() > 0.05
    np.testing.assert_array_equal(volume.array, array)


def test_without_simpleitk_the_error_says_how_to_get_it(monkeypatch):
    original = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "SimpleITK":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"denoising needs SimpleITK, which is not installed\. Run pip install '\.\[dicom\]'"):
        denoised(noisy(), Denoising())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--denoise: denoising needs SimpleITK.*pip install"):
        before.check_planning(DataConfig(denoise=True))


@pytest.mark.parametrize("denoising", [Denoising(), None])
def test_a_model_that_denoises_is_refused_by_name_before_a_framework_is_loaded(denoising, tmp_path, monkeypatch):
    plan = PreprocessingPlan((None, 0.6, 0.5), (Normalization("T2", "zscore"),), LABELS, denoising=denoising)
    (tmp_path / "model.json").write_text(json.dumps(dataclasses.asdict(Companion((8, 8), (), plan))))
    (tmp_path / "model.keras").write_bytes(b"")
    assert [file.parent for file, _ in find_models(str(tmp_path))] == [tmp_path]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(predict, "load_tensorflow", lambda: pytest.fail("too late"))
    message = r"model\.keras was trained on denoised scans: denoising needs SimpleITK.*pip install" if denoising else "--image=nowhere"
    with pytest.raises(ConfigError, match=message):
        predict.run_prediction(PredictConfig(model=str(tmp_path), image="nowhere", output=str(tmp_path / "a.nii.gz")))
