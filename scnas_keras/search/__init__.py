"""scnas search --task=TASK --data_dir=DIR --workdir=RUN

Searches a segmentation network for your labelled 3D scans (SCNAS, arXiv 1906.05956). DIR is a folder in the layout of
the Medical Segmentation Decathlon, or the folder around it. RUN then holds genotype.json (the found architecture),
its drawing and table, model.keras (the network, not yet trained), history and summary. Next: scnas retrain.
"""

import shlex
from typing import Any

from scnas_keras.console import load_tensorflow
from scnas_keras.search.config import SearchConfig
from scnas_keras.training.names import LIGHT, LIGHT_PAPER


def search(config: SearchConfig) -> Any:
    """See `scnas_keras.search.runner.run_search`, which this calls: a framework is loaded only now."""
    from scnas_keras.search.runner import run_search

    return run_search(config)


def main(config: SearchConfig) -> str:
    from scnas_keras.runs.checks import refuse_if_several_missing
    from scnas_keras.search.checks import check, footprint

    refuse_if_several_missing(config)
    if isinstance(config.seed, tuple):
        return _main_of_seeds(config)
    check(config)
    from scnas_keras.runs.before import check_before  # which takes longer to import than all of this

    check_before(config, footprint(config))
    load_tensorflow()
    result = search(config)
    print(result.table)
    print(f"The run is in {result.folder}")
    from scnas_keras.runs.following import following

    light = config.preset == LIGHT_PAPER or (config.preset is None and config.space.startswith(LIGHT))
    preset = LIGHT if light else config.preset
    return following("retrain", config, preset=preset, genotype=result.folder, workdir=f"{result.folder}_trained")


def _main_of_seeds(config: SearchConfig) -> str:
    from scnas_keras.search.seeds import run_seeds

    folder = run_seeds(config)
    print(f"The searches are in {folder}")
    return shlex.join(["scnas", "assess", f"--workdir={folder}"])
