"""What the numbers mean, in one sentence. Imports no framework."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from scnas_keras.assess.genotypes import Agreement
from scnas_keras.metrics.comparison import Comparison
from scnas_keras.metrics.paired import holm
from scnas_keras.spaces.decision import UNDECIDED_ENTROPY
from scnas_keras.supernet.names import UNIFORM

UNTRAINED_DICE, SIGNIFICANT, SMALL_GAP, SAME = 0.1, 0.05, 0.05, 0.5
"""Dice under which weights count as untrained; p up to which chance is ruled out; Dice that deriving may lose without a word; share of
equal edges above which genotypes count as the same."""
_LONGER = "search longer or raise the learning rate of alpha (--alpha_lr)"
_FAVOUR = "but these favour what was drawn most"
_BASELINE = "under the uniform relaxation the architecture doesn't learn, it is the baseline for the others"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of a finished search.

    Attributes:
        relaxation, epochs: of the search.
        entropy: mean normalised entropy of its edges at the end, 0 to 1.
        sampled: Dice of networks drawn as the search draws them, with the shared weights.
        shared: the derived network against random ones, all with the shared weights.
    """

    relaxation: str
    epochs: int
    entropy: float
    sampled: tuple[float, ...]
    shared: Comparison

    @property
    def gap(self) -> float:
        """Discretisation gap: mean Dice of sampled networks minus that of the derived one with inherited weights."""
        return statistics.fmean(self.sampled) - self.shared.found


def verdict(evidence: Evidence) -> str:
    """One plain sentence about a search: whether it has decided, by which figures, and what to do about it.

    Only training runs can show that it is better than random (`scnas select`).
    """
    nothing = f"Nothing can be said {_after(evidence)}"
    best = max(evidence.shared.found, *evidence.shared.random, *evidence.sampled)
    if best < UNTRAINED_DICE:
        return f"{nothing}: the shared weights have hardly learned (no network reaches a Dice of {UNTRAINED_DICE}); search longer."
    return f"{_against_random(evidence)}{_gap_clause(evidence)}."


def verdict_of_runs(agreements: Sequence[Agreement]) -> str:
    """One plain sentence about the agreement of several searches' genotypes, of every pair of them: corrected for their number (Holm)."""
    mean = statistics.fmean(pair.operations for pair in agreements)
    chance = statistics.fmean(pair.chance_operations for pair in agreements)
    beyond = sum(p < SIGNIFICANT for p in holm([pair.probability for pair in agreements]))
    runs = round((1 + math.sqrt(1 + 8 * len(agreements))) / 2)
    share = f"The {runs} searches chose the same operation on {mean:.0%} of the edges, {chance:.0%} expected by chance"
    if beyond == len(agreements) and mean >= SAME:
        return f"{share}: they find much the same again."
    if beyond == len(agreements):
        return f"{share}: more than chance, yet the networks differ on most edges; {_LONGER}."
    if not beyond:
        return f"{share}: each found something of its own; {_LONGER}."
    return f"{share}: more than chance in {beyond} of {len(agreements)} pairs, corrected for their number (Holm)."


def _against_random(evidence: Evidence) -> str:
    comparison = evidence.shared
    figures = (
        f"Dice {comparison.found:.3f} against {comparison.mean:.3f} ± {comparison.deviation:.3f} of {len(comparison.random)} of its cost, "
        f"with shared weights: rank {comparison.rank} of {len(comparison.random) + 1}, p {comparison.p:.2f}"
    )
    if evidence.relaxation == UNIFORM:
        return f"A baseline {_after(evidence)}: {figures}; {_BASELINE}"
    # shared weights favour what was drawn most, hence the found network: being ahead with them shows nothing, being behind does
    if comparison.p > SIGNIFICANT:
        return f"Not better than random {_after(evidence)}: {figures}; {_remedy(evidence)}"
    if evidence.entropy > UNDECIDED_ENTROPY:
        return f"The search has not decided {_after(evidence)}, mean entropy {evidence.entropy:.2f} of maximum: {figures}; {_LONGER}"
    return f"The search has decided {_after(evidence)}; whether it pays only training shows (scnas select): {figures}, {_FAVOUR}"


def _after(evidence: Evidence) -> str:
    return f"after {evidence.epochs} epoch{'s' * (evidence.epochs != 1)}"


def _remedy(evidence: Evidence) -> str:
    if evidence.entropy > UNDECIDED_ENTROPY:
        return f"mean entropy {evidence.entropy:.2f} of maximum, so {_LONGER}"
    return "the search has decided, yet on nothing that pays: use a hand-made network, or search with other data or another seed"


def _gap_clause(evidence: Evidence) -> str:
    spread = statistics.stdev(evidence.sampled) if len(evidence.sampled) > 1 else 0.0
    if evidence.relaxation == UNIFORM or evidence.gap <= max(SMALL_GAP, 2 * spread):
        return ""
    return (
        f"; deriving loses {evidence.gap:.2f} Dice against the networks that the search drew: end at a lower temperature or search longer"
    )
