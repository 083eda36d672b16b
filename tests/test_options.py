"""Flags: what --help says, which file and line win, values and their bounds."""

import dataclasses
import math

import pytest
from absl import flags
from processes import PYTHON, ROOT, run

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
from scnas_keras.runs.checks import check_betas
from scnas_keras.search import SearchConfig
from scnas_keras.select import SelectConfig
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
