"""What races: networks by family and width, each as flags of `retrain`."""

import math
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from scnas_keras.architectures.registry import DEFAULT_WIDTHS, GENOTYPE, HANDMADE, footprint
from scnas_keras.errors import ConfigError, times
from scnas_keras.machine.memory import available_memory
from scnas_keras.runs.preflight import estimate
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.names import DEFAULT, FOUND, RANDOM
from scnas_keras.select.survey import Survey
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.random_genotypes import matched_genotypes

NODE = 16
"""Channels that a node of a searched network has at least: with 8, two cores take 2.9 times as long for a multiply-add as in the U-Net."""


def pool(families: Sequence[str], searches: Sequence[pathlib.Path], folder: pathlib.Path, found: Survey, seed: int) -> list[Candidate]:
    """All that could race, in the order in which a small budget keeps them.

    That is: nnU-Net's U-Net; each search's network with nodes of 16 channels; nnU-Net's residual encoder; random ones; other hand-made
    networks; found ones with nodes of 32 channels; what the searches had found after two thirds and a third of their epochs.

    Args:
        families: wanted.
        searches: folders of finished searches.
        folder: where genotypes are written.
        found: the data.
        seed: of random genotypes.
    """
    rank = len(found.patch_size)
    fixed = [handmade(name) for name in (DEFAULT, *families) if name in HANDMADE and has_rank(name, rank)]
    narrow, wide, early, random = [], [], [], []
    for number, search in enumerate(searches, start=1):
        genotype, mark = Genotype.load(search), "" if len(searches) == 1 else f"_{number}"
        width = genotype.space.width_of_nodes(NODE)
        narrow.append(_searched(f"{FOUND}{mark}_w{width}", FOUND, genotype, width, folder))
        wide.append(_searched(f"{FOUND}{mark}_w{2 * width}", FOUND, genotype, 2 * width, folder))
        early += [
            _searched(f"{FOUND}{mark}_epoch_{epoch}_w{width}", FOUND, before, width, folder) for epoch, before in _before(search, genotype)
        ]
        if RANDOM in families:
            patch = footprint(GENOTYPE, width, genotype).topology(found.spacing, found.patch_size).patch_size
            tables = cost_tables(genotype.space, width, patch, found.channels, len(found.classes) + 1)
            (noise,) = matched_genotypes(tables, genotype, 1, seed + number)
            random.append(_searched(f"{RANDOM}{mark}_w{width}", RANDOM, noise, width, folder))
    if FOUND not in families:
        narrow, wide, early = [], [], []
    first = [one for one in fixed if one.name in (DEFAULT, "resenc_m")]
    others = [one for one in fixed if one not in first]
    return list({one.name: one for one in [*first[:1], *narrow, *first[1:], *random, *others, *wide, *early]}.values())


def fits(candidate: Candidate, found: Survey, config: SelectConfig) -> bool:
    """Whether a candidate's training runs fit into the memory that is free now, as far as the default's patches tell; says so if not."""
    need, free = gibibytes(candidate, found, config), free_gibibytes(config)
    if need > free:
        logging.warning("%s is left out: it takes about %.1f GiB to train, and %.1f GiB are free", candidate.name, need, free)
    return need <= free


def check_default_fits(found: Survey, config: SelectConfig) -> None:
    """Refuses a default network without whose training runs nothing can be compared.

    Raises:
        ConfigError: the memory isn't there.
    """
    need, free = gibibytes(handmade(DEFAULT), found, config), free_gibibytes(config)
    if need > free:
        raise ConfigError(
            f"{DEFAULT}, which the others are compared with, takes about {need:.1f} GiB to train with patches of {times(found.patch_size)} "
            f"voxels, and {free:.1f} GiB are free. Close other programs, or choose a smaller --patch_size or --batch_size."
        )


def gibibytes(candidate: Candidate, found: Survey, config: SelectConfig) -> float:
    """GiB that a candidate takes to train on the default's patches, a slice of the batch at a time."""
    genotype = Genotype.load(candidate.genotype) if candidate.genotype else None
    network = footprint(candidate.network, int(candidate.width), genotype)
    patch = network.topology(found.spacing, found.patch_size).patch_size
    return estimate(network, found.fold, in_memory(found.fold.configuration.batch_size, config), patch)


def in_memory(batch: int, config: SelectConfig) -> int:
    """Patches of a batch that are computed at a time."""
    return math.ceil(batch / config.accumulate)


def free_gibibytes(config: SelectConfig) -> float:
    """GiB that training runs may take here; no limit where others train, or a GPU, which refuse themselves what is too much."""
    return math.inf if config.machines > 1 or os.path.exists("/dev/nvidia0") else available_memory() / 2**30


def handmade(name: str) -> Candidate:
    """A hand-made network of its usual width, by the default recipe."""
    return Candidate(name, name, name, str(DEFAULT_WIDTHS[name]))


def _searched(name: str, family: str, genotype: Genotype, width: int, folder: pathlib.Path) -> Candidate:
    file = folder / f"{name.rpartition('_w')[0]}.json"
    genotype.save(file)
    return Candidate(name, family, GENOTYPE, str(width), str(file))


def has_rank(name: str, rank: int) -> bool:
    """Whether a hand-made network is for patches of so many axes; says so if not."""
    ranks = footprint(name).ranks
    if rank not in ranks:
        logging.info("%s is left out: it is for %s patches", name, " or ".join(f"{own}D" for own in ranks))
    return rank in ranks


def _before(search: pathlib.Path, last: Genotype) -> list[tuple[int, Genotype]]:
    """Epochs at two thirds and a third of a search, with what it would have derived then, where that is another network."""
    file = search / genotype_history.FILE
    numbers = [max(1, round(genotype_history.last_epoch(file) * thirds / 3)) for thirds in (2, 1)] if file.is_file() else []
    earlier: list[tuple[int, Genotype]] = []
    for epoch in numbers:
        genotype = genotype_history.load(file, epoch)
        if all(genotype.cells != own.cells for own in (last, *(own for _, own in earlier))):
            earlier.append((epoch, genotype))
    return earlier
