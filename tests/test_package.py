"""One file of a trained network: what is in it, and that nothing else gets out of it."""

import hashlib
import json
import struct
import tempfile
import warnings
import zipfile

import numpy as np
import pytest
from serving_cases import THREE, plan, pointwise, scan
from some_spaces import uniform_genotype

import scnas_keras
from scnas_keras.errors import DataError, UserError
from scnas_keras.formats.volumes import volume_of, write_label
from scnas_keras.inference import packaged
from scnas_keras.inference.companion import find_model, find_models
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.predictor import Predictor
from scnas_keras.package import PackageConfig, package
from scnas_keras.preprocessing.plan import PreprocessingPlan

SUMMARY = {
    "flags": {"optimizer": "adam", "learning_rate": 0.001, "data_dir": "/secret/place", "workdir": "/secret/run", "task": "custom"},
    "versions": {"keras": "3.15.0", "absent": None},
    "result": {
        "task": "Livers",
        "network": "nnunet",
        "parameters": 5601187,
        "updates": 84,
        "judged_on": "validation",
        "tolerance_mm": 2.0,
        "validation_images": ["/secret/place/smith_john.nii.gz"],
    },
}
CONCLUSIONS = ["It is not distinguishable.", "Its Dice may be too high.", "This shows it: scnas retrain --flagfile=/secret/place/flags.cfg"]
TABLE = "case,a,b\nsmith_john,0.8,0.7\nsmith_jane,0.9,nan\nmiller,0.7,0.5\n"
SURFACES = "case,class,nsd,hd95,assd\nsmith_john,a,0.9,3.5,1.0\nsmith_jane,a,0.8,2.5,1.0\nmiller,a,0.7,6.0,1.0\nsmith_john,b,0.0,,\n"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    SegmentationModel(pointwise(1, 3), PreprocessingPlan((1.0, 1.0, 1.2), plan().channels, THREE), (8, 8, 8)).save(folder)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    (folder / "validation.csv").write_text(TABLE)
    (folder / "surfaces.csv").write_text(SURFACES)
    (folder / "splits.json").write_text('[{"train": ["smith_john"], "val": ["miller"]}]')
    return folder


@pytest.fixture
def packed(run_folder, tmp_path):
    return package(PackageConfig(str(run_folder), str(tmp_path / "model.zip"), authors="A. Author", license="CC0"))


def test_a_package_segments_as_its_folder(run_folder, packed, tmp_path, command):
    image = scan((11, 12, 13), 1)
    expected = SegmentationModel.load(run_folder).segment(volume_of(image, (1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(Predictor.from_run(packed).predict(image, (1.0, 1.0, 1.0)), expected)
    volume = volume_of(image, (1.0, 1.0, 1.0))
    write_label(tmp_path / "scan.nii.gz", (image[..., 0]).astype(np.uint8), volume.geometry)
    for model, name in ((run_folder, "a.nii.gz"), (packed, "b.nii.gz")):
        command("scnas_keras.predict", model=model, image=tmp_path / "scan.nii.gz", output=tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_package_tells_how_good_the_network_is_and_of_nobody(packed):
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == ["model.json", "model.keras", "model_card.md", "package.json"]
        everything = b"".join(archive.read(name) for name in archive.namelist())
        card, manifest = archive.read("model_card.md").decode(), json.loads(archive.read("package.json"))
    assert "a (1), b (2)" in card and "parameters: 5.6 M" in card and "only 84 updates" in card
    for word in (b"secret", b"smith", b"miller", b"jane"):
        assert word not in everything
    assert "# Livers: a segmentation network" in card and "A. Author" in card and "CC0" in card and "no medical device" in card
    assert "| a | 3 | 0.800 |" in card and "| 0.800 | 4.00 |" in card and "NSD at 2 mm" in card
    assert "| b | 2 | 0.600 |" in card and "optimizer: adam" in card and "keras 3.15.0" in card and "absent" not in card
    assert manifest["about"]["metrics"]["a"]["dice"]["count"] == 3 and manifest["about"]["recipe"] == {
        "optimizer": "adam",
        "learning_rate": 0.001,
    }


def test_cases_are_told_when_asked(run_folder, tmp_path):
    path = package(PackageConfig(str(run_folder), str(tmp_path / "model.zip"), cases=True))
    folder = packaged.unpacked(path)
    assert (folder / "validation.csv").read_text() == TABLE and (folder / "surfaces.csv").read_text() == SURFACES


def test_of_a_selection_the_final_that_was_kept_is_told(run_folder, tmp_path):
    selected = tmp_path / "selected"
    final = selected / "finals" / "nnunet_seed_1"
    final.mkdir(parents=True)
    for name in ("model.keras", "model.json"):
        (selected / name).write_bytes((run_folder / name).read_bytes())
    uniform_genotype("conv_3").save(final / "genotype.json")
    for name in ("summary.json", "validation.csv"):
        (final / name).write_bytes((run_folder / name).read_bytes())
    (selected / "select.json").write_text(json.dumps({"kept": "nnunet_seed_1", "conclusions": CONCLUSIONS}))
    (selected / "summary.json").write_text("{}")
    path = package(PackageConfig(str(selected), str(tmp_path / "model.zip")))
    folder = packaged.unpacked(path)
    card = (folder / "model_card.md").read_text()
    assert "| a | 3 | 0.800 |" in card and "- It is not distinguishable." in card and "- Its Dice may be too high." in card
    assert "NSD" not in card and "secret" not in card
    assert (folder / "genotype.json").read_bytes() == (final / "genotype.json").read_bytes()
    with pytest.raises(UserError, match="is a package already"):
        package(PackageConfig(str(path), str(tmp_path / "again.zip")))
    (selected / "select.json").write_text("[]")
    with pytest.raises(DataError, match="select.json"):
        package(PackageConfig(str(selected), str(tmp_path / "again.zip")))


def test_a_model_without_a_run_is_packed_with_less(run_folder, tmp_path):
    for name in ("model.keras", "model.json"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    path = package(PackageConfig(str(tmp_path / "model.keras"), str(tmp_path / "model.zip"), intended_use="Tests."))
    card = (packaged.unpacked(path) / "model_card.md").read_text()
    assert "Not measured" in card and "Tests." in card
    with pytest.raises(UserError, match="--cases: .* has no validation.csv"):
        package(PackageConfig(str(tmp_path), str(tmp_path / "other.zip"), cases=True))


def rewritten(source, target, change):
    """A copy of a package of which `change` edits the members, name -> bytes; the manifest is made true again unless it says so."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    keep = change(members)
    if not keep:
        manifest = json.loads(members["package.json"])
        manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
            if name != "package.json"
        }
        members["package.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target


CHANGES = {
    "'../evil.py'": lambda members: members.update({"../evil.py": b"print()"}),
    "'/etc/evil'": lambda members: members.update({"/etc/evil": b""}),
    "'weights.pkl'": lambda members: members.update({"weights.pkl": b"\x80\x04."}),
    "lacks model.json": lambda members: members.pop("model.json") and None,
    "its digest differs": lambda members: (
        members.update({"model.json": members["model.json"].replace(b"background", b"backgrounD")}) or True
    ),
    "names other files than there are": lambda members: members.update({"model_card.md": b"", "genotype.json": b"{}"}) or True,
    "found broken JSON": lambda members: members.update({"package.json": b"{"}) or True,
    "version 2 can't be read": lambda members: (
        members.update({"package.json": members["package.json"].replace(b'"version": 1', b'"version": 2')}) or True
    ),
    "format: found": lambda members: members.update({"package.json": b'{"format": "other", "version": 1, "files": {}}'}) or True,
}


@pytest.mark.parametrize("words", CHANGES)
def test_packages_that_hold_something_else_are_refused(words, packed, tmp_path, monkeypatch):
    path = rewritten(packed, tmp_path / "changed.zip", CHANGES[words])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(DataError, match=words.replace(".", r"\.")):
        find_model(path)
    assert sorted(own.name for own in tmp_path.iterdir()) == ["changed.zip", "model.zip", "unpacked"]


def test_a_damaged_network_isnt_packed(run_folder, tmp_path):
    (tmp_path / "model.json").write_bytes((run_folder / "model.json").read_bytes())
    content = (run_folder / "model.keras").read_bytes()
    for damaged in (content[: len(content) // 2], content.replace(b"kernel", b"kernal")):
        (tmp_path / "model.keras").write_bytes(damaged)
        with pytest.raises(DataError, match="model.keras: damaged"):
            package(PackageConfig(str(tmp_path), str(tmp_path / "model.zip")))


def test_a_package_is_named_by_its_ending_in_any_case_and_its_damage_by_its_name(packed, tmp_path):
    assert Predictor.from_run(packed.rename(tmp_path / "MODEL.ZIP")).labels == THREE
    path = rewritten(tmp_path / "MODEL.ZIP", tmp_path / "wrong.zip", lambda members: members.update({"model.json": b"{}"}))
    with pytest.raises(DataError, match=r"wrong.zip: in it /model.json"):
        find_model(path)
    with pytest.raises(DataError, match="a name between the commas is empty"):
        find_models(f"{path},")


def test_many_members_of_one_name_are_refused_at_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20_000):
            archive.writestr("model.json", b"")
    with pytest.raises(DataError, match="holds 'model.json'"):
        find_model(tmp_path / "many.zip")


def test_a_package_leaves_nothing_behind_once_it_is_loaded(packed, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    (tmp_path / "unpacked").mkdir()
    assert Predictor.from_run(packed).labels == THREE and not list((tmp_path / "unpacked").iterdir())


def test_links_are_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == "model.json" else 0o100644) << 16
            archive.writestr(info, b"/etc/passwd" if name == "model.json" else content)
    with pytest.raises(DataError, match="model.json is a link"):
        find_model(tmp_path / "link.zip")


def test_encrypted_members_are_refused(packed, tmp_path):
    data = bytearray(packed.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"model.json"))
    data[place + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    with pytest.raises(DataError, match="model.json is a link or encrypted"):
        find_model(tmp_path / "secret.zip")


@pytest.mark.parametrize("member", ["model.keras", "model.json"])
@pytest.mark.parametrize("stored", [False, True])
def test_declared_sizes_that_cannot_be_are_refused(member, stored, packed, tmp_path):
    """10 GB, of which a few bytes are there; also where the archive says that they are stored."""
    data = bytearray(packed.read_bytes())
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(member.encode()))  # its entry in the directory at the end
    big = struct.pack("<I", 0xFFFFFFF0)
    data[place + 24 : place + 28] = big
    if stored:
        data[place + 20 : place + 24] = big
    (tmp_path / "big.zip").write_bytes(data)
    with pytest.raises(DataError, match="would take 4096 MiB"):
        find_model(tmp_path / "big.zip")


def test_damage_anywhere_is_an_error_of_ours_or_none(packed, tmp_path):
    """A byte flipped at 300 places, and the file cut off."""
    data, random, whole = packed.read_bytes(), np.random.default_rng(0), find_model(packed)[0].read_bytes()
    path = tmp_path / "damaged.zip"
    for place in random.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            file, _ = find_model(path)
        except UserError:
            continue
        assert file.read_bytes() == whole
    for length in (0, 10, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:length])
        with pytest.raises(DataError):
            find_model(path)


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"model": None}, "Missing: --model"),
        ({"output": "model.tar"}, "let the name end in .zip"),
        ({"output": "there.zip"}, "exists. Name another file"),
        ({"model": "gone"}, "gone"),
        ({"model": "gone.zip"}, "gone.zip is a package already"),
    ],
)
def test_package_says_what_is_wrong(flags, words, run_folder, tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(run_folder.parent)
    (run_folder.parent / "there.zip").touch()
    settings = {"model": run_folder, "output": tmp_path / "m.zip"} | flags
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.package", **{name: value for name, value in settings.items() if value is not None})
    assert caught.value.code == 2 and words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_predictor_says_what_it_takes(run_folder, tmp_path):
    predictor = scnas_keras.Predictor.from_run(run_folder)
    assert predictor.labels == THREE and predictor.channels == ("c0",)
    image = scan((9, 10, 11), 1)
    expected = predictor.predict(image, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(predictor.predict(image[..., 0], (1, 1, 1)), expected)
    for array, spacing, words in (
        (image[0, ..., 0], (1, 1, 1), "expected .x, y, z, channels. with 1 channel"),
        (np.repeat(image, 2, axis=3), (1, 1, 1), "expected .x, y, z, channels. with 1 channel"),
        (image, (1, 0, 1), "expected three sizes in mm above 0"),
        (image, (1, 1), "expected three sizes in mm above 0"),
        (image * np.nan, (1, 1, 1), "NaN or infinite"),
        (image.astype(complex), (1, 1, 1), "of type complex128"),
        (np.full((3, 3, 3), "x"), (1, 1, 1), "expected whole or real"),
        (image, "abc", "expected three sizes in mm above 0"),
        (image * 0, (1, 1, 1), "every voxel is 0"),
    ):
        with pytest.raises(DataError, match=words):
            predictor.predict(array, spacing)


def test_the_predictor_reads_and_writes_files(run_folder, tmp_path):
    predictor, image = scnas_keras.Predictor.from_run(run_folder), scan((9, 10, 11), 1)
    values = image[..., 0].astype(np.uint8)
    write_label(tmp_path / "scan.nii.gz", values, volume_of(image, (1.0, 1.0, 1.0)).geometry)
    found = predictor.predict_file(tmp_path / "scan.nii.gz", tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(found, predictor.predict(values, (1.0, 1.0, 1.0)))
    from scnas_keras.formats.volumes import read_label

    np.testing.assert_array_equal(read_label(tmp_path / "labels.nii.gz")[0], found)
    with pytest.raises(AttributeError, match="no attribute 'predictor_of'"):
        scnas_keras.predictor_of  # noqa: B018
