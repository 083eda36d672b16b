"""What a command shows: its own log lines and errors, without the start-up chatter of its libraries."""

import contextlib
import gc
import logging as standard_logging
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator

from absl import flags, logging

from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.files import no_room

_state = {"quiet": False}


def is_quiet() -> bool:
    """Whether the command shows warnings and results only."""
    return _state["quiet"]


def set_up_logging(quiet: bool = False) -> None:
    """Log lines to stderr as `12:34:56 message`, only warnings if quiet."""
    _state["quiet"] = quiet
    flags.FLAGS.mark_as_parsed()  # absl holds its levels in flags
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    handler = logging.get_absl_handler()
    handler.setFormatter(standard_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.setLevel(standard_logging.WARNING if quiet else standard_logging.NOTSET)


def load_tensorflow() -> None:
    """Imports TensorFlow, looks for devices and sets both Keras and TensorFlow up; what it prints is shown only if that fails.

    Without a GPU it reports a search for CUDA as an error, which has frightened many.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault(
        "TF_ENABLE_ONEDNN_OPTS", "1"
    )  # TensorFlow leaves it off on CPUs without AVX-512: steps take several times as long
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    with _held_stderr():
        import keras
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
    gc.freeze()  # what was imported stays
    gc.set_threshold(50_000, 20, 20)  # tracing makes many objects, and few of them are garbage
    if keras.backend.backend() != "tensorflow":  # it was imported before
        raise ConfigError(f"KERAS_BACKEND={keras.backend.backend()}: this command needs KERAS_BACKEND=tensorflow.")
    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    for device in devices:
        tf.config.experimental.set_memory_growth(device, True)
    if devices:
        logging.info("computing on %d GPU", len(devices))
        return
    # On CPUs Grappler takes up to half of the time to the first step, and makes no step faster.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if os.path.exists("/dev/nvidia0"):
        logging.warning("computing on the CPU: there is a GPU, but TensorFlow has no CUDA for it; pip install '.[and-cuda]'")
    else:
        logging.info("computing on the CPU; no GPU found")


@contextlib.contextmanager
def while_read() -> Iterator[None]:
    """Ends the process as the system would end a simpler one where nobody reads on, as behind `| head`: with code 141, and in silence.

    Streams that whoever started it had closed lead nowhere.

    Raises:
        OutputError: there is no room for what was printed. (Of other files `files.writing` tells that.)
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # or Python complains when it flushes them at its end
            if stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
                os.dup2(nothing, stream.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.filename is not None or not (reason := no_room(error)):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"standard output can't be written: {reason}. Make room, or print to another place.") from error


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Keeps what the process, native code included, writes to stderr; writes it out if the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
