"""The memory that is estimated for a search against what it takes, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from some_spaces import SCNAS

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.planning.topology import fixed_topology

SEARCH = """
import sys
import keras, tensorflow as tf
from scnas_keras.spaces.known import find_space
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.machine.peak_memory import peak_bytes
stem, size, low_memory = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
supernet = Supernet(find_space("scnas", 3), 1, 3, stem, low_memory=low_memory)
supernet.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3), JaccardLoss())
batch = tf.random.stateless_normal((1, size, size, size, 1), (1, 2)), tf.zeros((1, size, size, size), tf.int32)
step = tf.function(supernet.train_step, autograph=False)
for _ in range(4):
    step((batch, batch))
print(peak_bytes() / 2**30)
"""


@pytest.mark.nightly
@pytest.mark.serial
@pytest.mark.parametrize("stem, size, low_memory", [(8, 32, False), (16, 64, True), (32, 64, False)])
def test_the_estimate_is_within_a_quarter(stem, size, low_memory):
    arguments = [sys.executable, "-c", SEARCH, str(stem), str(size), str(low_memory)]
    done = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", errors="replace", cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    network = SupernetNetwork(SCNAS, stem, low_memory=low_memory)
    elements = network.elements(fixed_topology((size,) * 3, SCNAS.depth), 1, 3)
    assert network.reference(3).gigabytes_for(elements, 1) == pytest.approx(float(done.stdout), rel=0.25)
