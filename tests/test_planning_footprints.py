import numpy as np
import pytest
from some_spaces import SCNAS, genotype_of

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.registry import footprint
from scnas_keras.architectures.resenc import ResidualEncoderUNet
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.architectures.u_resnet import UResNet
from scnas_keras.architectures.unet import UNet
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.planning.topology import Topology, fixed_topology, unet_topology


def random_genotype(seed):
    random = np.random.default_rng(seed)
    return genotype_of(SCNAS, lambda *edge: str(random.choice(SCNAS.operations[:-1])))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_derived_networks_elements_are_those_of_its_graph(seed):
    genotype = random_genotype(seed)
    topology = fixed_topology((16, 24, 8), SCNAS.depth)
    found = DerivedNetwork(SCNAS, 16, genotype).elements(topology, 2, 3)
    assert found == network_cost(from_genotype(genotype, 2, 3, 16), (16, 24, 8)).elements
    assert found <= DerivedNetwork(SCNAS, 16).elements(topology, 2, 3)


def test_cells_that_are_not_built_have_no_elements():
    genotype = genotype_of(SCNAS, lambda kind, i, j: "identity" if i == 0 else None)
    found = DerivedNetwork(SCNAS, 16, genotype).elements(fixed_topology((16, 24, 8), 3), 2, 3)
    assert found == network_cost(from_genotype(genotype, 2, 3, 16), (16, 24, 8)).elements


def test_supernets_keep_more_with_more_operations_drawn_and_less_when_they_recompute():
    topology = fixed_topology((32, 32, 32), SCNAS.depth)
    kept, recomputed, everything = (
        SupernetNetwork(SCNAS, 16, drawn, low_memory).elements(topology, 1, 2) for drawn, low_memory in ((2, False), (2, True), (8, False))
    )
    assert recomputed < kept < everything


@pytest.mark.parametrize("network", [DerivedNetwork(SCNAS, 16), SupernetNetwork(SCNAS, 16), UResNet(), UNet()], ids=lambda one: one.name)
def test_memory_that_was_measured_holds_whole_patches_only(network):
    """Memory for 2.9 patches trains two; nnU-Net's own figures are rounded, to three."""
    for reference, batch in ((network.reference(3), 2), (NNUNet().reference(3), 3)):
        assert reference.batch_size(1e6, reference.gigabytes_for(1e6, 2.9)) == batch


def test_a_unets_elements_by_hand():
    # 8 x 8, one halving: two convolutions at each of the two stages, transposed and two convolutions in the decoder, head.
    topology = Topology((8, 8), ((1, 1), (2, 2)), ((3, 3), (3, 3)))
    assert NNUNet().elements(topology, 1, 5) == 2 * 32 * 64 + 2 * 64 * 16 + 3 * 32 * 64 + 5 * 64
    # Stem; one block of 2 at stage 0; three blocks of 2 and a projection at stage 1; transposed and one convolution; head.
    assert ResidualEncoderUNet("m").elements(topology, 1, 5) == 3 * 32 * 64 + 7 * 64 * 16 + 2 * 32 * 64 + 5 * 64


@pytest.mark.parametrize(
    "spacing, patch, strides, kernels, rounded",
    [
        # Isotropic: halved while both axes have 8 voxels, or one alone 12.
        ((1, 1), (16, 16), ((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3, (16, 16)),
        ((1, 1), (10, 9), ((1, 1), (2, 2)), ((3, 3),) * 2, (10, 10)),
        ((1, 1), (7, 11), ((1, 1),), ((3, 3),), (7, 11)),
        ((1, 1), (7, 12), ((1, 1), (1, 2)), ((3, 3),) * 2, (7, 12)),
        # Four times coarser: left alone, with kernel 1, until the others are within a factor of two.
        ((4, 1, 1), (16, 64, 64), ((1, 1, 1), *((1, 2, 2),) * 2, *((2, 2, 2),) * 2), (*((1, 3, 3),) * 2, *((3, 3, 3),) * 3), (16, 64, 64)),
    ],
)
def test_topologies_by_hand(spacing, patch, strides, kernels, rounded):
    assert unet_topology(spacing, patch) == Topology(rounded, strides, kernels)
    assert unet_topology(spacing, patch).stage_sizes()[0] == rounded


@pytest.mark.parametrize(
    "name, size, measured",
    [
        ("attention_unet", 128, 1.98),
        ("attention_unet", 256, 4.13),
        ("auto_deeplab", 128, 1.94),
        ("auto_deeplab", 256, 2.76),
        ("fcn8s", 128, 1.21),
        ("r2_unet", 128, 2.87),
        ("r2_unet", 256, 7.01),
        ("unet2d", 128, 1.04),
        ("unet_plus_plus", 128, 1.59),
        ("unet_plus_plus", 256, 3.61),
    ],
)
def test_training_takes_what_is_expected_or_less(name, size, measured):
    """GiB: `tools/benchmark train --cases=128x128x4,256x256x4 --channels=3 --classes=2`, two cores of a Xeon, 30 November 2026."""
    network = footprint(name)
    elements = network.elements(network.topology((1.0, 1.0), (size, size)), 3, 2)
    expected = network.measured(2).gigabytes_for(elements, 4)
    assert network.reference(2) == network.measured(2)
    assert measured <= expected <= 1.25 * measured + 0.5
