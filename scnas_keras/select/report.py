"""What a selection leaves: text, JSON, CSV and a figure."""

import csv
import dataclasses
import io
import pathlib
import shlex
from typing import Any

from scnas_keras.files import readable_json, write_text
from scnas_keras.metrics.comparison import Comparison
from scnas_keras.progress import clock
from scnas_keras.reporting.race_figure import RacedTrial, draw_race
from scnas_keras.reporting.text_table import table
from scnas_keras.runs.following import predict_one
from scnas_keras.select.budget import LEAST_SEARCH, LEAST_TRAINING, SEARCH_SHARE
from scnas_keras.select.finals import Finals, is_default
from scnas_keras.select.names import DEFAULT, FOUND, RANDOM, need_search, parse_families
from scnas_keras.select.race import Trial
from scnas_keras.select.scheduler import Ended
from scnas_keras.select.setting import Setting
from scnas_keras.select.tuned_report import flags_of, repeat_line, tuned_data, tuned_lines

_MEASURED = ("parameters", "multiply_adds", "seconds_per_step", "seconds_per_scan", "updates")
_COLUMNS = ("stage", "network", "family", "seed", "seconds", "dice", *_MEASURED, "failed", "kept", "flags")
_SEARCH_SAW = (
    "The search trained its alphas on the held-out scans on which the race judges, so that the race favours what it found; the validation "
    "scans were seen by neither."
)
NO_SEARCH = (
    "No search was made, so that no found network could race: for one in a tenth of the time, "
    f"{LEAST_SEARCH / SEARCH_SHARE / 60:.0f} minutes are needed in all. Or name finished ones with --searches."
)
_FEW_UPDATES, _LATE = 500, 1.1


@dataclasses.dataclass(frozen=True)
class Report:
    """What a selection found, as data and as text, its folder, and the command line that segments a scan with what is kept."""

    data: dict[str, Any]
    text: str
    folder: pathlib.Path
    following: str


def write_report(setting: Setting, ended: Ended, finals: Finals) -> Report:
    """Writes select.txt, select.json, trials.csv, cases.csv, race.png and the summary, which marks the selection as finished."""
    run, config, found = setting.run, setting.config, setting.survey
    rows = _rows(setting, ended, finals)
    lines = (
        _race_lines(setting, ended) + tuned_lines(setting, ended) + _final_lines(setting, finals) + _verdict_lines(setting, ended, finals)
    )
    text = "\n".join(lines)
    data = {
        "task": found.task,
        "fold": config.fold,
        "objective": config.objective,
        "budget_seconds": setting.total,
        "spent_seconds": round(setting.record.spent, 1),
        "trials": rows,
        "race_winner": ended.winner,
        "search": _search_rank(setting, ended),
        "tuned": tuned_data(setting),
        "contest": finals.contest and dataclasses.asdict(finals.contest) | {"differs": finals.contest.differs, "text": finals.contest.text},
        "kept": finals.kept,
    }
    write_text(run["select.txt"], text + "\n")
    write_text(run["select.json"], readable_json(data))
    write_text(run["trials.csv"], _csv(rows))
    write_text(run["cases.csv"], _cases_csv(finals, found.classes))
    draw_race([_raced(row) for row in rows if row["dice"] is not None and row["seconds_per_step"]], run["race.png"])
    run.write_summary(config, data)
    fold = found.fold
    scan = next(case for case in fold.task.cases if case.name in fold.split.validation)
    return Report(data, text, run.path, predict_one(run.path, scan.images))


def _rows(setting: Setting, ended: Ended, finals: Finals) -> list[dict[str, Any]]:
    """Every training."""
    decided, rows = setting.record.decided, []
    families = {candidate.name: candidate.family for candidate in decided.candidates}
    flags = {candidate.name: flags_of(candidate) for candidate in decided.candidates}
    for trial, result in ended.results.items():
        rows.append(
            {"stage": f"rung {trial.rung + 1}", "network": trial.name, "family": families[trial.name], "seed": setting.config.seed}
            | {"seconds": result.seconds if result else decided.rungs[trial.rung]}
            | {"dice": result and result.score(setting.config.objective)}
            | {name: result and getattr(result, name) for name in _MEASURED}
            | {"failed": decided.failed.get(setting.key(trial)), "kept": False, "flags": flags[trial.name]}
        )
    for label, result in finals.trained.items():
        name = DEFAULT if is_default(label) else label
        seed = setting.config.seed + (int(label.rpartition("_")[2]) if name == DEFAULT else 0)
        rows.append(
            {"stage": "final", "network": name, "family": families[name], "seed": seed, "seconds": result.seconds}
            | {"dice": result.score(setting.config.objective)}
            | {column: getattr(result, column) for column in _MEASURED}
            | {"failed": None, "kept": label == finals.kept, "flags": flags[name]}
        )
    return rows


def _race_lines(setting: Setting, ended: Ended) -> list[str]:
    if not ended.results:
        return ["No race: the time was enough for the default network only.", ""]
    decided, shares = setting.record.decided, ended.race.shares
    header = (
        "race, judged on held-out scans",
        *(f"{clock(seconds)}" for seconds in decided.rungs),
        "updates",
        "params M",
        "mult-adds G",
        "s/step",
    )
    lines = []
    for candidate in decided.candidates:
        results = [ended.results.get(Trial(rung, candidate.name)) for rung in range(len(shares))]
        failed = any(setting.key(Trial(rung, candidate.name)) in decided.failed for rung in range(len(shares)))
        last = next((result for result in reversed(results) if result), None)
        dice = [_dice(result.score(setting.config.objective)) if result else "" for result in results]
        step = "-" if not last or last.seconds_per_step is None else f"{last.seconds_per_step:.2f}"
        costs = (str(last.updates), f"{last.parameters / 1e6:.2f}", f"{last.multiply_adds / 1e9:.1f}", step) if last else ("",) * 4
        lines.append((candidate.name + (" (failed)" if failed else ""), *dice, *costs))
    failures = [f"failed: {reason}" for reason in decided.failed.values()]
    return [*table([header, *lines]), *failures, ""]


def _final_lines(setting: Setting, finals: Finals) -> list[str]:
    classes, seconds = setting.survey.classes, setting.record.decided.final
    rows = [(f"final{'s' * (len(finals.trained) > 1)}, {clock(seconds)} each, validation scans", *classes, "average", "updates", "s/scan")]
    for label, result in finals.trained.items():
        scan = "-" if result.seconds_per_scan is None else f"{result.seconds_per_scan:.2f}"
        rows.append((label, *(_dice(result.dice.get(name)) for name in classes), _dice(result.mean_dice), str(result.updates), scan))
    return [*table(rows), ""]


def _verdict_lines(setting: Setting, ended: Ended, finals: Finals) -> list[str]:
    lines = []
    rank = _search_rank(setting, ended)
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
            f"The last training runs had some {fewest} updates, so that none is near its best: with more time the order may be another."
        )
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
    instead = f" instead of {clock(setting.total)}, since training runs start and validate more slowly than was assumed" if late else ""
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


def _search_rank(setting: Setting, ended: Ended) -> dict[str, Any] | None:
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


def _raced(row: dict[str, Any]) -> RacedTrial:
    place = row["seconds"] / 60, row["dice"], 1000 * row["seconds_per_step"]
    return RacedTrial(row["network"], row["family"], row["stage"], *place, kept=row["kept"])


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _cases_csv(finals: Finals, classes: tuple[str, ...]) -> str:
    """A line for each validation case of each final."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["network", "case", *classes])
    for label, result in finals.trained.items():
        for case, dice in result.cases.items():
            writer.writerow([label, case, *(f"{dice[name]:.6f}" if name in dice else "" for name in classes)])
    return stream.getvalue()


def _dice(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
