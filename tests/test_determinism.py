"""Equal flags, equal results: what threads could change."""

import numpy as np
import pytest
from processes import PYTHON, ROOT, start, with_package


@pytest.mark.nightly
@pytest.mark.parametrize("graphs", [(), ("optimised",)], ids=["on CPUs", "optimised"])
def test_a_found_network_learns_and_predicts_bit_for_bit_alike(graphs, tmp_path):
    """In two processes of two threads. Which of them is first may change nothing, so no sum that runs has three terms."""
    script, environment = ROOT / "tests" / "equal_steps.py", with_package(TF_CPP_MIN_LOG_LEVEL="2")
    started = [start(PYTHON, script, tmp_path / f"{name}.npz", *graphs, env=environment) for name in ("one", "other")]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors[-3000:]
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "other.npz") as other:
        assert one["terms"] == 2
        assert one.files == other.files and len(one.files) > 50
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
