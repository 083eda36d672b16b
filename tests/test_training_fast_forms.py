"""TensorFlow's faster forms of operations against the portable ones in float64, and edges that share a layer against edges alone."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.kernels.fast_forms import use_fast_form, use_fast_forms
from scnas_keras.kernels.separable import separable_conv
from scnas_keras.operations.base import InstanceNorm, subsample
from scnas_keras.operations.build import build_operation
from scnas_keras.operations.dilated_separable_conv.layer import DilatedSeparableConv
from scnas_keras.operations.facts import HALVING, ORDINARY
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan

ROLES = {1: ORDINARY, 2: HALVING}


def built(layer, x):
    layer.build(x.shape)
    random = np.random.default_rng(3)
    for weight in layer.trainable_variables:
        weight.assign(random.normal(0.5, 0.3, weight.shape))
    return layer


def fast(layer, x):
    """`built` as a layer of a model that is trained."""
    image = keras.Input(batch_shape=x.shape, dtype=layer.dtype)
    use_fast_forms(keras.Model(image, built(layer, x)(image)))
    forms = [part.fast_form for part in (layer, getattr(layer, "norm", layer)) if hasattr(part, "fast_form")]
    assert forms and None not in forms
    return layer


def results(layer, x, dy):
    """Output and gradients with respect to input and weights, of a traced function."""

    @tf.function
    def run(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return [y, *tape.gradient(y, [x, *(v.value for v in layer.trainable_variables)], dy)]

    return [np.asarray(value, np.float64) for value in run(tf.constant(x), tf.constant(dy))]


def is_fast(model, shape):
    """Whether a layer or a model uses the fused normalisation when it is traced for images of a shape."""
    graph = tf.function(model, input_signature=[tf.TensorSpec(shape)]).get_concrete_function().graph
    return "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


def images(*shape):
    return np.random.default_rng(1).normal(3, 2, shape)


@pytest.mark.parametrize("shape", [(1, 6, 5, 8, 4), (3, 4, 6, 4, 4), (2, 9, 7, 4)], ids=["one item", "three items", "two axes"])
def test_normalisation(shape):
    x, dy = images(*shape), images(*shape) - 3
    expected = results(built(InstanceNorm(dtype="float64"), x), x, dy)
    found = results(fast(InstanceNorm(), x), x.astype("float32"), dy.astype("float32"))
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_a_batch_of_unknown_size_takes_the_portable_form():
    x = images(2, 4, 4, 4, 4).astype("float32")
    layer = fast(InstanceNorm(), x)
    traced = tf.function(layer, input_signature=[tf.TensorSpec((None, 4, 4, 4, 4))])
    assert not is_fast(layer, (None, 4, 4, 4, 4)) and is_fast(layer, (2, 4, 4, 4, 4))
    np.testing.assert_allclose(traced(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 8, 6, 10, 4), (1, 12, 8, 4)], ids=["three axes", "two axes"])
def test_dilated_convolutions(rate, stride, shape):
    x = images(*shape)
    name = f"dilated_conv_3_rate_{rate}"
    small = (shape[0], *(n // stride for n in shape[1:-1]), shape[-1])
    dy = images(*small) - 3
    expected = results(built(build_operation(name, ROLES[stride], dtype="float64"), x), x, dy)
    found = results(fast(build_operation(name, ROLES[stride]), x), x.astype("float32"), dy.astype("float32"))
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=2e-3, atol=2e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("rate", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("shape", [(2, 8, 6, 10, 4), (1, 14, 8, 4), (1, 5, 7, 9, 3)], ids=["three axes", "two axes", "odd sizes"])
def test_separable_convolutions_are_exact(rate, stride, branches, shape):
    if shape[1] % 2 and stride == 2:
        pytest.skip("an axis that is halved is even")
    x, name = images(*shape), f"dilated_conv_3_rate_{rate}"
    layer = fast(build_operation(name, ROLES[stride], branches=branches, dtype="float64"), x)
    dy = [images(shape[0], *(n // stride for n in shape[1:-1]), shape[-1]) - number for number in range(branches)]
    form, found = layer.fast_form, []
    for layer.fast_form in (form, None):

        @tf.function
        def run(x, dy):
            y = layer(x)
            variables = [v.value for v in layer.trainable_variables]
            return [y, tf.gradients(y, [x, *variables], dy, unconnected_gradients="zero")]

        found.append(tf.nest.flatten(run(tf.constant(x), [tf.constant(one) for one in dy] if branches > 1 else tf.constant(dy[0]))))
    assert separable_conv(tf.constant(x), layer.depthwise.value, layer.pointwise.value, rate, stride) is not None
    for value, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["conv_3", "dilated_conv_3_rate_2", "dilated_conv_3_rate_3"])
@pytest.mark.parametrize("stride", [1, 2])
def test_branches_compute_what_operations_alone_do(name, stride):
    x = images(2, 8, 6, 8, 4)
    shared = built(build_operation(name, ROLES[stride], branches=3, dtype="float64"), x)
    together = shared(x)
    assert len(together) == 3 and shared.compute_output_shape(x.shape) == [tuple(y.shape) for y in together]
    for number, y in enumerate(together):
        alone = built(build_operation(name, ROLES[stride], dtype="float64"), x)
        for kernel in alone.kernels(3, 4):
            getattr(alone, kernel).assign(np.asarray(getattr(shared, kernel))[shared.branch(kernel, number)])
        for part in ("scale", "offset"):
            getattr(alone.norm, part).assign(np.asarray(getattr(shared.norm, part))[4 * number : 4 * number + 4])
        np.testing.assert_allclose(y, alone(x), rtol=1e-10, atol=1e-10)


SHAPE = (1, 8, 8, 8, 4)


def small_model(*space):
    image = keras.Input((*(space or SHAPE[1:-1]), 4))
    x = build_operation("average_pool_3")(InstanceNorm()(image))
    return keras.Model(image, build_operation("dilated_conv_3_rate_2")(x))


def forms(model):
    return [part.fast_form for layer in model.layers for part in (layer, getattr(layer, "norm", None)) if hasattr(part, "fast_form")]


def test_the_forms_are_those_of_one_model():
    trained, other = small_model(), small_model()
    use_fast_forms(trained)
    assert len(forms(trained)) == 4 and None not in forms(trained) and is_fast(trained, SHAPE)
    assert forms(other) == forms(small_model()) == [None] * 4 and not is_fast(other, SHAPE)
    assert InstanceNorm.fast_form is DilatedSeparableConv.fast_form is None


def test_a_saved_model_comes_back_with_the_portable_forms(tmp_path):
    model, x = small_model(), tf.constant(images(*SHAPE), tf.float32)
    before = model(x)
    use_fast_forms(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert forms(again) == [None] * 4 and not is_fast(again, SHAPE)
    np.testing.assert_array_equal(again(x), before)
    np.testing.assert_allclose(model(x), before, rtol=1e-3, atol=1e-4)


def test_a_model_that_segments_scans_is_fast(tmp_path):
    plan = PreprocessingPlan((1.0, 1.0, 1.0), (Normalization("T1", "zscore"),) * 4, {label: str(label) for label in range(4)})
    trained, x = SegmentationModel(small_model(None, None, None), plan, SHAPE[1:-1]), np.float32(images(*SHAPE))
    trained.save(tmp_path)
    model = SegmentationModel.load(tmp_path)
    for segmenting in (trained, model):
        assert None not in forms(segmenting.network) and is_fast(segmenting.network, SHAPE)
    portable = keras.saving.load_model(tmp_path / "model.keras")(x)
    np.testing.assert_allclose(model.network.predict_on_batch(x), portable, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_keeps_the_dense_form(dtype):
    """Whose sums are wider."""
    x, depthwise, pointwise = tf.zeros((1, 4, 4, 4, 2), dtype), tf.zeros((3, 3, 3, 2, 1), dtype), tf.zeros((2, 2), dtype)
    assert separable_conv(x, depthwise, pointwise, 2, 1) is None


@pytest.mark.parametrize("space", [(4, 6, 8), (4, 5, 8), (6, 4), (7, 4)], ids=str)
@pytest.mark.parametrize("batch", [2, None])
def test_subsampling_takes_every_second_voxel_and_gives_it_its_gradient(space, batch):
    x = images(2, *space, 3)
    expected = x[(slice(None), *[slice(1, None, 2)] * len(space))]
    dy = images(*expected.shape)

    @tf.function(input_signature=[tf.TensorSpec((batch, *space, 3), tf.float64)])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = subsample(x)
        return y, tape.gradient(y, x, dy)

    y, dx = run(x)
    np.testing.assert_array_equal(y, expected)
    expected = np.zeros_like(x)
    expected[(slice(None), *[slice(1, None, 2)] * len(space))] = dy
    np.testing.assert_array_equal(dx, expected)
    kinds = {operation.type for operation in run.get_concrete_function().graph.get_operations()}
    assert ("StridedSliceGrad" in kinds) == any(size % 2 for size in space)


def test_subsampling_takes_images_of_unknown_size_and_half_precision():
    x = images(2, 6, 5, 4, 3).astype("float16")
    traced = tf.function(subsample, input_signature=[tf.TensorSpec((None, None, None, None, 3), tf.float16)])
    np.testing.assert_array_equal(traced(x), x[:, 1::2, 1::2, 1::2])
    np.testing.assert_array_equal(subsample(x[:, :, :4]), x[:, 1::2, 1:4:2, 1::2])


@pytest.mark.parametrize("shape", [(1, 6, 5, 8, 4), (2, 9, 1, 4)], ids=["three axes", "two axes, one of them thin"])
def test_averages(shape):
    """Only those with stride 1 are their own adjoint."""
    for other in (build_operation("max_pool_3"), build_operation("average_pool_3", HALVING)):
        use_fast_form(other)
        assert other.fast_form is None
    x, dy = images(*shape), images(*shape) - 3
    pool = functools.partial(build_operation, "average_pool_3")
    expected = results(built(pool(dtype="float64"), x), x, dy)
    for value, wanted in zip(results(fast(pool(), x), x.astype("float32"), dy.astype("float32")), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-5)
