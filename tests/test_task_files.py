"""The flagfiles of tasks and presets: what each command takes from them, and that all train and validate on the same cases."""

import dataclasses
from types import SimpleNamespace

import pytest
from small_task import write_task
from some_spaces import SCNAS, uniform_genotype

from scnas_keras import options
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.errors import ConfigError
from scnas_keras.options import parse, to_flagfile
from scnas_keras.plan import PlanConfig
from scnas_keras.preprocessing.prepared_case import PreparedCase
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.architecture import choose
from scnas_keras.retrain.recipes import recipe
from scnas_keras.runs.folds import open_fold
from scnas_keras.search import SearchConfig
from scnas_keras.select.config import SelectConfig
from scnas_keras.tasks.split_files import FoldNames, write_splits
from scnas_keras.verify import VerifyConfig

TRAINING = (SearchConfig, RetrainConfig, CrossvalConfig)


def of_task(config_class, *flags):
    return parse(config_class, ["command", "--task=mine", *flags])


@pytest.fixture
def task_file(tmp_path, monkeypatch):
    """Writes the flagfile of the task "mine"."""
    monkeypatch.setattr(options, "_FLAGS", tmp_path / "flags")
    (tmp_path / "flags").mkdir()

    def write(*lines):
        (tmp_path / "flags" / "mine.cfg").write_text("\n".join(("--task=mine", *lines)))

    return write


def test_every_command_takes_the_flags_that_it_has(task_file):
    task_file(
        "--split=nnunet", "--mirror", "--batch_size=2", "--num_folds=3", "--stem_channels=8", "--search:epochs=3", "--retrain:epochs=4"
    )
    search, *trainings = (of_task(config_class) for config_class in TRAINING)
    for config in (search, *trainings):
        assert (config.split, config.batch_size, config.num_folds) == ("nnunet", 2, 3)
    assert search.stem_channels == 8 and search.epochs == 3
    assert all(config.mirror and config.epochs == 4 for config in trainings)
    assert of_task(RetrainConfig, "--nomirror", "--split=by_patient").split == "by_patient"
    assert not of_task(RetrainConfig, "--nomirror").mirror
    assert of_task(PlanConfig).task == of_task(VerifyConfig).task == "mine"


@pytest.mark.parametrize("line", ["--splt=nnunet", "--search:splt=nnunet", "--nomirrors"])
@pytest.mark.parametrize("config_class", TRAINING)
def test_a_flag_of_no_command_is_refused_by_all(task_file, config_class, line):
    task_file(line)
    name = line.strip("-").rpartition(":")[2].partition("=")[0]
    with pytest.raises(ConfigError, match=f"{name} is a flag of no command"):
        of_task(config_class)


@pytest.mark.parametrize(
    "line, message",
    [
        ("--search:epochs=x", "--search:epochs=x: .*'x'"),
        ("--search:epochs=3.5", "--search:epochs=3.5: .*'3.5'"),
        ("--search:relaxation=hard", "--search:relaxation=hard: value should be one of <.*softmax"),
        ("--search:alpha_lr=nan", "--search:alpha_lr=nan: expected a finite number, found nan"),
        ("--search:epochs", "--search:epochs: Missing value for flag --epochs"),
        ("--search:noepochs", "--search:noepochs: .*noepochs"),
        ("--search:preset=nnunet", "--search:preset=nnunet: value should be one of <scnas|short|light_paper>"),
        ("--search:optimizer=newton", "--search:optimizer=newton: value should be one of <adam|sgd>"),
        ("--alpha_betas=0.9;0.99", r"mine.cfg: --alpha_betas=0.9;0.99: expected numbers with commas between"),
    ],
)
def test_a_value_that_the_command_it_is_for_would_refuse_is_refused_by_all(task_file, line, message):
    task_file(line)
    with pytest.raises(ConfigError, match=message):
        of_task(RetrainConfig)


def test_a_line_for_other_commands_is_taken_if_one_of_them_takes_it(task_file, tmp_path):
    task_file("--search:epochs=7", "--retrain:fold=all", "--retrain:nomirror", "--retrain:preset=nnunet")
    assert of_task(SearchConfig).epochs == 7
    (tmp_path / "own.cfg").write_text("--retrain:epochs=two")
    with pytest.raises(ConfigError, match="--retrain:epochs=two"):
        of_task(SearchConfig, f"--flagfile={tmp_path / 'own.cfg'}")
    with pytest.raises(ConfigError, match="--retrain:loss=none"):
        of_task(SearchConfig, "--retrain:loss=none")


def test_a_section_that_is_none_is_refused(task_file):
    task_file("--training:epochs=3")
    with pytest.raises(ConfigError, match="--training:epochs=3: expected --search: or --retrain: or --light_paper: before"):
        of_task(SearchConfig)


def test_the_files_here_are_for_every_command():
    for task in options.tasks():
        for config_class in (*TRAINING, PlanConfig, VerifyConfig):
            assert parse(config_class, ["command", f"--task={task}"]).task == task


@pytest.mark.parametrize("how", ["--splits", "--split"])
def test_no_case_that_is_validated_later_trains_a_search(task_file, tmp_path, monkeypatch, how):
    """A split in the task's file is that of all three commands: by the labels that are read to train and to validate."""
    data = write_task(tmp_path / "task", num_cases=6)
    names = [f"case_{index}" for index in range(6)]
    write_splits(tmp_path / "splits.json", [FoldNames(tuple(names[:4]), tuple(names[4:])), FoldNames(tuple(names[2:]), tuple(names[:2]))])
    uniform_genotype("conv_3").save(tmp_path / "genotype.json")
    task_file(f"--splits={tmp_path}/splits.json" if how == "--splits" else "--split=nnunet", "--num_folds=3", "--patch_size=8,8,8")
    shared = (f"--data_dir={data}", f"--cache_dir={tmp_path}/cache", "--processes=1", "--augmentation=none")
    trained = (*shared, f"--genotype={tmp_path}/genotype.json", f"--workdir={tmp_path}/cv")
    read, label = [], PreparedCase.label
    monkeypatch.setattr(PreparedCase, "label", lambda case: read.append(case.name) or label(case))

    def labels_read(config, network, *parts):
        fold = open_fold(config, network, 0)
        read.clear()
        sampler = fold.sampler(*parts, seed=0, augmented=False)
        for index in range(60):
            sampler.sample(index)
        return set(read)

    derived, crossval = DerivedNetwork(SCNAS, 4), all_trainings(of_task(CrossvalConfig, *trained))[0].config
    commands = [
        (of_task(RetrainConfig, *trained), derived),
        (crossval, derived),
        (of_task(SearchConfig, *shared), SupernetNetwork(SCNAS, 4)),
    ]
    validated = [labels_read(config, network, "validation") for config, network in commands]
    training = [labels_read(config, network, "train", "held_out") for config, network in commands]
    assert validated[0] == validated[1] == validated[2] and training[0] == training[1] == training[2]
    assert len(validated[0]) == 2 and len(training[0]) == 4 and not validated[0] & training[0]
    if how == "--splits":
        assert validated[0] == {"case_4", "case_5"}


def test_the_papers_preset_is_one_file_for_three_commands(tmp_path):
    """SCNAS, section 3: 48 and 68 channels, batches of 4 and 8, 200 and 500 epochs, nnU-Net's folds, flips in testing too."""
    search, *trainings = (parse(config_class, ["command", "--task=hippocampus", "--preset=scnas"]) for config_class in TRAINING)
    for config in (search, *trainings):
        assert (config.plan, config.split, config.num_folds, config.patch_size, config.steps_per_epoch) == (
            "scnas",
            "nnunet",
            5,
            None,
            None,
        )
    assert (search.stem_channels, search.width, search.batch_size, search.accumulate, search.epochs) == (48, 68, 4, 4, 200)
    assert (search.weights_lr, search.weights_betas, search.alpha_lr, search.alpha_betas) == (0.025, (0.1, 0.001), 0.003, (0.5, 0.999))
    assert search.skip_below == 0 and search.relaxation == "gumbel_pair" and search.plateau * search.epochs == 20
    for config in trainings:
        assert (config.width, config.batch_size, config.accumulate, config.epochs, config.mirror) == ("68", 8, 8, 500, True)
        assert config.plateau * config.epochs == 30
    after = parse(SearchConfig, ["command", "--epochs=2", "--preset=scnas", "--width=64"])
    assert (after.epochs, after.width, after.batch_size) == (2, 64, 4)
    for config in (search, trainings[0]):
        (tmp_path / "flags.cfg").write_text(to_flagfile(dataclasses.replace(config, batch_size=None)))
        assert parse(type(config), ["command", f"--flagfile={tmp_path}/flags.cfg"]) == dataclasses.replace(config, batch_size=None)


def test_the_light_preset_trains_batches_of_four(tmp_path):
    for config_class in (RetrainConfig, CrossvalConfig):
        config = parse(config_class, ["command", "--task=hippocampus", "--preset=light"])
        assert (config.batch_size, config.epochs, recipe(config).epochs, recipe(config).path_dropout) == (4, None, 30, 0.15)


def test_the_width_of_the_papers_preset_is_a_searched_networks(caplog):
    config = RetrainConfig(preset="scnas", network="u_resnet", width="68")
    choose(config)
    assert "--preset=scnas is 68 channels wide, as the paper's searched network; its u_resnet has 32: --width=32" in caplog.text
    caplog.clear()
    choose(dataclasses.replace(config, width="32"))
    assert not caplog.text


def test_the_papers_preset_sets_all_that_a_task_sets():
    """Else a task's own choice would be taken for the paper's."""
    folder = options._FLAGS

    def names(path):
        lines = (line.strip() for line in path.read_text().splitlines())
        return {line.removeprefix("--").partition("=")[0] for line in lines if line.startswith("--")}

    preset = names(folder / "presets" / "scnas.cfg")
    bare = {name.rpartition(":")[2] for name in preset}
    for path in sorted(folder.glob("*.cfg")):
        left = {name for name in names(path) - preset if name.rpartition(":")[2] not in bare}
        assert left <= {"task", "num_phantoms"}, path.name


def test_a_choice_that_a_task_made_is_taken_back_by_auto():
    assert parse(SearchConfig, ["", "--task=liver_ct"]).normalization == "fixed"
    assert parse(SearchConfig, ["", "--task=liver_ct", "--normalization=auto"]).normalization is None
    paper = parse(SearchConfig, ["", "--task=prostate_mr", "--preset=scnas"])
    assert (paper.resize, paper.normalization, paper.denoise, paper.penalty_parameters) == (None, None, False, 0)


@pytest.mark.parametrize("task, pair", [("nuclei", (0.015, 0.005)), ("liver_ct", (0.025, 0.015)), ("prostate_mr", (0.02, 0.01))])
def test_the_papers_penalty_of_a_task_is_that_of_its_preset_alone(task, pair, tmp_path):
    """Of a search as the package has it, it would leave no convolution."""
    for flags, expected in (
        ([], (0, 0)),
        (["--preset=light_paper"], pair),
        (["--preset=light_paper", "--penalty_parameters=0"], (0, pair[1])),
    ):
        config = parse(SearchConfig, ["", f"--task={task}", *flags])
        assert (config.penalty_parameters, config.penalty_multiply_adds) == expected
    file = tmp_path / "own.cfg"
    file.write_text("--light_paper:penalty_parameters=0.5\n--search:seed=3\n")
    own = [parse(SearchConfig, ["", f"--task={task}", f"--flagfile={file}", *flags]) for flags in ([], ["--preset=light_paper"])]
    assert [(one.seed, one.penalty_parameters) for one in own] == [(3, 0), (3, 0.5)]
    for line in ("--light_paper:task=liver_ct", "--light_paper:preset=short"):
        file.write_text(f"{line}\n")
        with pytest.raises(ConfigError, match=f"{line}: .*decides which lines count"):
            parse(SearchConfig, ["", f"--task={task}", f"--flagfile={file}"])


def test_the_preset_of_the_light_paper_wants_to_know_the_space():
    """Its tasks name theirs; any that is given is searched so."""
    flags = ["", "--task=custom", "--preset=light_paper", "--configuration=2d"]
    with pytest.raises(ConfigError, match="doesn't say which networks: add --space=light for those of its paper, or --space=scnas"):
        parse(SearchConfig, flags)
    assert parse(SearchConfig, [*flags, "--space=scnas"]).space == "scnas"
    assert [parse(SearchConfig, ["", f"--task={task}", *flags[2:]]).space for task in ("nuclei", "liver_ct")] == ["light", "light_9"]


@pytest.mark.parametrize("preset, following", [("light_paper", "light"), ("scnas", "scnas"), (None, "light")])
def test_what_follows_a_search_has_the_preset_that_belongs_to_it(monkeypatch, capsys, preset, following):
    """The paper of the light networks has another recipe for training than for searching."""
    from scnas_keras import search
    from scnas_keras.runs import before

    monkeypatch.setattr(before, "check_before", lambda *_: None)
    monkeypatch.setattr(search, "load_tensorflow", lambda: None)
    monkeypatch.setattr(search, "search", lambda config: SimpleNamespace(table="the table", folder="RUN"))
    config = parse(SearchConfig, ["search", "--task=nuclei", "--data_dir=D", "--workdir=RUN", *([f"--preset={preset}"] if preset else [])])
    words = search.main(config).split()
    assert [word for word in words if word.startswith("--preset")] == ([f"--preset={following}"] if following else [])
    capsys.readouterr()
    parse(RetrainConfig, words[1:])  # it is a command


@pytest.mark.parametrize("task, channels", [("nuclei", 64), ("hippocampus", 16)])
def test_the_search_of_a_selection_has_the_channels_that_its_space_needs(task, channels, tmp_path):
    """The preset short says 16, of which light networks can't have nodes."""
    from scnas_keras.search.checks import check, footprint
    from scnas_keras.select.job_flags import search_config

    flags = [f"--task={task}", "--data_dir=D", f"--workdir={tmp_path}", "--budget_minutes=60"]
    found = search_config(parse(SelectConfig, ["select", *flags]), tmp_path / "search", 600)
    assert found.stem_channels == footprint(found).width == channels and found.budget_minutes == 10
    check(found)


def test_channels_that_nobody_gave_are_those_that_the_space_needs():
    """Files say 16; a number on the command line is refused with the nearest ones."""
    from scnas_keras.search.checks import check

    flags = ["", "--task=custom", "--configuration=2d", "--space=light", "--data_dir=D", "--workdir=RUN"]
    found = parse(SearchConfig, flags)
    check(found)
    assert found.stem_channels == 64
    with pytest.raises(ConfigError, match="--stem_channels=16 in --space=light: .*use a multiple of 64"):
        check(parse(SearchConfig, [*flags, "--stem_channels=16"]))
