"""Gaussian latents: the head that gives their mean and scale, and their batch-normalised form."""

import keras
import tensorflow as tf

LOG_VARIANCE_LIMIT = 8.0  # standard deviations between e^-4 and e^4: neither a rate nor a gradient can run away
INITIAL_LOG_VARIANCE = (
    -4.0
)  # 0.14 of the prior's deviation: little noise at first, so that the decoder finds the latents


@keras.saving.register_keras_serializable("keras_audio_vae")
class GaussianHead(keras.layers.Layer):
    """Mean and standard deviation of the latents' posterior, float32.

    The mean is a linear map of the network's output, plus `skip` in the first dimensions, where the map starts at
    zero: what the skip brings reaches the latents unchanged until training finds better. The log variance is limited
        smoothly.

    Args:
        latent_dim: Size of a latent vector.
        skip_dim: How many of the first dimensions a skip is added to.
        gamma: None, or the fixed scale to which the mean is normalised over batch and frames (BN-VAE). The KL of a
            dimension is then at least gamma^2 / 2 nats, so that it cannot collapse. Statistics are those of the global
            batch.
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
        self.mean = keras.layers.Dense(latent_dim, kernel_initializer=self._mean_initializer, dtype="float32")
        self.log_variance = keras.layers.Dense(
            latent_dim,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(INITIAL_LOG_VARIANCE),
            dtype="float32",
        )
        self.normalization = None
        if gamma is not None:
            # A larger epsilon would let the mean shrink below it, and the KL with it.
            self.normalization = keras.layers.BatchNormalization(
                momentum=0.99, epsilon=1e-6, scale=False, synchronized=True, dtype="float32"
            )

    def _mean_initializer(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        free = keras.initializers.GlorotUniform()((shape[0], shape[1] - self.skip_dim), dtype)
        return tf.concat([tf.zeros([shape[0], self.skip_dim], free.dtype), free], axis=-1)

    def build(self, inputs_shape: tuple, skip_shape: tuple | None = None) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        self.mean.build(inputs_shape)
        self.log_variance.build(inputs_shape)
        if self.normalization is not None:
            self.normalization.build((*inputs_shape[:-1], self.latent_dim))

    def call(
        self, inputs: tf.Tensor, skip: tf.Tensor | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and deviation of the posterior.

        Args:
            inputs: float [batch, frames, channels].
            skip: float32 [batch, frames, skip_dim], or None without a skip.
            training: Whether a batch normalisation uses (and updates by) this batch's statistics.

        Returns:
            Two tensors, float32 [batch, frames, latent_dim].
        """
        mean = self.mean(inputs)
        if skip is not None:
            mean = mean + tf.pad(skip, [[0, 0], [0, 0], [0, self.latent_dim - self.skip_dim]])
        if self.normalization is not None:
            mean = self.gamma * self.normalization(mean, training=training)
        limited = LOG_VARIANCE_LIMIT * tf.tanh(self.log_variance(inputs) / LOG_VARIANCE_LIMIT)
        return mean, tf.exp(0.5 * limited)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "skip_dim": self.skip_dim, "gamma": self.gamma}
