"""The moving average of the weights: swapped in for evaluation and out again, exactly.

The average itself is kept by the Keras optimizer (`use_ema=True`). `keras.callbacks.SwapEMAWeights` swaps by adding and
subtracting, which rounds; these swaps copy, so that evaluating in the middle of a run changes no bit of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from keras_audio_vae.training.variables import is_assigned, scalar_of, values_of


def average_pairs(model: keras.Model) -> list[tuple[keras.Variable, keras.Variable]]:
    """Pairs each trainable variable with its moving average; empty where the optimizer keeps none or has not begun.

    Variables that a layer marks with `is_assigned` are left out: what is assigned to them beside the optimizer's steps,
    such as a code's place, its average does not know.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.AdamW(use_ema=True))
        >>> model.optimizer.build(model.trainable_variables)
        >>> len(average_pairs(model))  # nothing has been averaged before the first step
        0
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not optimizer.use_ema or not optimizer.built or scalar_of(optimizer.iterations) == 0:
        return []
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(weight, average) for weight, average in pairs if average is not None and not is_assigned(weight)]


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[keras.Model]:
    """Evaluates a model with its averaged weights; the weights it trains with are back afterwards, bit for bit.

    Args:
        model: A compiled model. Where its optimizer keeps no average, nothing is swapped.

    Yields:
        The same model.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.AdamW(use_ema=True), loss="mse")
        >>> history = model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
        >>> with averaged_weights(model):
        ...     smooth = model.predict(np.ones((1, 1)), verbose=0)
    """
    pairs = average_pairs(model)
    weights = values_of([weight for weight, _ in pairs])
    for weight, average in pairs:
        weight.assign(tf.convert_to_tensor(average))
    try:
        yield model
    finally:
        for (weight, _), value in zip(pairs, weights, strict=True):
            weight.assign(value)


def use_averaged_weights(model: keras.Model) -> None:
    """Replaces the weights by their average for good: what a run does once, at its end.

    Args:
        model: A compiled model. Where its optimizer keeps no average, nothing changes.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer=keras.optimizers.AdamW(use_ema=False))
        >>> use_averaged_weights(model)
    """
    for weight, average in average_pairs(model):
        weight.assign(tf.convert_to_tensor(average))


def inference_copy(model: keras.Model) -> keras.Model:
    """A copy of a trained model without its optimizer, on one device: what is saved and served.

    The optimizer's moments and averages are three more copies of the weights, and a file or a server has no use for
    them; nor for the replicas of a strategy.

    Args:
        model: A model that `get_config` describes, such as those of this package.

    Returns:
        A model of the same class with the same weights, not compiled.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="adam")
        >>> copy = inference_copy(model)
        >>> copy.compiled, bool(copy.weights[0][0, 0] == model.weights[0][0, 0])
        (False, True)
    """
    copy = type(model).from_config(model.get_config())
    for variable, value in zip(copy.weights, values_of(model.weights), strict=True):
        variable.assign(value)
    return copy
