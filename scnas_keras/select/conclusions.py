"""What a selection's report concludes, in sentences: does the search pay, which network is kept, and what speaks against believing it."""

import shlex
from typing import Any

from scnas_keras.metrics.comparison import Comparison
from scnas_keras.progress import clock
from scnas_keras.select.budget import LEAST_SEARCH, LEAST_TRAINING, SEARCH_SHARE
from scnas_keras.select.finals import Finals, final_trainings, is_default
from scnas_keras.select.machines import slowness
from scnas_keras.select.names import DEFAULT, FOUND, RANDOM, need_search, parse_families
from scnas_keras.select.scheduler import Ended
from scnas_keras.select.setting import Setting
from scnas_keras.select.trials import Trained
from scnas_keras.select.tuned_report import repeat_line

_SEARCH_SAW = (
    "The search trained its alphas on the held-out scans on which the race judges, so that the race favours what it found; the validation "
    "scans were seen by neither."
)
NO_SEARCH = (
    "No search was made, so that no found network could race: for one in a tenth of the time, "
    f"{LEAST_SEARCH / SEARCH_SHARE / 60:.0f} minutes are needed in all. Or name finished ones with --searches."
)
_FEW_UPDATES, _LATE = 500, 1.1
_UNEQUAL = 1.3
"""Factor between a network's paces from which on the machine wasn't the same."""


def verdict_lines(setting: Setting, ended: Ended, finals: Finals) -> list[str]:
    lines = []
    rank = search_rank(setting, ended)
    if rank:
        lines.append(
            f"Does the search pay? {rank['found']} ranks {rank['rank']} of {rank['of']} beside {rank['of'] - 1} random of its cost in the "
            f"first rung: p {rank['p']:.2g}, and so few allow none below {rank['smallest_p']:.2g}."
        )
    families = {candidate.name: candidate.family for candidate in setting.record.decided.candidates}
    if need_search(parse_families(setting.config.candidates)) and not need_search(families.values()):
        lines.append("No found network raced." if setting.config.searches or setting.record.decided.search else NO_SEARCH)
    fewest = min(result.updates for result in finals.trained.values())
    if fewest < _FEW_UPDATES:
        lines.append(
            f"One of the last training runs had only {fewest} updates, so that it isn't near its best: more time may change the order."
        )
    if unequal := _unequal_paces(setting, ended, finals):
        lines.append(unequal)
    winner = next(candidate for candidate in setting.record.decided.candidates if candidate.name == ended.winner)
    if families.get(winner.base or winner.name) == FOUND:
        lines.append(_SEARCH_SAW)
    if winner.base:
        lines.append(repeat_line(setting, winner))
    if finals.contest is None:
        raced = {trial.name for trial, result in ended.results.items() if result} - {DEFAULT}
        reason = f"Nothing beat {DEFAULT} on the held-out scans" if raced else f"Nothing raced against {DEFAULT}, which is no comparison"
        lines.append(f"{reason}: {DEFAULT} is kept, trained once in all the time that was left.")
    else:
        lines.append(finals.contest.text)
        if is_default(finals.kept):
            lines.append(f"Of its two seeds the better on these scans is kept, {finals.kept}, so that its Dice may be a little too high.")
    if _short_finals(setting, ended):
        lines.append(
            f"The finals trained for {clock(setting.record.decided.final or 0)}, less than the last rung of the race: start and validation "
            "took most of their time. Give more time, or don't use the machine beside it."
        )
    late = setting.record.spent > _LATE * setting.total
    reasons = "training runs started and validated more slowly than was assumed, or began anew after an interruption"
    instead = f" instead of {clock(setting.total)}, since {reasons}" if late else ""
    if not ended.results:  # the default network had all the time
        return [*lines, f"All of it took {clock(setting.record.spent)}{instead}."]
    default = setting.run["finals"] / f"{DEFAULT}_seed_0" / "flags.cfg"
    alone = max(LEAST_TRAINING, setting.record.spent - setting.overhead_of({DEFAULT}).final) / 60  # its budget begins after its start
    lines.append(
        f"All of it took {clock(setting.record.spent)}{instead}. What {DEFAULT} alone gets in that time isn't known here; this shows it: "
        + shlex.join(["scnas", "retrain", f"--flagfile={default}", f"--budget_minutes={alone:.1f}", "--workdir=ALONE"])
    )
    return lines


def _short_finals(setting: Setting, ended: Ended) -> bool:
    """Whether the race, which only decides who is in the finals, trained longer than they."""
    decided = setting.record.decided
    return bool(ended.results) and decided.final is not None and decided.final < decided.rungs[-1]


def _unequal_paces(setting: Setting, ended: Ended, finals: Finals) -> str | None:
    """That the machine was slower for one network than for another, or in the race, as other programs make it; None if it wasn't."""
    decided = setting.record.decided

    def pace(result: Trained | None, key: str) -> float | None:
        step = result.seconds_per_step if result else None
        return step and step / slowness(decided.ran_on.get(key, ""), decided.machines)

    ratios = {}
    for final in final_trainings(ended.winner):
        last = max((trial for trial, result in ended.results.items() if result and trial.name == final.network), default=None)
        raced = last and pace(ended.results[last], setting.key(last))
        trained = pace(finals.trained[final.label], final.key)
        if raced and trained:
            ratios.setdefault(final.network, raced / trained)
    if not ratios or max(max(ratios.values()), 1 / min(ratios.values())) < _UNEQUAL:
        return None
    told = ", ".join(f"{ratio:.1f} times of {name}" for name, ratio in ratios.items())
    return (
        f"A step took in the race, as a multiple of what it took in the finals: {told}. Other programs used the machine meanwhile, so that "
        "networks had unequal shares of it."
    )


def search_rank(setting: Setting, ended: Ended) -> dict[str, Any] | None:
    """The first found network in the first rung beside the random one of its cost, where both were."""
    first = {trial.name: result for trial, result in ended.results.items() if trial.rung == 0 and result}
    scores = {name: score for name, result in first.items() if (score := result.score(setting.config.objective)) is not None}
    of_cost = {name: name.replace(FOUND, RANDOM, 1) for name in scores if name.startswith(FOUND)}
    found = next((name for name, other in of_cost.items() if other in scores), None)
    if found is None:
        return None
    random = (scores[of_cost[found]],)
    comparison = Comparison(scores[found], random)
    return {"found": found, "rank": comparison.rank, "of": len(random) + 1, "p": comparison.p, "smallest_p": comparison.smallest_p}
