"""Which files a prediction reads and writes; the network is replaced by a threshold."""

import contextlib
import sys
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from absl import logging
from PIL import Image
from small_task import save

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.geometry import Volume
from scnas_keras.formats.volumes import read_label
from scnas_keras.predict import PredictConfig, main, predict, record
from scnas_keras.predict import runner as command
from scnas_keras.predict.inputs import collect_scans, read_scan

SHAPE = (4, 5, 6)
ONE, TWO = ("T1",), ("T1", "T2")


def scan(path, seed=0, shape=SHAPE):
    save(path, np.random.default_rng(seed).normal(size=shape).astype(np.float32))
    return path


def series(folder):
    pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")
    from test_formats_dicom import write_series

    return write_series(folder)


def outputs(scans, folder):
    return {item.name: ([path.name for path in item.files], str(item.output.relative_to(folder))) for item in scans}


def test_a_folder_of_scans_keeps_names_and_endings(tmp_path):
    folder = tmp_path / "in"
    for name in ("a.nii.gz", "B.NII", "c.nrrd", "d.mha", ".hidden.nii.gz"):
        scan(folder / "scan.nii.gz").rename(folder / name)
    for name in ("e.jpg", "f.tif"):
        Image.new("L", (3, 3)).save(folder / name)
    (folder / "notes.txt").write_text("")
    (folder / "more").mkdir()
    found = collect_scans(str(folder), str(tmp_path / "out"), channels=ONE)
    assert outputs(found, tmp_path / "out") == {
        "a": (["a.nii.gz"], "a.nii.gz"),
        "B": (["B.NII"], "B.nii"),
        "c": (["c.nrrd"], "c.nrrd"),
        "d": (["d.mha"], "d.mha"),
        "e": (["e.jpg"], "e.png"),
        "f": (["f.tif"], "f.png"),
    }


FILES = ("p_1_0000.nii.gz", "p_1_0001.nii.gz", "p_2_0000.nii.gz", "p_2_0001.nii.gz", "whole.nii.gz", "scan_0007.nii.gz", "scan_0008.nii.gz")


def test_numbers_of_channels_make_cases_if_the_model_has_channels(tmp_path):
    for name in FILES:
        scan(tmp_path / name)
    alone = {name: ([f"{name}.nii.gz"], f"{name}.nii.gz") for name in ("whole", "scan_0007", "scan_0008")}
    cases = {name: ([f"{name}_0000.nii.gz", f"{name}_0001.nii.gz"], f"{name}.nii.gz") for name in ("p_1", "p_2")}
    assert outputs(collect_scans(str(tmp_path), str(tmp_path / "out"), TWO), tmp_path / "out") == alone | cases
    assert len(collect_scans(str(tmp_path), str(tmp_path / "out"), ONE)) == len(FILES)


def test_dicom_folders_are_scans(tmp_path):
    first = series(tmp_path / "in" / "anna")
    series(tmp_path / "in" / "bert")
    assert outputs(collect_scans(str(tmp_path / "in"), str(tmp_path), ONE), tmp_path) == {
        name: ([name], f"{name}.nii.gz") for name in ("anna", "bert")
    }
    (tmp_path / "out").mkdir()
    assert outputs(collect_scans(str(first), str(tmp_path / "out"), ONE), tmp_path) == {"anna": (["anna"], "out/anna.nii.gz")}
    (single,) = collect_scans(str(first / "slice0.dcm"), str(tmp_path / "x.nrrd"), ONE)
    assert single.files == (first / "slice0.dcm",) and single.output == tmp_path / "x.nrrd"
    scan(first / "a.nii.gz")
    with pytest.raises(ConfigError, match="both DICOM slices and other scans .a.nii.gz"):
        collect_scans(str(first), str(tmp_path / "out"), ONE)


def test_files_of_channels_are_given_with_commas(tmp_path):
    files = [scan(tmp_path / f"a_{channel:04d}.nii.gz") for channel in (0, 1)]
    (found,) = collect_scans(",".join(map(str, files)), str(tmp_path), TWO)
    assert found.files == tuple(files) and found.output == tmp_path / "a.nii.gz"
    odd = scan(tmp_path / "b,c.nii.gz")
    assert collect_scans(str(odd), str(tmp_path / "x.nii"), TWO)[0].files == (odd,)


@pytest.mark.parametrize(
    "names, message",
    [
        ("a_0001 a_0000", "a_0001.nii.gz says 0001 and would be used as T1.*Give --image=.*a_0000.nii.gz,.*a_0001.nii.gz, or rename"),
        ("a_0001 a_0002", "a_0001.nii.gz says 0001 and would be used as T1.*The model has the channels 0000 T1, 0001 T2"),
        ("a_0000 a_0000", "a_0000.nii.gz says 0000 and would be used as T2"),
        ("a_0000 b_0001", "channels of 2 scans: a, b"),
        ("pat_T2 pat_T1", "pat_T2.nii.gz says T2 and would be used as T1.*Give --image=.*pat_T1.nii.gz,.*pat_T2.nii.gz"),
        ("t2-pat t1-pat", "t2-pat.nii.gz says T2"),
        ("pat_T1 pat_T2", None),
        ("pat_flair pat_T1", ": pat_T1.nii.gz says T1 and would be used as T2.*Give --image=.*pat_T1.nii.gz,.*pat_flair.nii.gz"),
        ("pat_flair pat_T2", None),  # one of them says nothing
        ("T1 T2_T1", None),  # the second says both
        ("second first", None),
        ("a_T1 b_T1", "a_T1.nii.gz and b_T1.nii.gz name the same channel, T1. Give one file for each of T1, T2, in this order"),
    ],
)
def test_names_and_use_of_channels_agree(tmp_path, names, message):
    image = ",".join(str(scan(tmp_path / f"{name}.nii.gz")) for name in names.split())
    if message is None:
        assert len(collect_scans(image, str(tmp_path / "out.nii.gz"), TWO)[0].files) == 2
    else:
        with pytest.raises(ConfigError, match=message):
            collect_scans(image, str(tmp_path / "out.nii.gz"), TWO)


def test_the_command_that_a_message_names_works(tmp_path):
    image = ",".join(str(scan(tmp_path / f"a_{number:04d}.nii.gz")) for number in (2, 0, 1))
    with pytest.raises(ConfigError) as caught:
        collect_scans(image, str(tmp_path / "out.nii.gz"), ("A", "B", "C"))
    given = str(caught.value).split("Give --image=")[1].split(", or rename")[0]
    (found,) = collect_scans(given, str(tmp_path / "out.nii.gz"), ("A", "B", "C"))
    assert [file.name for file in found.files] == [f"a_{number:04d}.nii.gz" for number in range(3)]


@pytest.mark.parametrize(
    "there, message",
    [
        ((0,), r"found 1\. By its name this is channel 0000; a_0001.nii.gz \(T2\) isn't there"),
        ((1,), r"found 1\. By its name this is channel 0001; a_0000.nii.gz \(T1\) isn't there"),
        ((0, 1), r"found 1\. The others are there: --image=.*a_0000.nii.gz,.*a_0001.nii.gz\."),
    ],
)
def test_a_channel_that_is_missing_is_named(tmp_path, there, message):
    files = [scan(tmp_path / f"a_{number:04d}.nii.gz") for number in there]
    (found,) = collect_scans(str(files[-1]), str(tmp_path / "out.nii.gz"), TWO)
    with pytest.raises(DataError, match=message):
        read_scan(found, TWO)


def test_channels_for_a_model_of_one_are_told(tmp_path, caplog):
    for name in ("scan_0000", "scan_0001"):
        scan(tmp_path / f"{name}.nii.gz")
    collect_scans(str(tmp_path), str(tmp_path / "out"), ONE)
    assert not caplog.text  # numbers of cases
    for name in ("a_0000", "a_0001"):
        scan(tmp_path / f"{name}.nii.gz")
    collect_scans(str(tmp_path), str(tmp_path / "out"), ONE)
    assert "By their names 0000, 0001 of a and others are channels of one scan. The model has one channel" in caplog.text


def test_files_that_are_not_read_are_told(tmp_path, caplog):
    scan(tmp_path / "a.nii.gz")
    (tmp_path / "b.mgz").write_text("")
    (tmp_path / "notes.txt").write_text("")
    assert len(collect_scans(str(tmp_path), str(tmp_path / "out"), ONE)) == 1
    assert "1 files are left out, such as b.mgz: a file that ends in .mgz is a FreeSurfer volume" in caplog.text


def test_of_a_missing_image_the_nearest_is_told(tmp_path):
    scan(tmp_path / "A.nii.gz")
    with pytest.raises(ConfigError, match=r"neither a file nor a folder. There is .*A.nii.gz: capitals and small letters differ"):
        collect_scans(str(tmp_path / "a.nii.gz"), str(tmp_path / "out.nii.gz"), ONE)


@pytest.mark.parametrize(
    "image, output, message",
    [
        ("a.nii.gz,gone.nii.gz", "x.nii.gz", "gone.nii.gz is neither a file nor a folder"),
        ("gone", "x.nii.gz", "neither a file nor"),
        ("a.nii.gz,empty", "x.nii.gz", "empty is a folder"),
        ("empty", "out", "found neither files"),
        ("a.nii.gz", "x.txt", "end in .nii.gz"),
        ("a.nii.gz", "x.png", r"end in .nii.gz, or another of (?!.*png)"),
        ("a.nii.gz", "gone/dir", "end in .nii.gz"),
        ("p.png", "x.jpg", "end in .nii.gz.*png"),
        ("twice", "out", "several scans.*out/a.png"),
        ("twice", "a.nii.gz", "must be a folder"),
    ],
)
def test_what_cannot_be_done_is_said(image, output, message, tmp_path):
    scan(tmp_path / "a.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for name in ("p.png", "twice/a.png", "twice/a.tif"):
        Image.new("L", (3, 3)).save(tmp_path / name)
    with pytest.raises(ConfigError, match=message):
        collect_scans(",".join(str(tmp_path / name) for name in image.split(",")), str(tmp_path / output), ONE)


@pytest.fixture
def threshold(monkeypatch, tmp_path):
    """Replaces the trained network by "channel 0 is positive"; returns a function that sets the number of its channels."""

    class Threshold:
        plan = types.SimpleNamespace(
            channels=(types.SimpleNamespace(channel="first", scheme="zscore"),), labels={0: "background", 1: "positive"}
        )

        seen = None
        dice = {}
        mirror_axes = (0,)

        @classmethod
        def load(cls, files):
            return cls()

        @property
        def members(self):
            return (self,)

        def unfamiliar(self, volume):
            return []

        def poor_dice(self):
            return None

        def segment(self, volume, mirror, scratch, keep):
            if volume.geometry.path.name.startswith("huge"):
                raise MemoryError
            if volume.array.shape[3] != len(self.plan.channels):
                raise DataError(f"{volume.geometry.path}: {volume.array.shape[3]} channels")
            return (volume.array[..., 0] > 0).astype(np.uint8)

    monkeypatch.setattr(command, "load_tensorflow", lambda: None)
    for name in ("model.keras", "model.json"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(command, "find_models", lambda path: [(tmp_path / "model.keras", Threshold)])
    monkeypatch.setitem(sys.modules, "scnas_keras.inference.ensemble", types.SimpleNamespace(Ensemble=Threshold))

    def set_channels(*names):
        channels = tuple(types.SimpleNamespace(channel=name, scheme="zscore") for name in names)
        Threshold.plan = types.SimpleNamespace(channels=channels, labels=Threshold.plan.labels)

    return set_channels


@contextlib.contextmanager
def told_in(caplog):
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    with caplog.at_level("INFO", logger="absl"):
        yield
    logging.set_verbosity(before)


def run(image, output, **flags):
    return predict(PredictConfig(model="model", image=str(image), output=str(output), **flags))


def test_a_bad_scan_does_not_stop_the_others(threshold, tmp_path, monkeypatch):
    folder, out = tmp_path / "in", tmp_path / "out"
    for index in range(4):
        scan(folder / f"{index}.nii.gz", index)
    (folder / "1.nii.gz").write_text("not a scan")
    scan(folder / "2.nii.gz", shape=(*SHAPE, 3))
    said = []
    monkeypatch.setattr(logging, "error", lambda text, *values: said.append(text % values))
    with pytest.raises(
        DataError, match=r"(?s)2 of 4 scans.*2 were written to .*the same command again.*\n  1: .*1\.nii\.gz.*\n  2: .*3 channels"
    ):
        run(folder, out)
    assert sorted(path.name for path in out.glob("*.gz")) == ["0.nii.gz", "3.nii.gz"] and len(said) == 2
    np.testing.assert_array_equal(read_label(out / "3.nii.gz")[0], nib.load(folder / "3.nii.gz").get_fdata() > 0)


def test_what_cant_be_written_or_held_in_memory_does_not_stop_the_others(threshold, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b", "huge", "z"):
        scan(folder / f"{name}.nii.gz", 1)
    (out / "b.nii.gz").mkdir(parents=True)
    with pytest.raises(DataError, match=r"(?s)2 of 4.*2 were written.*\n  b: .*out/b\.nii\.gz: can't be written.*\n  huge: .*more memory"):
        run(folder, out)
    assert sorted(path.name for path in out.glob("*.gz")) == ["a.nii.gz", "b.nii.gz", "z.nii.gz"]


def test_a_scan_that_a_few_voxels_would_take_all_contrast_of_is_refused(threshold, tmp_path):
    array = np.random.default_rng(0).uniform(60, 200, SHAPE).astype(np.float32)
    array[0, 0, 0] = 1e30
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "hot.nii.gz")
    with pytest.raises(DataError, match=r"hot.nii.gz: channel 0 \(first\): 1 voxels .* are 1e\+30"):
        run(tmp_path / "hot.nii.gz", tmp_path / "out.nii.gz")


def test_a_folder_of_scans_goes_into_a_folder(threshold, tmp_path):
    scan(tmp_path / "in" / "a.nii.gz", 1)
    with pytest.raises(ConfigError, match="called like a file"):
        run(tmp_path / "in", tmp_path / "out.nii.gz")
    with pytest.raises(ConfigError, match="a name between the commas is empty"):
        run(f"{tmp_path / 'in' / 'a.nii.gz'},", tmp_path / "out.nii.gz")


def test_a_place_that_cant_be_written_is_told_before_the_work(threshold, tmp_path):
    scan(tmp_path / "huge.nii.gz", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is no folder that can be written to"):
        run(tmp_path / "huge.nii.gz", tmp_path / "file" / "a.nii.gz")
    with pytest.raises(ConfigError, match="a name is longer than 255 bytes"):
        run(tmp_path / "huge.nii.gz", tmp_path / ("m" * 250 + ".nii.gz"))


@pytest.mark.parametrize("change", ["scan", "model", "mirror", "overlay", "record", None])
def test_what_would_be_made_again_as_it_is_is_left_out(threshold, tmp_path, change, caplog):
    for index in range(2):
        scan(tmp_path / "in" / f"{index}.nii.gz", index)
    out, flags = tmp_path / "out", {"overlay": True}
    assert run(tmp_path / "in", out, **flags) == [out / "0.nii.gz", out / "1.nii.gz"]
    assert run(tmp_path / "in", out, **flags) == []
    if change == "scan":
        scan(tmp_path / "in" / "1.nii.gz", 5)
    elif change == "model":
        (tmp_path / "model.json").write_text("another")
    elif change == "mirror":
        flags["mirror"] = True
    elif change == "overlay":
        (out / "1.png").unlink()
    elif change == "record":
        (out / "predictions.json").write_text("{")
    made = (0, 1) if change in ("model", "mirror", "record") else () if change is None else (1,)
    with told_in(caplog):
        assert run(tmp_path / "in", out, **flags) == [out / f"{number}.nii.gz" for number in made]
    told = {"record": "can't be read", "overlay": "1/2", None: "is there already"}
    assert told.get(change, f"was made with another {change}: it is made again") in caplog.text


def test_what_an_earlier_model_left_beside_a_segmentation_is_made_again(threshold, tmp_path, caplog):
    scan(tmp_path / "in" / "0.nii.gz", 0)
    out = tmp_path / "out"
    run(tmp_path / "in", out, overlay=True)
    (tmp_path / "model.json").write_text("another")
    assert run(tmp_path / "in", out) == [out / "0.nii.gz"]
    with told_in(caplog):
        assert run(tmp_path / "in", out, overlay=True) == [out / "0.nii.gz"]
    assert "0.png isn't of the last run that made 0.nii.gz" in caplog.text


def test_probabilities_of_tilted_slices_are_refused_before_the_work(threshold, tmp_path, monkeypatch):
    affine = np.eye(4)
    affine[0, 2] = 0.3
    volume = Volume(np.ones((4, 4, 4, 1), np.float32), (1.0, 1.0, 1.0), types.SimpleNamespace(path="a", header=None, affine=affine))
    monkeypatch.setattr(command, "read_scan", lambda *arguments: volume)
    scan(tmp_path / "in" / "0.nii.gz", 0)
    with pytest.raises(DataError, match="its slices are tilted.*Leave out --save_probabilities"):
        run(tmp_path / "in" / "0.nii.gz", tmp_path / "0.nii.gz", save_probabilities=True)


def test_a_segmentation_that_is_not_known_is_made_again_and_said(threshold, tmp_path, caplog):
    scan(tmp_path / "in" / "0.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.nii.gz").write_text("mine")
    with told_in(caplog):
        assert run(tmp_path / "in", tmp_path / "out") == [tmp_path / "out" / "0.nii.gz"]
    assert "0.nii.gz is there, and not known to be by this model" in caplog.text


def test_a_scan_that_cant_be_read_any_more_is_a_failure_of_its_own(threshold, tmp_path, monkeypatch):
    for index in range(2):
        scan(tmp_path / "in" / f"{index}.nii.gz", index)
    out = tmp_path / "out"
    run(tmp_path / "in", out)
    digest = record.digest_of

    def broken(path):
        if path.name == "0.nii.gz":
            raise OSError("gone")
        return digest(path)

    monkeypatch.setattr(record, "digest_of", broken)
    with pytest.raises(DataError, match=r"1 of 2 scans could not be segmented"):
        run(tmp_path / "in", out)


def test_a_segmentation_that_was_begun_anew_and_interrupted_isnt_known(threshold, tmp_path):
    scan(tmp_path / "in" / "0.nii.gz")
    run(tmp_path / "in", tmp_path / "out")
    scan(tmp_path / "in" / "0.nii.gz", shape=(*SHAPE, 3))
    with pytest.raises(DataError):
        run(tmp_path / "in", tmp_path / "out")
    assert "0.nii.gz" not in (tmp_path / "out" / "predictions.json").read_text()


def test_channels_in_files_of_their_own(threshold, tmp_path):
    threshold("first", "second")
    arrays = {}
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        arrays[name] = nib.load(scan(tmp_path / "in" / f"{name}.nii.gz", len(arrays))).get_fdata()
    out = tmp_path / "out"
    assert run(tmp_path / "in", out) == [out / "a.nii.gz", out / "b.nii.gz"]
    np.testing.assert_array_equal(read_label(out / "b.nii.gz")[0], arrays["b_0000"] > 0)
    run(f"{tmp_path}/in/a_0000.nii.gz,{tmp_path}/in/a_0001.nii.gz", tmp_path / "given.nii.gz")
    np.testing.assert_array_equal(read_label(tmp_path / "given.nii.gz")[0], arrays["a_0000"] > 0)
    (tmp_path / "in" / "b_0001.nii.gz").unlink()
    with pytest.raises(DataError, match="1 of 2 scans.*"):
        run(tmp_path / "in", out)
    threshold("first", "second", "third")
    with pytest.raises(DataError, match=r"needs 3 channels \(first, second, third\), found files for 2: a_0000\.nii\.gz, a_0001\.nii\.gz"):
        run(f"{tmp_path}/in/a_0000.nii.gz,{tmp_path}/in/a_0001.nii.gz", tmp_path / "x.nii.gz")


def test_pictures_become_pictures_of_their_size(threshold, tmp_path):
    array = np.random.default_rng(0).integers(0, 2, (7, 9)).astype(np.uint8) * 200
    Image.fromarray(array).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    assert run(tmp_path / "a.png", tmp_path / "out", overlay=True) == [tmp_path / "out" / "a.png"]
    with Image.open(tmp_path / "out" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), array > 0)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "a_overlay.png"]


def test_dicom_in_nrrd_out(threshold, tmp_path):
    folder = series(tmp_path / "scan")
    from test_formats_dicom import ARRAY, sitk

    run(folder, tmp_path / "out.nrrd")
    written = sitk.ReadImage(str(tmp_path / "out.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written).transpose(2, 1, 0), ARRAY > 0)


@pytest.mark.parametrize(
    "image, output, flags",
    [
        ("in", "in", {}),
        ("in/a.nii.gz", "in", {}),
        ("in/a.nii.gz", "in/link.nii.gz", {}),
        ("pictures/a.png", "pictures", {}),
        ("pictures/a.png", "pictures/a.nii.gz", {"overlay": True}),
    ],
)
def test_scans_are_never_overwritten(image, output, flags, threshold, tmp_path):
    source = scan(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "link.nii.gz").symlink_to(source)
    (tmp_path / "pictures").mkdir()
    Image.new("L", (3, 3)).save(tmp_path / "pictures" / "a.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="would overwrite the scan.*Nothing was changed"):
        run(tmp_path / image, tmp_path / output, **flags)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("flag", ["model", "image", "output"])
def test_missing_flags_are_named(flag):
    with pytest.raises(ConfigError, match=f"Missing: --{flag}; see"):
        predict(PredictConfig(**{"model": "m", "image": "i", "output": "o"} | {flag: None}))


def test_a_missing_image_is_told_before_the_network_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "load_tensorflow", lambda: pytest.fail("loaded"))
    plan = types.SimpleNamespace(channels=[types.SimpleNamespace(channel="CT")])
    monkeypatch.setattr(command, "find_models", lambda path: [(Path(path), types.SimpleNamespace(plan=plan))])
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        run(Path(tmp_path / "gone.nii.gz"), tmp_path / "out.nii.gz")


def test_a_prediction_is_deterministic_on_cpus_and_mirrors_on_request(threshold, tmp_path, monkeypatch):
    model, said = sys.modules["scnas_keras.inference.ensemble"].Ensemble, []
    segment = model.segment
    monkeypatch.setattr(model, "segment", lambda self, *own: said.append(own[1]) or segment(self, *own))
    monkeypatch.setattr(model, "mirror_axes", (0,), raising=False)
    monkeypatch.setattr("scnas_keras.machine.determinism.make_deterministic", lambda: said.append("deterministic"))
    scan(tmp_path / "a.nii.gz", 1)
    for mirror in (True, False):
        run(tmp_path / "a.nii.gz", tmp_path / f"{mirror}.nii.gz", mirror=mirror)
    assert said == ["deterministic", True, "deterministic", False]


@pytest.mark.parametrize("name, folder", [("lr=0.1", "lr=0.1_served"), ("own/model.keras", "own/model_served")])
def test_the_next_command_exports_beside_the_model(name, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("scnas_keras.predict.predict", lambda config: [])
    model = tmp_path / name
    file = model if model.suffix == ".keras" else model / "model.keras"
    file.parent.mkdir(parents=True)
    file.touch()
    following = main(PredictConfig(model=str(model)))
    assert following == f"scnas export --model={model} --output={tmp_path / folder}"


def test_after_a_prediction_by_several_networks_nothing_is_proposed(monkeypatch):
    monkeypatch.setattr("scnas_keras.predict.predict", lambda config: [])
    assert main(PredictConfig(model="one,two")) is None


def test_a_gray_picture_is_segmented_by_a_model_of_colours(tmp_path, caplog):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    (found,) = collect_scans(str(tmp_path / "a.png"), str(tmp_path / "out.png"), ("red", "green", "blue"))
    with caplog.at_level("INFO", logger="absl"):
        volume = read_scan(found, ("red", "green", "blue"))
    assert volume.array.shape == (4, 3, 1, 3) and (volume.array == volume.array[..., :1]).all()
    assert "a.png: gray alone" in caplog.text
    with pytest.raises(DataError, match="a.png: the model needs 3 channels"):
        read_scan(found, ("DAPI", "GFP", "RFP"))
