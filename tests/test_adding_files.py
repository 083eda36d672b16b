"""The rest of what docs/architecture.md says under "To add something", done to the letter in a copy of the package."""

import shutil
from pathlib import Path

import pytest
from processes import PYTHON, ROOT, run, with_package
from small_training import FLAGS

LOSS = '''
class TverskyLoss(SegmentationLoss):
    """One minus the Tversky index (Salehi et al., arXiv 1706.05721) of all voxels."""

    flag = TVERSKY

    def __init__(self, alpha: float = 0.7, name: str = "tversky", **kwargs):
        super().__init__(name=name, **kwargs)
        self.alpha = alpha

    @property
    def couples_items(self) -> bool:
        return True

    def values(self, labels, logits):
        logits, truth, _ = self.prepare(labels, logits)
        found = ops.softmax(logits)
        hits, missed, wrong = (ops.sum(own[..., 1:]) for own in (found * truth, (1 - found) * truth, found * (1 - truth)))
        return 1 - hits / (hits + self.alpha * missed + (1 - self.alpha) * wrong + 1e-6) + ops.zeros(ops.shape(logits)[:1], logits.dtype)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}


'''
COMMAND = {
    "__init__.py": '''"""python -m scnas_keras.census --data_dir=DIR

Counts the files in a folder.
"""

from scnas_keras.census.config import CensusConfig


def census(config: CensusConfig) -> int:
    from scnas_keras.census.runner import run_census

    return run_census(config)


def main(config: CensusConfig) -> None:
    print(census(config))
''',
    "__main__.py": '''"""The command; `scnas_keras.census` describes it."""

from scnas_keras import census
from scnas_keras.options import run

if __name__ == "__main__":
    run(census.CensusConfig, census.main, census.__doc__)
''',
    "config.py": '''"""The options of `scnas_keras.census`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class CensusConfig:
    """Settings of a census."""

    data_dir: str = option(".", "The folder.", "Data")
    deepest: int = option(1, "Folders in folders that are looked into.", "Data")
''',
    "runner.py": '''"""Counts files."""

import pathlib

from scnas_keras.census.config import CensusConfig
from scnas_keras.errors import ConfigError


def run_census(config: CensusConfig) -> int:
    folder = pathlib.Path(config.data_dir)
    if not folder.is_dir():
        raise ConfigError(f"--data_dir={folder}: is no folder. Name one.")
    return sum(path.is_file() for path in folder.iterdir())
''',
}


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy of the package, which programs that run there import."""
    shutil.copytree(ROOT / "scnas_keras", tmp_path / "scnas_keras", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def insert(file, before, text):
    content = file.read_text()
    assert content.count(before) == 1
    file.write_text(content.replace(before, text + before))


def in_copy(copy, *words, code=0):
    return run(PYTHON, "-m", *words, code=code, cwd=copy, env=with_package(PYTHONPATH=str(copy), SCNAS_CACHE_DIR=str(copy / "cache")))


@pytest.mark.nightly
def test_a_loss_is_trained_with(copy):
    losses, names = (copy / "scnas_keras" / "training" / name for name in ("losses.py", "names.py"))
    insert(losses, "LOSSES: dict", LOSS.lstrip())
    insert(losses, "DICE, DICE_CE, FOCAL, JACCARD\n", "TVERSKY, ")
    insert(names, " = LOSS_NAMES", ", TVERSKY")
    insert(names, ')\n"""What can be minimised', ', "tversky"')
    assert "focal, tversky" in " ".join(in_copy(copy, "scnas_keras.retrain", "--help").stdout.split())
    flags = ("--network=unet", "--width=2", "--epochs=1", "--steps_per_epoch=1", "--workdir=run", "--loss=tversky")
    in_copy(copy, "scnas_keras.retrain", *FLAGS, *flags)
    _, row = (copy / "run" / "history.csv").read_text().splitlines()
    assert 0 < float(row.split(",")[1]) < 1.5
    assert "--loss=tversky" in (copy / "run" / "flags.cfg").read_text()


def test_a_command_answers_and_runs(copy):
    package = copy / "scnas_keras" / "census"
    package.mkdir()
    for name, text in COMMAND.items():
        (package / name).write_text(text)
    lint = Path(PYTHON).with_name("lint-imports")
    run(lint, "--no-cache", code=1, cwd=copy, env=with_package(PYTHONPATH=str(copy)))
    insert(copy / "pyproject.toml", '    "verify | plan | predict | evaluate",', '    "census",\n')
    run(lint, "--no-cache", cwd=copy, env=with_package(PYTHONPATH=str(copy)))
    helped = in_copy(copy, "scnas_keras.census", "--help")
    assert helped.stdout.startswith("python -m scnas_keras.census --data_dir=DIR") and "--deepest" in helped.stdout and not helped.stderr
    assert in_copy(copy, "scnas_keras.census", "--data_dir=scnas_keras/census").stdout == "4\n"
    refused = in_copy(copy, "scnas_keras.census", "--data_dir=gone", code=2)
    assert refused.stderr == "error: --data_dir=gone: is no folder. Name one.\n"
    known = in_copy(copy, "scnas_keras.plan", "--search:deepest=x", code=2).stderr  # other commands know its flags
    assert "--search:deepest=x: " in known and "'x'" in known and "no command" not in known
