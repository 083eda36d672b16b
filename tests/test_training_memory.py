"""The memory that a process says it has held."""

import numpy as np
import pytest
from processes import PYTHON, run

from scnas_keras.machine.peak_memory import peak_bytes

CHILD = "from scnas_keras.machine.peak_memory import peak_bytes; print(peak_bytes())"


@pytest.mark.serial
def test_a_program_does_not_report_the_memory_of_the_one_that_started_it():
    before = peak_bytes()
    held = np.ones(before + 2**28, np.uint8)
    own = peak_bytes()
    assert own >= held.nbytes
    del held
    assert peak_bytes() > 0.99 * own  # a peak stays; Linux counts pages in batches
    child = int(run(PYTHON, "-c", CHILD).stdout)
    assert 2**22 < child < own - before
