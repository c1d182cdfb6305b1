"""Gaussian latents: the head that gives their mean and scale, and their batch-normalised form."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers.projection import SkipProjection
from keras_audio_vae.layers.replicas import replica_mean

LOG_VARIANCE_LIMIT = 8.0  # standard deviations between e^-4 and e^4: neither a rate nor a gradient can run away
INITIAL_LOG_VARIANCE = -4.0  # 0.14 of the prior's deviation: little noise, so that the decoder finds the latents


def limited_deviation(log_variance: tf.Tensor) -> tf.Tensor:
    """The standard deviation of a log variance that is limited smoothly to +-`LOG_VARIANCE_LIMIT`.

    Example:
        >>> [round(float(limited_deviation(tf.constant(value))), 3) for value in (-1e6, 0.0, 1e6)]
        [0.018, 1.0, 54.598]
    """
    limited = LOG_VARIANCE_LIMIT * tf.tanh(log_variance / LOG_VARIANCE_LIMIT)
    return tf.exp(0.5 * limited)


def kl_from_standard(posterior: tfp.distributions.Normal) -> tf.Tensor:
    """KL of a diagonal Gaussian from N(0, 1), in nats, dimension by dimension.

    Example:
        >>> float(kl_from_standard(tfp.distributions.Normal(2.0, 1.0)))
        2.0
    """
    return tfp.distributions.kl_divergence(posterior, tfp.distributions.Normal(0.0, 1.0))


@keras.saving.register_keras_serializable("keras_audio_vae")
class GaussianHead(keras.layers.Layer):
    """Mean and standard deviation of the latents' posterior, float32.

    The mean is a `SkipProjection` of the network's output. The log variance is limited smoothly.

    Args:
        latent_dim: Size of a latent vector.
        skip_dim: How many of the first dimensions a skip is added to.
        gamma: None, or the fixed scale to which the mean is normalised over batch and frames (BN-VAE). The KL of a
            dimension is then at least gamma^2 / 2 nats, averaged over the frames that hold sound, so that it cannot
            collapse.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> mean, deviation = GaussianHead(latent_dim=4)(keras.ops.ones([2, 35, 16]))
        >>> mean.shape, round(float(deviation[0, 0, 0]), 2)
        (TensorShape([2, 35, 4]), 0.16)

    Reference:
        Zhu et al.: A Batch Normalized Inference Network Keeps the KL Vanishing Away, ACL 2020.
    """

    def __init__(self, latent_dim: int, skip_dim: int = 0, gamma: float | None = None, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.latent_dim, self.skip_dim, self.gamma = latent_dim, skip_dim, gamma
        self.mean = SkipProjection(latent_dim, skip_dim)
        self.log_variance = keras.layers.Dense(
            latent_dim,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(INITIAL_LOG_VARIANCE),
            dtype="float32",
        )
        self.normalization = None
        if gamma is not None:
            self.normalization = FrameNormalization()

    def build(self, inputs_shape: tuple, skip_shape: tuple | None = None) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        self.mean.build(inputs_shape)
        self.log_variance.build(inputs_shape)
        if self.normalization is not None:
            self.normalization.build((*inputs_shape[:-1], self.latent_dim))

    def call(
        self,
        inputs: tf.Tensor,
        skip: tf.Tensor | None = None,
        sounding: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and deviation of the posterior.

        Args:
            inputs: float [batch, frames, channels].
            skip: float32 [batch, frames, skip_dim], or None without a skip.
            sounding: float32 [batch, frames], 1 for the frames that count in the statistics of a batch normalisation,
                0 for padding; None if all do.
            training: Whether a batch normalisation uses (and updates by) this batch's statistics.

        Returns:
            Two tensors, float32 [batch, frames, latent_dim].
        """
        mean = self.mean(inputs, skip)
        if self.normalization is not None:
            mean = self.gamma * self.normalization(mean, sounding, training=training)
        return mean, limited_deviation(self.log_variance(inputs))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "skip_dim": self.skip_dim, "gamma": self.gamma}


@keras.saving.register_keras_serializable("keras_audio_vae")
class FrameNormalization(keras.layers.Layer):
    """Batch normalisation by the statistics of all frames that hold sound in the global batch; without a scale.

    Keras' own takes a mask too, but then each replica has statistics of its own, whatever `synchronized` says.

    Args:
        momentum: Of the moving averages that stand for the statistics outside training.
        epsilon: Added to the variance. A large one would let the values shrink below it, and a KL with them.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> values = tf.constant([[[1.0], [3.0], [100.0]]])
        >>> FrameNormalization()(values, tf.constant([[1.0, 1.0, 0.0]]), training=True)[0, :2, 0].numpy().round(3)
        array([-1.,  1.], dtype=float32)
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-6, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.momentum, self.epsilon = momentum, epsilon

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
        """Values of mean `beta` and variance 1.

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
        count, total = replica_mean([tf.reduce_sum(sounding), tf.reduce_sum(kept * inputs, axis=[0, 1])])
        mean = tf.math.divide_no_nan(total, count)
        deviations = replica_mean(tf.reduce_sum(kept * tf.square(inputs - mean), axis=[0, 1]))
        variance = tf.math.divide_no_nan(deviations, count)
        finite = tf.reduce_all(tf.math.is_finite(mean) & tf.math.is_finite(variance))
        counts = tf.logical_and(count > 0.0, finite)  # a batch of padding alone says nothing
        step = tf.where(counts, 1.0 - self.momentum, 0.0)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance), (self.seen, 1.0)):
            moving.assign_add(step * (tf.where(counts, value, 0.0) - moving))
        return mean, variance

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
