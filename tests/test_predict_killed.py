"""A prediction that is killed in the middle, and goes on."""

import signal
import time

import pytest
from processes import PYTHON, run, start, with_package
from test_inference import pointwise_model

from scnas_keras.tasks.phantoms import write_phantoms

COUNT = 24


def results(folder):
    """A killed process may leave a hidden file, which nobody takes for a result; the record grows with them."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith(".") and path.suffix != ".json")


def written(folder):
    """Names of results to bytes."""
    return {path.name: path.read_bytes() for path in results(folder)}


@pytest.mark.nightly
def test_a_killed_prediction_leaves_whole_files_and_goes_on_to_the_same_bytes(tmp_path):
    pointwise_model().save(tmp_path / "model")
    scans = write_phantoms(tmp_path / "data", COUNT, size=64) / "imagesTr"
    words = (PYTHON, "-m", "scnas_keras.predict", f"--model={tmp_path / 'model'}", f"--image={scans}", "--overlay")
    run(*words, f"--output={tmp_path / 'whole'}", env=with_package())
    whole = written(tmp_path / "whole")
    assert len(whole) == 2 * COUNT
    out, codes = tmp_path / "out", []
    for number, kind in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)):
        process = start(*words, f"--output={out}", env=with_package())
        while process.poll() is None and len(results(out)) < 4 * number + 1:
            time.sleep(0.01)
        process.send_signal(kind)
        errors = process.communicate()[1]
        codes.append(process.returncode)
        assert "Traceback" not in errors
        found = written(out)
        assert 0 < len(found) < len(whole) and found.items() <= whole.items()
    assert codes == [-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT]
    run(*words, f"--output={out}", env=with_package())
    assert written(out) == whole
