"""A whole cross-validation: training runs, table, figure."""

import dataclasses
import pathlib

from scnas_keras.crossval.config import FIGURE, JSON, TABLE, TEXT, CrossvalConfig
from scnas_keras.crossval.report import CrossvalReport
from scnas_keras.crossval.results import collect
from scnas_keras.crossval.trainings import all_trainings, holdout_of
from scnas_keras.errors import ConfigError
from scnas_keras.files import readable_json, user_path, write_text
from scnas_keras.metrics.paired import paired_tests
from scnas_keras.reporting.comparison_figure import draw_comparison
from scnas_keras.runs.following import predict_one
from scnas_keras.runs.in_turn import ChildRun, run_in_turn
from scnas_keras.tasks.patients import group_by_patient


@dataclasses.dataclass(frozen=True)
class CrossvalResult:
    """What a cross-validation found, as data and as text, and its folder."""

    report: CrossvalReport
    text: str
    folder: pathlib.Path

    @property
    def following(self) -> str:
        """The command that segments a scan with the best network's first fold."""
        networks = [network for network in self.report.networks if network.folds]
        best = max(networks, key=lambda network: network.average(self.report.classes) or 0.0)
        fold = best.folds[0]
        return predict_one(self.folder / best.name / f"fold_{fold.fold}", fold.cost["validation_images"][:1])


def run_crossval(config: CrossvalConfig) -> CrossvalResult:
    """Runs the training runs that are asked for and not finished, and writes the table of all that are.

    Raises:
        ConfigError, GenotypeError: before any training.
        ChildError: a training run failed.
        SystemExit: SIGTERM came and the training run at work is saved.
    """
    trainings = all_trainings(config)
    collect(trainings)  # results that don't belong together are refused before more are added
    wanted = [training for training in trainings if config.folds is None or training.fold in config.folds]
    runs = [ChildRun(f"{own.name} on fold {own.fold}", "retrain", own.config, lambda own=own: own.finished) for own in wanted]
    run_in_turn("training run", runs, lambda: _write(config, trainings))
    return _write(config, trainings)


def _write(config: CrossvalConfig, trainings) -> CrossvalResult:
    """Writes what is there so far."""
    folder = user_path(config.workdir)
    networks, classes = collect(trainings)
    if not any(network.folds for network in networks):
        raise ConfigError(f"--workdir={folder}: no training run is finished. Leave out --folds to run all.")
    cases = {case for network in networks for case in network.dice}
    groups = group_by_patient(sorted(cases), config.group_pattern)
    patients = {case: patient for patient, members in groups.items() for case in members}
    measured = {network.name: network.measured() for network in networks if network.folds}
    owners = {key: patients[key[1]] for keys in measured.values() for key in keys}
    tests = paired_tests(measured, owners)
    folds = len({training.fold for training in trainings})
    unit = "patient" if len(groups) < len(cases) else "case"
    report = CrossvalReport(config.task, folds, tuple(classes), tuple(networks), tuple(tests), unit, holdout_of(config))
    write_text(folder / TEXT, report.text + "\n")
    write_text(folder / JSON, readable_json(report.to_json()))
    write_text(folder / TABLE, report.cases_csv(patients))
    draw_comparison({network.name: network.dice for network in networks if network.folds}, classes, folder / FIGURE)
    return CrossvalResult(report, report.text, folder)
