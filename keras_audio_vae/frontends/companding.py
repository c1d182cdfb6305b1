"""Companding: a smooth, invertible square root that brings loud and soft parts of a spectrum to one scale."""

import tensorflow as tf

LINEAR_BELOW = 0.02  # about where a coefficient of a quiet 16-bit recording stands above its noise


def compress(values: tf.Tensor) -> tf.Tensor:
    """Square root of the magnitude with the sign kept, linear near zero so that its gradient stays finite.

    Args:
        values: float32, any shape.

    Returns:
        values / sqrt(|values| + 0.02), of the same shape.

    Example:
        >>> compress(tf.constant([0.0, 4.0, -4.0])).numpy().round(2)
        array([ 0.,  2., -2.], dtype=float32)
    """
    return values * tf.math.rsqrt(tf.abs(values) + LINEAR_BELOW)


def expand(values: tf.Tensor) -> tf.Tensor:
    """Inverse of `compress`.

    Args:
        values: float32, any shape.

    Returns:
        The root of compress(x) = values, of the same shape.

    Example:
        >>> expand(compress(tf.constant([0.0, 0.01, -4.0]))).numpy().round(4)
        array([ 0.  ,  0.01, -4.  ], dtype=float32)
    """
    return 0.5 * values * (tf.abs(values) + tf.sqrt(tf.square(values) + 4 * LINEAR_BELOW))
