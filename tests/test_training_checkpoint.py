"""Checkpoints: what is kept, what is noticed, what is refused."""

import hashlib

import keras
import numpy as np
import pytest
from small_run import STEPS, SmallRun, small_network

from scnas_keras.errors import DataError
from scnas_keras.runs.checkpoint import restore_model
from scnas_keras.runs.checkpoint_files import BEST, CHECKPOINT, LAST, VERSION, CheckpointFolder, Damaged, pack, unpack
from scnas_keras.training.learner import Learner


def truncate(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def flip_a_bit(file):
    data = bytearray(file.read_bytes())
    data[len(data) * 3 // 4] ^= 4
    file.write_bytes(data)


def empty(file):
    file.write_bytes(b"")


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    """Files of a run of two epochs, saved after every step."""
    folder = tmp_path_factory.mktemp("two")
    run = SmallRun(folder, 2)
    run.loop.run()
    return folder, run


@pytest.fixture
def saved(two_epochs, tmp_path):
    for file in (two_epochs[0] / CHECKPOINT).iterdir():
        (tmp_path / CHECKPOINT).mkdir(exist_ok=True)
        (tmp_path / CHECKPOINT / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_packed_arrays_come_back_exactly():
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(3, 2)).astype("float32"), "b": np.array(7, "int64"), "c": np.zeros((0, 4))}
    state = {"x": [1.1, float("inf")], "text": "é\n"}
    found_state, found = unpack(pack(state, arrays))
    assert found_state == state and list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_every_flipped_bit_and_every_cut_is_noticed():
    data = pack({"x": 1}, {"a": np.arange(5)})
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(Damaged):
            unpack(bytes(changed))
        with pytest.raises(Damaged):
            unpack(data[:at])


def test_the_last_two_and_the_best_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        folder.write(LAST, step, {"step": step}, {})
    for step in (2, 3):
        folder.write(BEST, step, {"step": step}, {})
    names = ["last-000000003.ckpt", "best-000000003.ckpt", "last-000000002.ckpt"]
    assert [file.name for file in folder.files()] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_run_keeps_its_best_epoch(two_epochs):
    folder, run = two_epochs
    dice = [row["val_dice"] for row in run.history.rows]
    best = 1 + dice.index(max(dice))
    files = [file.name for file in (folder / CHECKPOINT).iterdir()]
    assert f"best-{best * STEPS:09d}.ckpt" in files and len(files) == 3 and run.position.best == max(dice)
    model = Learner(small_network(), 2)
    assert restore_model(folder, model, BEST)["position"]["epoch"] == best
    assert restore_model(folder, model)["position"]["finished"]
    for ours, theirs in zip(model.variables, run.model.variables):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_epoch_is_that_of_the_validation(tmp_path):
    """The second of three, though the Dice of the training run rises on."""
    run, found = SmallRun(tmp_path, 3), iter((0.3, 0.6, 0.4))
    run.loop._validate = lambda: {"loss": 0.5, "dice": next(found)}
    run.loop.run()
    assert run.history.rows[1]["dice"] < run.history.rows[2]["dice"]
    assert run.position.best == 0.6 and (tmp_path / CHECKPOINT / f"best-{2 * STEPS:09d}.ckpt").is_file()


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(damage, saved, two_epochs, caplog):
    newest, before = (saved / CHECKPOINT / f"last-{step:09d}.ckpt" for step in (2 * STEPS, 2 * STEPS - 1))
    (saved / CHECKPOINT / f"best-{2 * STEPS:09d}.ckpt").unlink(missing_ok=True)
    assert before.is_file()
    damage(newest)
    run = SmallRun(saved, 2)
    assert run.resumed and (run.position.epoch, run.position.step) == (1, STEPS - 1)
    assert str(newest) in caplog.text and "damaged" in caplog.text
    run.loop.run()
    for ours, theirs in zip(run.outcome[0], two_epochs[1].outcome[0]):
        np.testing.assert_array_equal(ours, theirs)
    assert CheckpointFolder(saved / CHECKPOINT).read()[0] == newest


def test_a_damaged_file_does_not_take_the_place_of_a_whole_one(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2):
        folder.write(LAST, step, {"step": step}, {})
    truncate(tmp_path / "last-000000002.ckpt")
    again = CheckpointFolder(tmp_path)
    assert again.read()[1] == {"step": 1}
    again.write(LAST, 2, {"step": 2}, {})
    again.write(LAST, 3, {"step": 3}, {})
    truncate(tmp_path / "last-000000003.ckpt")
    again = CheckpointFolder(tmp_path)
    assert again.read()[1] == {"step": 2}
    folder = again.write(LAST, 2, {"step": 2}, {}).parent
    assert not (folder / "last-000000003.ckpt").exists()


def test_what_a_killed_process_had_half_written_goes_with_the_next_saving(tmp_path):
    (tmp_path / ".last-000000001.ckpt.x1y2").write_bytes(b"half")
    CheckpointFolder(tmp_path).write(LAST, 1, {}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["last-000000001.ckpt"]


def test_without_a_whole_checkpoint_the_run_is_refused(saved):
    files = list((saved / CHECKPOINT).iterdir())
    for file in files:
        flip_a_bit(file)
    with pytest.raises(DataError, match="no checkpoint can be read") as caught:
        SmallRun(saved, 2)
    assert all(file.name in str(caught.value) for file in files) and "delete that folder" in str(caught.value)


def test_checkpoints_of_another_run_are_refused(saved, tmp_path):
    with pytest.raises(DataError, match="last-000000006.ckpt: was begun with other scans"):
        SmallRun(saved, 2, digest="other")
    with pytest.raises(DataError, match="batches of 4, and 1 devices now share batches of 6"):
        SmallRun(saved, 2, batch_size=6)
    with pytest.raises(DataError, match="belongs to another network"):
        SmallRun(saved, 2, optimizer=lambda: keras.optimizers.SGD(0.1))
    with pytest.raises(DataError, match="belongs to another network"):
        restore_model(saved, Learner(keras.Sequential([keras.Input((4, 4, 4, 1)), keras.layers.Conv3D(2, 1)]), 2))
    with pytest.raises(DataError, match="holds no checkpoint"):
        restore_model(tmp_path / "nothing", keras.Sequential([]))


def of_version(folder, version):
    """Makes a run's checkpoints those of another version; 1 had no number."""
    for file in (folder / CHECKPOINT).iterdir():
        state, arrays = unpack(file.read_bytes())
        assert state.pop("version") == VERSION
        file.write_bytes(pack(state if version == 1 else {"version": version, **state}, arrays))


def test_a_run_goes_on_from_a_checkpoint_of_the_version_before_or_is_refused_by_name(saved, two_epochs):
    (saved / CHECKPOINT / f"last-{2 * STEPS:09d}.ckpt").unlink()
    (saved / CHECKPOINT / f"best-{2 * STEPS:09d}.ckpt").unlink(missing_ok=True)
    of_version(saved, 1)
    files = {file: file.read_bytes() for file in (saved / CHECKPOINT).iterdir()}
    folder, newest = CheckpointFolder(saved / CHECKPOINT), saved / CHECKPOINT / f"last-{2 * STEPS - 1:09d}.ckpt"
    with pytest.raises(DataError, match=f"{newest}.*older version.*version 1.*the version before.*another --workdir.*Nothing was changed"):
        folder.check_version(oldest=2)
    with pytest.raises(DataError, match="older version.*Do as you like"):
        folder.check_version(2, "Do as you like.")
    folder.check_version(oldest=1)
    assert {file: file.read_bytes() for file in files} == files
    run = SmallRun(saved, 2)
    assert run.resumed
    run.loop.run()
    for ours, theirs in zip(run.outcome[0], two_epochs[1].outcome[0]):
        np.testing.assert_array_equal(ours, theirs)
    folder.check_version(oldest=2)


def test_a_checkpoint_of_a_newer_version_and_damaged_ones(saved, tmp_path):
    of_version(saved, VERSION + 1)
    with pytest.raises(DataError, match="newer version of scnas_keras. Update"):
        CheckpointFolder(saved / CHECKPOINT).check_version(oldest=1)
    for file in (saved / CHECKPOINT).iterdir():
        truncate(file)
    CheckpointFolder(saved / CHECKPOINT).check_version(oldest=2)  # `read` names the damage
    CheckpointFolder(tmp_path / "nothing").check_version(oldest=2)


def without(key):
    return lambda place: place.pop(key)


def of_value(key, value):
    return lambda place: place.__setitem__(key, value)


def as_epoch(logs):
    """A position in the middle of an epoch's end."""
    return lambda position: position.update(step=STEPS, logs=logs)


NAN = float("nan")
STATES = [
    *(((), without(key), key) for key in ("step", "at", "batch_size", "parts")),
    ((), of_value("step", "six"), "step"),
    ((), of_value("step", NAN), "step"),
    ((), of_value("batch_size", None), "batch_size"),
    ((), of_value("parts", [1]), "parts"),
    ((), of_value("version", {}), "version"),
    (("parts",), without("history"), "history"),
    (("parts",), of_value("history", "rows"), "history"),
    (("parts",), of_value("history", [{"epoch": "one"}]), "history"),
    (("parts",), of_value("history", [{"weather": 1.0}]), "history: found the quantity weather"),
    (("parts",), of_value("position", None), "position"),
    (("parts", "position"), without("epoch"), "position"),
    (("parts", "position"), of_value("epoch", NAN), "position: epoch"),
    (("parts", "position"), of_value("epoch", -1), "position: epoch"),
    (("parts", "position"), of_value("step", 10**400), "position: step"),
    (("parts", "position"), of_value("step", True), "position: step"),
    (("parts", "position"), of_value("best", NAN), "position: best"),
    (("parts", "position"), of_value("finished", "no"), "position: finished"),
    (("parts", "position"), as_epoch(["loss"]), "position: logs"),
    (("parts", "horizon"), of_value("seconds_since", NAN), "horizon: seconds_since"),
    (("parts", "horizon"), of_value("seconds_since", float("inf")), "horizon: seconds_since"),
    (("parts", "horizon"), of_value("done", 1.5), "horizon: done"),
    (("parts",), of_value("plateau", {"best": 0.5}), "plateau"),
    (("parts",), of_value("plateau", {"best": "low", "wait": 1}), "plateau: best"),
]


def rewritten(folder, change):
    """Changes the newest checkpoint, whose checksum is right; returns the file."""
    file = CheckpointFolder(folder / CHECKPOINT).files()[0]
    state, arrays = unpack(file.read_bytes())
    state, arrays = change(state, arrays) or (state, arrays)
    file.write_bytes(pack(state, arrays))
    return file


@pytest.mark.parametrize("place, change, named", STATES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_state_that_no_run_saves_is_refused_in_one_line(place, change, named, saved):
    def spoil(state, arrays):
        inner = state
        for key in place:
            inner = inner[key]
        change(inner)

    file = rewritten(saved, spoil)
    with pytest.raises(DataError) as caught:
        SmallRun(saved, 2)
    text = str(caught.value)
    assert text.startswith(f"{file}: ") and named in text and "another --workdir" in text and "\n" not in text, text


@pytest.mark.parametrize(
    "change",
    [
        without("model_0"),
        without("optimizer_1"),
        of_value("model_99", np.zeros(2, "float32")),
        of_value("model_x", np.zeros(2, "float32")),
        of_value("model_0", np.zeros((1, 2), "float32")),
        lambda arrays: arrays.update(model_0=np.full(arrays["model_0"].shape, "weight")),
        lambda arrays: arrays.update(model_0=arrays["model_0"].astype(complex)),
        lambda arrays: arrays.clear(),
    ],
)
def test_arrays_that_no_run_saves_are_refused_in_one_line(change, saved):
    file = rewritten(saved, lambda state, arrays: (change(arrays), (state, arrays))[1])
    with pytest.raises(DataError, match=f"{file}: belongs to another network.*Name another --workdir, or delete") as caught:
        SmallRun(saved, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [None, [], 3, "state"])
def test_a_state_that_is_no_object_is_damage(state, saved, caplog):
    file = rewritten(saved, lambda _, arrays: (state, arrays))
    CheckpointFolder(saved / CHECKPOINT).check_version(oldest=1)
    assert SmallRun(saved, 2).resumed
    assert f"{file}: damaged (its state is no JSON object)" in caplog.text


@pytest.mark.parametrize("payload", [b"", b"PK\x05\x06", b"\x93NUMPY", b"\x80\x04N.", pack({"x": 1}, {})[:-30]])
def test_what_is_no_archive_is_damage(payload):
    with pytest.raises(Damaged):
        unpack(b"scnas_keras checkpoint 1 sha256 " + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def test_a_history_is_taken_up_as_it_was(saved, two_epochs):
    """Numbers of epochs stay whole: history.csv is written anew with them."""
    run = SmallRun(saved, 2)
    assert repr(run.history.rows) == repr(two_epochs[1].history.rows)
