"""The program `scnas`: commands by name, help, and completion in shells."""

import importlib
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import PYTHON, run, with_package

from scnas_keras import __version__, front_door
from scnas_keras.commands import commands
from scnas_keras.declarations import config_of

DOOR = (PYTHON, "-c", "import scnas_keras.front_door as door; door.main()")
"""What the program does that pip makes of setup.cfg's entry point."""


def door(*words, **options):
    return run(*DOOR, *words, env=with_package(), **options)


@pytest.mark.parametrize("start", [DOOR, (PYTHON, "-m", "scnas_keras")], ids=["program", "module"])
@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_alone_it_lists_the_commands_with_a_line_each(start, words, tmp_path):
    done = run(*start, *words, env=with_package(), cwd=tmp_path)
    assert not done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert list(lines) == list(commands())
    for line in lines.values():
        assert len(line) <= 110 and line.endswith("."), line


def test_it_says_which_version_it_is(tmp_path):
    assert door("--version", cwd=tmp_path).stdout == f"scnas_keras {__version__}\n"


def test_a_command_is_what_python_calls_by_its_module(tmp_path):
    here = door("draw", "--help", cwd=tmp_path).stdout
    assert here == run(PYTHON, "-m", "scnas_keras.draw", "--help", env=with_package(), cwd=tmp_path).stdout
    assert here == door("help", "draw", cwd=tmp_path).stdout
    message = "error: Name the architecture with --genotype=FILE and the figure with --output=FILE.\n"
    assert door("draw", cwd=tmp_path, code=2).stderr == message


def test_worker_processes_of_a_command_begin_as_under_python(tmp_path):
    """They import what is `__main__` anew, which must be the command and nothing that begins it again."""
    found = door("verify", "--data_dir=gone", cwd=tmp_path, code=2).stderr
    assert "gone: no such folder" in found
    seen = []
    program = (
        "import runpy, sys; import scnas_keras.front_door as door\n"
        "def look(*words, **more): print(words[0], sys.argv[1:], more)\n"
        "runpy.run_module = look; sys.argv = ['scnas', 'plan', '--output=x']; door.main()"
    )
    seen = run(PYTHON, "-c", program, env=with_package(), cwd=tmp_path).stdout
    assert seen == "scnas_keras.plan ['--output=x'] {'run_name': '__main__', 'alter_sys': True}\n"


@pytest.mark.parametrize(
    "word, told",
    [
        ("serch", "scnas serch: no such command. Did you mean search? The commands are verify, select,"),
        ("xyz", "scnas xyz: no such command. The commands are"),
        ("--task=brain", "scnas --task=brain: a command comes first, then its flags. The commands are"),
        ("", "scnas : no such command. The commands are"),
        ("search.config", "scnas search.config: no such command. Did you mean search?"),
    ],
)
def test_what_is_no_command_is_told_with_the_nearest(word, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scnas", word])
    with pytest.raises(SystemExit) as caught:
        front_door.main()
    said = capsys.readouterr()
    assert caught.value.code == 2 and told in said.err and not said.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_without_a_traceback(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*DOOR, "help"], stdout=full, stderr=subprocess.PIPE, text=True, env=with_package(), cwd=tmp_path)
    assert done.returncode == 74 and "Traceback" not in done.stderr and "standard output can't be written" in done.stderr


def test_help_of_what_is_no_command_is_none(tmp_path):
    assert "scnas serch: no such command. Did you mean search?" in door("help", "serch", cwd=tmp_path, code=2).stderr


@pytest.mark.parametrize("name", commands())
def test_a_commands_config_is_named_after_it(name):
    """By this other commands, and completion, find its flags."""
    package = importlib.import_module(f"scnas_keras.{name}")
    assert package.main.__annotations__["config"] is config_of(name)


BASH_TRIES = [
    ("scnas se", {"search", "select"}),
    ("scnas search --target_m", {"--target_mparams=", "--target_ms="}),
    ("scnas search --task=br", {"brain"}),
    ("scnas search --preset=", {"scnas", "short", "light_paper"}),
    ("scnas predict --mir", {"--mirror"}),
    ("scnas draw --genotype=here/geno", {"here/genotype.json"}),
    ("scnas search --task=brain --epo", {"--epochs="}),
    ("scnas nonsense --", set()),
]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize("line, found", BASH_TRIES)
def test_bash_completes(line, found, tmp_path):
    """As bash sets its variables, which also cuts words at `=`."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "genotype.json").touch()
    (tmp_path / "scnas.bash").write_text(door("completion", "--shell=bash").stdout)
    words = line.replace("=", " = ").split(" ")
    program = f"""
source scnas.bash
COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1}
compopt() {{ :; }}
_scnas
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    assert set(run("bash", "-c", program, cwd=tmp_path).stdout.split()) == found


ZSH_TRIES = {
    "scnas sel": "ect ",
    "scnas search --target_mp": "arams=",
    "scnas search --task=br": "ain ",
    "scnas draw --genotype=here/geno": "type.json ",
}


@pytest.mark.skipif(not shutil.which("zsh"), reason="there is no zsh")
def test_zsh_completes(tmp_path):
    """As a person has it, who presses the tabulator key."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "genotype.json").touch()
    (tmp_path / "_scnas").write_text(door("completion", "--shell=zsh").stdout)
    shown, own = pty.openpty()
    environment = with_package(TERM="dumb", ZDOTDIR=str(tmp_path))
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=own, stdout=own, stderr=own, cwd=tmp_path, env=environment, start_new_session=True)
    os.close(own)
    try:
        os.write(shown, b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; PS1=; echo rea''dy\n")
        _read_until(shown, "ready\r\n")
        for line, rest in ZSH_TRIES.items():
            os.write(shown, f"{line}\t".encode())
            _read_until(shown, line + rest)
            os.write(shown, b"\x15")  # takes the line back
    finally:
        shell.kill()
        shell.wait()
        os.close(shown)


def _read_until(terminal, wanted):
    said, end = "", time.monotonic() + 60
    while wanted not in said:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, f"{wanted!r} didn't come; this did: {said!r}"
        said += os.read(terminal, 65536).decode()
