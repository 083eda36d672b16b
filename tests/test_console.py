"""What the user's surroundings may not change."""

import json

from processes import PYTHON, run, with_package

SETTINGS = (
    "from scnas_keras.console import load_tensorflow; load_tensorflow(); import keras, tensorflow as tf; from keras import config;"
    "print(keras.backend.backend(), config.floatx(), config.epsilon(), config.image_data_format(), tf.keras.__version__ >= '3')"
)


def test_the_users_settings_of_keras_do_not_count(tmp_path):
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float16", "epsilon": 0.001, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    environment = with_package(HOME=str(tmp_path), KERAS_BACKEND="jax", TF_USE_LEGACY_KERAS="1")
    done = run(PYTHON, "-c", SETTINGS, env=environment)
    assert done.stdout.split() == ["tensorflow", "float32", "1e-07", "channels_last", "True"]
