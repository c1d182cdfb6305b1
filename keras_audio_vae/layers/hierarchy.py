"""The parts that two levels of Gaussian latents are made of: a slow top level, and a fast one told by it."""

from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.frontends.signal import length_of
from keras_audio_vae.layers.blocks import ResidualBlock
from keras_audio_vae.layers.gaussian import INITIAL_LOG_VARIANCE, limited_deviation
from keras_audio_vae.layers.projection import SkipProjection


class ConditionalGaussian(NamedTuple):
    """A diagonal Gaussian, written relative to the conditional prior that it is charged against.

    z = prior_mean + prior_deviation * u, with u ~ N(0, 1) under the prior and u ~ N(shift, ratio^2) under the
    posterior. The KL is that of the two distributions of u: a map that both share does not change it.

    Attributes:
        prior_mean: float32 [batch, frames, dim], as all of them.
        prior_deviation: Above 0.
        shift: How far the posterior's mean lies from the prior's, in deviations of the prior.
        ratio: The posterior's deviation over the prior's.
    """

    prior_mean: tf.Tensor
    prior_deviation: tf.Tensor
    shift: tf.Tensor
    ratio: tf.Tensor

    @property
    def prior(self) -> tfp.distributions.Normal:
        """The distribution of z that is expected."""
        return tfp.distributions.Normal(self.prior_mean, self.prior_deviation)

    @property
    def posterior(self) -> tfp.distributions.Normal:
        """The distribution of z that was found."""
        mean = self.prior_mean + self.prior_deviation * self.shift
        return tfp.distributions.Normal(mean, self.prior_deviation * self.ratio)

    @property
    def innovation(self) -> tfp.distributions.Normal:
        """The posterior of u; its KL from N(0, 1) is that of the posterior from the prior."""
        return tfp.distributions.Normal(self.shift, self.ratio)


@keras.saving.register_keras_serializable("keras_audio_vae")
class ResidualGaussianHead(keras.layers.Layer):
    """A conditional prior, and a posterior in residual form relative to it.

    The prior is N(m, s^2) with m and s a linear map of the context, zero at the start: it begins as N(0, 1). The
    posterior is N(m + d, (s r)^2) with d a `SkipProjection` of the hidden frames and the context, and r a linear map
    of both. Where the head says nothing (d = 0, r = 1) the posterior is the prior, and costs nothing: bits are spent
    on what the context does not tell. Both deviations are limited smoothly, so that neither a rate nor a gradient can
    run away.

    Args:
        latent_dim: Size of a latent vector.
        skip_dim: How many of the first dimensions a skip is added to.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> head = ResidualGaussianHead(latent_dim=4)
        >>> gaussian = head(tf.ones([2, 35, 16]), tf.ones([2, 35, 8]))
        >>> gaussian.posterior.batch_shape, float(gaussian.prior_deviation[0, 0, 0])
        (TensorShape([2, 35, 4]), 1.0)

    Reference:
        Vahdat, Kautz: NVAE: A Deep Hierarchical Variational Autoencoder, NeurIPS 2020 (residual normal distributions).
    """

    def __init__(self, latent_dim: int, skip_dim: int = 0, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.latent_dim, self.skip_dim = latent_dim, skip_dim
        self.expectation = keras.layers.Dense(2 * latent_dim, kernel_initializer="zeros", dtype="float32")
        self.difference = SkipProjection(latent_dim, skip_dim)
        self.log_variance = keras.layers.Dense(
            latent_dim,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(INITIAL_LOG_VARIANCE),
            dtype="float32",
        )

    def build(self, hidden_shape: tuple, context_shape: tuple, skip_shape: tuple | None = None) -> None:
        """Creates the weights for hidden frames [batch, frames, channels] and a context of as many frames."""
        both = (*hidden_shape[:-1], hidden_shape[-1] + context_shape[-1])
        self.expectation.build(context_shape)
        self.difference.build(both)
        self.log_variance.build(both)

    def prior(self, context: tf.Tensor) -> tfp.distributions.Normal:
        """What the context alone makes of the latents: float [batch, frames, channels] -> a float32 Gaussian."""
        mean, log_variance = tf.split(self.expectation(context), 2, axis=-1)
        return tfp.distributions.Normal(mean, limited_deviation(log_variance))

    def call(self, hidden: tf.Tensor, context: tf.Tensor, skip: tf.Tensor | None = None) -> ConditionalGaussian:
        """Prior and posterior of the latents.

        Args:
            hidden: float [batch, frames, channels], of the sound.
            context: float [batch, frames, channels], of the level above.
            skip: float32 [batch, frames, skip_dim], or None without a skip.

        Returns:
            A `ConditionalGaussian` of [batch, frames, latent_dim].
        """
        prior = self.prior(context)
        both = tf.concat([tf.cast(hidden, tf.float32), tf.cast(context, tf.float32)], axis=-1)
        shift = self.difference(both, skip) / prior.scale
        return ConditionalGaussian(prior.loc, prior.scale, shift, limited_deviation(self.log_variance(both)))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "skip_dim": self.skip_dim}


@keras.saving.register_keras_serializable("keras_audio_vae")
class BottomUp(keras.layers.Layer):
    """Hidden frames to those of a slower level: [batch, frames, channels] -> [batch, frames / stride, width].

    Its blocks see one slow frame each. A training chunk has very few of them: a convolution over slow frames would meet
    the ends of chunks nearly always, which in a whole recording it hardly meets at all.

    Args:
        width: Channels of the slow level.
        stride: Frames in per frame out; frames must be a multiple.
        depth: Residual blocks.
        **kwargs: Those of `keras.layers.Layer`.

    Example:
        >>> BottomUp(width=8, stride=5, depth=1)(tf.ones([2, 35, 16])).shape
        TensorShape([2, 7, 8])
    """

    def __init__(self, width: int, stride: int, depth: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width, self.stride, self.depth = width, stride, depth
        self.reduction = keras.layers.Conv1D(width, stride, strides=stride, activation="silu", dtype=self.dtype_policy)
        self.blocks = [ResidualBlock(width, kernel_size=1, dtype=self.dtype_policy) for _ in range(depth)]

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for inputs [batch, frames, channels]."""
        self.reduction.build(input_shape)
        for block in self.blocks:
            block.build((*input_shape[:2], self.width))

    def call(self, hidden):
        """[batch, frames, channels] -> [batch, frames / stride, width]."""
        hidden = self.reduction(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "width": self.width, "stride": self.stride, "depth": self.depth}


@keras.saving.register_keras_serializable("keras_audio_vae")
class TopDown(keras.layers.Layer):
    """Latents of a slow level to a context for the fast one: [batch, frames, dim] -> [batch, frames * stride, width].

    Blocks at the slow rate see one frame each (see `BottomUp`). A linear map then gives each fast frame of a slow one
    channels of its own, so that a slow latent can tell at which of them a sound sets in; repeating it would tell them
    all the same. Neighbours meet in a block at the fast rate.

    Args:
        width: Channels of the context.
        stride: Frames out per frame in.
        depth: Residual blocks at the slow rate.
        **kwargs: Those of `keras.layers.Layer`.

    Example:
        >>> TopDown(width=8, stride=5, depth=1)(tf.ones([2, 7, 4])).shape
        TensorShape([2, 35, 8])
    """

    def __init__(self, width: int, stride: int, depth: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.width, self.stride, self.depth = width, stride, depth
        policy = self.dtype_policy
        self.steps: list[keras.layers.Layer] = [keras.layers.Dense(width, activation="silu", dtype=policy)]
        self.steps += [ResidualBlock(width, kernel_size=1, dtype=policy) for _ in range(depth)]
        self.spread = keras.layers.Dense(stride * width, dtype=policy)
        self.smooth = ResidualBlock(width, dtype=policy)

    @property
    def reach(self) -> int:
        """Frames of the context, to either side of those of its own slow frame, that a latent has a part in."""
        return self.smooth.kernel_size // 2

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for inputs [batch, frames, dim]."""
        for step in self.steps:
            step.build(input_shape)
            input_shape = (*input_shape[:2], self.width)
        self.spread.build(input_shape)
        self.smooth.build(input_shape)

    def call(self, latents):
        """[batch, frames, dim] -> [batch, frames * stride, width]."""
        for step in self.steps:
            latents = step(latents)
        frames = length_of(latents, 1) * self.stride
        return self.smooth(tf.reshape(self.spread(latents), [tf.shape(latents)[0], frames, self.width]))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "width": self.width, "stride": self.stride, "depth": self.depth}
