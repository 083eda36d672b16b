"""Flags of runs that older versions began or finished."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from scnas_keras import options
from scnas_keras.architectures.registry import footprint
from scnas_keras.assess import finished
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.crossval.trainings import Training, all_trainings
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import full_path
from scnas_keras.options import option, to_flagfile
from scnas_keras.planning.names import RULES
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.recorded import read_recorded, recorded
from scnas_keras.runs.run_data import check_data_files
from scnas_keras.runs.run_folder import open_run
from scnas_keras.search import SearchConfig
from scnas_keras.search.cost import REMEDY, SearchCost


@dataclasses.dataclass(frozen=True)
class Config:
    """Two flags of old, and two that are new since."""

    workdir: str | None = option(None, "Folder.", "Run")
    sizes: tuple[int, ...] | None = option(None, "Sizes.", "Run")
    rate: float = option(0.1, "Rate.", "Run")
    pooling: str = option("average", "Pooling.", "Network", choices=("average", "max"))


OLD = ("--workdir=run", "--sizes=8,8,16")
DATA = Path(__file__).parent / "data" / "version_2"
"""What the version before left (45c145f, whose checkpoints have version 2) of a training run, one by --plan=scnas and a search."""
_SIZES = ("--num_phantoms=6", "--num_folds=3", "--patch_size=16,16,16", "--batch_size=2", "--steps_per_epoch=2", "--validation_steps=1")
_SHARED = ("--task=phantom", "--cache_dir=cache", "--processes=1", *_SIZES)
TRAINING = (*_SHARED, "--network=u_resnet", "--width=4", "--epochs=1")
SCNAS_PLAN = ("--plan=scnas", "--epochs=60", "--checkpoint_minutes=0.001")
SEARCH = (*_SHARED, "--stem_channels=4", "--width=4", "--epochs=1")


def flags_cfg(folder, *lines):
    folder.mkdir(exist_ok=True)
    (folder / "flags.cfg").write_text("".join(f"{line}\n" for line in lines))
    return folder / "flags.cfg"


def older_run(kind, folder, *finished):
    """A copy of a run's folder of the version before, unfinished unless its summary is named."""
    folder.mkdir(parents=True)
    for name in ("flags.cfg", "plans.json", "splits.json", *finished):
        shutil.copy(DATA / kind / name, folder)
    return folder


def agree(name, there, here):
    return there == here


def test_a_flag_that_an_older_run_lacks_counts_as_its_default(tmp_path):
    from_file = read_recorded(Config, flags_cfg(tmp_path, *OLD))
    from_summary = recorded(Config, json.loads('{"workdir": "run", "sizes": [8, 8, 16]}'))
    expected = Config("run", (8, 8, 16), rate=0.1, pooling="average")
    assert from_file == from_summary and from_file.config == expected and not from_file.unknown
    assert not from_file.differences(expected, agree)
    assert from_file.differences(Config("run", (8, 8, 8), pooling="max"), agree) == [
        "--sizes: 8,8,16 there, 8,8,8 here",
        "--pooling: average there, max here",
    ]


def test_a_flag_that_is_gone_is_named_unless_it_was_left_to_the_data(tmp_path):
    file = flags_cfg(tmp_path, *OLD, "--patience=auto", "--channels=3")
    assert read_recorded(Config, file).unknown == {"channels": "3"}
    found = recorded(Config, {"patience": None, "channels": 3, "widths": [1, 2]})
    assert found.unknown == {"channels": "3", "widths": "1,2"}
    assert "--channels: 3 there, no such flag here" in found.differences(found.config, agree)


@pytest.mark.parametrize("config", [Config(), Config("a b", (1,), 1e-7, "max"), SearchConfig(task="hippocampus"), RetrainConfig()])
def test_todays_flags_are_read_as_they_were(config, tmp_path):
    (tmp_path / "flags.cfg").write_text(to_flagfile(config))
    assert read_recorded(type(config), tmp_path / "flags.cfg").config == config
    assert recorded(type(config), json.loads(json.dumps(dataclasses.asdict(config)))).config == config


@pytest.mark.parametrize("kind, command", [("training", TRAINING), ("scnas_plan", (*TRAINING, *SCNAS_PLAN)), ("search", SEARCH)])
def test_a_run_of_the_version_before_goes_on_in_its_folder(kind, command, tmp_path, monkeypatch):
    """Both by the command that began it, and by the flagfile in its folder."""
    monkeypatch.chdir(tmp_path)
    config_class = SearchConfig if kind == "search" else RetrainConfig
    run = older_run(kind, tmp_path / "run")
    before = (run / "flags.cfg").read_bytes()
    for arguments in ((*command, "--workdir=run"), (f"--flagfile={run}/flags.cfg", "--workdir=run"), ("--flagfile", "run/flags.cfg")):
        config = options.parse(config_class, ["command", *arguments])
        assert config.preset is None and (config.accumulate, config.plan) == (1, "scnas" if kind == "scnas_plan" else "nnunet")
        assert open_run(str(run), config).path == run and (run / "flags.cfg").read_bytes() == before
    with pytest.raises(ConfigError, match="another run .--epochs: [0-9]+ there, 99 here"):
        open_run(str(run), dataclasses.replace(config, epochs=99))


def test_the_papers_preset_is_another_in_flagfiles_of_ones_own_and_in_runs_of_today(tmp_path):
    for lines in ("--preset=scnas\n--task=hippocampus\n--workdir=run\n", to_flagfile(RetrainConfig(preset="scnas"))):
        (tmp_path / "flags.cfg").write_text(lines)
        assert options.parse(RetrainConfig, ["command", f"--flagfile={tmp_path}/flags.cfg"]).preset == "scnas"
    assert read_recorded(RetrainConfig, tmp_path / "flags.cfg").config.preset == "scnas"
    over = [f"--flagfile={DATA / 'training' / 'flags.cfg'}", "--preset=scnas"]
    assert options.parse(RetrainConfig, ["command", *over]).preset == "scnas"


def test_plan_and_folds_of_the_version_before_are_compared_with_todays(tmp_path):
    """Its plan by the rules nnunet is today's; that by the rules scnas isn't, and can be gone on with as a file."""
    run, other = older_run("training", tmp_path / "run"), older_run("scnas_plan", tmp_path / "other")

    def fold(folder, **changes):
        config = read_recorded(RetrainConfig, folder / "flags.cfg").config
        config = dataclasses.replace(config, cache_dir=str(tmp_path / "cache"), workdir=str(folder), **changes)
        return config, open_fold(config, footprint("u_resnet", 4))

    fold(run)[1].check(run)
    files = {file: file.read_bytes() for file in other.iterdir()}
    with pytest.raises(DataError, match=f"an older version planned otherwise.*add --plan={other}/plans.json to the command"):
        fold(other)[1].save(other)
    assert {file: file.read_bytes() for file in other.iterdir()} == files
    config, opened = fold(other, plan=str(other / "plans.json"))
    opened.check(other)
    open_run(str(other), config).begin(config)
    assert f"--plan={other}/plans.json" in (other / "flags.cfg").read_text().splitlines()
    with pytest.raises(ConfigError, match=f"--plan: nnunet there, {other}/plans.json here"):
        open_run(str(run), dataclasses.replace(read_recorded(RetrainConfig, run / "flags.cfg").config, plan=str(other / "plans.json")))


def test_a_finished_training_of_the_version_before_counts_in_a_crossvalidation(tmp_path):
    sizes = {"num_phantoms": 6, "num_folds": 3, "patch_size": (16, 16, 16), "batch_size": 2, "baseline_width": (4,)}
    length = {"epochs": 1, "steps_per_epoch": 2, "validation_steps": 1}
    config = CrossvalConfig(task="phantom", networks="u_resnet", workdir=str(tmp_path), **sizes, **length)
    training = all_trainings(config)[0]
    older_run("training", training.folder, "summary.json")
    assert training.summary()["result"]["multiply_adds"] == 13284672
    for changes, message in (({"preset": "nnunet"}, "--preset: unset there, nnunet here"), ({"ema": 0.9}, "--ema: 0 there, 0.9 here")):
        with pytest.raises(ConfigError, match=message):
            all_trainings(dataclasses.replace(config, **changes))[0].summary()


def test_a_finished_search_of_the_version_before_has_the_flags_of_its_flagfile():
    summary = finished._read_summary(DATA / "search" / "summary.json")
    assert summary["result"]["task"] == "Phantom"
    assert recorded(SearchConfig, summary["flags"]) == read_recorded(SearchConfig, DATA / "search" / "flags.cfg")


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


@pytest.mark.parametrize("config_class", [SearchConfig, RetrainConfig])
def test_flags_cut_off_at_any_byte_are_refused_in_one_line_by_all_that_read_them(config_class, tmp_path):
    """Not taken for another run's, whose flags were to be repeated."""
    config = config_class(task="custom", workdir=str(tmp_path / "run"), epochs=12, seed=5)
    run = open_run(config.workdir, config)
    run.begin(config)
    file, whole = run["flags.cfg"], run["flags.cfg"].read_bytes()
    del run  # unlocks
    assert read_recorded(config_class, file).config == options.parse(config_class, ["command", f"--flagfile={file}"]) == config
    for size in range(0, len(whole) - 1, 7 if config_class is SearchConfig else 97):
        file.write_bytes(whole[:size])
        for read in (
            lambda: open_run(config.workdir, config),
            lambda: read_recorded(config_class, file),
            lambda: finished.load_search(file.parent),
        ):
            with pytest.raises(ConfigError, match=f"^{file}: was cut off: .*[.] Restore it from a copy, or name another --workdir[.]$"):
                read()
        if b"\n" in whole[:size]:
            with pytest.raises(ConfigError, match=f"^--flagfile={file}: the file was cut off: .* Restore it from a copy"):
                options.parse(config_class, ["command", "--flagfile", str(file)])
    file.write_bytes(whole)
    assert open_run(config.workdir, config).path == file.parent


def test_flags_of_an_older_run_have_no_line_that_ends_them(tmp_path):
    config = RetrainConfig(task="phantom", workdir=str(tmp_path))
    text = to_flagfile(config)
    (tmp_path / "flags.cfg").write_text(text)
    assert read_recorded(RetrainConfig, tmp_path / "flags.cfg").config == config
    for cut in ("", text[:-1], text[: text.index("--plateau") + 5]):
        (tmp_path / "flags.cfg").write_text(cut)
        with pytest.raises(ConfigError, match="was cut off: (it is empty|its last line has no end)"):
            read_recorded(RetrainConfig, tmp_path / "flags.cfg")
