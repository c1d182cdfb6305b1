"""Gaussian latents: the head that gives their mean and scale."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers.normalization import FrameNormalization
from keras_audio_vae.layers.projection import SkipProjection

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
