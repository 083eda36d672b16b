"""Outputs of a network: the logits at full resolution, and on request those of coarser decoder levels (deep supervision)."""

from collections.abc import Sequence

import keras

from scnas_keras.networks import blocks

LOGITS = "logits"


def supervised(levels: Sequence) -> Sequence:
    """Of a decoder's levels, finest first, those whose logits are trained: all but the coarsest, as in nnU-Net; at least one."""
    return levels[: max(1, len(levels) - 1)]


def finish(image, levels: Sequence, num_classes: int, deep_supervision: bool, name: str, drop_last: bool = True) -> keras.Model:
    """The model from an image to the logits of its decoder levels.

    Args:
        image: the input.
        levels: features of each decoder level, finest first.
        num_classes: classes, background included.
        deep_supervision: whether there are outputs at coarser levels as well.
        name: the model's name.
        drop_last: whether the coarsest of several levels has no output, as in nnU-Net.
    """
    trained = supervised(levels) if drop_last else levels
    kept = trained if deep_supervision else trained[:1]
    return with_outputs(image, [blocks.logits(x, num_classes, f"{LOGITS}_{i}" if i else LOGITS) for i, x in enumerate(kept)], name)


def with_outputs(image, outputs: Sequence, name: str) -> keras.Model:
    """A model with one output, or with a list of several."""
    return keras.Model(image, list(outputs) if len(outputs) > 1 else outputs[0], name=name)


def at_full_resolution(model: keras.Model) -> keras.Model:
    """The model without its coarser outputs and what only they need; it shares the layers, and with them the weights."""
    return model if len(model.outputs) == 1 else keras.Model(model.input, model.outputs[0], name=model.name)
