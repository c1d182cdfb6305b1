"""How far encodings spread, which is what a quantisation error has to be compared with."""

import tensorflow as tf

RELATIVE_FLOOR = 1e-4  # of the mean square: equal encodings have no variance, and everything would be far from them
ABSOLUTE_FLOOR = 1e-8
OUTLIER = 4.0  # times the variance: from two deviations on, errors are measured by the token's own size


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


def bounded(scale: tf.Tensor, spread: tf.Tensor) -> tf.Tensor:
    """By what the squared error of each token is multiplied, so that no token alone makes a loss.

    The encodings of sounds have long tails: a drum's are far from all others, and while its code is on the way there
    its squared error is a hundred times that of the rest. Divided by its own size it is no more than `OUTLIER`, about.

    Args:
        scale: float32 scalar, one over the running variance.
        spread: float32 [tokens], squared distance of each token from the mean, averaged over the dimensions.

    Returns:
        float32 [tokens]: `scale`, and less for tokens of more than `OUTLIER` times the variance.

    Example:
        >>> bounded(tf.constant(0.5), tf.constant([2.0, 8.0, 80.0])).numpy().round(3)
        array([0.5 , 0.5 , 0.05], dtype=float32)
    """
    return tf.minimum(scale, OUTLIER / tf.maximum(spread, ABSOLUTE_FLOOR))
