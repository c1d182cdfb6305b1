"""Batch normalisation that knows what is padding, and that every replica shares."""

import keras
import numpy as np
import tensorflow as tf

from keras_audio_vae.layers.replicas import replica_mean


@keras.saving.register_keras_serializable("keras_audio_vae")
class FrameNormalization(keras.layers.Layer):
    """Batch normalisation by the statistics of all frames that hold sound in the global batch; without a scale.

    Keras' own takes a mask too, but then each replica has statistics of its own, whatever `synchronized` says.

    Args:
        per_channel: Whether each channel is divided by its own deviation, or all by one, the root of their mean
            variance: their proportions then stay as they are, and channels that say little are not blown up.
        momentum: Of the moving averages that stand for the statistics outside training.
        epsilon: Added to the variance. A large one would let the values shrink below it, and a KL with them.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> values = tf.constant([[[1.0], [3.0], [100.0]]])
        >>> FrameNormalization()(values, tf.constant([[1.0, 1.0, 0.0]]), training=True)[0, :2, 0].numpy().round(3)
        array([-1.,  1.], dtype=float32)
    """

    def __init__(self, per_channel: bool = True, momentum: float = 0.99, epsilon: float = 1e-6, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.per_channel, self.momentum, self.epsilon = per_channel, momentum, epsilon

    def build(self, inputs_shape: tuple, sounding_shape: tuple | None = None) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        shape = inputs_shape[-1:]
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        # Every replica computes the same statistics.
        moving = {"shape": shape, "trainable": False, "aggregation": "only_first_replica"}
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="zeros", **moving)
        self.seen = self.add_weight(name="seen", initializer="zeros", **{**moving, "shape": ()})

    def call(self, inputs: tf.Tensor, sounding: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        """Values of mean `beta` and variance 1, each channel's or the mean over all.

        Args:
            inputs: float32 [batch, frames, channels].
            sounding: float32 [batch, frames], 1 for the frames that count, 0 for padding; None if all do.
            training: Whether to use (and move the averages towards) the statistics of this batch.

        Returns:
            float32 [batch, frames, channels]; padding is transformed as the rest is.
        """
        if training and self.trainable:
            sounding = tf.ones(tf.shape(inputs)[:2]) if sounding is None else sounding
            mean, variance = self._measure(inputs, sounding)
        else:
            mean, variance = self.statistics()
        return (inputs - mean) * tf.math.rsqrt(variance + self.epsilon) + self.beta

    def statistics(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of the latest batches, debiased: float32 [channels]; 0 and 1 before the first."""
        seen = tf.convert_to_tensor(self.seen)
        mean = tf.math.divide_no_nan(tf.convert_to_tensor(self.moving_mean), seen)
        variance = tf.math.divide_no_nan(tf.convert_to_tensor(self.moving_variance), seen)
        return mean, tf.where(seen > 0.0, variance, 1.0)

    def _measure(self, inputs: tf.Tensor, sounding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance over the sounding frames of all replicas; moves the averages towards them."""
        kept = sounding[:, :, tf.newaxis]
        inputs = tf.where(kept > 0.0, inputs, 0.0)  # what does not count may be NaN
        count, total = replica_mean([tf.reduce_sum(sounding), tf.reduce_sum(kept * inputs, axis=[0, 1])])
        mean = tf.math.divide_no_nan(total, count)
        deviations = replica_mean(tf.reduce_sum(kept * tf.square(inputs - mean), axis=[0, 1]))
        variance = tf.math.divide_no_nan(deviations if self.per_channel else self._evened(deviations), count)
        finite = tf.reduce_all(tf.math.is_finite(mean) & tf.math.is_finite(variance))
        counts = tf.logical_and(count > 0.0, finite)  # a batch of padding alone says nothing
        step = tf.where(counts, 1.0 - self.momentum, 0.0)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance), (self.seen, 1.0)):
            moving.assign_add(step * (tf.where(counts, value, 0.0) - moving))
        return tf.where(finite, mean, np.nan), variance  # an infinite variance would hide what went wrong behind zeros

    @staticmethod
    def _evened(deviations: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(deviations), tf.reduce_mean(deviations))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        own = {"per_channel": self.per_channel, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
