"""What a selection leaves: text, JSON, CSV and a figure."""

import csv
import dataclasses
import io
import pathlib
from typing import Any

from scnas_keras.files import readable_json, write_text
from scnas_keras.formats.geometry import MILLIMETRES
from scnas_keras.metrics.case_table import surface_cells, surface_columns, surface_titles
from scnas_keras.progress import clock
from scnas_keras.reporting.race_figure import RacedTrial, draw_race
from scnas_keras.reporting.text_table import table
from scnas_keras.runs.following import predict_one
from scnas_keras.runs.run_folder import SELECTED
from scnas_keras.select.conclusions import search_rank, verdict_lines
from scnas_keras.select.finals import Finals, is_default
from scnas_keras.select.names import DEFAULT, DICE, NSD
from scnas_keras.select.race import Trial
from scnas_keras.select.scheduler import Ended
from scnas_keras.select.setting import Setting
from scnas_keras.select.tuned_report import flags_of, tuned_data, tuned_lines

_MEASURED = ("parameters", "multiply_adds", "seconds_per_step", "seconds_per_scan", "updates")
_COLUMNS = ("stage", "network", "family", "seed", "seconds", "score", *_MEASURED, "failed", "kept", "flags")


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
    conclusions = verdict_lines(setting, ended, finals)
    lines = _race_lines(setting, ended) + tuned_lines(setting, ended) + _final_lines(setting, finals) + conclusions
    text = "\n".join(lines)
    data = {
        "task": found.task,
        "fold": config.fold,
        "objective": config.objective,
        "budget_seconds": setting.total,
        "spent_seconds": round(setting.record.spent, 1),
        "trials": rows,
        "race_winner": ended.winner,
        "search": search_rank(setting, ended),
        "tuned": tuned_data(setting),
        "contest": finals.contest and dataclasses.asdict(finals.contest) | {"differs": finals.contest.differs, "text": finals.contest.text},
        "kept": finals.kept,
        "conclusions": conclusions,
    }
    write_text(run["select.txt"], text + "\n")
    write_text(run[SELECTED], readable_json(data))
    write_text(run["trials.csv"], _csv(rows))
    write_text(run["cases.csv"], _cases_csv(finals, found.classes))
    measure = {DICE: "Dice", NSD: "NSD"}.get(config.objective, f"Dice of {config.objective}")
    draw_race([_raced(row) for row in rows if row["score"] is not None and row["seconds_per_step"]], run["race.png"], measure)
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
            | {"score": result and result.score(setting.config.objective)}
            | {name: result and getattr(result, name) for name in _MEASURED}
            | {"failed": decided.failed.get(setting.key(trial)), "kept": False, "flags": flags[trial.name]}
        )
    for label, result in finals.trained.items():
        name = DEFAULT if is_default(label) else label
        seed = setting.config.seed + (int(label.rpartition("_")[2]) if name == DEFAULT else 0)
        rows.append(
            {"stage": "final", "network": name, "family": families[name], "seed": seed, "seconds": result.seconds}
            | {"score": result.score(setting.config.objective)}
            | {column: getattr(result, column) for column in _MEASURED}
            | {"failed": None, "kept": label == finals.kept, "flags": flags[name]}
        )
    return rows


def _race_lines(setting: Setting, ended: Ended) -> list[str]:
    if not ended.results:
        return ["No race: the time was enough for the default network only.", ""]
    decided, shares = setting.record.decided, ended.race.shares
    header = (
        f"race, judged on held-out scans{' by NSD' * (setting.config.objective == NSD)}",
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
    measured = any(result.surfaces for result in finals.trained.values())
    more = surface_titles([setting.config.tolerance_mm], _length_unit(finals)) if measured else ()
    titles = ("average", *more, "updates", "s/scan")
    rows = [(f"final{'s' * (len(finals.trained) > 1)}, {clock(seconds)} each, validation scans", *classes, *titles)]
    for label, result in finals.trained.items():
        surfaces = (_dice(result.mean_nsd), _number(result.mean_hd95_mm)) if measured else ()
        means = (*(_dice(result.dice.get(name)) for name in classes), _dice(result.mean_dice))
        rows.append((label, *means, *surfaces, str(result.updates), _number(result.seconds_per_scan)))
    return [*table(rows), ""]


def _raced(row: dict[str, Any]) -> RacedTrial:
    place = row["seconds"] / 60, row["score"], 1000 * row["seconds_per_step"]
    return RacedTrial(row["network"], row["family"], row["stage"], *place, kept=row["kept"])


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _length_unit(finals: Finals) -> str:
    """Of distances, by the finals that measured some."""
    return next((result.length_unit for result in finals.trained.values() if result.length_unit), MILLIMETRES)


def _cases_csv(finals: Finals, classes: tuple[str, ...]) -> str:
    """A line for each validation case of each final."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["network", "case", *classes, *surface_columns(classes, _length_unit(finals))])
    for label, result in finals.trained.items():
        for case, dice in result.cases.items():
            more = surface_cells(result.surfaces.get(case, {}), classes)
            writer.writerow([label, case, *(f"{dice[name]:.6f}" if name in dice else "" for name in classes), *more])
    return stream.getvalue()


def _dice(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
