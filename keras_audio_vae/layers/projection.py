"""From hidden frames to a latent vector, with a skip into its first dimensions."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_audio_vae")
class SkipProjection(keras.layers.Layer):
    """A linear map of the network's output, plus `skip` in the first dimensions, where the map starts at zero.

    What the skip brings reaches the latents unchanged until training finds better.

    Args:
        latent_dim: Size of a latent vector.
        skip_dim: How many of the first dimensions a skip is added to.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> projection = SkipProjection(latent_dim=4, skip_dim=2)
        >>> projection(tf.ones([2, 35, 16]), tf.ones([2, 35, 2])).shape
        TensorShape([2, 35, 4])
    """

    def __init__(self, latent_dim: int, skip_dim: int = 0, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not 0 <= skip_dim <= latent_dim:
            raise ValueError(f"skip_dim must be 0 to latent_dim ({latent_dim}), not {skip_dim}.")
        self.latent_dim, self.skip_dim = latent_dim, skip_dim
        self.dense = keras.layers.Dense(latent_dim, kernel_initializer=self._initializer, dtype="float32")

    def _initializer(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        free = keras.initializers.GlorotUniform()((shape[0], shape[1] - self.skip_dim), dtype)
        return tf.concat([tf.zeros([shape[0], self.skip_dim], free.dtype), free], axis=-1)

    def build(self, inputs_shape: tuple, skip_shape: tuple | None = None) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        self.dense.build(inputs_shape)

    def call(self, inputs: tf.Tensor, skip: tf.Tensor | None = None) -> tf.Tensor:
        """Latent vectors.

        Args:
            inputs: float [batch, frames, channels].
            skip: float32 [batch, frames, skip_dim], or None without a skip.

        Returns:
            float32 [batch, frames, latent_dim].
        """
        latents = self.dense(inputs)
        if skip is None:
            return latents
        return latents + tf.pad(skip, [[0, 0], [0, 0], [0, self.latent_dim - self.skip_dim]])

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "skip_dim": self.skip_dim}
