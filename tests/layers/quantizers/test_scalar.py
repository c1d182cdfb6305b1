import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.layers import FiniteScalarQuantizer

LEVELS = st.lists(st.integers(2, 9), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(LEVELS, st.integers(1, 3))
def test_every_code_has_a_vector_and_every_vector_its_code(levels, groups):
    quantizer = FiniteScalarQuantizer(len(levels) * groups, levels, num_codebooks=groups)
    size = math.prod(levels)
    assert quantizer.codebook_sizes == (size,) * groups
    codes = np.stack([np.roll(np.arange(size), 7 * group) for group in range(groups)], axis=-1)[np.newaxis]
    vectors = quantizer.decode(tf.constant(codes)).numpy()
    assert len(np.unique(vectors[0], axis=0)) == size and np.abs(vectors).max() <= 1.0
    # What bounds the inputs, turned around: an input that is quantised to this very vector.
    wide = np.tile(levels, groups)
    half, offset = (wide - 1) * 1.001 / 2, np.where(wide % 2 == 0, 0.5, 0.0)
    inputs = np.arctanh((vectors * (wide // 2) + offset) / half) - np.arctanh(offset / half)
    np.testing.assert_array_equal(quantizer.encode(tf.constant(inputs, tf.float32)), codes)
    np.testing.assert_allclose(quantizer(tf.constant(inputs, tf.float32)).vectors, vectors, atol=1e-6)


@pytest.mark.parametrize("levels", [[5, 5], [8, 2], [3, 4]])
def test_each_dimension_has_its_levels_evenly_spaced(levels):
    quantizer = FiniteScalarQuantizer(2, levels)
    inputs = np.stack([np.linspace(-9, 9, 500)] * 2, -1)[np.newaxis].astype(np.float32)
    vectors = quantizer(inputs).vectors.numpy()[0]
    for dimension, count in enumerate(levels):
        values = np.unique(vectors[:, dimension])
        assert len(values) == count and values[0] == -1.0
        np.testing.assert_allclose(np.diff(values), 1.0 / (count // 2))
        assert (np.diff(vectors[:, dimension]) >= 0).all()


def test_gradient_is_that_of_the_bounding_alone():
    quantizer, inputs = FiniteScalarQuantizer(2, [5, 4]), np.random.default_rng(0).normal(size=[1, 9, 2])
    with tf.GradientTape() as tape:
        values = tf.constant(inputs, tf.float32)
        tape.watch(values)
        total = tf.reduce_sum(quantizer(values).vectors)
    half, offset = np.array([4, 3]) * 1.001 / 2, np.array([0.0, 0.5])

    def bounded(x):
        return (np.tanh(x + np.arctanh(offset / half)) * half - offset) / np.array([2, 2])

    expected = (bounded(inputs + 1e-5) - bounded(inputs - 1e-5)) / 2e-5
    np.testing.assert_allclose(tape.gradient(total, values), expected, rtol=1e-4)


def test_groups_are_quantised_each_for_itself():
    quantizer, inputs = FiniteScalarQuantizer(6, [5, 3], num_codebooks=3), 2.0 * np.random.randn(1, 30, 6)
    inputs = tf.constant(inputs, tf.float32)
    codes = quantizer.encode(inputs).numpy()
    other = tf.concat([inputs[..., :2], -inputs[..., 2:4], inputs[..., 4:]], -1)
    changed = quantizer.encode(other).numpy()
    np.testing.assert_array_equal(changed[..., [0, 2]], codes[..., [0, 2]])
    assert (changed[..., 1] != codes[..., 1]).any()
    single = FiniteScalarQuantizer(2, [5, 3])
    np.testing.assert_array_equal(single.encode(inputs[..., 2:4])[..., 0], codes[..., 1])


def test_measures_are_those_of_the_rounding():
    quantizer = FiniteScalarQuantizer(4, [5, 5], num_codebooks=2, normalize=False)
    inputs = tf.constant(np.random.default_rng(1).normal(size=[4, 500, 4]), tf.float32)
    quantized = quantizer(inputs, training=True)
    assert quantized.losses == {}
    bounded = np.tanh(inputs.numpy()) * 2 * 1.001
    for group in range(2):
        part = bounded[..., 2 * group : 2 * group + 2].reshape(-1, 2)
        error = np.mean((part - part.round()) ** 2) / np.mean(part.var(axis=0))
        assert float(quantized.measures["error"][group]) == pytest.approx(error, rel=1e-3)
        counts = np.bincount(quantized.codes.numpy()[..., group].ravel(), minlength=25)
        np.testing.assert_array_equal(quantizer.usage[group], counts)
        assert float(quantized.measures["usage"][group]) == pytest.approx(np.mean(counts > 0))


def test_projections_begin_as_one_projection_and_learn():
    quantizer, inputs = FiniteScalarQuantizer(6, [9, 9, 9], num_codebooks=2), tf.random.normal([2, 40, 6], seed=1)
    assert quantizer.projection_in is None
    wide = FiniteScalarQuantizer(5, [9, 9, 9], num_codebooks=2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(wide(0.3 * inputs[..., :5]).vectors - 0.3 * inputs[..., :5]))
    assert float(loss) < 0.01, "5 dimensions pass through 6"
    for gradient in tape.gradient(loss, wide.trainable_variables):
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("wrong", [{"levels": []}, {"levels": [5, 1]}, {"num_codebooks": 0}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match="levels must be numbers from 2 and num_codebooks"):
        FiniteScalarQuantizer(**{"dim": 4, "levels": [5], **wrong})


def test_values_of_any_scale_use_the_levels_about_equally():
    inputs = np.random.default_rng(0).normal(loc=20.0, scale=50.0, size=[40, 4, 100, 2]).astype(np.float32)
    even, ends = (FiniteScalarQuantizer(2, levels=[5, 5], normalize=normalize) for normalize in (True, False))
    perplexities, alive = [], []
    for quantizer in (even, ends):
        for batch in inputs:
            quantizer(batch, training=True)
        with tf.GradientTape() as tape:
            tape.watch(last := tf.constant(inputs[0]))
            quantized = quantizer(last, training=True)
            total = tf.reduce_sum(quantized.vectors**2)
        perplexities.append(float(quantized.measures["perplexity"][0]))
        alive.append(np.mean(np.abs(tape.gradient(total, last)) > 1e-6))
    assert perplexities[0] > 20.0 > 10.0 > perplexities[1]
    assert alive[0] > 0.7 > 0.2 > alive[1]
    codes = even.encode(inputs[1]).numpy()  # by the running statistics
    assert len(np.unique(codes)) == 25


@pytest.mark.parametrize("frozen", ["by the constructor", "later", "when loaded"])
def test_a_frozen_one_moves_nothing(frozen):
    quantizer = FiniteScalarQuantizer(2, [5, 5], trainable=frozen != "later")
    quantizer.trainable = False
    if frozen == "when loaded":
        quantizer = FiniteScalarQuantizer.from_config(quantizer.get_config())
    before = quantizer.get_weights()
    quantizer(tf.random.stateless_normal([2, 50, 2], [0, 1]), training=True)
    for weight, value in zip(quantizer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def test_codes_in_use_are_those_in_training_from_the_first_step_on():
    inputs = np.random.default_rng(0).normal(loc=20.0, scale=50.0, size=[4, 100, 2]).astype(np.float32)
    quantizer = FiniteScalarQuantizer(2, levels=[5, 5])
    trained = quantizer(inputs, training=True).codes
    assert np.mean(quantizer.encode(inputs).numpy() == trained.numpy()) > 0.99


def test_values_too_large_to_be_squared_leave_the_statistics_alone():
    quantizer = FiniteScalarQuantizer(2, levels=[5, 5])
    quantizer(tf.random.stateless_normal([2, 50, 2], [0, 1]), training=True)
    before = quantizer.normalization.get_weights()
    quantizer(tf.fill([40, 100, 2], 1e18) * tf.random.stateless_normal([40, 100, 2], [0, 2]), training=True)
    for weight, value in zip(quantizer.normalization.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def test_many_levels_have_no_code_beyond_the_outermost():
    quantizer = FiniteScalarQuantizer(dim=1, levels=[1500])
    codes = quantizer.encode(tf.constant([[[-1e3], [1e3]]]))
    assert codes.numpy().ravel().tolist() == [0, 1499]
