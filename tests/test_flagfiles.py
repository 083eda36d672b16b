"""Flagfiles as people write them: lines that would be read as something else are refused, with how they should read."""

import re

import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.options import parse, to_run_flagfile
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.recorded import read_recorded


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a flagfile of bytes, or of lines under a comment."""
    monkeypatch.chdir(tmp_path)

    def read(*lines):
        content = lines[0] if isinstance(lines[0], bytes) else "".join(f"{line}\n" for line in ("# mine", *lines)).encode()
        (tmp_path / "own.cfg").write_bytes(content)
        return parse(RetrainConfig, ["command", "--flagfile=own.cfg"])

    return read


@pytest.mark.parametrize(
    "line, fault, meant",
    [
        ("--epochs = 5", "blanks around =", "--epochs=5"),
        ("--epochs= 5", "blanks around =", "--epochs=5"),
        ("--workdir = runs/x", "blanks around =", "--workdir=runs/x"),
        ("--epochs 5", "no = behind the flag's name", "--epochs=5"),
        ('--epochs="5"', "quotes, which only a shell takes off", "--epochs=5"),
        ("--group_pattern='^LIDC-\\d+'", "quotes, which only a shell takes off", "--group_pattern=^LIDC-\\d+"),
        ("--workdir=\u201cruns/x\u201d", "quotes, which only a shell takes off", "--workdir=runs/x"),
        ('"--epochs=5"', "quotes, which only a shell takes off", "--epochs=5"),
        ("--epochs=5  # short", "a comment behind the value", "--epochs=5"),
        ("--epochs=5 #short", "a comment behind the value", "--epochs=5"),
        ("--epochs=5 // short", "a comment behind the value", "--epochs=5"),
        ("--mirror  # slow", "a comment behind the value", "--mirror"),
        ("--preset=short # quick", "a comment behind the value", "--preset=short"),
        ("--workdir=runs/x # first try", "a comment behind the value", "--workdir=runs/x"),
        ("--workdir=runs/x  #first", "a comment behind the value", "--workdir=runs/x"),
        ("--epochs=5 \\", "a backslash at the end", "--epochs=5"),
        ("--workdir=runs/x\\", "a backslash at the end", "--workdir=runs/x"),
        ("--mirror \\", "a backslash at the end", "--mirror"),
        ("--workdir=runs/x --epochs=5", "another flag behind it", "--workdir=runs/x"),
        ("epochs=5", "no -- right before the flag", "--epochs=5"),
        ("epochs: 5", "no -- right before the flag and no = behind the flag's name", "--epochs=5"),
        ("search:epochs=5", "no -- right before the flag", "--search:epochs=5"),
        ("\u2013epochs=5", "no -- right before the flag", "--epochs=5"),
        ('--retrain:epochs = "5"  # short', "a comment .* and quotes, .* and blanks around =", "--retrain:epochs=5"),
    ],
)
def test_a_line_that_is_written_otherwise_than_a_flag_is_refused_with_how_it_should_read(line, fault, meant, read):
    with pytest.raises(ConfigError, match=rf"^own.cfg, line 2: {re.escape(line)}: found {fault}\. Write {re.escape(meant)} and") as caught:
        read(line)
    assert "\n" not in str(caught.value)
    read(meant)


@pytest.mark.parametrize("line", ["5", "[training]", "}", "learning-rate=3", "; comment", "export --epochs=5", "python -m x --epochs=5"])
def test_a_line_without_any_flag_is_refused(line, read):
    with pytest.raises(ConfigError, match="^own.cfg, line 2: .*: found no flag. Write --NAME=VALUE"):
        read(line)


@pytest.mark.parametrize(
    "value", ["runs/a b", "runs/try #2", "runs/#1", "a=b/c", "runs/x --fast", "runs/it's", "r\u00fcns/x", "http://x", "C:\\runs\\x"]
)
def test_blanks_and_signs_of_a_path_are_its_own(value, read):
    assert read(f"--workdir={value}").workdir == value


@pytest.mark.parametrize("value", ["a # b", "a  #b", '"a"', "a\\", "a --b=c"])
def test_a_path_that_looks_like_a_slip_is_taken_where_it_exists(value, read, tmp_path):
    with pytest.raises(ConfigError, match="line 2: "):
        read(f"--workdir={value}")
    (tmp_path / value).mkdir()
    assert read(f"--workdir={value}").workdir == value


@pytest.mark.parametrize("value", ["a", '"a" or "b"', "it's", "a#b", "a b", "=", "r\u00fcns"])
@pytest.mark.parametrize("folder", ["a", "p # x", '"a"', "a\\", "a  #b", '"a" or "b"', "a --b=c", "it's", "=", "r\u00fcns"])
def test_what_the_command_line_takes_a_runs_flagfile_gives_back(folder, value, tmp_path):
    config = parse(RetrainConfig, ["command", f"--group_pattern={value}", f"--workdir={tmp_path / folder}"])
    (tmp_path / folder).mkdir()
    (tmp_path / "flags.cfg").write_text(to_run_flagfile(config))
    assert parse(RetrainConfig, ["command", f"--flagfile={tmp_path / 'flags.cfg'}"]) == config


@pytest.mark.parametrize("value", ["^p # x", '"a"', "a\\", "// x", "a --b=c"])
def test_a_pattern_that_a_flagfile_would_not_give_back_is_refused(value):
    with pytest.raises(
        ConfigError,
        match="^--group_pattern=.*: a run's flagfile can't keep it .(a comm|anoth|a back|quot).*In a pattern write",
    ):
        to_run_flagfile(RetrainConfig(group_pattern=value))


def test_a_flag_of_text_without_a_value_does_not_take_the_next_line(read):
    with pytest.raises(ConfigError, match="line 2: --workdir: found no value. Write --workdir=VALUE"):
        read("--workdir", "--epochs=5")


@pytest.mark.parametrize("line", ["---epochs=5", "--workdir=a  # mine", '--workdir="a"'])
def test_a_runs_file_is_read_as_any(line, tmp_path):
    (tmp_path / "flags.cfg").write_text(to_run_flagfile(RetrainConfig(epochs=3)) + line + "\n")
    with pytest.raises(ConfigError, match="flags.cfg, line .*found"):
        parse(RetrainConfig, ["command", f"--flagfile={tmp_path / 'flags.cfg'}"])


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "--epochs=5",
        lambda text: "\n" + text.replace("--epochs", ";#\t--epochs").replace(";", ""),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("--epochs=5\n", ""),
    ],
)
def test_a_runs_file_that_was_edited_is_not_cut_off(edit, tmp_path):
    text = to_run_flagfile(RetrainConfig(epochs=5))
    (tmp_path / "flags.cfg").write_text(edit(text), newline="")
    assert parse(RetrainConfig, ["command", f"--flagfile={tmp_path / 'flags.cfg'}"]).batch_size is None
    (tmp_path / "flags.cfg").write_text("\n" + text[: len(text) // 2])
    with pytest.raises(ConfigError, match="cut off: its last line, # end, is missing"):
        parse(RetrainConfig, ["command", f"--flagfile={tmp_path / 'flags.cfg'}"])


def test_a_file_in_a_file_may_have_any_name_that_exists(read, tmp_path):
    (tmp_path / "f # 4.cfg").write_text("--epochs=5\n")
    assert read("--flagfile=f # 4.cfg").epochs == 5


def test_utf_16_without_a_mark_is_told(read):
    with pytest.raises(ConfigError, match="own.cfg: holds bytes of 0, as UTF-16 .*Save the file as UTF-8"):
        read("--epochs=5\n".encode("utf-16-le"))


def test_what_hides_misspelt_flags_is_refused(read):
    for lines in (("--undefok", "--epochs=5"), ("--undefok=epoch", "--epoch=5")):
        with pytest.raises(ConfigError, match="--undefok.*: every flag has to be known. Leave it out"):
            read(*lines)


def test_text_is_not_switched_off(read):
    with pytest.raises(ConfigError, match="--noworkdir is no flag of this command"):
        read("--noworkdir")


def test_a_value_behind_no_is_told():
    with pytest.raises(ConfigError, match="nomirror.*true.*See --help"):
        parse(RetrainConfig, ["command", "--nomirror=true"])


@pytest.mark.parametrize("value", ["runs/a ", "a\nb", "a\u2028b"])
def test_what_a_flagfile_cannot_hold_is_refused(value):
    with pytest.raises(ConfigError, match="--workdir='.*': a blank at an end or a line break, which a flagfile can't hold"):
        to_run_flagfile(RetrainConfig(workdir=value))


def test_numbers_in_a_runs_flagfile_are_looked_at_as_in_any(tmp_path):
    text = to_run_flagfile(RetrainConfig(epochs=3)).replace("--epochs=3", "--epochs=3  # longer")
    (tmp_path / "flags.cfg").write_text(text)
    with pytest.raises(ConfigError, match="found a comment behind the value. Write --epochs=3 and nothing else"):
        parse(RetrainConfig, ["command", f"--flagfile={tmp_path / 'flags.cfg'}"])


@pytest.mark.parametrize("value", ['"a" or "b"', '"a', "'a' in \u201cb\u201d"])
def test_quotes_in_a_pattern_are_its_own(value, read):
    assert read(f"--group_pattern={value}").group_pattern == value


def test_what_else_lines_may_be(read):
    config = read(
        "", "  # indented", "// so too", "  --epochs=5  ", "-batch_size=2", "--spacing=1, 1, 2.5", "--mirror", "--group_pattern=a b#"
    )
    assert (config.epochs, config.batch_size, config.spacing, config.mirror) == (5, 2, (1, 1, 2.5), True)
    assert config.group_pattern == "a b#"


def test_files_in_files_are_looked_at_as_well(read, tmp_path):
    (tmp_path / "inner.cfg").write_text("--epochs = 5\n")
    with pytest.raises(ConfigError, match="^inner.cfg, line 1: --epochs = 5: "):
        read("  --flagfile=inner.cfg")
    (tmp_path / "inner.cfg").write_text("--epochs=5\n")
    assert read("--flagfile=inner.cfg", "--batch_size=2").epochs == 5
    with pytest.raises(ConfigError, match="leads back to the file itself"):
        read("--flagfile=own.cfg")


def test_a_runs_flags_that_were_edited_are_refused_with_their_line(tmp_path):
    (tmp_path / "flags.cfg").write_text("--epochs=5  # longer\n")
    with pytest.raises(ConfigError, match=r"flags.cfg, line 1: --epochs=5  # longer: .*nother --workdir"):
        read_recorded(RetrainConfig, tmp_path / "flags.cfg")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_marks_of_windows_say_how_a_file_is_written(encoding, read):
    text = "--workdir=r\u00fcns\r\n--epochs=5\r\n"
    assert read((text if encoding != "utf-16-be" else f"\ufeff{text}").encode(encoding)).workdir == "r\u00fcns"


def test_a_file_in_another_encoding_is_named(read):
    with pytest.raises(ConfigError, match="--flagfile=own.cfg: byte 11 is no text in UTF-8 .*Save the file as UTF-8"):
        read("--workdir=r\u00fcns\n".encode("latin-1"))
