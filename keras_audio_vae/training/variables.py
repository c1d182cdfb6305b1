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


def scalar_of(variable: keras.Variable) -> float:
    """The value of a variable of one element.

    Example:
        >>> scalar_of(keras.Variable(0.5))
        0.5
    """
    return float(values_of([variable])[0])
