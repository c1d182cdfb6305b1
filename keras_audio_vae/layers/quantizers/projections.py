"""Linear maps into the space in which codes are compared, and back."""

import keras
import tensorflow as tf


def make_projections(dim: int, code_dim: int, seed: int) -> tuple[keras.layers.Dense, keras.layers.Dense]:
    """Two linear layers that begin as one orthogonal projection: what a code says is at first its part of the vector.

    Args:
        dim: Of the vectors.
        code_dim: Of the codes.
        seed: Of the directions that are kept.

    Returns:
        The layers into the space of the codes and back, built, float32.

    Example:
        >>> inwards, outwards = make_projections(dim=4, code_dim=4, seed=0)
        >>> bool(tf.reduce_max(tf.abs(outwards(inwards(tf.ones([1, 4]))) - 1.0)) < 1e-5)
        True
    """
    directions = keras.initializers.Orthogonal(seed=seed)((dim, code_dim))
    inwards = keras.layers.Dense(code_dim, kernel_initializer=lambda *_, **__: directions, dtype="float32")
    outwards = keras.layers.Dense(dim, kernel_initializer=lambda *_, **__: tf.transpose(directions), dtype="float32")
    inwards.build((None, None, dim))
    outwards.build((None, None, code_dim))
    return inwards, outwards
