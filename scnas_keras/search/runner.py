"""A whole search, from its flags to what is left in the run's folder."""

import keras

from scnas_keras.errors import ConfigError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.names import BFLOAT16
from scnas_keras.machine.precision import scaled
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.runs.checkpoint_files import CHECKPOINT, CheckpointFolder
from scnas_keras.runs.folds import Fold, open_fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.run_folder import follow_run, open_run
from scnas_keras.runs.startup import start
from scnas_keras.search import guards
from scnas_keras.search.checks import OLDEST_CHECKPOINT, check, footprint, space_of
from scnas_keras.search.config import LOW_MEMORY, SearchConfig
from scnas_keras.search.cost import check_derived, search_cost
from scnas_keras.search.epochs import train, watch
from scnas_keras.search.finish import SearchResult, finish
from scnas_keras.search.times import times_record
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.names import GUMBEL_PAIR
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import make_loss
from scnas_keras.training.names import ADAM
from scnas_keras.training.optimizers import SGD, Adam

DARTS_MOMENTUM = 0.9
"""Of SGD for the weights, as in DARTS (Liu et al., arXiv 1806.09055, section A.1.1)."""


def run_search(config: SearchConfig) -> SearchResult:
    """Searches an architecture and writes the run's folder.

    Raises:
        ConfigError, DataError: before any training.
        WorkerLost: another host of the run is gone.
        SystemExit: SIGTERM came and the run is saved.
    """
    check(config)
    cluster = start(config)
    if cluster.workers > 1 and config.mixed_precision == BFLOAT16:
        # The supernet's mixtures hold layers of that type, and TensorFlow has no collective for it.
        raise ConfigError("--mixed_precision=bfloat16: a search on several hosts can't share it; use float16 or none.")
    with cluster.watched():
        return _run(config, cluster)


def _run(config: SearchConfig, cluster: Cluster) -> SearchResult:
    run = open_run(config.workdir, config) if cluster.chief else follow_run(config.workdir)
    CheckpointFolder(run[CHECKPOINT]).check_version(OLDEST_CHECKPOINT)
    fold = open_fold(config, footprint(config), config.fold)
    if cluster.chief:
        fold.check(run.path)
    tables = cost_tables(space_of(config), config.width, fold.patch_size, len(fold.task.channel_names), fold.task.num_classes)
    check_derived(config, tables)
    record = times_record(config, space_of(config), fold, run, cluster) if config.target_ms is not None else None
    times = record and record.tables
    penalty = guards.cost_penalty(config, tables, times)
    cost = search_cost(config, fold, footprint(config), run, cluster)
    if cluster.chief:
        run.begin(config)
        fold.save(run.path)
        cost.save(run)
        if record:
            record.save(run)
    horizon = Horizon(config.epochs, config.budget_minutes and 60 * config.budget_minutes)
    with cluster.strategy.scope():
        slices = cluster.slices(fold.configuration.batch_size, config.accumulate)
        supernet = build(config, fold, penalty, cost.memory_mode == LOW_MEMORY, slices=slices)
    monitor = watch(config, fold, supernet, tables, times, run, cluster)
    history = train(config, fold, supernet, monitor, horizon, run, cluster)
    if not cluster.chief:
        genotype = derive(supernet.space, supernet.alpha_tables(), config.max_identity_edges)
        return SearchResult(genotype, genotype_table(genotype), run.path)
    return finish(config, fold, supernet, monitor, history, times, run)


def build(
    config: SearchConfig,
    fold: Fold,
    penalty: CostPenalty | None = None,
    low_memory: bool = False,
    space: SearchSpace | None = None,
    slices: int = 1,
) -> Supernet:
    """The compiled supernet for a fold's data, of the space that flags name or of another one; it takes batches in so many slices.

    Called in a strategy's scope, it has its variables on all devices.
    """
    negligible = config.skip_below if config.relaxation == GUMBEL_PAIR else 0.0
    space = space or space_of(config)
    supernet = Supernet(
        space,
        len(fold.task.channel_names),
        fold.task.num_classes,
        config.stem_channels,
        config.relaxation,
        low_memory=low_memory,
        negligible=negligible,
        seed=config.seed,
        parameter_free_dropout=config.parameter_free_dropout,
        penalty=penalty,
        plain_penalty=guards.plain_penalty(config, space),
        path_dropout=config.path_dropout,
        ignore_label=fold.task.ignore_label,
    )
    supernet.compile(
        *(
            scaled(optimizer, config.mixed_precision)
            for optimizer in (weights_optimizer(config), Adam(config.alpha_lr, *config.alpha_betas))
        ),
        make_loss(config.loss, ignore_label=fold.task.ignore_label),
        slices,
        config.weights_decay,
        config.alpha_decay,
    )
    supernet.temperature.assign(guards.temperature(config, 0.0))
    return supernet


def weights_optimizer(config: SearchConfig) -> keras.Optimizer:
    """What learns the network's weights: Adam, or SGD with DARTS' momentum."""
    if config.weights_optimizer == ADAM:
        return Adam(config.weights_lr, *config.weights_betas)
    return SGD(config.weights_lr, DARTS_MOMENTUM if config.weights_momentum is None else config.weights_momentum)
