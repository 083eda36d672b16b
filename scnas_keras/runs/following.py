"""The command that comes next, to be pasted: on the same data, with the same folds."""

import dataclasses
import itertools
import os
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from scnas_keras.declarations import config_of
from scnas_keras.flag_values import flag_text
from scnas_keras.formats.endings import is_picture
from scnas_keras.options import parse
from scnas_keras.tasks.names import KFOLD

_OF_DATA = (
    *("task", "data_dir", "cache_dir", "num_phantoms", "spacing", "resize", "normalization", "denoise", "plan", "configuration", "storage"),
    *("protocol", "num_folds", "split_seed", "architecture_share", "split", "splits", "group_pattern", "fold"),
)


def following(command: str, config: Any, **more: Any) -> str:
    """A command line: of a config's flags those that say which data, where they aren't as usual for its task, and more flags.

    A `workdir` that is there already gets a number.
    """
    task = getattr(config, "task", None)
    usual = parse(type(config), ["", *([f"--task={task}"] if task else [])])
    own = {field.name for field in dataclasses.fields(config)} & {field.name for field in dataclasses.fields(config_of(command))}
    given = {name: getattr(config, name) for name in _OF_DATA if name in own}
    if "workdir" in more:
        more["workdir"] = _unused(pathlib.Path(more["workdir"]))
    flags = {name: value for name, value in given.items() if name == "task" or value != getattr(usual, name)}
    for name in _of_no_use(config):
        flags.pop(name, None)
    flags |= {name: value for name, value in more.items() if value is not None}
    return shlex.join(["scnas", command, *(f"--{name}={flag_text(value)}" for name, value in flags.items())])


def _of_no_use(config: Any) -> set[str]:
    """Of what says which folds there are, flags that count for nothing beside another, and that commands refuse."""
    splits, holdout = getattr(config, "splits", None), getattr(config, "protocol", KFOLD) != KFOLD
    return {name for name, idle in {"num_folds": splits or holdout, "protocol": splits and holdout}.items() if idle}


def predict_one(folder: pathlib.Path, files: Sequence[str | os.PathLike]) -> str:
    """The command line that segments a scan, of one file or one a channel, with the network of a run."""
    image = ",".join(map(str, files)) or "SCAN"
    ending = ".png" if is_picture(pathlib.Path(image)) else ".nii.gz"
    return shlex.join(["scnas", "predict", f"--model={folder}", f"--image={image}", f"--output={folder / 'example'}{ending}", "--overlay"])


def _unused(folder: pathlib.Path) -> pathlib.Path:
    """The folder, or the first of FOLDER_2, FOLDER_3, ... that isn't there."""
    return next(own for number in itertools.count(1) if not (own := folder if number == 1 else pathlib.Path(f"{folder}_{number}")).exists())
