"""How a gradient passes through the choice of a code, which has none."""

import tensorflow as tf

LARGEST_GAIN = 100.0
"""Encodings that much shorter than their code have hardly a direction: their gradient goes straight."""


def straight_through(encodings: tf.Tensor, quantized: tf.Tensor) -> tf.Tensor:
    """The quantised vectors, exactly; their gradient goes to the encodings unchanged.

    Args:
        encodings: float32 [..., dim].
        quantized: float32 [..., dim].

    Returns:
        float32 [..., dim].

    Example:
        >>> encoding = tf.Variable([0.8])
        >>> with tf.GradientTape() as tape:
        ...     output = 3.0 * straight_through(encoding, tf.constant([1.0]))
        >>> float(output[0]), float(tape.gradient(output, encoding)[0])
        (3.0, 3.0)

    Reference:
        Bengio, Léonard, Courville: Estimating or Propagating Gradients Through Stochastic Neurons, arXiv 1308.3432.
    """
    return _along(encodings, quantized)


def rotation(encodings: tf.Tensor, quantized: tf.Tensor) -> tf.Tensor:
    """The quantised vectors, exactly; their gradient is turned and scaled as the encoding is to become its code.

    With e the encoding, q its code, hats for unit vectors and w = (e^ + q^) / |e^ + q^|,

        q = |q| / |e| * (e - 2 w w'e + 2 q^ e^'e),

    where the linear map is taken as a constant: the angle between gradient and code is kept, so that encodings in one
    cell are pushed apart or together instead of all moving alike. Where the map is not defined (a vector of length 0,
    or |q| > LARGEST_GAIN |e|) the gradient passes unchanged.

    Args:
        encodings: float32 [..., dim].
        quantized: float32 [..., dim].

    Returns:
        float32 [..., dim].

    Example:
        >>> encoding = tf.Variable([2.0, 0.0])
        >>> with tf.GradientTape() as tape:  # a quarter turn, and half the length
        ...     output = rotation(encoding, tf.constant([0.0, 1.0])) * [0.0, 1.0]
        >>> tape.gradient(output, encoding).numpy().round(6)
        array([0.5, 0. ], dtype=float32)

    Reference:
        Fifty et al.: Restructuring Vector Quantization with the Rotation Trick, arXiv 2410.06424.
    """
    lengths = tf.stop_gradient(tf.norm(encodings, axis=-1, keepdims=True))
    code_lengths = tf.stop_gradient(tf.norm(quantized, axis=-1, keepdims=True))
    usable = tf.logical_and(code_lengths > 0.0, LARGEST_GAIN * lengths > code_lengths)
    unit = tf.stop_gradient(tf.math.divide_no_nan(encodings, lengths))
    code_unit = tf.stop_gradient(tf.math.divide_no_nan(quantized, code_lengths))
    middle = tf.math.l2_normalize(unit + code_unit, axis=-1)

    def along(direction: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(direction * encodings, axis=-1, keepdims=True)

    turned = encodings - 2.0 * middle * along(middle) + 2.0 * code_unit * along(unit)
    turned *= tf.math.divide_no_nan(code_lengths, lengths)
    return _along(tf.where(usable, turned, encodings), quantized)


def _along(path: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The values, with the gradient of the path: what is added is exactly 0."""
    return tf.stop_gradient(values) + (path - tf.stop_gradient(path))


ESTIMATORS = {"straight_through": straight_through, "rotation": rotation}
