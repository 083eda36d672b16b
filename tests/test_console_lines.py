"""What a command shows beside its result: progress, the next command, fewer lines with --quiet, and the log of a run."""

import os
import pathlib
import pty
import re
import select
import shlex
import subprocess
import termios

import pytest
from absl import logging
from processes import PYTHON, run, with_package

from scnas_keras import progress
from scnas_keras.log_file import collect_lines, keep_log, note
from scnas_keras.options import parse
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.following import following, predict_one
from scnas_keras.search.config import SearchConfig
from scnas_keras.verify.config import VerifyConfig

WORK = """
import sys, time
from scnas_keras import console, progress
progress.SILENT = 0.2
console.set_up_logging(len(sys.argv) > 1)
for number in progress.each(range(8), "Reading", 8):
    time.sleep(0.1)
print("result")
"""


def on_a_terminal(*words) -> str:
    """What a process writes to a pseudo-terminal."""
    shown, own = pty.openpty()
    termios.tcsetwinsize(own, (24, 100))
    process = subprocess.Popen([str(word) for word in words], stdout=own, stderr=own, env=with_package())
    os.close(own)
    text = b""
    while select.select([shown], [], [], 60)[0]:
        try:
            part = os.read(shown, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    process.wait()
    os.close(shown)
    return text.decode()


def test_on_a_terminal_a_bar_shows_the_time_left():
    shown = on_a_terminal(PYTHON, "-c", WORK)
    assert re.search(r"Reading:\s+\d+%\|.*8 \[\d\d:\d\d<\d\d:\d\d", shown) and "\r" in shown and "result" in shown


def test_in_a_pipe_there_are_lines_and_no_control_characters(tmp_path):
    done = run(PYTHON, "-c", WORK, env=with_package(), cwd=tmp_path)
    assert done.stdout == "result\n" and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    lines = [line.split(maxsplit=1)[1] for line in done.stderr.splitlines()]
    assert 1 <= len(lines) <= 4 and all(re.fullmatch(r"Reading: \d of 8 cases, left 0:0\d", line) for line in lines), lines


def test_quiet_shows_neither(tmp_path):
    assert run(PYTHON, "-c", WORK, "quiet", env=with_package(), cwd=tmp_path).stderr == ""
    assert on_a_terminal(PYTHON, "-c", WORK, "quiet") == "result\r\n"


def test_no_progress_is_shown_of_nothing():
    assert list(progress.each([], "Reading", 0)) == []


COMMAND = """
import dataclasses
from absl import logging
from scnas_keras.options import option, run

@dataclasses.dataclass(frozen=True)
class ThreadConfig:
    threads: int = option(1, "How many.", "Work")

def main(config):
    logging.info("working")
    logging.warning("doubtful")
    print("result")
    return "scnas predict --model='my run'"

run(ThreadConfig, main, "doc")
"""


@pytest.mark.parametrize("words, shown", [([], True), (["--quiet"], False), (["--quiet=false"], True)])
def test_a_command_ends_with_what_comes_next(words, shown, tmp_path):
    done = run(PYTHON, "-c", COMMAND, *words, env=with_package(), cwd=tmp_path)
    assert done.stdout == "result\n" and "doubtful" in done.stderr
    assert ("working" in done.stderr) == shown
    assert done.stderr.endswith("Next: scnas predict --model='my run'\n") == shown and ("Next" in done.stderr) == shown


def test_of_commands_that_another_runs_only_that_one_says_what_comes_next(tmp_path):
    done = run(PYTHON, "-c", COMMAND, env=with_package(SCNAS_KERAS_PARENT=str(os.getpid())), cwd=tmp_path)
    assert "working" in done.stderr and "Next" not in done.stderr


FAILING = COMMAND.replace('print("result")', "keep_log(pathlib.Path('log.txt')); raise {error}")


@pytest.mark.parametrize(
    "error, code, last", [("ConfigError('no such thing')", 2, "ERROR error: no such thing"), ("KeyError('x')", 70, "KeyError: 'x'")]
)
def test_how_a_command_ended_is_in_its_log(error, code, last, tmp_path):
    program = "import pathlib\nfrom scnas_keras.errors import ConfigError\nfrom scnas_keras.log_file import keep_log\n"
    run(PYTHON, "-c", program + FAILING.format(error=error), env=with_package(), cwd=tmp_path, code=code)
    assert (tmp_path / "log.txt").read_text().rstrip().endswith(last)


def test_the_next_command_has_the_data_and_the_folds_and_not_what_is_usual():
    words = ["", "--task=hippocampus", "--data_dir=/my data", "--num_folds=3", "--fold=2", "--group_pattern=p\\d+", "--epochs=7"]
    line = following("retrain", parse(SearchConfig, words), genotype="runs/a", workdir="runs/b", preset=None)
    assert shlex.split(line) == [
        *("scnas", "retrain", "--task=hippocampus", "--data_dir=/my data", "--num_folds=3", "--group_pattern=p\\d+", "--fold=2"),
        *("--genotype=runs/a", "--workdir=runs/b"),
    ]
    config = parse(RetrainConfig, shlex.split(line)[1:][:1] + shlex.split(line)[2:])
    assert (config.data_dir, config.num_folds, config.fold, config.genotype) == ("/my data", 3, "2", "runs/a")


def test_the_next_command_has_only_flags_that_it_knows():
    line = following("verify", parse(SearchConfig, ["", "--task=custom", "--num_folds=3", "--spacing=1,1,2"]))
    assert line == "scnas verify --task=custom --spacing=1.0,1.0,2.0"
    assert parse(VerifyConfig, shlex.split(line)[1:]).spacing == (1.0, 1.0, 2.0)


def test_what_takes_a_task_s_flag_away_is_in_the_next_line():
    """nuclei.cfg brings pictures to one size."""
    flags = ["", "--task=nuclei", "--resize=auto", "--architecture_share=0.5"]
    line = following("retrain", parse(SearchConfig, flags), genotype="RUN", preset=None)
    assert line == "scnas retrain --task=nuclei --resize=auto --architecture_share=0.5 --genotype=RUN"
    assert parse(RetrainConfig, line.split()[1:]).resize is None


@pytest.mark.parametrize(
    "files, image, output",
    [
        (["a/scan.nii.gz"], "a/scan.nii.gz", "run/example.nii.gz"),
        (["a/0.nii.gz", "a/1.nii.gz"], "a/0.nii.gz,a/1.nii.gz", "run/example.nii.gz"),
        (["a/photo.png"], "a/photo.png", "run/example.png"),
        (["a/series"], "a/series", "run/example.nii.gz"),
        ([], "SCAN", "run/example.nii.gz"),
    ],
)
def test_a_scan_to_try_is_named_in_its_own_format(files, image, output):
    found = shlex.split(predict_one(pathlib.Path("run"), files))
    assert found == ["scnas", "predict", "--model=run", f"--image={image}", f"--output={output}", "--overlay"]


def test_a_log_has_every_line_from_the_commands_begin_with_dates(tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    file = tmp_path / "log.txt"
    collect_lines()
    logging.info("before there is %s", "a folder")
    keep_log(file)
    logging.warning("in the run")
    note("error: at its end")
    collect_lines()  # another command begins
    logging.info("of another")
    note("error: of another")
    lines = file.read_text().splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "INFO before there is a folder",
        "WARNING in the run",
        "ERROR error: at its end",
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    collect_lines()
    keep_log(file)  # the same run goes on
    logging.info("again")
    collect_lines()
    assert file.read_text().splitlines()[:3] == lines and file.read_text().endswith("INFO again\n")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cant_be_written_stops_nothing(tmp_path, capsys):
    collect_lines()
    for file in ("/dev/full", tmp_path / "gone" / "log.txt"):
        keep_log(pathlib.Path(file))
        logging.info("a line")
    collect_lines()
    assert "Traceback" not in capsys.readouterr().err
