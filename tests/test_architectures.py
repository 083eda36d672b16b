"""Every hand-made network of the registry against what its file declares, and that a new file is all that a new network takes."""

import dataclasses
import math
import sys

import keras
import pytest
from processes import PYTHON, ROOT, run, with_package
from test_networks_handmade import SEARCHED
from test_spaces_genotype import uniform_genotype
from traced_cost import traced_cost

from scnas_keras import architectures
from scnas_keras.architectures import registry
from scnas_keras.architectures.registry import DEFAULT_WIDTHS, HANDMADE, MATCHABLE, NETWORKS, TRAINABLE, footprint
from scnas_keras.errors import ConfigError
from scnas_keras.networks import blocks
from scnas_keras.networks.cost import network_cost
from scnas_keras.runs.checks import check_outputs

WIDTH, CHANNELS, CLASSES = 4, 2, 3
# Spacing and patch: one of equal sides, and thick slices of odd sizes, which a network rounds up to what it halves.
PATCHES = {
    "equal 2d": ((1.0, 1.0), (32, 32)),
    "odd 2d": ((2.5, 1.0), (7, 65)),
    "equal 3d": ((1.0, 1.0, 1.0), (32, 32, 32)),
    "odd 3d": ((3.0, 1.0, 1.0), (7, 33, 50)),
}
FIRST = {type(footprint(name)): name for name in reversed(HANDMADE)}.values()  # of the presets of a file, which are the same network
CASES = [
    (name, patch)
    for name in HANDMADE
    for patch, (spacing, _) in PATCHES.items()
    if len(spacing) in footprint(name).ranks and (name in FIRST or "odd" in patch)
]
COMPOSED = ("auto_deeplab",)
"""Of separable convolutions, counted as two and computed as one."""
SUPERVISED = [(name, patch) for name, patch in CASES if footprint(name).several_outputs and name in FIRST and "odd" in patch]


def built(name, patch, deep_supervision):
    """A network, its stages for a patch, and its model."""
    network = footprint(name, WIDTH)
    topology = network.topology(*PATCHES[patch])
    model = network.build(topology, network.features(topology), CHANNELS, CLASSES, deep_supervision)
    return network, topology, model


def outputs(model, patch):
    shapes = model.compute_output_shape((1, *patch, CHANNELS))
    return shapes if isinstance(shapes, list) else [shapes]


@pytest.mark.parametrize(
    "name, patch",
    [pytest.param(*case, marks=pytest.mark.nightly) if case[0] in COMPOSED and case[1] != "odd 2d" else case for case in CASES],
)
def test_what_a_network_declares_is_what_is_built(name, patch):
    network, topology, model = built(name, patch, False)
    size, cost = topology.patch_size, network_cost(model, topology.patch_size)
    assert (model.name, network.name, network.width) == (name, name, WIDTH)
    assert len(size) == len(topology.divisors) and all(side % divisor == 0 for side, divisor in zip(size, topology.divisors))
    assert model.input_shape == (None, *[None] * len(size), CHANNELS) and outputs(model, size) == [(1, *size, CLASSES)]
    assert network.elements(topology, CHANNELS, CLASSES) == cost.elements
    traced = traced_cost(model, size)
    if name in COMPOSED:
        assert cost.parameters == traced.parameters
    else:
        assert dataclasses.asdict(cost) == dataclasses.asdict(traced)


@pytest.mark.parametrize("name, patch", SUPERVISED)
def test_outputs_at_coarser_levels_are_there_where_they_are_declared(name, patch):
    """They cost their pointwise convolutions; planners leave them out of the elements, as nnU-Net does."""
    network, topology, model = built(name, patch, True)
    size = topology.patch_size
    finest, *coarser = outputs(model, size)
    assert finest == (1, *size, CLASSES) and len(coarser) > 0
    others = topology.stage_sizes()[:1] if name == "unet_plus_plus" else topology.stage_sizes()[1:]
    assert all(shape[-1] == CLASSES and shape[1:-1] in others for shape in coarser)
    cost = network_cost(model, size)
    assert cost.elements == network.elements(topology, CHANNELS, CLASSES) + sum(map(math.prod, coarser))
    assert dataclasses.asdict(cost) == dataclasses.asdict(traced_cost(model, size))


@pytest.mark.parametrize("name", [name for name in FIRST if footprint(name).stages_of_plan])
@pytest.mark.parametrize("patch", [patch for patch in PATCHES if "odd" in patch])
def test_a_plan_may_say_how_many_blocks_a_stage_has(name, patch):
    network = footprint(name, WIDTH)
    usual = network.topology(*PATCHES[patch])
    counts = tuple(2 if stage % 2 else 1 for stage in range(len(usual.strides)))
    topology = dataclasses.replace(usual, blocks=counts)
    model = network.build(topology, network.features(topology), CHANNELS, CLASSES)
    cost = network_cost(model, topology.patch_size)
    assert network.blocks(topology) == counts != network.blocks(usual)
    assert network.elements(topology, CHANNELS, CLASSES) == cost.elements != network.elements(usual, CHANNELS, CLASSES)
    assert dataclasses.asdict(cost) == dataclasses.asdict(traced_cost(model, topology.patch_size))


@pytest.mark.parametrize("name", [name for name in FIRST if footprint(name).stages_of_plan])
def test_where_nnunets_stages_are_as_wide_as_they_get(name, monkeypatch):
    """It counts a projection in a residual stage that only pools: 512 channels at 8 x 8 and 4 x 4 voxels. Its plans need that."""
    monkeypatch.setattr(blocks, "start_values", keras.initializers.Zeros)  # no time for random numbers
    network = footprint(name, 256)
    topology = network.topology((1.0, 1.0), (32, 32))
    assert network.features(topology) == (256, 512, 512, 512)
    model = network.build(topology, network.features(topology), CHANNELS, CLASSES)
    pooled = 512 * (8 * 8 + 4 * 4) if name.startswith("resenc") else 0
    assert network.elements(topology, CHANNELS, CLASSES) == network_cost(model, topology.patch_size).elements + pooled


@pytest.mark.parametrize("name", HANDMADE)
def test_a_declaration_is_complete(name):
    network = footprint(name)
    assert network == footprint(name, network.width) != footprint(name, network.width + 2) and hash(network) == hash(footprint(name))
    assert set(network.ranks) <= {2, 3} and network.smallest_batch >= 1
    for rank in network.ranks:
        for reference in (network.reference(rank), network.measured(rank)):
            assert 0 <= reference.fixed_gigabytes < reference.gigabytes and reference.elements > 0
        topology = network.topology((1.0,) * rank, (32,) * rank)
        assert len(network.features(topology)) == len(topology.strides) == len(topology.kernel_sizes)
    with pytest.raises(ConfigError, match="use an even number"):
        footprint(name, network.width + 1)


def test_lists_follow_from_the_files():
    """Files in alphabetical order, presets in that of their file."""
    presets = ("resenc_m", "resenc_l", "resenc_xl")
    first, last = ("attention_unet", "auto_deeplab", "fcn8s", "nnunet", "r2_unet"), ("u_resnet", "unet", "unet2d", "unet_plus_plus")
    assert HANDMADE == (*first, *presets, *last)
    assert TRAINABLE == ("genotype", *HANDMADE) and NETWORKS == (*TRAINABLE, "supernet")
    assert MATCHABLE == tuple(name for name in (*first, *last) if name != "nnunet")
    wide = ("attention_unet", "fcn8s", "r2_unet")
    expected = {name: 64 if name in wide else 32 for name in HANDMADE} | {"auto_deeplab": 20}
    assert {name: DEFAULT_WIDTHS[name] for name in HANDMADE} == expected
    several = "64 for genotype, attention_unet, fcn8s, r2_unet; 20 for auto_deeplab; 48 for supernet; 32 for the others"
    assert registry.widths_text(NETWORKS) == several
    assert registry.widths_text(presets) == "32"


@pytest.mark.parametrize("name", TRAINABLE)
def test_deep_supervision_is_refused_by_declaration(name):
    network = footprint(name)
    check_outputs(network, "auto")
    if network.several_outputs:
        return check_outputs(network, "true")
    with pytest.raises(ConfigError, match=f"a {name} network has no outputs at coarser levels"):
        check_outputs(network, "true")


SMALL = '''
"""Two convolutions, of which the second is at half the resolution."""

import dataclasses
import math
from typing import ClassVar

from scnas_keras.planning.footprints import FixedStages


@dataclasses.dataclass(frozen=True)
class Small(FixedStages):
    """A small network; `width` channels."""

    width: int = 6
    name: ClassVar = "small"
    ranks: ClassVar = (3,)
    halvings: ClassVar = 1
    several_outputs: ClassVar = False

    def features(self, topology):
        return self.width, self.width

    def elements(self, topology, channels, heads):
        fine, coarse = (math.prod(size) for size in topology.stage_sizes())
        return self.width * (2 * fine + coarse) + heads * fine

    def build(self, topology, features, channels, num_classes, deep_supervision=False):
        from scnas_keras.networks import blocks, heads

        image, x = blocks.image(len(topology.patch_size), channels)
        x = blocks.conv_norm_activate(x, self.width, 3, "fine")
        x = blocks.conv_norm_activate(x, self.width, 3, "coarse", strides=2)
        return heads.finish(image, [blocks.upconv(x, self.width, 2, "up")], num_classes, deep_supervision, self.name)


DECLARED = (Small(),)
'''
USE_SMALL = """
import math, sys
from scnas_keras import architectures
architectures.__path__.append(sys.argv[1])
sys.path[:0] = sys.argv[2:]
from benchmarks import train as benchmark
from scnas_keras import crossval, plan, retrain
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.architectures.registry import MATCHABLE, TRAINABLE, footprint
from scnas_keras.options import help_text, parse

assert "small" in TRAINABLE and "small" in MATCHABLE
for config in (retrain.RetrainConfig, crossval.CrossvalConfig, plan.PlanConfig):
    assert "6 for small" in " ".join(help_text(config, "").split())
assert not {"keras", "tensorflow"} & set(sys.modules)
assert benchmark.ROWS["small"] == "A small network" and benchmark.plan("small", (8, 8, 8), benchmark.Config())[0] == footprint("small")
flags = "--task=phantom --networks=small,unet --folds=0 --workdir=cv"
small, large = all_trainings(parse(crossval.CrossvalConfig, ["", *flags.split()]))[:2]
assert (small.config.network, small.config.width, large.config.width) == ("small", "6", "32")

from test_planning_planner import fingerprint
from scnas_keras.planning.planner import make_plans
from scnas_keras.retrain.architecture import choose

network = choose(parse(retrain.RetrainConfig, ["", "--network=small", "--width=4"])).network
assert network == footprint("small", 4)
planned = make_plans(fingerprint([(40, 33, 20)] * 10, [(1.0, 1.0, 2.0)] * 10), network)
configuration = planned.configuration("3d_fullres")
assert planned.network == "small" and list(planned.configurations) == ["3d_fullres"]
assert configuration.strides == ((1, 1, 1), (2, 2, 2)) and configuration.features_per_stage == (4, 4)
for flags, message in (
    ("--network=small --deep_supervision=true", "a small network has no outputs"),
    ("--genotype=flat.json --width=match:small", "the genotype has 2 axes, and small is for 3"),
):
    try:
        choose(parse(retrain.RetrainConfig, ["", *flags.split()]))
    except Exception as error:
        assert message in str(error), error
    else:
        raise AssertionError(flags)

import keras, tensorflow as tf
from traced_cost import traced_cost
from scnas_keras.retrain.recipes import PRESETS
from scnas_keras.retrain.optimizers import make_optimizer
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import make_loss

model = network.build(configuration.topology, configuration.features_per_stage, 1, 2)
assert network.elements(configuration.topology, 1, 2) == traced_cost(model, configuration.patch_size).elements
learner = Learner(model, 2)
learner.compile(make_optimizer(PRESETS["scnas"], 0.0, "none"), make_loss("jaccard"))
before = model.get_weights()
batch = tf.random.stateless_normal((1, 8, 8, 8, 1), (1, 2)), tf.zeros((1, 8, 8, 8), tf.int32)
assert math.isfinite(float(tf.function(learner.train_step, autograph=False)(batch)["loss"]))
assert all((old != new).any() for old, new in zip(before, model.get_weights()) if old.size > 2)
"""


def test_a_network_is_added_by_one_file(tmp_path):
    """It is listed, explained, planned for, refused where it must be, built, and trained a step."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "small.py").write_text(SMALL)
    uniform_genotype("conv_3", SEARCHED[2]).save(tmp_path / "flat.json")
    run(PYTHON, "-c", USE_SMALL, tmp_path / "files", ROOT / "tools", ROOT / "tests", cwd=tmp_path, env=with_package())


def test_a_name_that_is_taken_is_refused(tmp_path, monkeypatch):
    (tmp_path / "twin.py").write_text(SMALL.replace('"small"', '"unet"'))
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"architectures/unet.py declares a network unet, and there is one of that name"):
        registry._declared()
    for name in [name for name in sys.modules if name == f"{architectures.__name__}.twin"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_registry_loads_no_framework():
    heavy = "{'keras', 'tensorflow', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)"
    script = f"import sys, scnas_keras.architectures.registry as found; assert found.HANDMADE and not {heavy}, {heavy}"
    run(PYTHON, "-c", script, cwd=ROOT)
