"""The losses against numpy in double precision, and what their options mean."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.errors import ConfigError
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.training.losses import LOSSES, DeepSupervision, DiceLoss, FocalLoss, JaccardLoss, make_loss, subsample_labels

SPACES = {"3d": (5, 4, 3), "2d": (6, 5)}
OPTIONS = [
    ("jaccard", {}),
    ("dice", {}),
    ("dice", {"batch_dice": True}),
    ("dice_ce", {}),
    ("dice_ce", {"batch_dice": True}),
    ("focal", {}),
]
SOME = pytest.mark.parametrize("name, options", OPTIONS, ids=lambda value: value if isinstance(value, str) else "batch" * bool(value))
WEIGHTS, IGNORED = (0.5, 1.0, 4.0), 255


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def numpy_loss(name, labels, logits, class_weights=(1, 1, 1), batch_dice=False, s=1e-5):
    """A loss' value for each item, by the formulas: labels [batch, voxels], logits [batch, voxels, classes]."""
    w = np.array(class_weights) / np.mean(class_weights)
    p, g = softmax(logits), np.eye(len(w))[labels]
    log_p, true = np.log((p * g).sum(-1)), w[labels]
    over = (0, 1) if batch_dice else 1
    overlap, square = (p * g).sum(over), (p**2 + g**2 - p * g).sum(over)
    dice = (2 * overlap + s) / (p.sum(over) + g.sum(over) + s) * np.ones((len(labels), 1))
    mean_dice = (dice[:, 1:] * w[1:]).sum(-1) / w[1:].sum()
    return {
        "jaccard": lambda: ((1 - (overlap + s) / (square + s)) * w).mean(-1),
        "dice": lambda: -mean_dice,
        "dice_ce": lambda: (-true * log_p).mean(1) - mean_dice,
        "focal": lambda: (-true * (1 - np.exp(log_p)) ** 2 * log_p).mean(1),
    }[name]()


def sample(space, batch=3, classes=3, seed=0):
    """Labels and logits; the first item lacks the last class, so that Dice by item and by batch differ."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (batch, *space))
    labels[0] = rng.integers(0, classes - 1, space)
    return labels, rng.normal(size=(batch, *space, classes)) * 3


def flat(labels, logits):
    return labels.reshape(len(labels), -1), logits.reshape(len(labels), -1, logits.shape[-1])


@SOME
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("class_weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_losses_are_numpys(space, name, options, class_weights):
    labels, logits = sample(SPACES[space])
    expected = numpy_loss(name, *flat(labels, logits), **({"class_weights": class_weights} if class_weights else {}), **options)
    items = LOSSES[name](class_weights=class_weights, dtype="float64", reduction=None, **options)(labels, logits)
    np.testing.assert_allclose(items, expected, atol=1e-12)
    loss = make_loss(name, class_weights=class_weights, **options)
    for half in (False, True):
        value = loss(labels.astype("uint8"), logits.astype("float16" if half else "float32"))
        assert float(value) == pytest.approx(expected.mean(), abs=2e-3 if half else 2e-6) and value.dtype == "float32"


def test_dice_by_item_and_by_batch_differ():
    labels, logits = sample((6, 5))
    by_item, by_batch = (float(make_loss("dice", batch_dice=batch_dice)(labels, logits)) for batch_dice in (False, True))
    assert abs(by_item - by_batch) > 1e-3


@pytest.mark.parametrize("name, right, wrong", [("jaccard", 0, 1), ("dice", -1, 0), ("dice_ce", -1, 50), ("focal", 0, 50)])
def test_losses_at_their_ends(name, right, wrong):
    """Logits of 50 for the labelled class, and for another: the wrong ones' cross-entropy is 50."""
    labels = np.arange(12).reshape(1, 12) % 3
    logits = 50.0 * np.eye(3)[labels]
    assert float(make_loss(name)(labels, logits)) == pytest.approx(right, abs=1e-6)
    assert float(make_loss(name)(labels, np.roll(logits, 1, -1))) == pytest.approx(wrong, abs=1e-4)


def test_two_voxels_by_hand():
    """p = (.8 .2), (.4 .6) and labels 0, 1: Dice of class 1 is 1.2 / (.2 + .6 + 1) = 2/3, cross-entropy -(ln .8 + ln .6) / 2."""
    labels, logits = np.array([[0, 1]]), np.log([[[0.8, 0.2], [0.4, 0.6]]])
    entropy = -(np.log(0.8) + np.log(0.6)) / 2
    assert float(DiceLoss(smooth=0, dtype="float64")(labels, logits)) == pytest.approx(-2 / 3, abs=1e-12)
    assert float(LOSSES["dice_ce"](smooth=0, dtype="float64")(labels, logits)) == pytest.approx(entropy - 2 / 3, abs=1e-12)
    assert float(FocalLoss(gamma=0, dtype="float64")(labels, logits)) == pytest.approx(entropy, abs=1e-12)
    focal = -(0.2**2 * np.log(0.8) + 0.4**2 * np.log(0.6)) / 2
    assert float(FocalLoss(dtype="float64")(labels, logits)) == pytest.approx(focal, abs=1e-12)


@SOME
@pytest.mark.parametrize("ignored", [IGNORED, 1], ids=["beyond-the-classes", "a-class"])
def test_an_ignored_label_counts_as_if_its_voxels_were_not_there(name, options, ignored):
    labels, logits = sample((5, 4, 3))
    labels, logits = flat(labels, logits)
    labels[labels == 1] = 2
    hidden = np.zeros(labels.shape, bool)
    for item, row in enumerate(hidden):  # as many in each item, for the kept ones to be an array
        row[np.random.default_rng(item).choice(row.size, 25, replace=False)] = True
    kept = labels[~hidden].reshape(3, -1), logits[~hidden].reshape(3, -1, 3)
    loss = LOSSES[name](class_weights=WEIGHTS, ignore_label=ignored, dtype="float64", reduction=None, **options)
    labels = np.where(hidden, ignored, labels)
    found = loss(labels.reshape(3, 5, 4, 3), logits.reshape(3, 5, 4, 3, 3))
    np.testing.assert_allclose(found, numpy_loss(name, *kept, class_weights=WEIGHTS, **options), atol=1e-12)
    noise = np.where(hidden[..., None], np.random.default_rng(9).normal(size=logits.shape) * 50, logits)
    np.testing.assert_array_equal(loss(labels, noise), loss(labels, logits))


@pytest.mark.parametrize("name", ["dice_ce", "focal"])
def test_a_mean_over_voxels_is_that_of_the_batch_not_of_its_items(name):
    """nnU-Net's cross-entropy with an ignore label: two items of which one is hardly annotated."""
    labels, logits = flat(*sample((5, 4), batch=2))
    hidden = np.zeros(labels.shape, bool)
    hidden[0, 3:] = True
    loss = LOSSES[name](ignore_label=IGNORED, dtype="float64", **{"dice_ce": {"smooth": 0}, "focal": {"gamma": 0}}[name])
    entropy = -np.log((softmax(logits) * np.eye(3)[labels]).sum(-1))
    dice = 0.0
    if name == "dice_ce":
        items = (labels[:1, :3], logits[:1, :3]), (labels[1:], logits[1:])
        dice = np.mean([-numpy_loss("dice", *item, s=0) for item in items])
    found = float(loss(np.where(hidden, IGNORED, labels), logits))
    assert found == pytest.approx(entropy[~hidden].mean() - dice, abs=1e-12)
    assert abs(entropy[~hidden].mean() - np.mean([entropy[0, :3].mean(), entropy[1].mean()])) > 0.1


@SOME
def test_nothing_annotated_teaches_nothing(name, options):
    labels, logits = np.full((2, 4, 4), IGNORED), tf.constant(sample((4, 4), batch=2)[1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = LOSSES[name](ignore_label=IGNORED, dtype="float64", **options)(labels, logits)
    assert float(value) == {"jaccard": 0, "focal": 0}.get(name, -1)  # a class neither there nor predicted has a Dice of 1
    np.testing.assert_array_equal(tape.gradient(value, logits), 0)


@pytest.mark.parametrize(
    "name, options",
    [*OPTIONS, *(("focal", {"gamma": gamma}) for gamma in (0.0, 0.5))],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_gradients_are_finite_differences(name, options):
    labels, logits = sample((2, 2), batch=2)
    labels[0, 0, 0] = IGNORED
    logits[1, 1, 1] = 80.0 * np.eye(3)[labels[1, 1, 1]]  # a probability of exactly 1
    loss = LOSSES[name](class_weights=WEIGHTS, ignore_label=IGNORED, dtype="float64", **options)
    with tf.GradientTape() as tape:
        tape.watch(variable := tf.constant(logits))
        value = loss(labels, variable)
    expected = np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[place] = 1e-5
        expected[place] = (float(loss(labels, logits + step)) - float(loss(labels, logits - step))) / 2e-5
    np.testing.assert_allclose(tape.gradient(value, variable), expected, atol=1e-8)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_for_each_class_is_asked_for(name):
    labels, logits = sample((4, 4))
    with pytest.raises(ConfigError, match="each of 3 classes, background first; found 2"):
        make_loss(name, class_weights=(1, 2))(labels, logits)
    once, twice = (
        float(make_loss(name, class_weights=weights)(labels, logits)) for weights in (WEIGHTS, [2 * weight for weight in WEIGHTS])
    )
    assert once == pytest.approx(twice) != pytest.approx(float(make_loss(name)(labels, logits)))


@SOME
def test_losses_survive_their_config(name, options):
    own = {"gamma": 1.5} if name == "focal" else {"smooth": 0.5}
    loss = LOSSES[name](class_weights=WEIGHTS, ignore_label=IGNORED, **own, **options)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    labels, logits = sample((4, 4))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    assert float(again(labels, logits)) == float(loss(labels, logits)) != pytest.approx(float(LOSSES[name]()(labels, logits)))


def test_deep_supervision_weighs_outputs_and_picks_labels():
    """Three outputs weigh 4/7, 2/7 and 1/7; the labels of a stride of 4 are voxels 2, 6, ..., of 2 are 1, 3, ..."""
    labels, strides = sample((4, 8, 8), batch=2)[0], ((1, 1, 1), (1, 2, 2), (2, 4, 4))
    chosen = [labels, labels[:, :, 1::2, 1::2], labels[:, 1::2, 2::4, 2::4]]
    outputs = [np.random.default_rng(i).normal(size=(*part.shape, 3)) for i, part in enumerate(chosen)]
    loss = JaccardLoss(dtype="float64")
    for part, stride in zip(chosen, strides):
        np.testing.assert_array_equal(subsample_labels(labels, stride), part)
    parts = [numpy_loss("jaccard", *flat(part, output)).mean() for part, output in zip(chosen, outputs)]
    assert float(DeepSupervision(loss, strides)(labels, outputs)) == pytest.approx(np.dot([4, 2, 1], parts) / 7, abs=1e-12)
    with pytest.raises(ValueError):
        DeepSupervision(loss, strides)(labels, outputs[:2])


@pytest.mark.parametrize("ignored", [None, IGNORED, 1])
def test_mean_dice_is_numpys_over_the_voxels_that_count(ignored):
    metric, batches = MeanDice(3, ignored), [sample((3, 4, n), seed=n) for n in (2, 5)]
    for labels, logits in batches:
        labels[:, 0] = labels[:, 0] if ignored is None else ignored
        metric.update_state(labels.astype("uint8"), logits)
    actual = np.concatenate([labels.ravel() for labels, _ in batches])
    predicted = np.concatenate([logits.argmax(-1).ravel() for _, logits in batches])
    actual, predicted = actual[actual != ignored], predicted[actual != ignored]
    dice = [2 * ((actual == c) & (predicted == c)).sum() / ((actual == c).sum() + (predicted == c).sum()) for c in (1, 2)]
    np.testing.assert_allclose(metric.per_class(), dice, rtol=1e-6)
    assert float(metric.result()) == pytest.approx(np.mean(dice), rel=1e-6)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert (again.num_classes, again.ignore_label) == (3, ignored)
