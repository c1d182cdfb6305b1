import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.training.optimizer import BoundedAdamW, make_optimizer

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal([8, 16]).astype(np.float32)
GRADIENTS = [RNG.standard_normal(KERNEL.shape).astype(np.float32) for _ in range(20)]


def moved(optimizer, start, gradients):
    """The values of a variable after each step of its own."""
    variable = keras.Variable(start)
    optimizer.build([variable])
    values = []
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
        values.append(variable.numpy())
    return np.array(values)


@pytest.mark.parametrize("size", [0.0, 0.01, 1.0])
def test_rates_up_to_two_thousandths_are_those_of_adamw(size):
    arguments = {"learning_rate": 2e-3, "weight_decay": 0.01, "beta_1": 0.8, "beta_2": 0.99}
    ours = moved(BoundedAdamW(**arguments), size * KERNEL, GRADIENTS)
    keras_own = moved(keras.optimizers.AdamW(**arguments), size * KERNEL, GRADIENTS)
    np.testing.assert_array_equal(ours, keras_own)


@pytest.mark.parametrize(("size", "rate"), [(0.0, 0.002), (0.04, 0.002), (1.0, 0.05), (20.0, 0.1)])
def test_the_rate_of_a_kernel_is_bounded_by_its_size(size, rate):
    start = np.full([4, 6], size, np.float32)
    first = moved(BoundedAdamW(0.1, weight_decay=0.0), start, [np.full_like(start, 3.0)])[0]
    np.testing.assert_allclose(start - first, rate, rtol=2e-4)  # Adam's first step is as long as the rate


def test_a_bias_keeps_its_rate():
    start = np.full([6], 0.01, np.float32)
    first = moved(BoundedAdamW(0.1, weight_decay=0.0), start, [np.full_like(start, -3.0)])[0]
    np.testing.assert_allclose(first - start, 0.1, rtol=1e-4)


def test_gradients_of_any_size_keep_steps_within_the_bound():
    wild = [gradient * 10.0 ** RNG.integers(-6, 7) for gradient in GRADIENTS]
    values = np.concatenate([KERNEL[np.newaxis], moved(BoundedAdamW(1.0, weight_decay=0.0), KERNEL, wild)])
    sizes = np.sqrt(np.mean(np.square(values), axis=(1, 2)))
    steps = np.sqrt(np.mean(np.square(np.diff(values, axis=0)), axis=(1, 2)))
    # The first moment decays faster than the second: a step of Adam is at most (1 - 0.9) / sqrt(1 - 0.999) rates long.
    assert (steps / sizes[:-1]).max() < 0.05 * 0.1 / np.sqrt(0.001)


def test_it_is_saved_with_a_model(tmp_path):
    model = keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(2)])
    model.compile(BoundedAdamW(0.01, weight_decay=0.02), loss="mse")
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert isinstance(optimizer, BoundedAdamW)
    assert float(optimizer.learning_rate) == pytest.approx(0.01)


def test_runs_train_with_it():
    kernel = keras.Variable(np.full([4, 6], 0.04, np.float32))
    make_optimizer([kernel], learning_rate=0.1, weight_decay=0.0).apply([tf.ones([4, 6])])
    np.testing.assert_allclose(kernel, 0.038, rtol=1e-3)
