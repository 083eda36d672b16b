"""How recipes are sampled, and that every sample can be trained by its flags."""

import collections
import dataclasses
import json

import numpy as np
import pytest
from some_spaces import uniform_genotype

from scnas_keras.planning.plans import load_plans
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.architecture import choose
from scnas_keras.retrain.checks import check
from scnas_keras.retrain.recipes import recipe
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.folds import open_fold
from scnas_keras.select import SelectConfig, genes, pool, runner, samples
from scnas_keras.select.genes import BATCH, BLOCKS, INCUMBENT, PRIOR, RATE, STAGES, UNIFORM, WIDTH, Choice, Factor, Sample, Space
from scnas_keras.select.job_flags import training_config
from scnas_keras.select.pool import handmade
from scnas_keras.select.samples import Sampler

VALUES = {
    **{"optimizer": "adam", "momentum": 0.99, "weight_decay": 0.0, "loss": "dice_ce", "ema": 0.99, "foreground_share": 0.5},
    **{"batch_size": 1, "deep_supervision": "auto", "supervised": True, "augmentation": "v2", "mirror_axes": "none"},
}
RATES = {"adam": 2e-3, "sgd": 0.01}
MACRO = frozenset({STAGES, BLOCKS})
SPACE = Space(
    genes.recipe_genes(VALUES) + genes.macro_genes(),
    RATES,
    {"nnunet": frozenset(), "found_w64": MACRO | {"deep_supervision"}, "resenc_m": frozenset()},
)
BEST = Sample(INCUMBENT, "resenc_m", {"optimizer": "sgd", RATE: 0.02, "momentum": 0.9, "loss": "dice"})
FLAGS = {"preset": "short", "batch_size": 1, "ema": 0.99, "augmentation": "v2", "mirror_axes": "none"}
"""As flags/presets/short.cfg has them."""


def first(number, incumbent=None, taken=(), seed=0):
    return next(SPACE.samples(seed, number, incumbent, taken))


def many(number, incumbent=None, count=400):
    return [first(number, incumbent, seed=seed) for seed in range(count)]


def test_shares_are_kept_exactly_among_all_places():
    assert collections.Counter(first(number, BEST).origin for number in range(samples.PLACES)) == {PRIOR: 3, INCUMBENT: 3, UNIFORM: 2}
    for nobody in (None, Sample(PRIOR, "nnunet", {})):  # the default network with the default recipe is the prior
        found = [first(number, nobody) for number in range(samples.PLACES)]
        assert collections.Counter(one.origin for one in found) == {PRIOR: 6, UNIFORM: 2}
        assert {one.network for one in found if one.origin == PRIOR} == {"nnunet"}
    assert first(1, Sample(PRIOR, "found_w64", {})).network == "found_w64"  # another network by the default recipe isn't


def test_samples_follow_from_seed_place_and_incumbent_and_never_repeat():
    assert first(1, BEST) == first(1, BEST) != first(1, BEST, seed=1) and first(1, BEST) != first(1) and first(1) != first(0)
    taken = []
    for number in range(200):
        taken.append(first(number, BEST, taken))
    assert all(sample.genes for sample in taken)  # none is a default recipe, which races anyway
    assert len({(sample.network, tuple(sorted(sample.genes.items()))) for sample in taken}) == len(taken)
    again = list(SPACE.samples(0, 3, BEST, taken[:3]))
    assert again[0] == taken[3] and len(again) > 20  # others for one that doesn't fit


def test_a_neighbour_is_near():
    rng = np.random.default_rng(0)
    ordered, unordered = Choice("ema", (0.0, 0.9, 0.99), 0.99), Choice("loss", ("a", "b", "c"), "a", ordered=False)
    assert {ordered.moved(0.99, rng) for _ in range(30)} == {0.9} and {ordered.moved(0.9, rng) for _ in range(30)} == {0.0, 0.99}
    assert {unordered.moved("a", rng) for _ in range(30)} == {"b", "c"} and Choice("one", (1,), 1).moved(1, rng) == 1
    assert {ordered.uniform(rng) for _ in range(50)} == {0.0, 0.9, 0.99}
    rate = Factor(RATE, 0.1, 4.0)
    moved = [rate.moved(1.0, rng) for _ in range(500)]
    assert 1 / 3 <= min(moved) < 0.4 and 2.5 < max(moved) <= 3 and max(rate.moved(3.9, rng) for _ in range(50)) == 4.0
    drawn = [rate.uniform(rng) for _ in range(500)]
    assert 0.1 <= min(drawn) < 0.15 and 3 < max(drawn) <= 4 and sum(one < 0.1 * 40**0.5 for one in drawn) == pytest.approx(250, abs=40)


@pytest.mark.parametrize("number, centre", [(0, None), (1, BEST)])
def test_around_something_most_genes_stay(number, centre):
    active = len(SPACE.genes) - (centre is None)  # momentum is sgd's
    kept = centre.genes if centre else {}
    changed = []
    for sample in many(number, centre):
        own = {name: sample.genes.get(name) for name in {*sample.genes, *kept}}
        changed.append(sum(value != kept.get(name) for name, value in own.items()))
    assert 0.2 * active < np.mean(changed) < 0.4 * active
    uniform = np.mean([len(sample.genes) for sample in many(2)])
    assert uniform > 1.5 * np.mean(changed)


def test_a_learning_rate_is_that_of_its_optimizer():
    for origin in (0, 1, 2):
        for sample in many(origin, BEST):
            own = sample.genes
            optimizer = own.get("optimizer", "adam")
            assert RATE in own or optimizer == "adam"
            assert 0.099 * RATES[optimizer] <= own.get(RATE, RATES[optimizer]) <= 4.01 * RATES[optimizer]
            assert "momentum" not in own or optimizer == "sgd"
    kept = next(one for one in many(1, BEST) if one.genes.get("optimizer", "adam") == "adam" and "loss" in one.genes and RATE in one.genes)
    assert kept.genes[RATE] < 0.0121  # twice the usual rate of sgd became about twice that of Adam


def test_an_incumbent_is_the_centre_as_it_is(monkeypatch):
    monkeypatch.setattr(genes, "_MOVED", 0.0)
    assert SPACE._sample(np.random.default_rng(0), INCUMBENT, BEST) == BEST


def test_genes_that_a_network_hasnt_are_left_out():
    searched = [sample for sample in many(2) if sample.network == "found_w64"]
    assert searched and not any({*MACRO, "deep_supervision"} & sample.genes.keys() for sample in searched)
    assert any(STAGES in sample.genes for sample in many(2))


@pytest.mark.parametrize("usual, choices", [(1, [1, 2, 2]), (2, [2, 1, 2]), (12, [12, 6, 12])])
def test_batches_and_patches(usual, choices):
    found = genes.batch_choices(usual)
    assert [batch for batch, _ in found.values()] == choices and [share for _, share in found.values()] == [1.0, 1.0, 0.8]


def test_a_default_that_isnt_in_the_list_has_its_place():
    found = {gene.name: gene for gene in genes.recipe_genes(VALUES | {"ema": 0.95, "mirror_axes": "x,y"})}
    assert found["ema"].values == (0.0, 0.9, 0.95, 0.99, 0.999) and found["ema"].default == 0.95
    assert found["mirror_axes"].values == ("x,y", "none", "auto")
    without = genes.recipe_genes({name: value for name, value in VALUES.items() if name not in ("augmentation", "mirror_axes")})
    assert not {"augmentation", "mirror_axes"} & {gene.name for gene in without}  # a plan file has them


# with data


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(cache):
    return runner.survey(SelectConfig(task="phantom", num_phantoms=12, cache_dir=cache, spacing=(2.0, 2.0, 2.0), **FLAGS))


def made(data, cache, folder, **flags):
    config = SelectConfig(**{"task": "phantom", "num_phantoms": 12, "cache_dir": cache, "spacing": (2.0, 2.0, 2.0)} | FLAGS | flags)
    uniform_genotype("conv_3").save(folder / "found.json")
    found = pool.Candidate("found_w64", "found", "genotype", "64", str(folder / "found.json"))
    own = samples.bases(config, [handmade("nnunet"), found, *samples.places(config)], 3)
    return config, Sampler(config, data, own, folder / "plans")


def test_the_first_trial_of_each_network_is_the_default_recipe(data, cache, tmp_path):
    config, found = made(data, cache, tmp_path, tune="recipe")
    own = training_config(config, found.bases[0], tmp_path, 60.0, HELD_OUT, 0)
    space = found.space
    assert {gene.name: gene.default for gene in space.genes} == {
        **{RATE: 1.0, "momentum": 0.99, "weight_decay": 0.0, "augmentation": "v2", "foreground_share": 0.5, "ema": 0.99},
        **{"optimizer": "adam", "loss": "dice_ce", "mirror_axes": "none", BATCH: "1", "deep_supervision": "auto"},
    }
    assert recipe(own).learning_rate == space.rates["adam"] == 2e-3 and space.rates["sgd"] == 0.01
    _, given = made(data, cache, tmp_path, tune="recipe", learning_rate=0.5)
    assert given.space.rates == {"adam": 0.5, "sgd": 0.01}
    assert [base.name for base in found.bases] == ["nnunet", "found_w64"]
    assert [base.name for base in made(data, cache, tmp_path, tune="all")[1].bases] == ["nnunet", "found_w64", "resenc_m"]


def test_every_sample_can_be_trained_by_its_flags(data, cache, tmp_path):
    """The flags are read, the fold is opened by them, and the network is what the genes say."""
    config, found = made(data, cache, tmp_path, tune="all")
    usual = {name: open_fold(RetrainConfig(**fold_flags(cache), network=name), handmade_network(name)) for name in ("nnunet", "resenc_m")}
    seen, drawn = collections.Counter(), []
    for number in range(24):
        place = pool.Candidate(f"tuned_{number + 1}", "tuned", "", "")
        sample = found.draw(place, drawn, drawn[-1] if drawn else None)
        drawn.append(sample)
        own = training_config(config, sample, tmp_path / "run", 60.0, HELD_OUT, 0)
        check(own)
        by_recipe, architecture = recipe(own), choose(own)
        assert by_recipe.learning_rate == sample.genes.get(RATE, 2e-3) and by_recipe.loss == sample.genes.get("loss", "dice_ce")
        fold = open_fold(own, architecture.network)
        configuration = fold.configuration
        assert configuration.foreground_share == sample.genes.get("foreground_share", 0.5)
        batch, share = genes.batch_choices(1)[sample.genes.get(BATCH, "1")]
        assert configuration.batch_size == batch and (share == 1 or configuration.patch_size < data.patch_size)
        names = {"none": set(), "2018": {"Elastic"}, "v2": {"GaussianNoise"}}[sample.genes.get("augmentation", "v2")]
        transforms = {type(one).__name__ for one in configuration.augmentation.transforms}
        assert names == transforms & {"Elastic", "GaussianNoise"}
        if {STAGES, BLOCKS} & sample.genes.keys():
            normal, network = usual[sample.base].configuration, architecture.network
            stages = {"one fewer": -1, "one more": 1}.get(sample.genes.get(STAGES), 0)
            if share == 1:
                assert len(configuration.strides) == len(normal.strides) + stages
            more = {"one fewer": -1, "one more": 1}.get(sample.genes.get(BLOCKS), 0)
            assert network.blocks(configuration.topology)[1] == network.blocks(normal.topology)[1] + more
            assert load_plans(own.plan).configuration("3d_fullres") == configuration
        assert (int(sample.width) != 32 + 32 * (sample.base == "found_w64")) == (WIDTH in sample.genes)
        seen.update(sample.genes.keys())
    assert {gene.name for gene in found.space.genes} <= seen.keys() | {"momentum"}
    assert json.loads(json.dumps([sample.flags for sample in drawn]))


def test_a_momentum_that_was_given_goes_with_sgd_only(data, cache, tmp_path):
    config, found = made(data, cache, tmp_path, tune="recipe", preset="nnunet", momentum=0.8)
    assert next(gene for gene in found.space.genes if gene.name == "momentum").values == (0.8, 0.9, 0.95, 0.99)
    optimizers = set()
    for number in range(20):
        sample = found.draw(pool.Candidate(f"tuned_{number + 1}", "tuned", "", ""), [], None)
        own = recipe(training_config(config, sample, tmp_path, 60.0, HELD_OUT, 0))
        optimizers.add(own.optimizer)
        assert own.momentum == (sample.genes.get("momentum", 0.8) if own.optimizer == "sgd" else 0.99)
    assert optimizers == {"adam", "sgd"}


def test_a_plan_of_ones_own_is_the_default(data, cache, tmp_path):
    """Augmentation is the plan's; a sample with other stages has a plan that is equal but for them."""
    network = handmade_network("nnunet")
    fold = open_fold(RetrainConfig(**fold_flags(cache), patch_size=(32, 32, 32)), network)
    own = dataclasses.replace(fold.configuration, blocks_per_stage=(1, 2, 3, 4))
    dataclasses.replace(fold.plans, configurations={"3d_fullres": own}).save(tmp_path / "plans.json")
    config, found = made(data, cache, tmp_path, tune="all", plan=str(tmp_path / "plans.json"), spacing=None, batch_size=None)
    assert not {"augmentation", "mirror_axes"} & {gene.name for gene in found.space.genes}
    for stages, blocks, strides, counts in (
        ("one fewer", "one more", own.strides[:-1], (2, 3, 4)),
        ("one more", "one fewer", (*own.strides, (2, 2, 2)), (1, 1, 2, 3, 3)),
    ):
        sample = found._trainable("tuned_1", Sample(PRIOR, "nnunet", {STAGES: stages, BLOCKS: blocks}))
        training = training_config(config, sample, tmp_path / "run", 60.0, HELD_OUT, 0)
        changed = open_fold(training, network).configuration
        assert changed == load_plans(training.plan).configuration("3d_fullres")
        assert changed.strides == strides and changed.features_per_stage == network.features(changed.topology)
        assert changed.blocks_per_stage == counts and changed.augmentation == own.augmentation
        other = open_fold(dataclasses.replace(training, patch_size=(16, 16, 16)), network).configuration  # has stages of its own
        assert other.blocks_per_stage is None and len(other.strides) == 3


def fold_flags(cache):
    return {"task": "phantom", "num_phantoms": 12, "cache_dir": cache, "spacing": (2.0, 2.0, 2.0)} | FLAGS


def handmade_network(name):
    return choose(RetrainConfig(network=name)).network


def test_what_doesnt_fit_isnt_taken(data, cache, tmp_path, monkeypatch):
    _, found = made(data, cache, tmp_path, tune="recipe")
    place = pool.Candidate("tuned_1", "tuned", "", "")
    sizes = []
    monkeypatch.setattr(samples, "memory_of", lambda network, fold, batch, topology: sizes.append(batch) or float(batch))
    monkeypatch.setattr(samples, "free_gibibytes", lambda config: 1.5)
    for number in range(1, 30):
        sample = found.draw(pool.Candidate(f"tuned_{number}", "tuned", "", ""), [], None)
        assert BATCH not in sample.genes
    assert 2 in sizes
    monkeypatch.setattr(samples, "free_gibibytes", lambda config: 0.0)
    assert found.draw(place, [], None) is None
