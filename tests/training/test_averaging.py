import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_audio_vae
from keras_audio_vae.training import averaged_weights, make_optimizer, use_averaged_weights
from keras_audio_vae.training.variables import values_of
from tests.training.toys import ToyModel, ToyPipeline


@pytest.fixture
def trained():
    model = ToyModel()
    model.compile(optimizer=make_optimizer(model.trainable_variables, ema_decay=0.9), jit_compile=False)
    model.make_train_function()
    batches = iter(ToyPipeline().training(4))
    history = []
    for _ in range(5):
        model.train_function(batches)
        history.append(values_of(model.trainable_variables))
    return model, history


def test_average_is_the_exponential_mean_of_the_weights(trained):
    model, history = trained
    expected = history[0]
    for weights in history[1:]:
        expected = [0.9 * mean + 0.1 * weight for mean, weight in zip(expected, weights, strict=True)]
    with averaged_weights(model):
        for weight, mean in zip(values_of(model.trainable_variables), expected, strict=True):
            np.testing.assert_allclose(weight, mean, rtol=1e-5, atol=1e-7)


def test_swap_changes_no_bit_even_where_adding_and_subtracting_would(trained):
    model, _ = trained
    # 1e8 + 1e-8 - 1e8 is 0: what keras.callbacks.SwapEMAWeights would make of these weights.
    model.dense.bias.assign(tf.fill(model.dense.bias.shape, 1e-8))
    model.optimizer._model_variables_moving_average[1].assign(tf.fill(model.dense.bias.shape, 1e8))
    weights, optimizer = values_of(model.trainable_variables), values_of(model.optimizer.variables)
    with pytest.raises(RuntimeError), averaged_weights(model):
        assert float(model.dense.bias[0]) == 1e8
        raise RuntimeError("an evaluation that fails")
    for before, after in zip(weights, values_of(model.trainable_variables), strict=True):
        assert before.tobytes() == after.tobytes()
    for before, after in zip(optimizer, values_of(model.optimizer.variables), strict=True):
        assert before.tobytes() == after.tobytes()


def test_nothing_is_swapped_before_the_first_step_or_without_average():
    for ema_decay in (0.9, 0.0):
        model = ToyModel()
        model.compile(optimizer=make_optimizer(model.trainable_variables, ema_decay=ema_decay))
        before = values_of(model.trainable_variables)
        use_averaged_weights(model)
        for left, right in zip(before, values_of(model.trainable_variables), strict=True):
            np.testing.assert_array_equal(left, right)


def test_what_is_assigned_beside_the_optimizer_is_not_averaged():
    """Codes that are learnt by gradient are placed by k-means, which their moving average knows nothing of."""
    layer = keras_audio_vae.layers.VectorQuantizer(8, 4, update="gradient")
    inputs = keras.Input([None, 4])
    quantized = layer(keras.layers.Dense(4)(inputs), training=True)
    model = keras.Model(inputs, quantized.vectors)
    model.compile(make_optimizer(model.trainable_variables, ema_decay=0.99), loss="mse", run_eagerly=True)
    data = np.random.default_rng(0).normal(size=[4, 20, 4]).astype(np.float32)
    for _ in range(3):  # `fit` would end by writing the averages into the weights
        model.train_on_batch(data, data)
    placed, kernel = layer.codebook.vectors.numpy(), model.layers[1].kernel.numpy()
    with averaged_weights(model):
        np.testing.assert_array_equal(layer.codebook.vectors, placed)
        assert not np.array_equal(model.layers[1].kernel, kernel)
