"""The running mean of a scalar over the latest training steps."""

import keras
import tensorflow as tf

DECAY = 0.9  # ten steps: as fast as an encoder changes its scale, slow enough to even out loud and quiet batches


@keras.saving.register_keras_serializable("keras_audio_vae")
class RunningMean(keras.layers.Layer):
    """Average of a scalar over the latest batches, debiased.

    Args:
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> running = RunningMean()
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

    def update(self, value: tf.Tensor, counts: tf.Tensor) -> None:
        """Moves the average towards the value of a batch.

        Args:
            value: float32 scalar, the same on every replica.
            counts: bool scalar, False for a batch that says nothing.
        """
        step = tf.where(counts, 1.0 - DECAY, 0.0)
        self.weighted.assign_add(step * (value - self.weighted))
        self.mass.assign_add(step * (1.0 - self.mass))

    def value(self, otherwise: tf.Tensor | float) -> tf.Tensor:
        """The average, or `otherwise` before the first update: float32 scalar."""
        mass = tf.convert_to_tensor(self.mass)
        return tf.where(mass > 0.0, tf.math.divide_no_nan(tf.convert_to_tensor(self.weighted), mass), otherwise)
