"""Reading variables: under a strategy they have one copy per replica, and neither `int` nor `.numpy()` works."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


def values_of(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Copies variables to the host, under any strategy.

    Example:
        >>> values_of([keras.Variable([1.0, 2.0])])
        [array([1., 2.], dtype=float32)]
    """
    return [np.array(tf.convert_to_tensor(variable)) for variable in variables]


def is_assigned(variable: keras.Variable) -> bool:
    """Whether a layer has marked a trainable variable as one that it assigns to beside the optimizer's steps.

    Codes are: k-means and restarts place them. What is made for weights, an average over steps or a decay towards zero,
    is wrong for them.

    Example:
        >>> is_assigned(keras.Variable(0.5))
        False
    """
    return getattr(variable, "is_assigned", False)


def scalar_of(variable: keras.Variable) -> float:
    """The value of a variable of one element.

    Example:
        >>> scalar_of(keras.Variable(0.5))
        0.5
    """
    return float(values_of([variable])[0])
