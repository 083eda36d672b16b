"""What a sampled recipe has otherwise than the default one, as data, and how it is sampled: nothing of files or frameworks.

A gene has a name, values, and as its prior the value of the default recipe. PriorBand (Mallik et al., arXiv 2306.12370) draws a
configuration uniformly, around a prior, or around the incumbent, the best so far. How often uniformly follows from the rung, and between
the other two it chooses by how well each explains the best scores; around the incumbent every hyperparameter changes with probability one
half, numbers by Gaussian noise. Here

- the shares are fixed, 3/8 around the prior, 3/8 around the incumbent and 1/4 uniform, and kept exactly, in turn: of eight samples or
  fewer no weight could be learned, nor would random turns come near their shares;
- all come into the first rung alone, after the networks with the default recipe, which are the prior's own sample;
- around either a gene moves with probability 3/10, to a neighbour or by a factor of three at most: of a dozen genes three or four. One half
  would change six at once in a recipe that is known to be good.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from scnas_keras.patches.names import NONE, PAPER, V2
from scnas_keras.training.names import LOSS_NAMES, OPTIMIZERS, SGD

Value = str | int | float
Genes = Mapping[str, Value]

PRIOR, INCUMBENT, UNIFORM = "prior", "incumbent", "uniform"
_TURNS = (PRIOR, INCUMBENT, UNIFORM, PRIOR, INCUMBENT, UNIFORM, PRIOR, INCUMBENT)
_MOVED = 0.3
_ATTEMPTS = 100

RATE, OPTIMIZER, MOMENTUM = "learning_rate", "optimizer", "momentum"
BATCH, WIDTH, STAGES, BLOCKS = "batch", "width", "stages", "blocks"
FEWER, SAME, MORE = COUNTS = ("one fewer", "as usual", "one more")
_RATE_RANGE, _RATE_STEP = (0.1, 4.0), 3.0
_LISTS: Mapping[str, Sequence[Value]] = {
    MOMENTUM: (0.9, 0.95, 0.99),
    "weight_decay": (0, 1e-5, 3e-5, 1e-4, 3e-4),
    "augmentation": (NONE, PAPER, V2),
    "foreground_share": (0.25, 0.33, 0.5, 0.67, 0.85),
    "ema": (0, 0.9, 0.99, 0.999),
}
"""In the order of their strength, for neighbours."""
_SETS: Mapping[str, Sequence[Value]] = {OPTIMIZER: OPTIMIZERS, "loss": LOSS_NAMES, "mirror_axes": ("none", "auto")}
_MACRO: Mapping[str, Sequence[Value]] = {WIDTH: (0.5, 0.75, 1.0, 1.5, 2.0), STAGES: COUNTS, BLOCKS: COUNTS}
_SMALLER, _OF_SMALLER = 0.8, "of 4/5 size"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A gene with a list of values.

    Attributes:
        name: the flag of `retrain`, but for `BATCH`, which stands for two, and `STAGES` and `BLOCKS`, which are fields of a plan.
        values: that it can take.
        default: the prior, one of them.
        ordered: whether values that stand beside each other are alike.
    """

    name: str
    values: tuple[Value, ...]
    default: Value
    ordered: bool = True

    def uniform(self, rng: np.random.Generator) -> Value:
        return self.values[int(rng.integers(len(self.values)))]

    def moved(self, value: Value, rng: np.random.Generator) -> Value:
        """Another value, if there is one: a neighbour where they are ordered."""
        place = self.values.index(value)
        others = [own for i, own in enumerate(self.values) if abs(i - place) == 1 or (i != place and not self.ordered)]
        return others[int(rng.integers(len(others)))] if others else value


@dataclasses.dataclass(frozen=True)
class Factor:
    """A gene that is a number: a factor on what is usual, from `low` to `high` on a logarithmic scale."""

    name: str
    low: float
    high: float
    default: float = 1.0

    def uniform(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))

    def moved(self, value: Value, rng: np.random.Generator) -> float:
        return float(np.clip(float(value) * _RATE_STEP ** rng.uniform(-1, 1), self.low, self.high))


@dataclasses.dataclass(frozen=True)
class Sample:
    """One that may race.

    Attributes:
        origin: around what it was drawn: PRIOR, INCUMBENT or UNIFORM.
        network: the name of the candidate whose network it has.
        genes: those that differ from the default recipe; the learning rate as such.
    """

    origin: str
    network: str
    genes: Genes


@dataclasses.dataclass(frozen=True)
class Space:
    """All recipes and networks that can be sampled.

    Attributes:
        genes: each with its prior.
        rates: optimizer -> its usual learning rate, on which the gene of that name is a factor.
        networks: name -> genes that it hasn't, the default network first.
    """

    genes: tuple[Choice | Factor, ...]
    rates: Mapping[str, float]
    networks: Mapping[str, frozenset[str]]

    def samples(self, seed: int, number: int, incumbent: Sample | None = None, taken: Sequence[Sample] = ()) -> Iterator[Sample]:
        """Samples for a place, the first of which that can be trained is to be taken; a function of the arguments.

        Args:
            seed: of all.
            number: of the place, from 0.
            incumbent: the best so far; None, or one without genes on the default network, is the prior.
            taken: those before; none of them and no default recipe is given.
        """
        known = [(one.network, dict(one.genes)) for one in taken]
        for attempt in range(_ATTEMPTS):
            found = self._sample(np.random.default_rng((seed, number, attempt)), _TURNS[number % len(_TURNS)], incumbent)
            if found.genes and (found.network, found.genes) not in known:
                known.append((found.network, dict(found.genes)))
                yield found

    def _sample(self, rng: np.random.Generator, origin: str, incumbent: Sample | None) -> Sample:
        names = list(self.networks)
        if origin == UNIFORM:
            network = names[int(rng.integers(len(names)))]
            return Sample(origin, network, self._changes({gene.name: gene.uniform(rng) for gene in self.genes}, network))
        prior = Sample(PRIOR, names[0], {})
        if origin == PRIOR or incumbent is None or (incumbent.network, incumbent.genes) == (prior.network, prior.genes):
            origin, centre = PRIOR, prior
        else:
            centre = incumbent
        values = self._values(centre.genes)
        for gene in self.genes:
            if rng.random() < _MOVED:
                values[gene.name] = gene.moved(values[gene.name], rng)
        return Sample(origin, centre.network, self._changes(values, centre.network))

    def _values(self, changes: Genes) -> dict[str, Value]:
        """Of all genes; the learning rate as a factor."""
        values = {gene.name: gene.default for gene in self.genes} | changes
        if RATE in changes:
            values[RATE] = float(changes[RATE]) / self.rates[str(values[OPTIMIZER])]
        return values

    def _changes(self, values: Genes, network: str) -> Genes:
        """Those that differ from the prior and count for the network and with the optimizer; the learning rate as such."""
        lacks = self.networks[network] | (frozenset() if values[OPTIMIZER] == SGD else {MOMENTUM})
        changes = {gene.name: values[gene.name] for gene in self.genes if gene.name not in lacks and values[gene.name] != gene.default}
        if not {RATE, OPTIMIZER} & changes.keys():
            return changes
        factor, usual = float(values[RATE]), self.rates[str(values[OPTIMIZER])]
        return changes | {RATE: usual if factor == 1 else float(f"{factor * usual:.2g}")}


def recipe_genes(prior: Genes) -> tuple[Choice | Factor, ...]:
    """Genes of the recipe, given their values in the default one.

    Args:
        prior: by flag, without the learning rate; a gene that isn't there has no effect and is left out.
    """
    found: list[Choice | Factor] = [_choice(name, values, prior[name], False) for name, values in _SETS.items() if name in prior]
    found.append(Factor(RATE, *_RATE_RANGE))
    found += [_choice(name, values, prior[name], True) for name, values in _LISTS.items() if name in prior]
    batches = batch_choices(int(prior["batch_size"]))
    found.append(Choice(BATCH, tuple(batches), next(iter(batches)), ordered=False))
    supervised = "false" if prior["supervised"] else "true"
    found.append(Choice("deep_supervision", (prior["deep_supervision"], supervised), prior["deep_supervision"]))
    return tuple(found)


def macro_genes() -> tuple[Choice, ...]:
    """Genes of the network: its width as a factor, and of a U-Net how many stages, and blocks a stage, beside what is usual."""
    return tuple(Choice(name, tuple(values), 1.0 if name == WIDTH else SAME) for name, values in _MACRO.items())


def batch_choices(usual: int) -> dict[str, tuple[int, float]]:
    """What the gene `BATCH` can be -> patches a step, and the share of the usual size that each side of a patch has; the default first."""
    other, least = (2 if usual == 1 else usual // 2), max(2, usual)
    return {f"{usual}": (usual, 1.0), f"{other}": (other, 1.0), f"{least} {_OF_SMALLER}": (least, _SMALLER)}


def _choice(name: str, values: Sequence[Value], default: Value, ordered: bool) -> Choice:
    """With the default among the values, in its place among numbers."""
    found = [*values] if default in values else [default, *values]
    numbers = all(isinstance(value, int | float) for value in found)
    return Choice(name, tuple(sorted(found) if numbers else found), default, ordered)
