"""What the user's surroundings may not change."""

import dataclasses
import json
import os
import sys

import pytest
from processes import PYTHON, ROOT, run, with_package

from scnas_keras import options
from scnas_keras.options import option

SETTINGS = (
    "from scnas_keras.console import load_tensorflow; load_tensorflow(); import keras, tensorflow as tf; from keras import config;"
    "print(keras.backend.backend(), config.floatx(), config.epsilon(), config.image_data_format(), tf.keras.__version__ >= '3',"
    "__import__('gc').get_threshold()[0] == 50_000, tf.config.optimizer.get_experimental_options().get('disable_meta_optimizer', False))"
)


def test_the_users_settings_of_keras_do_not_count(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float16", "epsilon": 0.001, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    environment = with_package(HOME=str(tmp_path), KERAS_BACKEND="jax", TF_USE_LEGACY_KERAS="1")
    done = run(PYTHON, "-c", SETTINGS, env=environment)
    assert done.stdout.split() == ["tensorflow", "float32", "1e-07", "channels_last", "True", "True", "True"]


def test_graphs_are_optimised_where_there_is_a_gpu():
    gpu = "import tensorflow as tf; tf.config.list_physical_devices = lambda kind: ['gpu']; "
    nothing = "tf.config.experimental.set_memory_growth = lambda *words: None; "
    assert run(PYTHON, "-c", gpu + nothing + SETTINGS, env=with_package()).stdout.split()[-1] == "False"


@dataclasses.dataclass(frozen=True)
class Config:
    number: int = option(1, "A number.", "Group")


def test_a_crash_is_told_apart_from_what_the_user_can_fix(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x"])

    def fail(config):
        raise IndexError("inside")

    with pytest.raises(SystemExit) as caught:
        options.run(Config, fail, "x")
    errors = capsys.readouterr().err
    assert caught.value.code == 70 and "IndexError: inside" in errors and "a fault of scnas_keras" in errors


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="prints to a full disk as Linux plays it")
@pytest.mark.parametrize(
    "body", ["print('x')", "print('x' * 99999)", "[print('x'), sys.exit(1)]"], ids=["at the end", "at once", "with a code"]
)
def test_a_full_disk_under_what_is_printed_is_told_in_one_line(body):
    code = "import sys; sys.argv = ['x']; from test_console import Config; from scnas_keras.options import run; run(Config, lambda config: "
    environment = with_package()
    environment["PYTHONPATH"] += f":{ROOT / 'tests'}"
    done = run("sh", "-c", '"$0" -c "$1" > /dev/full', PYTHON, f"{code}{body}, 'x')", code=74, env=environment)
    assert done.stderr == "error: standard output can't be written: the disk is full. Make room, or print to another place.\n"


def test_names_that_a_terminal_cant_show_are_shown_in_escapes():
    code = "import sys; sys.argv = ['x']; from test_console import Config; from scnas_keras.options import run; run(Config, lambda config: "
    environment = with_package(PYTHONIOENCODING="ascii")
    environment["PYTHONPATH"] += f":{ROOT / 'tests'}"
    done = run(PYTHON, "-c", code + "print('M\\xfcller \\udcff'), 'x')", env=environment)
    assert done.stdout == "M\\xfcller \\udcff\n"
