"""Losses on logits [batch, *space, classes] and integer labels [batch, *space]; `keras.ops` only."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from scnas_keras.errors import ConfigError
from scnas_keras.metrics.labels import check_shapes, class_numbers
from scnas_keras.training.names import DICE, DICE_CE, FOCAL, JACCARD

_serializable = keras.saving.register_keras_serializable("scnas_keras")


class SegmentationLoss(keras.losses.Loss):
    """Base of the losses: one-hot labels, class weights, and voxels that don't count.

    Computes in float32, in float64 for float64 logits. The result of `call` has one value an item. Labels that are neither class numbers
    nor the ignore label are an error; in a graph, as `fit` makes, the loss is NaN. Shapes that don't belong together are an error.

    Args:
        class_weights: weight of each class, background included; they are divided by their mean. Default: all alike.
        ignore_label: label value of voxels that nobody annotated; they count nowhere.
    """

    flag: ClassVar[str] = ""
    """What --loss calls it."""

    def __init__(self, class_weights: Sequence[float] | None = None, ignore_label: int | None = None, name: str | None = None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.class_weights = None if class_weights is None else _sound_weights(tuple(map(float, class_weights)))
        if ignore_label is not None and ignore_label != int(ignore_label):
            raise ConfigError(f"ignore_label={ignore_label}: expected a whole number.")
        self.ignore_label = ignore_label
        self.over_replicas: Callable[[Any], Any] = lambda sums: sums
        """Adds up sums of a batch that several devices share; whoever trains on them sets it."""

    @property
    def couples_items(self) -> bool:
        """Whether an item's value depends on the others of its batch, so that a batch's loss isn't the mean of its parts' losses."""
        return False

    def call(self, labels, logits):
        check_shapes(labels, logits)
        labels, sound = class_numbers(labels, logits.shape[-1], self.ignore_label)
        values = self.values(labels, logits)
        return values * ops.cast(sound, values.dtype)

    def values(self, labels, logits):
        """The loss of each item, [batch], of labels that are class numbers."""
        raise NotImplementedError

    def prepare(self, labels, logits) -> tuple[Any, Any, Any]:
        """Logits and one-hot labels [batch, voxels, classes], and 1 for each voxel that counts [batch, voxels, 1]; None if all do."""
        logits = ops.cast(logits, "float64" if keras.backend.standardize_dtype(logits.dtype) == "float64" else "float32")
        classes = logits.shape[-1]
        logits, labels = ops.reshape(logits, (ops.shape(logits)[0], -1, classes)), ops.reshape(labels, (ops.shape(labels)[0], -1))
        counted = None
        if self.ignore_label is not None:
            counted = ops.cast(labels != self.ignore_label, logits.dtype)[..., None]
        one_hot = ops.one_hot(labels, classes, dtype=logits.dtype)  # all zero for an ignore label beyond the classes
        return logits, one_hot if counted is None else one_hot * counted, counted

    def mean_of_voxels(self, values, counted):
        """Shares of the items, [batch], whose mean is that of the values [batch, voxels] over all voxels of the batch that count.

        As in nnU-Net, an item with fewer of them counts less; without any it is 0.
        """
        if counted is None:
            return ops.mean(values, axis=1)
        sums: Any = self.over_replicas(ops.stack([ops.sum(counted), ops.sum(ops.ones_like(counted[:, 0]))]))
        return ops.sum(values, axis=1) * sums[1] / ops.maximum(sums[0], 1)

    def weights(self, classes: int, dtype: str):
        """Weight of each class, [classes], mean 1."""
        if self.class_weights is None:
            return ops.ones((classes,), dtype)
        if len(self.class_weights) != classes:
            raise ConfigError(
                f"--class_weights needs a number for each of {classes} classes, background first; found {len(self.class_weights)}."
            )
        return ops.convert_to_tensor([weight * classes / sum(self.class_weights) for weight in self.class_weights], dtype)

    def get_config(self):
        return {**super().get_config(), "class_weights": self.class_weights, "ignore_label": self.ignore_label}


@_serializable
class JaccardLoss(SegmentationLoss):
    """Jaccard distance (Kayalibay et al., arXiv 1701.03056, section 3.4), the loss of SCNAS.

    For class c of one item, with probabilities p (softmax over all classes) and one-hot labels g:
    1 - (sum p g + s) / (sum (p^2 + g^2 - p g) + s), summed over the item's voxels; then the mean over classes,
    background included, and items. The smoothing s is far below one voxel; it defines the distance of a class that is
    neither present nor predicted as 0.

    Args:
        smooth: s.
        **kwargs: of `SegmentationLoss`.
    """

    flag = JACCARD

    def __init__(self, smooth: float = 1e-5, name: str = "jaccard", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smooth = _not_negative("smooth", smooth)

    def values(self, labels, logits):
        logits, g, counted = self.prepare(labels, logits)
        p = ops.softmax(logits) if counted is None else ops.softmax(logits) * counted
        overlap = ops.sum(p * g, axis=1)
        union = ops.sum(p * p + g - p * g, axis=1)
        distance = 1 - (overlap + self.smooth) / (union + self.smooth)
        return ops.mean(distance * self.weights(g.shape[-1], p.dtype), axis=-1)

    def get_config(self):
        return {**super().get_config(), "smooth": self.smooth}


@_serializable
class DiceLoss(SegmentationLoss):
    """Soft Dice loss of nnU-Net: minus the mean Dice of the foreground classes.

    For class c: (2 sum p g + s) / max(sum p + sum g + s, 1e-8), summed over an item's voxels, or over the batch's.

    Args:
        smooth: s.
        batch_dice: whether sums go over the batch; then all its items have the same value.
        **kwargs: of `SegmentationLoss`; the background's class weight has no effect.
    """

    flag = DICE

    def __init__(self, smooth: float = 1e-5, batch_dice: bool = False, name: str = "dice_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smooth, self.batch_dice = _not_negative("smooth", smooth), batch_dice

    @property
    def couples_items(self) -> bool:
        return self.batch_dice

    def values(self, labels, logits):
        logits, g, counted = self.prepare(labels, logits)
        return -self.dice(ops.softmax(logits), g, counted)

    def dice(self, p, g, counted):
        """Mean Dice of each item's foreground classes, [batch]."""
        p = p if counted is None else p * counted
        overlap, total = ops.sum(p * g, axis=1), ops.sum(p, axis=1) + ops.sum(g, axis=1)
        if self.batch_dice:
            items = ops.ones_like(overlap[:, :1])
            sums = self.over_replicas(ops.stack([ops.sum(overlap, axis=0), ops.sum(total, axis=0)]))
            overlap, total = items * sums[:1], items * sums[1:]
        dice = (2 * overlap + self.smooth) / ops.maximum(total + self.smooth, 1e-8)
        weights = self.weights(g.shape[-1], p.dtype)[1:]
        return ops.sum(dice[:, 1:] * weights, axis=-1) / ops.sum(weights)

    def get_config(self):
        return {**super().get_config(), "smooth": self.smooth, "batch_dice": self.batch_dice}


@_serializable
class DiceCrossEntropyLoss(DiceLoss):
    """nnU-Net's loss: `DiceLoss` plus the cross-entropy's mean over the batch's voxels that count."""

    flag = DICE_CE

    def __init__(self, name: str = "dice_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)

    @property
    def couples_items(self) -> bool:
        return self.batch_dice or self.ignore_label is not None

    def values(self, labels, logits):
        logits, g, counted = self.prepare(labels, logits)
        log_p = ops.log_softmax(logits)
        entropy = -ops.sum(log_p * g * self.weights(g.shape[-1], logits.dtype), axis=-1)
        return self.mean_of_voxels(entropy, counted) - self.dice(ops.exp(log_p), g, counted)


@_serializable
class FocalLoss(SegmentationLoss):
    """Focal loss -(1 - p)^gamma log p of the true class (Lin et al., arXiv 1708.02002), mean over the batch's voxels that count.

    Args:
        gamma: how much less voxels count that are right already; 0 is cross-entropy.
        **kwargs: of `SegmentationLoss`.
    """

    flag = FOCAL

    def __init__(self, gamma: float = 2.0, name: str = "focal", **kwargs):
        super().__init__(name=name, **kwargs)
        self.gamma = _not_negative("gamma", gamma)

    @property
    def couples_items(self) -> bool:
        return self.ignore_label is not None

    def values(self, labels, logits):
        logits, g, counted = self.prepare(labels, logits)
        log_p = ops.sum(ops.log_softmax(logits) * g, axis=-1)
        weight = ops.sum(g * self.weights(g.shape[-1], logits.dtype), axis=-1)
        missing = ops.maximum(1 - ops.exp(log_p), 1e-12)  # the power's derivative at 0 may be infinite
        return self.mean_of_voxels(-weight * missing**self.gamma * log_p, counted)

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}


LOSSES: dict[str, type[SegmentationLoss]] = {
    vars(kind)["flag"]: kind for kind in list(vars().values()) if isinstance(kind, type) and vars(kind).get("flag")
}
"""The classes above by their `flag`."""


def _sound_weights(weights: tuple[float, ...]) -> tuple[float, ...]:
    if not (all(weight >= 0 for weight in weights) and 0 < sum(weights[1:]) and math.isfinite(sum(weights))):
        raise ConfigError(f"--class_weights={','.join(map(str, weights))}: expected numbers from 0 up, some but the first above 0.")
    return weights


def _not_negative(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ConfigError(f"{name}={value}: expected a number from 0 up.")
    return value


def make_loss(
    name: str, batch_dice: bool = False, class_weights: Sequence[float] | None = None, ignore_label: int | None = None
) -> SegmentationLoss:
    """One of `LOSSES`; `batch_dice` is for those with a Dice."""
    options = {"batch_dice": batch_dice} if issubclass(LOSSES[name], DiceLoss) else {}
    return LOSSES[name](class_weights=class_weights, ignore_label=ignore_label, **options)


@dataclasses.dataclass(frozen=True)
class DeepSupervision:
    """A loss over the outputs of a network with deep supervision, finest first.

    Output i weighs 2^-i of the first, and all together 1 (nnU-Net); outputs that are all at full resolution weigh alike (UNet++). Labels of
    an output are every stride-th voxel of the labels, those that lie nearest to the middle of its own voxels.

    Attributes:
        loss: of one output.
        strides: of each output, along every spatial axis: by how much it is coarser than the labels.
    """

    loss: SegmentationLoss
    strides: tuple[tuple[int, ...], ...]

    def __call__(self, labels, outputs: Sequence[Any]):
        finest = all(max(strides) == 1 for strides in self.strides)
        shares = [1.0 if finest else 2.0**-i for i in range(len(self.strides))]
        losses = [self.loss(subsample_labels(labels, strides), logits) for strides, logits in zip(self.strides, outputs, strict=True)]
        return sum(share / sum(shares) * loss for share, loss in zip(shares, losses))


def subsample_labels(labels, strides: Sequence[int]):
    """Every stride-th voxel of labels [batch, *space] along each axis, beginning in the middle of the first block."""
    return labels[(slice(None), *[slice(stride // 2, None, stride) for stride in strides])]
