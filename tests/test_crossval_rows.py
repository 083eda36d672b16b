"""The rows of a cross-validation: several architectures, their names, widths and folders."""

import dataclasses

import pytest
from some_spaces import uniform_genotype
from test_crossval import finish, three_folds

from scnas_keras.crossval.results import collect
from scnas_keras.crossval.rows import rows_of
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.errors import ConfigError


@pytest.fixture
def config(tmp_path):
    return three_folds(tmp_path)


def several(tmp_path, *places):
    for place in places:
        uniform_genotype("conv_3").save(tmp_path / place / "genotype.json")
    return ",".join(str(tmp_path / place) for place in places)


def rows(config, genotype, **changes):
    return rows_of(dataclasses.replace(config, **{"networks": "genotype", "genotype": genotype} | changes))


def test_several_architectures_are_rows_called_as_their_folders(config, tmp_path):
    several(tmp_path, "runs/mine", "runs/other_0", "runs/other_1", "runs/other_2")
    paths = str(tmp_path / "runs/mine"), str(tmp_path / "runs/other_{fold}")
    given = dataclasses.replace(config, networks="unet,genotype,nnunet", genotype=", ".join(paths), width="64, 68", baseline_width=(8,))
    trainings = all_trainings(dataclasses.replace(given, path_dropout=0.1))
    names = ["unet", "mine", "other", "nnunet"]
    assert [own.name for own in trainings] == names * 3
    assert [own.config.width for own in trainings[:4]] == ["8", "64", "68", "8"]
    assert [own.config.genotype for own in trainings[4:8]] == [None, paths[0], str(tmp_path / "runs/other_1"), None]
    assert [own.folder.parts[-2:] for own in trainings[4:6]] == [("unet", "fold_1"), ("mine", "fold_1")]
    assert [own.config.network for own in trainings[:4]] == ["unet", "genotype", "genotype", "nnunet"]
    assert [own.config.path_dropout for own in trainings[:3]] == [None, 0.1, 0.1]
    for own in all_trainings(given)[:4]:
        finish(own, {"a": (0.5, 0.5)})
    assert [network.name for network in collect(all_trainings(given))[0]] == names


def test_start_values_of_the_search_are_for_each_of_them(config, tmp_path):
    genotype = several(tmp_path, "a", "b")
    for place in "ab":
        (tmp_path / place / "inherited.keras").write_text("")
    given = dataclasses.replace(config, networks="nnunet,genotype", genotype=genotype, init="search", folds=(1,))
    with pytest.raises(ConfigError, match="inherited"):  # of --folds alone
        all_trainings(dataclasses.replace(given, genotype=f"{genotype},{tmp_path / 'genotype.json'}"))


@pytest.mark.parametrize(
    "paths, names",
    [
        ("runs/a, published:nas_unet", ["a", "nas_unet"]),
        ("runs/a/genotype.json,runs/best.json", ["a", "best"]),
        ("runs/s_{fold},runs/{fold}/t-{fold}", ["s", "t"]),
        ("runs/a/fold_{fold}/{fold},runs/b", ["fold", "b"]),
        ("one=runs/a,two.2=other/a", ["one", "two.2"]),
        ("runs/x/../a,./b/", ["a", "b"]),
        ("runs/a b,runs/ä", ["a b", "ä"]),
        ("mine=runs/a", ["mine"]),
        ("runs/a", ["genotype"]),
    ],
)
def test_a_row_is_called_as_its_path_ends_or_as_it_is_told(config, paths, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = rows(config, paths)
    assert [row.name for row in found] == names
    assert [row.architecture for row in found] == [part.strip().rpartition("=")[2] for part in paths.split(",")]


@pytest.mark.parametrize("name", ["one,two", "x=y", "x,y_{fold}"])
def test_a_path_that_is_there_may_have_commas_and_equals_signs_in_it(config, tmp_path, name):
    (tmp_path / name.replace("{fold}", "0")).mkdir()
    (row,) = rows(config, str(tmp_path / name))
    assert (row.name, row.architecture) == ("genotype", str(tmp_path / name))


def test_long_lists_are_lists(config):
    assert len(rows(config, ",".join(f"architecture_number_{number}" for number in range(30)))) == 30


def test_one_width_is_for_all_and_matched_ones_are_each_their_own(config, tmp_path):
    genotype = several(tmp_path, "a", "b")
    assert [row.width for row in rows(config, genotype, width="68")] == ["68"] * 2
    given = {"networks": "transfer,genotype", "transfer_from": config.genotype, "baseline_width": (16,)}
    found = rows(config, genotype, **given, width="auto, match:u_resnet,68")
    assert [(row.name, row.width) for row in found] == [("transfer", "auto"), ("a", "match:u_resnet:16"), ("b", "68")]


def test_blanks_may_stand_beside_equals_signs(config):
    found = rows(config, " one = published:nas_unet , two =published:nas_unet")
    assert [(row.name, row.architecture) for row in found] == [(name, "published:nas_unet") for name in ("one", "two")]


def test_what_is_wrong_with_a_row_names_it(config, tmp_path):
    several(tmp_path, "runs/a", "runs/b")
    given = dataclasses.replace(config, networks="genotype", genotype=f"{tmp_path}/runs/a,{tmp_path}/runs/b", width="64,66")
    with pytest.raises(ConfigError, match="^b: 66 stem channels can't be divided"):
        all_trainings(given)


def test_a_network_that_is_matched_and_not_trained_has_its_usual_width(config):
    given = dataclasses.replace(config, networks="unet,nnunet,genotype", width="match:u_resnet", baseline_width=(8, 4))
    assert [row.width for row in rows_of(given)] == ["8", "4", "match:u_resnet:32"]
    alone = dataclasses.replace(config, networks="genotype", width="match:u_resnet", baseline_width=(8,))
    assert all_trainings(alone)[0].config.width == "match:u_resnet:8"


def test_hand_made_networks_have_one_width_or_each_their_own(config):
    def widths(networks, *given):
        return [row.width for row in rows(config, "x.json", networks=networks, baseline_width=given or None)]

    assert widths("unet2d,auto_deeplab") == ["32", "20"] and widths("unet2d,auto_deeplab", 16) == ["16", "16"]
    assert widths("unet2d,genotype,auto_deeplab", 16, 26) == ["16", "auto", "26"]
    with pytest.raises(ConfigError, match="--baseline_width=16,26: expected one, or one for each of unet2d, fcn8s, unet, with commas"):
        widths("unet2d,fcn8s,unet", 16, 26)


@pytest.mark.parametrize(
    "genotype, width, message",
    [
        ("a,b", "64,68,72", "--width=64,68,72: expected one, or one for each of a, b, with commas between"),
        ("a,a", None, "'a', of a, is there twice. Give names of your own: --genotype=NAME=PATH,NAME=PATH"),
        ("x/Light,y/light", None, "'Light', of x/Light, is there twice"),
        ("a,x/unet", None, "'unet', of x/unet, is a network's name"),
        ("unet=a", None, "'unet', of a, is a network's name"),
        ("UNet=a,b", None, "'UNet', of a, is a network's name"),
        ("Cases.csv=a,b", None, "'Cases.csv', of a, is a file of the table"),
        (f"{'n' * 101}=a,b", None, "of a, is no name"),
        ("a,", None, "--genotype=a,: nothing stands beside a comma"),
        ("/,a", None, "'', of /, is no name"),
    ],
)
def test_architectures_that_make_no_table_are_refused(config, genotype, width, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        rows(config, genotype, width=width)


def test_a_width_that_one_of_them_cannot_have_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match="64 or 68"):
        all_trainings(dataclasses.replace(config, networks="genotype", genotype=several(tmp_path, "a", "b"), width="64,66"))


def test_a_finished_training_of_another_architecture_is_refused(config, tmp_path):
    given = dataclasses.replace(config, networks="genotype", genotype=several(tmp_path, "v1/a", "v1/b"))
    for own in all_trainings(given)[:2]:
        finish(own, {"a": (0.5, 0.5)})
        uniform_genotype("conv_3").save(own.folder / "genotype.json")
    assert len(collect(all_trainings(given))[0]) == 2
    uniform_genotype("max_pool_3").save(tmp_path / "v2" / "b" / "genotype.json")
    other = dataclasses.replace(given, genotype=given.genotype.replace("v1/b", "v2/b"))
    with pytest.raises(
        ConfigError, match=r"b/fold_0/genotype.json: the training run there is of another architecture than .*v2/b/genotype.json"
    ):
        collect(all_trainings(other))


def test_rows_alone_make_a_cross_validation_and_those_left_out_are_told(config, tmp_path, caplog):
    given = dataclasses.replace(config, networks="genotype", genotype=several(tmp_path, "a", "b"))
    finish(all_trainings(given)[1], {"a": (0.5, 0.5)})
    assert len(all_trainings(given)) == 6 and not caplog.messages
    assert len(all_trainings(dataclasses.replace(given, networks="nnunet", genotype=None))) == 3
    assert "cv holds finished training runs of networks that this command doesn't name: b" in caplog.messages[0]


def test_a_folder_of_runs_is_no_cross_validation(config, tmp_path):
    genotype = several(tmp_path / "cv", "a", "b")
    with pytest.raises(ConfigError, match="holds files that are not a cross-validation's .a, b."):
        all_trainings(dataclasses.replace(config, networks="genotype", genotype=genotype))
    (tmp_path / "cv" / "a" / "fold_0").mkdir()
    (tmp_path / "cv" / "b" / "flags.cfg").write_text("")
    with pytest.raises(ConfigError, match="holds a run of another command .b/flags.cfg."):
        all_trainings(dataclasses.replace(config, networks="genotype", genotype=genotype))
