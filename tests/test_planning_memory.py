"""The memory that is estimated for a search against what it takes, in a process of its own."""

import pytest
from processes import PYTHON, ROOT, run

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.planning.topology import fixed_topology
from scnas_keras.spaces.known import find_space

SEARCH = """
import sys
import keras, tensorflow as tf
from scnas_keras.spaces.known import find_space
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.optimizers import Adam
from scnas_keras.machine.peak_memory import peak_bytes
rank, stem, size, low_memory = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "True"
supernet = Supernet(find_space("scnas", rank), 1, 3, stem, low_memory=low_memory)
supernet.compile(Adam(1e-3), Adam(1e-3), JaccardLoss())
voxels = (1, *(size,) * rank)
batch = tf.random.stateless_normal((*voxels, 1), (1, 2)), tf.zeros(voxels, tf.int32)
step = tf.function(supernet.train_step, autograph=False)
for _ in range(4):
    step((batch, batch))
print(peak_bytes() / 2**30)
"""


@pytest.mark.nightly
@pytest.mark.serial
@pytest.mark.parametrize(
    "rank, stem, size, low_memory",
    [(3, 8, 32, False), (3, 16, 64, True), (3, 32, 64, False), (2, 16, 256, False), (2, 32, 256, True), (2, 32, 512, False)],
)
def test_the_estimate_is_within_a_quarter(rank, stem, size, low_memory):
    space = find_space("scnas", rank)
    done = run(PYTHON, "-c", SEARCH, rank, stem, size, low_memory, cwd=ROOT)
    network = SupernetNetwork(space, stem, low_memory=low_memory)
    elements = network.elements(fixed_topology((size,) * rank, space.depth), 1, 3)
    assert network.reference(rank).gigabytes_for(elements, 1) == pytest.approx(float(done.stdout), rel=0.25)
