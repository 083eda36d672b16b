"""The network that is trained, with its loss and optimizer, and what is left of it in the end."""

import dataclasses

import keras

from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.names import NONE
from scnas_keras.machine.precision import set_precision
from scnas_keras.networks.heads import at_full_resolution
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.optimizers import make_optimizer
from scnas_keras.retrain.recipes import Recipe
from scnas_keras.runs.folds import Fold
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import make_loss


def build(config: RetrainConfig, found: Recipe, fold: Fold, architecture: Architecture, cluster: Cluster) -> Learner:
    """The compiled learner of the network with new weights."""
    ignored = fold.task.ignore_label
    with cluster.strategy.scope():
        learner = Learner(new_network(found, fold, architecture), fold.task.num_classes, ignored)
        if config.deep_supervision == "true" and len(learner.network.outputs) == 1:
            raise ConfigError(
                f"--deep_supervision=true: a {architecture.network.name} network of {len(fold.configuration.topology.strides)} stages "
                "has no outputs at coarser levels. Leave it out."
            )
        loss = make_loss(found.loss, fold.configuration.batch_dice, config.class_weights, ignored)
        slices = cluster.slices(fold.configuration.batch_size, config.accumulate)
        learner.compile(
            make_optimizer(found, config.ema, config.mixed_precision),
            loss,
            found.weight_decay,
            found.clip_norm,
            slices,
            found.path_dropout,
            config.seed,
        )
    return learner


def new_network(found: Recipe, fold: Fold, architecture: Architecture) -> keras.Model:
    """The network of a fold's plan, with start values by Keras' seed; a searched one with layers for its path dropout."""
    configuration, task, network = fold.configuration, fold.task, architecture.network
    if isinstance(network, DerivedNetwork):
        network = dataclasses.replace(network, path_dropout=found.path_dropout > 0)
    stages = configuration.topology, configuration.features_per_stage
    return network.build(*stages, len(task.channel_names), task.num_classes, found.deep_supervision)


def portable(found: Recipe, fold: Fold, architecture: Architecture, learner: Learner) -> keras.Model:
    """The trained network on one device and in float32, without path dropout and with one output, at full resolution, to use anywhere."""
    set_precision(NONE)
    network = new_network(dataclasses.replace(found, path_dropout=0.0), fold, architecture)
    if learner.paths:  # whose layers come in another order
        for layer in network.layers:
            layer.set_weights(learner.network.get_layer(layer.name).get_weights())
    else:
        network.set_weights(learner.network.get_weights())
    return at_full_resolution(network)
