"""A whole training run, from its flags to what is left in the run's folder."""

import keras
from absl import logging

from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.seen import seen_in
from scnas_keras.machine.distribution import Cluster
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.heads import at_full_resolution
from scnas_keras.retrain.architecture import Architecture, choose
from scnas_keras.retrain.build import build, portable
from scnas_keras.retrain.checks import OLDEST_CHECKPOINT, check, check_classes, check_genotype, warn_of_leak
from scnas_keras.retrain.config import SEARCH, RetrainConfig
from scnas_keras.retrain.epochs import train
from scnas_keras.retrain.finish import TrainingResult, finish
from scnas_keras.retrain.recipes import Recipe, recipe
from scnas_keras.retrain.transfer import report_transfer, take_weights
from scnas_keras.retrain.validation import validate
from scnas_keras.runs import preflight
from scnas_keras.runs.checkpoint_files import CHECKPOINT, CheckpointFolder
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.run_folder import follow_run, open_run
from scnas_keras.runs.startup import start
from scnas_keras.spaces.genotype import GENOTYPE_FILE
from scnas_keras.tasks.splits import parse_fold


def run_training(config: RetrainConfig) -> TrainingResult:
    """Trains a network and writes the run's folder.

    Raises:
        ConfigError, DataError, GenotypeError: before any training.
        WorkerLost: another host of the run is gone.
        SystemExit: SIGTERM came and the run is saved.
    """
    check(config)
    found = recipe(config)
    cluster = start(config)
    with cluster.watched():
        return _run(config, found, choose(config), cluster)


def _run(config: RetrainConfig, found: Recipe, architecture: Architecture, cluster: Cluster) -> TrainingResult:
    run = open_run(config.workdir, config) if cluster.chief else follow_run(config.workdir)
    CheckpointFolder(run[CHECKPOINT]).check_version(OLDEST_CHECKPOINT)
    fold = open_fold(config, architecture.network, parse_fold(config.fold), config.trained_parts)
    if config.judge_on == HELD_OUT:
        logging.info("the held-out cases judge, and aren't trained on; the validation cases aren't looked at")
    if cluster.chief:
        fold.check(run.path)
    check_classes(config, fold)
    check_genotype(architecture, run[GENOTYPE_FILE])
    warn_of_leak(config, architecture, fold)
    if architecture.genotype and architecture.genotype.undecided:
        logging.warning("%s: %s", architecture.source, architecture.genotype.undecided)
    learner = build(config, found, fold, architecture, cluster)
    cost = network_cost(at_full_resolution(learner.network), fold.patch_size)
    preflight.check_training(fold, architecture.network, cost, run, cluster, config.accumulate, learner.sliceable)
    if cluster.chief:
        preflight.check_scans(fold, config.judge_on)
    transfer = take_weights(learner.network, architecture.weights, config.init == SEARCH) if architecture.weights else None
    if cluster.chief:
        run.begin(config)
        fold.save(run.path)
        if architecture.genotype:
            architecture.genotype.save(run[GENOTYPE_FILE])
        if transfer:
            report_transfer(architecture, transfer, run)
    horizon = Horizon(found.epochs, config.budget_minutes and 60 * config.budget_minutes)
    history = train(config, found, fold, architecture, learner, horizon, run, cluster)
    learner.optimizer.finalize_variable_values(learner.network.trainable_variables)
    network = portable(found, fold, architecture, learner)
    seen = seen_in(fold.part(*config.trained_parts))
    model = SegmentationModel(network, fold.plan, fold.patch_size, fold.configuration.augmentation.mirror_axes, seen)
    if not cluster.chief:
        return TrainingResult(model, {}, "The first host validates the network.", run.path)
    model.save(run.path)
    updates = int(keras.ops.convert_to_numpy(learner.optimizer.iterations))
    return finish(config, fold, architecture, cost, model, history, updates, validate(config, fold, model, run), run)
