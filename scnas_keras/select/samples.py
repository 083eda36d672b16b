"""Entrants whose recipe is sampled: places for them, and what is put there when its first training run is about to begin."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from scnas_keras.architectures.registry import Network
from scnas_keras.errors import ConfigError
from scnas_keras.patches.names import PAPER, V2
from scnas_keras.planning.names import RULES, SCNAS
from scnas_keras.planning.plans import load_plans
from scnas_keras.planning.topology import Topology
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.recipes import MOMENTUM, recipe
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.folds import configure, plan_by_rules
from scnas_keras.runs.preflight import memory_of
from scnas_keras.select import genes
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.job_flags import training_config
from scnas_keras.select.names import ALL, TUNED, UNTUNED
from scnas_keras.select.pool import free_gibibytes, handmade, has_rank, in_memory
from scnas_keras.select.race import Trial
from scnas_keras.select.setting import Setting
from scnas_keras.select.survey import Survey
from scnas_keras.select.tuned_network import lacking, network_of, width_of, with_genes
from scnas_keras.training.names import OPTIMIZERS

PLACES = 8
"""The most entrants with a sampled recipe: each share of `genes` whole."""
_RESIDUAL = "resenc_m"


def places(config: SelectConfig) -> list[Candidate]:
    """Places for samples, at the end of the pool."""
    count = 0 if config.tune == UNTUNED else PLACES
    return [Candidate(f"{TUNED}_{number}", TUNED, "", "") for number in range(1, count + 1)]


def bases(config: SelectConfig, candidates: Sequence[Candidate], rank: int) -> tuple[Candidate, ...]:
    """Candidates whose networks samples may have: those that race by the default recipe; with --tune=all both of nnU-Net's encoders."""
    found = [one for one in candidates if one.family != TUNED]
    if config.tune == ALL and _RESIDUAL not in {one.name for one in found} and has_rank(_RESIDUAL, rank):
        found.append(handmade(_RESIDUAL))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Sampler:
    """What samples of a selection can be.

    Attributes:
        config: of the selection.
        survey: of its data.
        bases: candidates whose networks samples have, the default first.
        folder: where plans are written.
    """

    config: SelectConfig
    survey: Survey
    bases: tuple[Candidate, ...]
    folder: pathlib.Path

    @property
    def space(self) -> genes.Space:
        """Recipes around the default one; with --tune=all networks too."""
        config, own = self.config, self._training(self.bases[0])
        prior = recipe(own)
        values: dict[str, Any] = {
            "optimizer": prior.optimizer,
            "momentum": MOMENTUM if config.momentum is None else config.momentum,
            "weight_decay": prior.weight_decay,
            "loss": prior.loss,
            "ema": config.ema,
            "foreground_share": self.survey.fold.configuration.foreground_share,
            "batch_size": self.survey.fold.configuration.batch_size,
            "deep_supervision": config.deep_supervision,
            "supervised": prior.deep_supervision,
        }
        if config.plan in RULES:
            values["augmentation"] = config.augmentation or (PAPER if config.plan == SCNAS else V2)
            values["mirror_axes"] = config.mirror_axes
        others = {name: dataclasses.replace(own, optimizer=name, learning_rate=None, momentum=None) for name in OPTIMIZERS}
        rates = {name: recipe(other).learning_rate for name, other in others.items()} | {prior.optimizer: prior.learning_rate}
        found = genes.recipe_genes(values) + (genes.macro_genes() if config.tune == ALL else ())
        return genes.Space(found, rates, {base.name: lacking(base) for base in self.bases})

    def draw(self, place: Candidate, drawn: Sequence[Candidate], best: Candidate | None) -> Candidate | None:
        """The entrant of a place; None if nothing that could be drawn can be trained in the memory that is free now.

        Args:
            place: for it.
            drawn: all entrants with samples.
            best: of those whose first training run has ended.
        """
        number = int(place.name.rpartition("_")[2]) - 1
        incumbent = best and genes.Sample(genes.INCUMBENT, best.base or best.name, best.genes)
        taken = [genes.Sample(genes.UNIFORM, one.base or "", one.genes) for one in drawn]
        for sample in self.space.samples(self.config.seed, number, incumbent, taken):
            if found := self._trainable(place.name, sample):
                return found
        return None

    def _trainable(self, name: str, sample: genes.Sample) -> Candidate | None:
        """A sample as a candidate, with the plan that it needs; None if it can't be built, is as usual after rounding, or doesn't fit."""
        base = next(one for one in self.bases if one.name == sample.network)
        width = width_of(base, float(sample.genes.get(genes.WIDTH, 1.0)))
        if genes.WIDTH in sample.genes and width == base.width:
            return None
        found = dataclasses.replace(
            base, name=name, family=TUNED, width=width, base=base.name, origin=sample.origin, genes=dict(sample.genes), flags={}
        )
        network = network_of(found)
        flags: dict[str, Any] = {
            gene: value for gene, value in sample.genes.items() if gene not in (genes.BATCH, genes.WIDTH, genes.STAGES, genes.BLOCKS)
        }
        if "optimizer" in flags and flags["optimizer"] != genes.SGD:
            flags["momentum"] = None
        topology, batch = self._patch(network, 1.0), self.survey.fold.configuration.batch_size
        if genes.BATCH in sample.genes:
            batch, share = genes.batch_choices(batch)[str(sample.genes[genes.BATCH])]
            flags["batch_size"] = batch
            if share < 1:
                topology = self._patch(network, share)
                if topology == self._patch(network, 1.0):
                    return None
                flags["patch_size"] = self._along_xyz(topology.patch_size)
        found = dataclasses.replace(found, flags=flags)
        plans = None
        if {genes.STAGES, genes.BLOCKS} & sample.genes.keys():
            plans = self._plans(found, network)
            if plans is None:
                return None
            topology = plans.configuration(self.config.configuration).topology
            found = dataclasses.replace(found, flags=flags | {"plan": str(self.folder / f"{name}.json")})
        if memory_of(network, self.survey.fold, in_memory(batch, self.config), topology) > free_gibibytes(self.config):
            return None
        if plans:
            plans.save(self.folder / f"{name}.json")
        return found

    def _training(self, candidate: Candidate) -> RetrainConfig:
        return training_config(self.config, candidate, self.folder, 60.0, HELD_OUT, self.config.seed)

    def _patch(self, network: Network, share: float) -> Topology:
        """Stages over patches of a share of the default network's in each direction."""
        own = self.survey.fold.configuration
        return network.topology(own.spacing, [share * size for size in own.patch_size])

    def _along_xyz(self, sizes: Sequence[int]) -> tuple[int, ...]:
        axes = self.survey.fold.plans.transpose_forward[-len(sizes) :]
        return tuple(size for _, size in sorted(zip(axes, sizes)))

    def _plans(self, candidate: Candidate, network: Network):
        """The plans that the candidate would have, with other stages; None if the patch doesn't allow them."""
        own = self._training(candidate)
        made = plan_by_rules(own, self.survey.fold.task, network) if own.plan in RULES else load_plans(own.plan)
        try:
            usual = configure(own, made, network)
        except ConfigError:  # the patch that --patch_size or a plan asks for isn't this network's
            return None
        changed = with_genes(usual, network, candidate.genes)
        return changed and dataclasses.replace(made, network=network.name, configurations={self.config.configuration: changed})


def fill(setting: Setting, name: str, ranked: Sequence[str]) -> bool:
    """Decides what to train in a place that has no sample yet, by what the first rung has shown until now; it is written down at once.

    Args:
        setting: the selection.
        name: of the place.
        ranked: names of those whose first training run has ended, the best first.

    Returns:
        Whether there is something to train.
    """
    candidates = setting.record.decided.candidates
    named = {candidate.name: candidate for candidate in candidates}
    networks = bases(setting.config, candidates, len(setting.survey.patch_size))
    sampler = Sampler(setting.config, setting.survey, networks, setting.run["plans"])
    samples = [candidate for candidate in candidates if candidate.base]
    found = sampler.draw(named[name], samples, named[ranked[0]] if ranked else None)
    if found is None:
        reason = f"{name}: nothing else was found that can be trained in the memory that is free"
        logging.warning("%s; the race goes on without it", reason)
        setting.record.decide(failed={**setting.record.decided.failed, setting.key(Trial(0, name)): reason})
    else:
        logging.info("%s is %s (around: %s)", name, found.text, found.origin)
        setting.record.decide(candidates=tuple(found if one.name == name else one for one in candidates))
    return found is not None
