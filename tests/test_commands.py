"""What a command says when flags, folders or data are wrong, and that it says so before any work."""

import re
import shutil

import numpy as np
import pytest
from processes import PYTHON, ROOT, run, with_package
from small_task import change, write_json, write_task
from some_spaces import SCNAS

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.options import parse, to_flagfile
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder
from scnas_keras.runs.folds import open_fold
from scnas_keras.search import SearchConfig, cost
from scnas_keras.spaces.cost import cost_tables


@pytest.fixture
def task(tmp_path):
    return write_task(tmp_path / "task")


def files(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def no_dataset(task):
    (task / "dataset.json").unlink()


def no_folder(task):
    task.rename(task.with_name("elsewhere"))


def all_background(task):
    for index in range(3):
        change(task / "labelsTr" / f"case_{index}.nii.gz", lambda label: label.fill(0))


def undeclared_label(task):
    change(task / "labelsTr" / "case_2.nii.gz", lambda label: label.__setitem__((5, 5, 5), 7))


def not_a_number(task):
    change(task / "imagesTr" / "case_0.nii.gz", lambda image: image.__setitem__((5, 5, 5, 0), np.nan))


def cut_off(task):
    file = task / "imagesTr" / "case_0.nii.gz"
    file.write_bytes(file.read_bytes()[:300])


# damage, flags, words of the message
BAD_FLAGS = {
    "unknown task": ({"task": "spine"}, ("--task=spine", "Known tasks", "custom")),
    "stem channels": ({"stem_channels": 6}, ("6", "multiple of 4", "4 or 8")),
    "derived stem channels": ({"width": 50}, ("50", "48 or 52")),
    "epochs": ({"epochs": 0}, ("--epochs=0", "1 at least")),
    "budget": ({"budget_minutes": -1}, ("--budget_minutes=-1", "above 0")),
    "skip": ({"skip_below": 1}, ("--skip_below=1", "0.5 at most")),
    "betas": ({"alpha_betas": "0.9"}, ("--alpha_betas", "two numbers", "0.9")),
    "patch": ({"patch_size": "8,12,8"}, ("--patch_size=8,12,8", "multiple of 8", "instead of 12 use 8 or 16")),
    "flag": ({"epohcs": 3}, ("epohcs",)),
    "space": ({"space": "nonsense"}, ("--space=nonsense", "value should be one of", "scnas")),
    "fold": ({"fold": 3}, ("--fold=3", "0 to 2")),
    "folds": ({"num_folds": 5}, ("--num_folds=5", "found 3", "--num_folds=3")),
    "spacing": ({"spacing": "1,1"}, ("--spacing", "three positive")),
}
BAD_DATA = {
    "no folder": (no_folder, ("{task}", "no such folder", "--data_dir")),
    "no dataset.json": (no_dataset, ("{task}", "dataset.json")),
    "all background": (all_background, ("{task}", "no case has a labelled voxel", "scnas verify")),
    "undeclared label": (undeclared_label, ("{task}/labelsTr/case_2.nii.gz", "7 (1 voxel)", '"labels"')),
    "NaN": (not_a_number, ("{task}/imagesTr/case_0.nii.gz", "1 voxels that are NaN", "Replace them")),
    "cut off": (cut_off, ("{task}/imagesTr/case_0.nii.gz", "again")),
}


@pytest.fixture
def search(command, task, tmp_path, capsys):
    """Runs a search that must be refused; returns the message."""

    def call(**changes):
        settings = {
            "task": "custom",
            "data_dir": task,
            "cache_dir": tmp_path / "cache",
            "workdir": tmp_path / "run",
            "num_folds": 3,
            "processes": 1,
            "patch_size": "8,8,8",
            "stem_channels": 4,
            "epochs": 1,
        } | changes
        with pytest.raises(SystemExit) as caught:
            command("scnas_keras.search", **{name: value for name, value in settings.items() if value is not None})
        captured = capsys.readouterr()
        assert caught.value.code == 2 and not captured.out
        assert captured.err.count("error: ") == 1 and "Traceback" not in captured.err
        return captured.err[captured.err.index("error: ") :]

    return call


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags_are_refused_before_any_work(name, search, tmp_path):
    changes, expected = BAD_FLAGS[name]
    message = search(**changes)
    assert not [word for word in expected if word not in message], message
    assert not (tmp_path / "run").exists() and not files(tmp_path / "cache")


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_refused_by_file_and_remedy(name, search, task, tmp_path):
    damage, expected = BAD_DATA[name]
    damage(task)
    message = search()
    assert not [word for word in expected if word.format(task=task) not in message], message
    assert not (tmp_path / "run").exists()


def test_a_command_whose_parent_is_gone_ends(tmp_path):
    """That began while it died, as the process after the kill of a cross-validation may."""
    found = run(PYTHON, "-m", "scnas_keras.plan", cwd=tmp_path, env=with_package(SCNAS_KERAS_PARENT="1"), code=143)
    assert "stopped by SIGTERM" in found.stderr


def test_tools_find_the_environment_of_their_checkout(tmp_path):
    """`-S` is a python that the package isn't installed for; what goes on for it is the checkout's own."""
    if (ROOT / ".venv").is_dir():
        assert "--cases" in run(PYTHON, "-S", "tools/benchmark", "train", "--help", cwd=ROOT).stdout
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    message = run(PYTHON, "-S", tmp_path / "tools/benchmark", "--help", cwd=tmp_path, code=1).stderr
    assert message.startswith("error: scnas_keras isn't installed for") and "tools/demo" in message


RUN_FLAGS = "--task=custom --data_dir=DATA --workdir=NEW"
AT_ONCE = [
    ("search --task=lung --data_dir=gone --workdir=NEW --budget_minutes=9", "gone: no such folder"),
    ("retrain --task=lung --data_dir=gone --workdir=NEW --network=unet", "gone: no such folder"),
    ("select --task=lung --data_dir=gone --workdir=NEW --budget_minutes=9", "gone: no such folder"),
    ("search", "Missing: --task=NAME, --data_dir=DIR, --workdir=DIR; see --help."),
    ("search --task=phantom", "Name the run's folder with --workdir=DIR"),
    ("retrain --task=lung", "Missing: --data_dir=DIR, --workdir=DIR, --genotype=FILE .or --network=NAME.; see"),
    ("retrain --task=custom --data_dir=DATA --network=unet", "Name the run's folder with --workdir=DIR"),
    ("select --task=lung --workdir=NEW", "Missing: --data_dir=DIR, --budget_minutes=M .or --hours=H.; see"),
    ("crossval --task=lung", "Missing: --data_dir=DIR, --workdir=DIR, --genotype=FILE; see"),
    ("crossval --task=lung --networks=transfer", "Missing: --data_dir=DIR, --workdir=DIR, --transfer_from=RUN; see"),
    ("crossval --task=lung --networks=unet", "Missing: --data_dir=DIR, --workdir=DIR; see"),
    ("predict --image=x", "Missing: --model, --output; see"),
    (f"search {RUN_FLAGS} --patch_size=8,12,8", "instead of 12 use 8 or 16"),
    (f"search {RUN_FLAGS} --width=50", "for example 48 or 52"),
    (f"search {RUN_FLAGS} --relaxation=uniform --target_ms=9", "--target_ms has no effect"),
    (f"search {RUN_FLAGS} --configuration=2d --patch_size=8,8,8", "--patch_size=8,8,8"),
    (f"search {RUN_FLAGS} --spacing=1,1", "--spacing"),
    (f"search {RUN_FLAGS} --protocol=holdout:1.5x4", "holds out a share of 1.5; expected one above 0 and below 1"),
    (f"retrain {RUN_FLAGS} --network=unet --protocol=holdout:0.3x0", "expected 1 to 1000 repeats, found 0"),
    (f"select {RUN_FLAGS} --budget_minutes=9 --protocol=half", "expected kfold, or like holdout:0.3x4"),
    (
        f"search {RUN_FLAGS} --resize=256,256",
        "--resize=256,256 is for pictures and slices, and --configuration=3d_fullres has volumes: use 2d",
    ),
    (f"search {RUN_FLAGS} --configuration=2d --resize=256", "--resize=256: expected two sizes in pixels, like --resize=256,256"),
    (f"search {RUN_FLAGS} --configuration=2d --resize=1,256", "--resize=1,256: expected two sizes of at least 8 pixels"),
    (f"search {RUN_FLAGS} --configuration=2d --resize=9,9 --spacing=1,1,1", "--resize=9,9 and --spacing both say"),
    (f"search {RUN_FLAGS} --plan=gone.json", "gone.json: can't be read"),
    ("search --task=custom --data_dir=DATA", "--workdir=DIR"),
    ("search --task=custom --data_dir=DATA --workdir=FILES", "holds files that are not a run's"),
    (f"retrain {RUN_FLAGS}", "--genotype=FILE"),
    (f"retrain {RUN_FLAGS} --genotype=gone.json", "gone.json: can't be read"),
    (f"retrain {RUN_FLAGS} --network=unet --patience=3", "Add --judge_on=held_out"),
    (f"retrain {RUN_FLAGS} --network=unet --momentum=0.5", "--momentum=0.5 is for --optimizer=sgd"),
    (f"retrain {RUN_FLAGS} --network=unet --init=weights", "name its run with --transfer_from=RUN"),
    (f"retrain {RUN_FLAGS} --init=search", "name its folder with --genotype=RUN"),
    (f"retrain {RUN_FLAGS} --init=search --genotype=nowhere/genotype.json", "inherited.keras isn't there"),
    (f"select {RUN_FLAGS}", "--budget_minutes"),
    (f"select {RUN_FLAGS} --budget_minutes=9 --candidates=nonsense", "nonsense"),
    ("predict --model=gone --image=x --output=y", "gone: no such file"),
    ("assess --workdir=gone", "--workdir=gone"),
    ("assess --workdir=FILES", "isn't what scnas search leaves|Name the --workdir of a search"),
    ("export --model=gone --output=y", "gone isn't there"),
    ("derive --genotype=gone.json --channels=1 --classes=2 --output=a.keras", "gone.json: can't be read"),
]


@pytest.mark.parametrize("line, message", AT_ONCE, ids=[line for line, _ in AT_ONCE])
def test_what_flags_and_folders_tell_is_told_before_a_framework_is_loaded(line, message, tmp_path):
    write_task(tmp_path / "DATA")
    (tmp_path / "FILES").mkdir()
    (tmp_path / "FILES" / "notes.txt").touch()
    name, *flags = line.split()
    before = sorted(tmp_path.iterdir())
    environment = with_package(SCNAS_DATA_DIR="")
    told = run(PYTHON, "-X", "importtime", "-m", f"scnas_keras.{name}", *flags, code=2, env=environment, cwd=tmp_path).stderr
    modules = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert re.search(message, told) and not {"tensorflow", "keras"} & modules
    assert sorted(tmp_path.iterdir()) == before


def test_the_environment_may_name_the_data_folder(tmp_path):
    told = run(PYTHON, "-m", "scnas_keras.search", "--task=lung", code=2, env=with_package(SCNAS_DATA_DIR="gone"), cwd=tmp_path).stderr
    assert "Name the run's folder with --workdir=DIR" in told


def test_without_a_data_folder_the_layout_is_explained(search, monkeypatch):
    monkeypatch.delenv("SCNAS_DATA_DIR", raising=False)
    message = search(data_dir=None)
    assert "--data_dir" in message and "SCNAS_DATA_DIR" in message and "imagesTr" in message


def test_without_a_workdir_or_task_nothing_starts(search, tmp_path):
    assert "--workdir=DIR" in search(workdir=None)
    assert "--task=phantom" in search(task=None)


def test_another_runs_folder_is_left_alone(search, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "flags.cfg").write_text("--task=custom\n--epochs=2\n")
    (run / "history.csv").write_text("epoch\n1\n")
    message = search()
    assert "--epochs: 2 there, 1 here" in message and f"--flagfile={run / 'flags.cfg'}" in message
    assert files(run) == ["flags.cfg", "history.csv"] and "--epochs=2" in (run / "flags.cfg").read_text()
    assert not files(tmp_path / "cache")


def test_a_search_that_the_version_before_began_is_refused_before_any_work(search, task, tmp_path):
    run, others = tmp_path / "run", ("--num_folds=3", "--processes=1", "--patch_size=8,8,8", "--stem_channels=4", "--epochs=1")
    places = (f"--data_dir={task}", f"--cache_dir={tmp_path / 'cache'}", f"--workdir={run}")
    config = parse(SearchConfig, ["search", "--task=custom", *places, *others])
    run.mkdir()
    (run / "flags.cfg").write_text(to_flagfile(config))
    file = CheckpointFolder(run / "checkpoint").write(LAST, 7, {"step": 7, "at": "1 epochs"}, {})
    message = search()
    assert not [word for word in (str(file), "older version", "the version before", "another --workdir") if word not in message], message
    assert files(run) == ["checkpoint", "flags.cfg", file.name, "run.lock"] and not files(tmp_path / "cache")


@pytest.mark.parametrize("damage", [all_background, not_a_number, no_dataset])
def test_the_same_command_goes_on_once_the_data_are_fixed(damage, search, task, tmp_path):
    damage(task)
    search()
    write_task(task)
    write_json(task, [f"case_{index}" for index in range(3)])
    config = SearchConfig(task="custom", data_dir=str(task), cache_dir=str(tmp_path / "cache"), num_folds=3)
    fold = open_fold(config, SupernetNetwork(SCNAS, 16))
    assert sorted(fold.cases) == ["case_0", "case_1", "case_2"]
    assert [len(part) for part in (fold.split.train, fold.split.held_out, fold.split.validation)] == [1, 1, 1]


def test_retrain_needs_a_genotype(command, task, tmp_path, capsys):
    settings = {"task": "custom", "data_dir": task, "workdir": tmp_path / "run"}
    found = (task / "dataset.json", 'format: found null, expected "scnas_keras.genotype"'), (task, "genotype.json: can't be read")
    for genotype, message in ((None, "--genotype=FILE"), *found):
        with pytest.raises(SystemExit) as caught:
            command("scnas_keras.retrain", **settings, **({"genotype": genotype} if genotype else {}))
        assert caught.value.code == 2 and message in capsys.readouterr().err
    assert not files(tmp_path / "run")


@pytest.mark.parametrize(
    "name, flags_, message",
    [
        ("scnas_keras.derive", {"channels": 2}, "Missing: --genotype, --classes, --output"),
        ("scnas_keras.derive", {"genotype": "g.json", "channels": 2, "classes": 3, "output": "model.h5"}, "end in .keras"),
        ("scnas_keras.cost", {"network": "model.h5"}, "--network=model.h5"),
        ("scnas_keras.cost", {"network": "absent.json"}, "absent.json: can't be read"),
        ("scnas_keras.cost", {"network": "nnunet", "patch_size": "16"}, "--patch_size=16: expected two or three sizes"),
        ("scnas_keras.cost", {"network": "nnunet", "patch_size": "0,16,16"}, "--patch_size=0,16,16: expected 1 at least"),
        ("scnas_keras.cost", {"network": "nnunet", "spacing": "0,1,1"}, "--spacing=0,1,1: expected 1e-06 at least"),
        ("scnas_keras.cost", {"network": "nnunet", "classes": -1}, "--classes=-1: expected 2 at least"),
        ("scnas_keras.cost", {"network": "nnunet", "milliseconds": "true"}, "--milliseconds: only a genotype's can be told"),
        ("scnas_keras.cost", {"network": "nnunet", "batch_size": 0}, "--batch_size=0: expected 1 at least"),
        ("scnas_keras.cost", {"network": "nnunet", "spacing": "nan,1,1"}, "expected finite numbers"),
        (
            "scnas_keras.derive",
            {"genotype": "g.json", "channels": 2, "classes": 3, "output": "a.keras", "seed": -1},
            "--seed=-1: expected 0 at least",
        ),
        ("scnas_keras.draw", {"output": "x.svg"}, "--genotype=FILE"),
        ("scnas_keras.export", {"model": "absent.keras"}, "--output=DIR"),
    ],
)
def test_commands_say_what_is_missing(name, flags_, message, command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        command(name, **flags_)
    assert caught.value.code == 2 and message in capsys.readouterr().err and not files(tmp_path)


def test_a_derived_network_that_memory_cannot_hold_is_refused_before_the_search(monkeypatch):
    monkeypatch.setattr(cost, "available_memory", lambda: 10**3)
    tables = cost_tables(SCNAS, 64, (32, 32, 32), 1, 2)
    with pytest.raises(ConfigError, match="--width=64: the weights of the derived network take at least .* Choose fewer channels"):
        cost.check_derived(SearchConfig(width=64), tables)
    monkeypatch.setattr(cost, "available_memory", lambda: 10**9)
    cost.check_derived(SearchConfig(width=64), tables)
