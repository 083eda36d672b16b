"""What the finished training runs of a cross-validation found, by network."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scnas_keras.crossval.trainings import Training
from scnas_keras.documents import parse
from scnas_keras.errors import ConfigError
from scnas_keras.metrics.case_table import of_measure, read_case_table, read_surface_table
from scnas_keras.metrics.dice import iou_of_dice
from scnas_keras.metrics.paired import mean_by_unit
from scnas_keras.metrics.structure import Surfaces
from scnas_keras.planning.names import PLANS
from scnas_keras.retrain.config import SCRATCH
from scnas_keras.retrain.trained import TRANSFER, digest_of, trained_model
from scnas_keras.runs.run_data import DATA
from scnas_keras.runs.run_folder import CASES, SURFACES
from scnas_keras.spaces.genotype import GENOTYPE_FILE, Genotype, genotype_file
from scnas_keras.tasks.names import SPLITS


@dataclasses.dataclass(frozen=True)
class FoldResult:
    """A network on the validation cases of one fold.

    Attributes:
        fold: its number.
        dice: case -> class -> Dice; a class that is in neither label nor segmentation is left out.
        cost: what the run measured and counted: parameters, multiply_adds, seconds_per_epoch, training_peak_bytes, ...
        surfaces: case -> class -> distances between surfaces; empty if the run didn't measure them.
    """

    fold: int
    dice: Mapping[str, Mapping[str, float]]
    cost: Mapping[str, Any]
    surfaces: Mapping[str, Mapping[str, Surfaces]] = dataclasses.field(default_factory=dict)

    def of(self, measure: str) -> Mapping[str, Mapping[str, float]]:
        """Case -> class -> "dice", "iou", "nsd" or "hd95" (mm), where it is defined."""
        if measure == "iou":
            return {case: {name: iou_of_dice(value) for name, value in found.items()} for case, found in self.dice.items()}
        return self.dice if measure == "dice" else of_measure(self.surfaces, measure)


@dataclasses.dataclass(frozen=True)
class NetworkResult:
    """A network on the folds that are finished.

    Attributes:
        name: the network's.
        folds: finished ones.
        missing: numbers of the others.
    """

    name: str
    folds: tuple[FoldResult, ...]
    missing: tuple[int, ...] = ()

    @property
    def dice(self) -> dict[str, dict[str, float]]:
        """Case -> class -> Dice."""
        return self.cases("dice")

    def measured(self, measure: str = "dice") -> dict[tuple[int, str], Mapping[str, float]]:
        """(Fold, case) -> class -> a measure of `FoldResult.of`: folds of a holdout may share cases."""
        return {(fold.fold, case): found for fold in self.folds for case, found in fold.of(measure).items()}

    def cases(self, measure: str) -> dict[str, dict[str, float]]:
        """Case -> class -> a measure, its mean over the folds that validated the case: each case counts once."""
        values: dict[str, dict[str, list[float]]] = {}
        for (_, case), found in self.measured(measure).items():
            own = values.setdefault(case, {})
            for name, value in found.items():
                own.setdefault(name, []).append(value)
        return {case: {name: statistics.fmean(own) for name, own in found.items()} for case, found in values.items()}

    def class_mean(self, name: str, measure: str = "dice") -> float | None:
        """Mean of a class' measure over all cases in which it is defined."""
        return _mean([found.get(name) for found in self.cases(measure).values()])

    def average(self, classes: Sequence[str], measure: str = "dice") -> float | None:
        """Mean of the classes' means, as in the SCNAS paper's Table 1."""
        return _mean([self.class_mean(name, measure) for name in classes])

    @property
    def miou(self) -> float | None:
        """Mean over the cases of a case's mean IoU of the classes that label or segmentation has (Zhang et al. 2022, section 3.4)."""
        measured = self.measured("iou")
        return _mean([*mean_by_unit(measured, {key: key[1] for key in measured}).values()])

    def fold_averages(self, classes: Sequence[str]) -> dict[int, float | None]:
        """The same, of each fold alone, by its number."""
        return {fold.fold: NetworkResult(self.name, (fold,)).average(classes) for fold in self.folds}

    def spread(self, classes: Sequence[str]) -> float | None:
        """Sample standard deviation of the folds' averages; None for fewer than two."""
        averages = [average for average in self.fold_averages(classes).values() if average is not None]
        return statistics.stdev(averages) if len(averages) > 1 else None

    def cost(self, name: str) -> float | None:
        """Mean of a cost over the folds."""
        return _mean([fold.cost.get(name) for fold in self.folds])


def collect(trainings: Sequence[Training]) -> tuple[list[NetworkResult], list[str]]:
    """The results of all training runs that are finished, by network in their order, and the classes.

    Raises:
        ConfigError: a folder holds a training run with other settings, or of another task.
    """
    found, classes, task = {}, None, None
    for training in trainings:
        folds, missing = found.setdefault(training.name, ([], []))
        if not training.finished:
            missing.append(training.fold)
            continue
        summary = training.summary()
        result = summary["result"]
        own = (result["task"], list(result["dice"]))
        if classes is not None and own != (task, classes):
            raise ConfigError(
                f"{training.folder}: was trained on {own[0]} with the classes {', '.join(own[1])}, the others on {task} with "
                f"{', '.join(classes)}. Name another --workdir."
            )
        task, classes = own
        remedy = f"Delete {training.folder} to train again."
        tables = read_case_table(training.folder / CASES, remedy), read_surface_table(training.folder / SURFACES, remedy)
        if not tables[0] or not {name for dice in tables[0].values() for name in dice} <= {*own[1]}:
            raise ConfigError(f"{training.folder / CASES}: damaged: expected the Dice of {', '.join(own[1])} of each case. {remedy}")
        folds.append(FoldResult(training.fold, tables[0], result, tables[1]))
    _check_documents([training for training in trainings if training.finished])
    networks = [NetworkResult(name, tuple(folds), tuple(missing)) for name, (folds, missing) in found.items()]
    return networks, classes or []


def _check_documents(trainings: Sequence[Training]) -> None:
    """Refuses results of different data or folds, folds of one network with different plans, and other architectures or start weights
    than are named now."""
    firsts: dict[tuple[str, ...], Training] = {}
    for training in trainings:
        for key in ((DATA,), (SPLITS,), (PLANS, training.name)):
            first = firsts.setdefault(key, training)
            texts = [(one.folder / key[0]).read_bytes() if (one.folder / key[0]).is_file() else None for one in (first, training)]
            if texts[0] != texts[1]:
                raise ConfigError(
                    f"{training.folder / key[0]}: isn't that of {first.folder}, so that their results can't be put together. Name "
                    "another --workdir for one of them."
                )
        _check_architecture(training)
        _check_start(training)


def _check_architecture(training: Training) -> None:
    """Refuses a network that was trained with another architecture than the one that is named now, where both are here."""
    named, own = training.row.of_fold(training.fold), training.folder / GENOTYPE_FILE
    if named and own.is_file() and genotype_file(named).is_file() and Genotype.load(own).architecture != Genotype.load(named).architecture:
        raise ConfigError(
            f"{own}: the training run there is of another architecture than {genotype_file(named)}. Name another --workdir, give the row a "
            f"name of its own (--genotype=NAME=PATH), or delete {training.folder} to train again."
        )


def _check_start(training: Training) -> None:
    """Refuses a network that began with other weights than those that are named now, where these are here."""
    file, remedy = training.folder / TRANSFER, f"Delete {training.folder} to train again."
    if training.config.init == SCRATCH or not file.is_file():
        return
    told = parse(file, remedy, ConfigError).get("sha256")
    try:
        weights = trained_model(training.config)
    except ConfigError:  # gone since then
        return
    if told and weights and told != digest_of(weights):
        raise ConfigError(
            f"{file}: the training run there began with the weights of another network than {weights} is now. Name another --workdir, or "
            f"delete {training.folder} to train again."
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
