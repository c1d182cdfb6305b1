"""How far encodings spread, which is what a quantisation error has to be compared with."""

import tensorflow as tf

RELATIVE_FLOOR = 1e-4  # of the mean square: equal encodings have no variance, and everything would be far from them
ABSOLUTE_FLOOR = 1e-8


def floored(variance: tf.Tensor, mean_square: tf.Tensor) -> tf.Tensor:
    """A variance by which errors may be divided.

    Args:
        variance: float32 scalar.
        mean_square: float32 scalar, of the same values.

    Returns:
        float32 scalar above 0.

    Example:
        >>> float(floored(tf.constant(0.0), tf.constant(1.0)))  # constant encodings of size 1
        9.999999747378752e-05
    """
    return tf.maximum(tf.maximum(variance, RELATIVE_FLOOR * mean_square), ABSOLUTE_FLOOR)
