"""Model files that are damaged, made up or of another network: read as they were saved, or refused in one line; nothing runs."""

import errno
import io
import json
import random
import re
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import scnas_keras
from scnas_keras import files
from scnas_keras.errors import DataError, OutputError
from scnas_keras.inference.keras_file import CONFIG, MEMBERS, METADATA, WEIGHTS, load_network, save_network
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.machine.peak_memory import peak_bytes
from scnas_keras.networks.blocks import logits
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan

CHANNELS, CLASSES = 2, 3
PLAN = PreprocessingPlan((1.0, 1.0, 1.0), (Normalization("T1", "zscore"), Normalization("T2", "zscore")), {0: "background", 1: "a", 2: "b"})
RUNS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "os.remove", "os.rename", "socket.connect")


def network(channels=CHANNELS, classes=CLASSES, rank=3, width=4):
    """Two levels, so that patches must be even."""
    image = keras.Input((*[None] * rank, channels))
    convolution, pooling, growing = (getattr(keras.layers, f"{name}{rank}D") for name in ("Conv", "MaxPooling", "UpSampling"))
    fine = convolution(width, 3, padding="same", activation="relu")(image)
    coarse = growing(2)(pooling(2)(fine))
    return keras.Model(image, logits(keras.layers.Concatenate()([fine, coarse]), classes, "logits"))


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The members of a small network's file."""
    file = tmp_path_factory.mktemp("model") / "model.keras"
    network().save(file)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def refusal(folder, content):
    """What is said of a file; None if it is read."""
    file = folder / "model.keras"
    file.write_bytes(content)
    try:
        model = load_network(file)
    except DataError as error:
        assert str(error).startswith(f"{file}: ") and "\n" not in str(error) and len(str(error)) < 900
        return str(error)
    assert isinstance(model, keras.Model)
    return None


class Watch:
    """Notes what would be code of a file's that runs, while it is switched on: audit hooks stay for good."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        if self.on and (event in RUNS or event == "open" and arguments[1] not in (None, "r", "rb")):
            self.seen.append((event, arguments))


WATCH = Watch()


@pytest.fixture
def watched():
    WATCH.on, WATCH.seen = True, []
    yield
    WATCH.on = False
    assert not [found for found in WATCH.seen if "model.keras" not in str(found[1])]


def leaves(value, place=()):
    """The places of all values of a document."""
    yield place
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(item, (*place, key))


def edited(content, place, value):
    document = json.loads(content)
    if not place:
        return json.dumps(value).encode()
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return json.dumps(document).encode()


def flipped(content, rng, count=3):
    content = bytearray(content)
    for _ in range(count):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def spoil(kind, members, rng):
    """A file with one thing wrong."""
    if kind == "bytes flipped":
        return flipped(packed(members), rng)
    if kind == "cut off":
        return packed(members)[: rng.randrange(len(packed(members)))]
    if kind == "member removed":
        gone = rng.choice(MEMBERS)
        return packed({name: content for name, content in members.items() if name != gone})
    if kind == "members exchanged":
        one, other = rng.sample(MEMBERS, 2)
        return packed(members | {one: members[other], other: members[one]})
    if kind == "arrays damaged":
        return packed(members | {WEIGHTS: flipped(members[WEIGHTS], rng, 20)})
    name = {"description edited": CONFIG, "version edited": METADATA}[kind]
    place = rng.choice(list(leaves(json.loads(members[name]))))
    nonsense = rng.choice(
        [None, True, -1, 0, 10**7, 10**30, 1.5, float("nan"), "", "x", "keras.Model", [], [[]], {}, {"class_name": "Lambda"}]
    )
    return packed(members | {name: edited(members[name], place, nonsense)})


KINDS = ("bytes flipped", "cut off", "member removed", "members exchanged", "description edited", "arrays damaged", "version edited")


@pytest.mark.parametrize("count", [14, pytest.param(84, marks=pytest.mark.nightly)])
def test_a_spoilt_file_is_read_or_refused_in_one_line_and_runs_nothing(count, members, tmp_path, watched, record_property):
    rng, refused, before = random.Random(count), dict.fromkeys(KINDS, 0), peak_bytes()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        refused[kind] += refusal(tmp_path, spoil(kind, members, rng)) is not None
    record_property("refused", refused)
    assert all(refused[kind] == count // len(KINDS) for kind in ("cut off", "member removed", "members exchanged")), refused
    assert refused["bytes flipped"] and refused["description edited"], refused
    assert peak_bytes() - before < 2**29


def test_a_whole_file_is_read_also_packed_anew(members, tmp_path):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert refusal(tmp_path, packed(members, compression)) is None
        again = scnas_keras.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again.get_weights()[0], load_network(tmp_path / "model.keras").get_weights()[0])


def bomb(members):
    return packed(members | {CONFIG: b" " * 2**28}, zipfile.ZIP_DEFLATED)


def heavy(members):
    return packed(members | {WEIGHTS: bytes(2**27)}, zipfile.ZIP_DEFLATED)


def many_weights(members):
    return packed(members | {CONFIG: members[CONFIG].replace(b'"filters": 3', b'"filters": 4000000')})


def with_array(members, write):
    stream = io.BytesIO(members[WEIGHTS])
    with h5py.File(stream, "r+") as file:
        write(file)
    return packed(members | {WEIGHTS: stream.getvalue()})


def huge_array(members):
    return with_array(members, lambda file: file.create_dataset("huge", (10**6, 10**6), "f4", chunks=(1000, 1000)))


def outer_link(members):
    return with_array(members, lambda file: file.__setitem__("elsewhere", h5py.ExternalLink("/etc/passwd", "/x")))


def outer_bytes(members):
    return with_array(members, lambda file: file.create_dataset("elsewhere", (4,), "u1", external=[("/etc/hostname", 0, 4)]))


def stranger(name, mode=0o100600):
    def pack(members):
        stream = io.BytesIO(packed(members))
        with zipfile.ZipFile(stream, "a") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"/etc/passwd")
        return stream.getvalue()

    return pack


def linked(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == WEIGHTS else 0o100600) << 16
            archive.writestr(info, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "make, words",
    [
        (bomb, "config.json would take 256 MiB, of which 0.2 are stored"),
        (heavy, "model.weights.h5 would take 128 MiB"),
        (many_weights, r"config.json describes a network of \d{8} weights, and model.weights.h5 holds \d{3}\."),
        (huge_array, "model.weights.h5: 'huge' isn't stored as Keras stores weights"),
        (outer_link, "model.weights.h5: 'elsewhere' is a link to elsewhere"),
        (outer_bytes, "model.weights.h5: 'elsewhere' isn't stored as Keras stores weights"),
        (stranger("assets/words.txt"), "holds .*'assets/words.txt', expected config.json, metadata.json, model.weights.h5"),
        (stranger("../../outside"), "holds .*outside"),
        (stranger("model.weights.h5"), "holds "),
        (linked, "model.weights.h5 is a link"),
        (lambda members: packed(members | {CONFIG: b"[" * 10**5}), "RecursionError"),
    ],
)
def test_what_would_take_or_reach_more_than_a_network_is_refused(make, words, members, tmp_path, watched):
    content, before = make(members), peak_bytes()
    assert re.search(words, refusal(tmp_path, content))
    assert peak_bytes() - before < 2**27


def test_a_file_of_another_keras_says_which_and_what_to_do(members, tmp_path):
    newer = members[CONFIG].replace(b'"filters": 4', b'"new_option": null, "filters": 4')
    assert newer != members[CONFIG]
    said = refusal(tmp_path, packed(members | {CONFIG: newer}))
    assert f"by Keras {keras.__version__}" in said and "new_option" in said and "Copy it again" in said
    other = json.dumps(json.loads(members[METADATA]) | {"keras_version": "9.1.0"}).encode()
    said = refusal(tmp_path, packed(members | {CONFIG: newer, METADATA: other}))
    assert "It was saved by Keras 9.1.0: install that one, or train the network again." in said
    assert refusal(tmp_path, packed(members | {METADATA: other})) is None


def two_inputs():
    images = [keras.Input((None, None, None, 1)) for _ in range(2)]
    return keras.Model(images, keras.layers.Concatenate()(images))


def flat():
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])


def pooled():
    image = keras.Input((None, None, None, 2))
    return keras.Model(image, keras.layers.GlobalAveragePooling3D()(image))


@pytest.mark.parametrize(
    "make, words",
    [(two_inputs, "it takes 2 inputs"), (flat, "its input is [any, 8]"), (pooled, "from [any, any, any, any, 2] it makes [any, 2]")],
)
def test_a_model_that_segments_nothing_is_refused(make, words, tmp_path):
    make().save(tmp_path / "model.keras")
    with pytest.raises(DataError) as caught:
        load_network(tmp_path / "model.keras")
    assert f"isn't a segmentation network: {words}. Name one that maps" in str(caught.value)


@pytest.mark.parametrize(
    "other, patch, words",
    [
        ({"channels": 1}, (8, 8, 8), "takes 1 channel, and the plan has 2"),
        ({"classes": 5}, (8, 8, 8), "gives logits of 5 classes, and the plan has 3"),
        ({"rank": 2}, (8, 8, 8), "takes patches of any x any, and patch_size is [8, 8, 8]"),
        ({}, (8, 7, 8), "takes patches of multiples of [2, 2, 2], and patch_size is [8, 7, 8]"),
    ],
)
def test_a_network_of_another_plan_is_refused(other, patch, words, tmp_path):
    SegmentationModel(network(**other), PLAN, patch).save(tmp_path)
    with pytest.raises(DataError) as caught:
        SegmentationModel.load(tmp_path)
    assert f"{words}: {tmp_path / 'model.json'} is of another network. Copy both again" in str(caught.value)


@pytest.mark.parametrize("late", [True, False])
def test_a_network_that_cant_be_written_leaves_the_one_before(late, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"before")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((files.os, "fsync", full) if late else (keras.Sequential, "save", lambda model, path: full(None))))
    with pytest.raises(OutputError, match=r"model.keras: can't be written: the disk is full. \d+\.\d kB are needed"):
        save_network(keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1)]), path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_weights_of_another_shape_are_refused(members, tmp_path):
    network(width=8).save(tmp_path / "wide.keras")
    with zipfile.ZipFile(tmp_path / "wide.keras") as archive:
        wide = archive.read(WEIGHTS)
    assert "can't be read as a Keras model" in refusal(tmp_path, packed(members | {WEIGHTS: wide}))


def test_a_file_under_another_name_is_not_taken_for_an_older_format(members, tmp_path):
    (tmp_path / "model.h5").write_bytes(packed(members))
    with pytest.raises(DataError, match="a model file's name ends in .keras"):
        load_network(tmp_path / "model.h5")
