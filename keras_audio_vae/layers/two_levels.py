"""Two levels of Gaussian latents: what is said of a sound, q(z2 | x) q(z1 | x, z2), and expected, p(z2) p(z1 | z2)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers.gaussian import GaussianHead, kl_from_standard
from keras_audio_vae.layers.hierarchy import BottomUp, ConditionalGaussian, ResidualGaussianHead, TopDown
from keras_audio_vae.layers.top_prior import StandardPrior, VampPrior

TOP_PRIORS = ("normal", "vamp")


class Levels(NamedTuple):
    """The same of both levels, the slow one first: latents, distributions, KLs, masks.

    Attributes:
        top: Of the slow level.
        bottom: Of the fast one.
    """

    top: Any
    bottom: Any


class Inference(NamedTuple):
    """What the latents of a sound are thought to be.

    Attributes:
        top: The posterior of the top level.
        bottom: Conditional prior and posterior of the bottom level, given `latents.top`.
        latents: `Levels` of what was drawn.
        context: float32 [batch, bottom frames, width], what the top's latents tell all below.
    """

    top: tfp.distributions.Normal
    bottom: ConditionalGaussian
    latents: Levels
    context: tf.Tensor

    @property
    def innovations(self) -> Levels:
        """What each level says beyond its prior: its posterior's mean, in deviations of the prior.

        A dimension of the bottom may vary for no other reason than that the top does; this is what it says itself.
        """
        return Levels(self.top.loc, self.bottom.shift)


def means(level: str, posterior: tfp.distributions.Normal) -> tf.Tensor:
    """The posterior's mean, whatever the level: draws nothing."""
    return posterior.loc


@keras.saving.register_keras_serializable("keras_audio_vae")
class TwoLevels(keras.layers.Layer):
    """Encoder and prior of both levels, behind the hidden frames of a network.

    Args:
        latent_dim: Size of a vector of the bottom level, one per hidden frame.
        skip_dim: How many of its first dimensions a skip is added to.
        hidden_width: Channels of the hidden frames.
        top_dim: Size of a vector of the top level.
        top_stride: Frames of the bottom per frame of the top.
        top_width: Channels of the layers between the levels.
        top_depth: Residual blocks of either way between the levels.
        top_prior: "normal", N(0, I), or "vamp", see `VampPrior`.
        vamp_components: Pseudo-inputs of "vamp".
        **kwargs: Those of `keras.layers.Layer`.

    Example:
        >>> levels = TwoLevels(latent_dim=4, hidden_width=16, top_dim=2, top_width=8)
        >>> inference = levels.infer(tf.ones([2, 35, 16]))
        >>> inference.latents.top.shape, inference.latents.bottom.shape, inference.context.shape
        (TensorShape([2, 7, 2]), TensorShape([2, 35, 4]), TensorShape([2, 35, 8]))

    Reference:
        Sønderby et al.: Ladder Variational Autoencoders, NeurIPS 2016; Vahdat, Kautz: NVAE, NeurIPS 2020.
    """

    def __init__(
        self,
        latent_dim: int,
        skip_dim: int = 0,
        hidden_width: int = 256,
        top_dim: int = 32,
        top_stride: int = 5,
        top_width: int = 128,
        top_depth: int = 2,
        top_prior: str = "normal",
        vamp_components: int = 64,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if top_prior not in TOP_PRIORS:
            raise ValueError(f"top_prior must be one of {', '.join(TOP_PRIORS)}, not {top_prior!r}.")
        self._config = {
            "latent_dim": latent_dim, "skip_dim": skip_dim, "hidden_width": hidden_width, "top_dim": top_dim,
            "top_stride": top_stride, "top_width": top_width, "top_depth": top_depth, "top_prior": top_prior,
            "vamp_components": vamp_components,
        }  # fmt: skip
        self.top_dim, self.latent_dim, self.top_stride = top_dim, latent_dim, top_stride
        self.bottom_up = BottomUp(top_width, top_stride, top_depth, dtype=self.dtype_policy)
        self.top_down = TopDown(top_width, top_stride, top_depth, dtype=self.dtype_policy)
        self.top_head = GaussianHead(top_dim)
        self.bottom_head = ResidualGaussianHead(latent_dim, skip_dim)
        self.top_prior: StandardPrior | VampPrior = StandardPrior()
        if top_prior == "vamp":
            self.top_prior = VampPrior(vamp_components, top_stride, hidden_width)

    def build(self, input_shape: tuple | None = None) -> None:
        """Nothing of its own: models build it by running `infer` once."""
        self.built = True

    @property
    def reach(self) -> int:
        """Frames of the bottom, to either side of a hidden frame, whose distributions that frame has a part in."""
        return self.top_stride - 1 + self.top_down.reach

    def infer(
        self,
        hidden: tf.Tensor,
        skip: tf.Tensor | None = None,
        draw: Callable[[str, tfp.distributions.Normal], tf.Tensor] = means,
        top: tf.Tensor | None = None,
    ) -> Inference:
        """Posteriors of both levels and the bottom's prior.

        Args:
            hidden: float [batch, frames, hidden_width], frames a multiple of `top_stride`.
            skip: float32 [batch, frames, skip_dim], or None without a skip.
            draw: Gives latents of a level ("top" or "bottom") and its posterior.
            top: Latents of the top to go on with instead of drawn ones.

        Returns:
            An `Inference`.
        """
        posterior = self.infer_top(hidden)
        top = draw("top", posterior) if top is None else top
        context = self.context(top)
        gaussian = self.bottom_head(hidden, context, skip)
        return Inference(posterior, gaussian, Levels(top, draw("bottom", gaussian.posterior)), context)

    def infer_top(self, hidden: tf.Tensor) -> tfp.distributions.Normal:
        """The posterior of the top: float [batch, frames, hidden_width] -> [batch, frames / top_stride, top_dim]."""
        return tfp.distributions.Normal(*self.top_head(self.bottom_up(hidden)))

    def context(self, top: tf.Tensor) -> tf.Tensor:
        """What the top's latents tell all below: float32 [batch, frames * top_stride, top_width]."""
        return tf.cast(self.top_down(top), tf.float32)

    def kl(self, inference: Inference, seed: tf.Tensor) -> Levels:
        """What each level costs in nats, `Levels` of float32 [batch, frames, dim].

        Args:
            inference: What `infer` gave.
            seed: int32 [2], of the draw by which the top's is estimated if its prior is a mixture.
        """
        bottom = kl_from_standard(inference.bottom.innovation)
        return Levels(self.top_prior.kl(inference.top, seed, self.infer_top), bottom)

    def sample_top(self, num: int, frames: int, seed: int, temperature: float) -> tf.Tensor:
        """Latents of the top from its prior, float32 [num, frames, top_dim]; `temperature` scales the deviations."""
        return self.top_prior.sample([num, frames, self.top_dim], seed, temperature, self.infer_top)

    def sample_bottom(self, top: tf.Tensor, seed: int, temperature: float) -> tf.Tensor:
        """Latents of the bottom from p(z1 | z2), float32 [num, frames * top_stride, latent_dim]."""
        prior = self.bottom_head.prior(self.context(top))
        return prior.loc + temperature * prior.scale * tf.random.stateless_normal(tf.shape(prior.loc), [seed, 2])

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), **self._config}
