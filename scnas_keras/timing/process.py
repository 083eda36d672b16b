"""A process that measures: a document on stdin says what, a line of stdout is the milliseconds of one part.

Defined here is only what it does; `timing.times` starts it.
"""

import dataclasses
import json
import signal
import sys
from collections.abc import Sequence

from scnas_keras.console import load_tensorflow, while_read
from scnas_keras.spaces.milliseconds import Part
from scnas_keras.timing.records import Machine


def to_json(parts: Sequence[Part], machine: Machine) -> str:
    """What the process reads."""
    setting = {"precision": machine.precision, "deterministic": machine.deterministic}
    return json.dumps({**setting, "parts": [dataclasses.asdict(part) for part in parts]})


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches both; the other one decides
    wanted = json.load(sys.stdin)
    load_tensorflow()

    from scnas_keras.machine.determinism import make_deterministic
    from scnas_keras.machine.precision import set_precision
    from scnas_keras.timing.measuring import milliseconds

    if wanted["deterministic"]:
        make_deterministic()
    set_precision(wanted["precision"])
    with while_read():
        for part in wanted["parts"]:
            print(milliseconds(Part(**part | {"voxels": tuple(part["voxels"])})), flush=True)


if __name__ == "__main__":
    main()
