"""Flags of runs that older versions began or finished."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from scnas_keras.assess import finished
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.crossval.trainings import Training, all_trainings
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import full_path
from scnas_keras.options import option, to_flagfile
from scnas_keras.planning.names import RULES
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.recorded import read_recorded, recorded
from scnas_keras.runs.run_data import check_data_files
from scnas_keras.runs.run_folder import open_run
from scnas_keras.search import SearchConfig
from scnas_keras.search.cost import REMEDY, SearchCost


@dataclasses.dataclass(frozen=True)
class Config:
    """Two flags of old, and three that are new since: one does by default what was always done, two don't."""

    workdir: str | None = option(None, "Folder.", "Run")
    sizes: tuple[int, ...] | None = option(None, "Sizes.", "Run")
    rate: float = option(0.1, "Rate.", "Run")
    pooling: str = option("average", "Pooling.", "Network", choices=("average", "max"), formerly="max")
    depth: int | None = option(None, "Depth.", "Network", formerly=4)


OLD = ("--workdir=run", "--sizes=8,8,16")


def flags_cfg(folder, *lines):
    folder.mkdir(exist_ok=True)
    (folder / "flags.cfg").write_text("".join(f"{line}\n" for line in lines))
    return folder / "flags.cfg"


def agree(name, there, here):
    return there == here


def test_a_flag_that_an_older_run_lacks_counts_as_its_former_default(tmp_path):
    from_file = read_recorded(Config, flags_cfg(tmp_path, *OLD))
    from_summary = recorded(Config, json.loads('{"workdir": "run", "sizes": [8, 8, 16]}'))
    expected = Config("run", (8, 8, 16), rate=0.1, pooling="max", depth=4)
    assert from_file == from_summary and from_file.config == expected and not from_file.unknown
    assert not from_file.differences(expected, agree)
    assert from_file.differences(Config("run", (8, 8, 8)), agree) == [
        "--sizes: 8,8,16 there, 8,8,8 here",
        "--pooling: max there, average here",
        "--depth: 4 there, auto here",
    ]


def test_a_flag_that_is_gone_is_named_unless_it_was_left_to_the_data(tmp_path):
    file = flags_cfg(tmp_path, *OLD, "--patience=auto", "--channels=3")
    assert read_recorded(Config, file).unknown == {"channels": "3"}
    found = recorded(Config, {"patience": None, "channels": 3, "widths": [1, 2]})
    assert found.unknown == {"channels": "3", "widths": "1,2"}
    assert "--channels: 3 there, no such flag here" in found.differences(found.config, agree)


@pytest.mark.parametrize("config", [Config(), Config("a b", (1,), 1e-7, "max", 0), SearchConfig(task="hippocampus"), RetrainConfig()])
def test_todays_flags_are_read_as_they_were(config, tmp_path):
    (tmp_path / "flags.cfg").write_text(to_flagfile(config))
    assert read_recorded(type(config), tmp_path / "flags.cfg").config == config
    assert recorded(type(config), json.loads(json.dumps(dataclasses.asdict(config)))).config == config


@pytest.mark.parametrize("config_class", [SearchConfig, RetrainConfig, CrossvalConfig])
def test_no_former_default_is_lost_in_a_flagfile(config_class):
    """Text that is None has no line in a flagfile, as a flag has that there wasn't yet."""
    for field in dataclasses.fields(config_class):
        assert field.metadata["formerly"] is None or field.type != str | None, field.name


def test_an_older_run_goes_on_in_its_folder(tmp_path):
    """The task's flagfile doesn't count for a flag that the run didn't have: it was written before."""
    older = RetrainConfig(task="hippocampus", workdir=str(tmp_path), epochs=7)
    lines = [line for line in to_flagfile(older).splitlines() if not re.match("--(spacing|preset|ema|on_collapse)=", line)]
    before = flags_cfg(tmp_path, *lines).read_bytes()
    assert open_run(str(tmp_path), older).path == tmp_path and (tmp_path / "flags.cfg").read_bytes() == before
    with pytest.raises(ConfigError, match="another run .--ema: 0.0 there, 0.9 here"):
        open_run(str(tmp_path), dataclasses.replace(older, ema=0.9))


def test_an_older_run_with_a_flag_that_is_gone_is_sent_to_its_own_version(tmp_path):
    older = RetrainConfig(task="phantom", workdir=str(tmp_path))
    flags_cfg(tmp_path, *to_flagfile(older).splitlines(), "--derived_stem_channels=64")
    with pytest.raises(
        ConfigError, match="--derived_stem_channels: 64 there, no such flag here.*in the version of scnas_keras that began it"
    ):
        open_run(str(tmp_path), older)


def test_a_run_goes_on_from_another_folder_and_with_its_data_elsewhere(tmp_path, monkeypatch):
    for name in ("data", "sub", "searched"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "searched")
    monkeypatch.chdir(tmp_path)
    begun = RetrainConfig(task="custom", data_dir="data", genotype="searched", plan="scnas", splits="~/splits.json", workdir="run")
    lines = to_flagfile(begun).splitlines()
    assert {f"--data_dir={tmp_path}/data", f"--genotype={tmp_path}/searched", "--plan=scnas"} <= {*lines}
    assert f"--splits={Path.home()}/splits.json" in lines
    flags_cfg(tmp_path / "run", *lines)
    monkeypatch.chdir(tmp_path / "sub")
    for genotype in ("../searched", str(tmp_path / "searched"), "../link/", "../sub/../searched"):
        again = dataclasses.replace(begun, data_dir="../data", genotype=genotype, workdir="../run")
        assert open_run(again.workdir, again).path == Path("../run")
    moved = dataclasses.replace(again, data_dir="/scratch/data", cache_dir="/scratch/cache", processes=2)
    assert open_run(moved.workdir, moved).path == Path("../run")
    with pytest.raises(ConfigError, match=f"--genotype: {tmp_path}/searched there, searched here"):
        open_run(again.workdir, dataclasses.replace(again, genotype="searched"))


def test_a_full_path_leads_where_the_short_one_led(tmp_path, monkeypatch):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    monkeypatch.chdir(tmp_path)
    assert full_path("link") == f"{tmp_path}/link" and full_path("./a/../b") == f"{tmp_path}/b"
    assert full_path("link/../b") == f"{tmp_path}/real/b"  # .. of the folder that the link leads to


def test_a_rule_for_plans_is_no_path():
    fields = {field.name: field for field in dataclasses.fields(RetrainConfig)}
    paths = {name for name, field in fields.items() if field.metadata["path"]}
    assert paths == {"workdir", "data_dir", "cache_dir", "plan", "splits", "genotype", "transfer_from"}
    assert fields["plan"].metadata["words"] == RULES


@pytest.mark.parametrize(
    "damage", [b"--epochs=\xff\xfe\n", b"\x00\x01", b"--epochs=9\n--flagfile=gone.cfg\n", b"epochs\n", b"--no_such=1\n"]
)
def test_flags_that_were_damaged_are_named_with_their_file(damage, tmp_path):
    (tmp_path / "flags.cfg").write_bytes(damage)
    with pytest.raises(ConfigError, match=str(tmp_path)) as caught:
        open_run(str(tmp_path), RetrainConfig(task="phantom", workdir=str(tmp_path)))
    assert "nother --workdir" in str(caught.value) or "Name another folder" in str(caught.value)


NONSENSE = (
    None,
    [],
    {},
    1,
    "x",
    {"result": None},
    {"flags": 1, "result": {}},
    {"flags": {}, "result": {"task": [], "cases": 1, "dice": "x"}},
)


@pytest.mark.parametrize("content", NONSENSE, ids=str)
def test_documents_of_nonsense_in_runs_folders_are_named_with_a_remedy(content, tmp_path):
    def refused(name, read):
        (tmp_path / name).write_text(json.dumps(content))
        with pytest.raises((DataError, ConfigError), match=f"{tmp_path / name}: .*(Restore|Name another|another --workdir)") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)

    training = Training("nnunet", 0, RetrainConfig(workdir=str(tmp_path)))
    refused("cost.json", lambda file: load(file, SearchCost, REMEDY))
    refused("summary.json", lambda file: training.summary())
    refused("summary.json", finished._read_summary)
    if content != {}:
        refused("data.json", lambda file: check_data_files(tmp_path, {}))


@pytest.mark.parametrize("lines", [("--epochs=many",), ("--preset=nnunet-1",)])
def test_a_value_that_this_version_does_not_take_is_named_with_its_file(lines, tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path / 'flags.cfg'}: .*{lines[0].partition('=')[2]}.*another version of scnas_keras"):
        read_recorded(RetrainConfig, flags_cfg(tmp_path, *lines))


def test_finished_trainings_of_an_older_version_count_in_a_crossvalidation(tmp_path):
    config = CrossvalConfig(task="phantom", networks="u_resnet", num_folds=3, epochs=2, workdir=str(tmp_path))
    training = all_trainings(config)[0]
    values = {name: value for name, value in dataclasses.asdict(training.config).items() if name not in ("ema", "on_collapse")}
    training.folder.mkdir(parents=True)
    (training.folder / "summary.json").write_text(json.dumps({"flags": values, "result": {"task": "Phantom", "dice": {}}}))
    assert training.summary()["result"] == {"task": "Phantom", "dice": {}}
    with pytest.raises(ConfigError, match="--ema: 0.0 there, 0.9 here"):
        all_trainings(dataclasses.replace(config, ema=0.9))[0].summary()
