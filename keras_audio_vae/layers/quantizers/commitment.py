"""How far encodings spread, which is what a quantisation error has to be compared with."""

import keras
import tensorflow as tf

DECAY = 0.9  # ten steps: as fast as an encoder changes its scale, slow enough to even out loud and quiet batches
RELATIVE_FLOOR = 1e-4  # of the mean square: equal encodings have no variance, and everything would be far from them
ABSOLUTE_FLOOR = 1e-8


@keras.saving.register_keras_serializable("keras_audio_vae")
class RunningVariance(keras.layers.Layer):
    """Running variance of encodings: the mean over dimensions, the average over the latest batches, debiased.

    It makes the commitment adaptive: a squared error divided by it does not change when the encoder's scale does.

    Args:
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> running = RunningVariance()
        >>> running.update(tf.constant(4.0), counts=tf.constant(True))
        >>> float(running.value(otherwise=tf.constant(1.0)))
        4.0
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        state = {"shape": (), "initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.weighted = self.add_weight(name="weighted", **state)
        self.mass = self.add_weight(name="mass", **state)
        self.built = True

    def update(self, variance: tf.Tensor, counts: tf.Tensor) -> None:
        """Moves the average towards the variance of a batch.

        Args:
            variance: float32 scalar, the same on every replica.
            counts: bool scalar, False for a batch that says nothing.
        """
        step = tf.where(counts, 1.0 - DECAY, 0.0)
        self.weighted.assign_add(step * (variance - self.weighted))
        self.mass.assign_add(step * (1.0 - self.mass))

    def value(self, otherwise: tf.Tensor) -> tf.Tensor:
        """The average, or `otherwise` before the first update: float32 scalar."""
        mass = tf.convert_to_tensor(self.mass)
        return tf.where(mass > 0.0, tf.math.divide_no_nan(tf.convert_to_tensor(self.weighted), mass), otherwise)


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
