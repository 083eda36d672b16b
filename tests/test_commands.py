"""Flags, --help and what a command says when something is wrong."""

import dataclasses
import math
import re
import shutil

import numpy as np
import pytest
from absl import flags
from processes import PYTHON, ROOT, run, with_package
from small_task import change, write_json, write_task
from some_spaces import SCNAS

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.assess import AssessConfig
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.errors import ConfigError
from scnas_keras.files import full_path
from scnas_keras.flag_values import plain_type
from scnas_keras.options import parse, tasks, to_flagfile
from scnas_keras.plan import PlanConfig
from scnas_keras.predict import PredictConfig
from scnas_keras.preprocessing.plan import parse_spacing
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder
from scnas_keras.runs.checks import check_betas
from scnas_keras.runs.folds import open_fold
from scnas_keras.search import SearchConfig, cost
from scnas_keras.select import SelectConfig
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.verify import VerifyConfig

HELP = {
    "scnas_keras.search": ("--task", "--data_dir", "--workdir", "--budget_minutes", "--patch_size", "--flagfile", "phantom"),
    "scnas_keras.retrain": ("--task", "--genotype", "--workdir", "--epochs", "--fold"),
    "scnas_keras.crossval": ("--networks", "--folds", "--genotype", "--transfer_from", "--baseline_width"),
    "scnas_keras.predict": ("--model", "--image", "--output", "--mirror"),
    "scnas_keras.select": ("--budget_minutes", "--candidates", "--searches", "--objective", "--hours"),
    "scnas_keras.assess": ("--workdir", "--random", "--patches", "--data_dir"),
    "scnas_keras.derive": ("--genotype", "--channels", "--classes", "--output"),
    "scnas_keras.export": ("--model", "--output", "tf.saved_model.load"),
    "scnas_keras.cost": ("--network", "--patch_size", "--json"),
    "scnas_keras.draw": ("--genotype", "--output"),
}
HELP_SCRIPT = """
import runpy, sys
name = sys.argv[1]
sys.argv = [name, "--help"]
runpy.run_module(name, run_name="__main__")
heavy = {"tensorflow", "keras", "jax", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("name", HELP)
def test_help_is_quick_and_complete(name):
    done = run(PYTHON, "-c", HELP_SCRIPT, name, cwd=ROOT)
    assert not done.stderr
    assert not [word for word in HELP[name] if word not in done.stdout]


def words(*flags_):
    return ["command", *flags_]


@pytest.mark.parametrize("task", tasks())
def test_a_task_is_its_flagfile(task):
    assert parse(SearchConfig, words(f"--task={task}")) == parse(SearchConfig, words(f"--flagfile={tasks()[task]}"))
    assert parse(SearchConfig, words("--task", task)).task == task


def test_other_commands_take_from_the_task_what_describes_it():
    search, retrain = (parse(config, words("--task=hippocampus")) for config in (SearchConfig, RetrainConfig))
    assert search.patch_size != SearchConfig().patch_size and retrain.patch_size is None and retrain.spacing == search.spacing
    assert search.epochs != SearchConfig().epochs and retrain.epochs == RetrainConfig().epochs


@pytest.mark.parametrize("before", [True, False])
def test_what_is_said_on_the_command_line_wins_over_the_task(before):
    said = ["--patch_size=16,16,24", "--stem_channels=4"]
    arguments = [*said, "--task=phantom"] if before else ["--task=phantom", *said]
    config = parse(SearchConfig, words(*arguments))
    assert config.patch_size == (16, 16, 24) and config.stem_channels == 4
    assert config.steps_per_epoch == parse(SearchConfig, words("--task=phantom")).steps_per_epoch


def test_of_a_flag_given_twice_the_later_counts(tmp_path):
    assert parse(SearchConfig, words("--epochs=3", "--epochs=5")).epochs == 5
    (tmp_path / "flags.cfg").write_text("# a comment\n--epochs=7\n")
    assert parse(SearchConfig, words("--epochs=3", f"--flagfile={tmp_path}/flags.cfg")).epochs == 7
    assert parse(SearchConfig, words(f"--flagfile={tmp_path}/flags.cfg", "--epochs=3")).epochs == 3


@pytest.mark.parametrize("text, value", [("--mirror", True), ("--nomirror", False), ("--mirror=true", True)])
def test_switches(text, value):
    assert parse(PredictConfig, words(text)).mirror is value


def test_auto_leaves_a_number_to_the_data_over_the_tasks_flagfile(tmp_path):
    config = parse(SearchConfig, words("--task=hippocampus", "--patch_size=auto", "--processes=auto", "--steps_per_epoch=auto"))
    assert (config.patch_size, config.processes, config.steps_per_epoch) == (None, None, None)
    (tmp_path / "flags.cfg").write_text(to_flagfile(config))
    assert parse(SearchConfig, words(f"--flagfile={tmp_path}/flags.cfg")) == config
    with pytest.raises(flags.Error, match="epochs"):
        parse(SearchConfig, words("--epochs=auto"))


def test_values_have_their_types():
    config = parse(SearchConfig, words("--spacing=1,0.5,2", "--alpha_betas=0.5,0.9", "--budget_minutes=3", "--task=custom"))
    assert config.spacing == (1.0, 0.5, 2.0) and config.alpha_betas == (0.5, 0.9) and config.budget_minutes == 3.0
    assert parse(SearchConfig, words()) == SearchConfig()


@pytest.mark.parametrize(
    "config_class, changes",
    [
        (SearchConfig, {}),
        (SearchConfig, {"spacing": (1.0, 0.7, 2.5), "patch_size": (8, 16, 24), "memory_mode": "low_memory", "workdir": "a b/c"}),
        (SearchConfig, {"alpha_lr": 1e-5, "weights_lr": 1 / 3, "relaxation": "softmax", "epochs": 1, "budget_minutes": 0.5}),
        (RetrainConfig, {"genotype": "runs/a=b", "data_dir": "~/x,y"}),
    ],
    ids=["task", "tuples", "numbers", "retrain"],
)
@pytest.mark.parametrize("task", ["hippocampus", "custom"])
def test_a_run_can_be_repeated_from_its_flagfile(task, config_class, changes, tmp_path):
    config = dataclasses.replace(parse(config_class, words(f"--task={task}")), **changes)
    (tmp_path / "flags.cfg").write_text(to_flagfile(config))
    paths = {name: full_path(changes[name]) for name in ("workdir", "genotype", "data_dir") if name in changes}
    assert parse(config_class, words(f"--flagfile={tmp_path}/flags.cfg")) == dataclasses.replace(config, **paths)


def test_a_config_without_task_survives_its_flagfile(tmp_path):
    for config in (SearchConfig(), RetrainConfig(plateau=0.5), PredictConfig(image="x", mirror=True)):
        (tmp_path / "flags.cfg").write_text(to_flagfile(config))
        assert parse(type(config), words(f"--flagfile={tmp_path}/flags.cfg")) == config


@pytest.mark.parametrize(
    "argument, error, named",
    [
        ("--task=spine", ConfigError, ("spine", "phantom", "hippocampus", "custom")),
        ("--epoch=3", ConfigError, ("--epoch is no flag of this command", "It is a flag of scnas derive")),
        ("--epohcs=3", ConfigError, ("--epohcs is no flag of this command. Did you mean --epochs?",)),
        ("--overlay", ConfigError, ("--overlay is no flag of this command", "It is a flag of scnas predict")),
        ("--epochs=many", flags.Error, ("epochs", "many")),
        ("--alpha_lr=0,002", flags.Error, ("alpha_lr", "expected a number like 100 or 0.002, decimals with a point")),
        ("--spacing=1x1x1", flags.Error, ("spacing", "1x1x1", "0.7,0.7,1.5")),
        ("--spacing=1,5 1,5 1,5", flags.Error, ("like 0.7,0.7,1.5, found '1,5 1,5 1,5'; decimals are written with a point",)),
        ("--spacing=0,7,0,7,0,7", flags.Error, ("1e-06 at least, found 0; decimals are written with a point",)),
        ("--alpha_betas=0,5,0,999", flags.Error, ("1 at most, found 5; decimals are written with a point",)),
        ("--patch_size=32.5,32,32", flags.Error, ("expected whole numbers with commas between, like 40,56,40",)),
        ("--relaxation=hard", flags.Error, ("relaxation", "hard", "softmax")),
        ("--flagfile=absent.cfg", ConfigError, ("absent.cfg", "No such file")),
        ("epochs=3", ConfigError, ("epochs=3", "--name=value")),
    ],
)
def test_flags_that_cannot_be_understood_are_named(argument, error, named):
    with pytest.raises(error) as caught:
        parse(SearchConfig, words(argument))
    assert not [word for word in named if word not in str(caught.value)], str(caught.value)


@pytest.mark.parametrize(
    "config_class", [SearchConfig, RetrainConfig, CrossvalConfig, SelectConfig, PlanConfig, VerifyConfig, AssessConfig]
)
def test_numbers_that_would_break_something_are_refused_with_the_flag_and_the_bound(config_class):
    """None goes on to what computes in floats, in 64 bits or in lists; what is only endless is a person's wish."""
    numbers = [field for field in dataclasses.fields(config_class) if plain_type(field.type) not in (str, bool)]
    bounds = {field.name: field.metadata["range"] for field in numbers}
    for name, (least, most, above) in bounds.items():
        assert math.isfinite(least) != math.isfinite(above), name
        refused = {
            f"1{'0' * 300}": f"{most} at most",
            "-100000": f"{least} at least" if math.isfinite(least) else f"a number above {above}",
        }
        for value, bound in refused.items():
            if math.isfinite(most) or value == "-100000":
                with pytest.raises(flags.Error, match=f"--{name}={value[:9]}.*: expected {bound}") as caught:
                    parse(config_class, words(f"--{name}={value}"))
                assert "\n" not in str(caught.value)
        for limit in filter(math.isfinite, (least, most)):
            assert getattr(parse(config_class, words(f"--{name}={limit}")), name) in (limit, (limit,))
    endless = {"fold", "folds", "clip_norm", "max_identity_edges", "stop_after_stable", "hessian_every"}
    endless |= {"target_gmacs", "target_mparams", "target_ms"}
    assert {name for name, (_, most, _) in bounds.items() if not math.isfinite(most)} == endless & set(bounds)


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
    ("crossval --task=lung", "Missing: --data_dir=DIR, --workdir=DIR; see"),
    ("predict --image=x", "Missing: --model, --output; see"),
    (f"search {RUN_FLAGS} --patch_size=8,12,8", "instead of 12 use 8 or 16"),
    (f"search {RUN_FLAGS} --width=50", "for example 48 or 52"),
    (f"search {RUN_FLAGS} --relaxation=uniform --target_ms=9", "--target_ms has no effect"),
    (f"search {RUN_FLAGS} --configuration=2d --patch_size=8,8,8", "--patch_size=8,8,8"),
    (f"search {RUN_FLAGS} --spacing=1,1", "--spacing"),
    (f"search {RUN_FLAGS} --plan=gone.json", "gone.json: can't be read"),
    ("search --task=custom --data_dir=DATA", "--workdir=DIR"),
    ("search --task=custom --data_dir=DATA --workdir=FILES", "holds files that are not a run's"),
    (f"retrain {RUN_FLAGS}", "--genotype=FILE"),
    (f"retrain {RUN_FLAGS} --genotype=gone.json", "gone.json: can't be read"),
    (f"retrain {RUN_FLAGS} --network=unet --patience=3", "Add --judge_on=held_out"),
    (f"retrain {RUN_FLAGS} --network=unet --momentum=0.5", "--momentum=0.5 is for --optimizer=sgd"),
    (f"retrain {RUN_FLAGS} --network=unet --init=weights", "name its run with --transfer_from=RUN"),
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
    told = run(PYTHON, "-X", "importtime", "-m", f"scnas_keras.{name}", *flags, code=2, env=with_package(), cwd=tmp_path).stderr
    modules = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert re.search(message, told) and not {"tensorflow", "keras"} & modules
    assert sorted(tmp_path.iterdir()) == before


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
    config = parse(SearchConfig, words("--task=custom", *places, *others))
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


BOUNDS = [
    (VerifyConfig, "--processes=-1", "1 at least"),
    (VerifyConfig, "--processes=0", "1 at least"),
    (AssessConfig, "--processes=0", "1 at least"),
    (RetrainConfig, "--processes=0", "1 at least"),
    (RetrainConfig, "--epochs=0", "1 at least"),
    (RetrainConfig, "--plateau=0", "a number above 0"),
    (RetrainConfig, "--plateau=2", "1 at most"),
    (RetrainConfig, "--learning_rate=1e30", "100 at most"),
    (RetrainConfig, "--learning_rate=0", "a number above 0"),
    (RetrainConfig, "--learning_rate=nan", "a finite number"),
    (RetrainConfig, "--class_weights=1,-1,1", "0 at least"),
    (RetrainConfig, "--class_weights=1e300,1", "1000000000 at most"),
    (RetrainConfig, "--num_phantoms=-1", "1 at least"),
    (RetrainConfig, "--seed=-1", "0 at least"),
    (SearchConfig, "--alpha_lr=1e9", "100 at most"),
    (SearchConfig, "--skip_below=2", "0.5 at most"),
    (SearchConfig, "--target_ms=0", "a number above 0"),
    (SearchConfig, "--target_gmacs=1e-320", "a number above 0, not so near that it is 0 in 32 bits"),
    (SearchConfig, "--weights_lr=1e-39", "a number above 0, not so near that it is 0 in 32 bits"),
    (SearchConfig, "--temperature_start=1e-320", "1e-06 at least"),
    (SearchConfig, "--temperature_end=1e-30", "1e-06 at least"),
    (CrossvalConfig, "--num_folds=0", "2 at least"),
    (CrossvalConfig, "--budget_minutes=-1", "a number above 0"),
    (CrossvalConfig, "--baseline_width=0", "1 at least"),
    (SelectConfig, "--machines=0", "1 at least"),
    (SelectConfig, "--machines=-1", "1 at least"),
    (PlanConfig, "--width=0", "1 at least"),
]


@pytest.mark.parametrize("config, flag, message", BOUNDS, ids=[flag for _, flag, _ in BOUNDS])
def test_numbers_that_mean_nothing_are_refused_by_the_flag(config, flag, message):
    with pytest.raises(flags.Error, match=f"{flag}: expected {message}"):
        parse(config, words(flag))


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--epochs=1e9", "expected a whole number, like 1000, found '1e9'"),
        ("--mirror=maybe", "expected true or false, found 'maybe'"),
        ("--flagfile=nofile", "--flagfile=nofile: can't be read .No such file or directory."),
        ("--flagfile=", "--flagfile= names no file"),
        ("--plan=", "--plan= names nothing"),
    ],
)
def test_values_that_are_none_are_told_in_words(flag, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((flags.Error, ConfigError), match=message):
        parse(RetrainConfig, words(flag))


def test_too_many_numbers_may_be_decimals_with_commas():
    config = parse(SearchConfig, words("--spacing=1,5,1,5,1,5", "--alpha_betas=0,1,0,1"))
    with pytest.raises(ConfigError, match="--spacing=1.0,5.0,1.0,5.0,1.0,5.0: expected three .*, decimals with a point, like 0.7,0.7,1.5"):
        parse_spacing(config.spacing)
    with pytest.raises(ConfigError, match="--alpha_betas=0.0,1.0,0.0,1.0: expected two .*, decimals with a point, like 0.9,0.999"):
        check_betas(config, "alpha_betas")


def test_words_for_yes_and_no_are_taken():
    assert [parse(RetrainConfig, words(flag)).mirror for flag in ("--mirror", "--nomirror", "--mirror=true", "--mirror=0")] == [
        True,
        False,
        True,
        False,
    ]
