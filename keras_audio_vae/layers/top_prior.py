"""What the top level's latents are charged against, and where they are drawn from: N(0, I), or a learnt mixture."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers.gaussian import kl_from_standard
from keras_audio_vae.layers.replicas import global_noise

Infer = Callable[[tf.Tensor], tfp.distributions.Normal]
"""The encoder of the top level: hidden frames to the posterior of its latents."""


@keras.saving.register_keras_serializable("keras_audio_vae")
class StandardPrior(keras.layers.Layer):
    """N(0, I) for every frame; nothing to learn.

    Args:
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> prior = StandardPrior()
        >>> float(prior.kl(tfp.distributions.Normal([[[2.0]]], 1.0), seed=None, infer=None)[0, 0, 0])
        2.0
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.built = True

    def kl(self, posterior: tfp.distributions.Normal, seed: tf.Tensor | None, infer: Infer | None) -> tf.Tensor:
        """KL of the posterior, in nats: float32 [batch, frames, dim], in closed form; seed and encoder have no part."""
        return kl_from_standard(posterior)

    def sample(self, shape: list[int], seed: int, temperature: float, infer: Infer | None) -> tf.Tensor:
        """Latents [num, frames, dim] with a deviation of `temperature`."""
        return temperature * tf.random.stateless_normal(shape, [seed, 0])


@keras.saving.register_keras_serializable("keras_audio_vae")
class VampPrior(keras.layers.Layer):
    """A mixture of the posteriors of pseudo-inputs, which are learnt; every frame is drawn from it for itself.

    A pseudo-input stands where the sound's hidden frames do, in front of the top level's encoder, and is as long as one
    frame of the top. Pseudo-inputs begin as noise of deviation 1, about that of hidden frames.

    The KL has no closed form. It is estimated by one draw z of the posterior, log q(z) - log p(z), which is right on
    average and can be below 0. It is told by dimension as log q(z_d) - log p(z_d | z_1 ... z_{d-1}): these add up to
    the whole.

    Args:
        components: Pseudo-inputs.
        frames: Hidden frames of each, those of one frame of the top level.
        width: Channels of the hidden frames.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> prior = VampPrior(components=3, frames=5, width=4)
        >>> infer = lambda hidden: tfp.distributions.Normal(tf.reduce_mean(hidden, 1, keepdims=True), 1.0)
        >>> prior.sample([2, 7, 4], seed=0, temperature=1.0, infer=infer).shape
        TensorShape([2, 7, 4])

    Reference:
        Tomczak, Welling: VAE with a VampPrior, AISTATS 2018.
    """

    def __init__(self, components: int, frames: int, width: int, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.components, self.frames, self.width = components, frames, width
        self.pseudo_inputs = self.add_weight(
            name="pseudo_inputs",
            shape=(self.components, self.frames, self.width),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )
        self.built = True

    def kl(self, posterior: tfp.distributions.Normal, seed: tf.Tensor, infer: Infer) -> tf.Tensor:
        """An estimate of the KL of the posterior, in nats, by one draw.

        Args:
            posterior: Batch shape [batch, frames, dim].
            seed: int32 [2], of the draw.
            infer: The top level's encoder.

        Returns:
            float32 [batch, frames, dim].
        """
        drawn = posterior.loc + posterior.scale * global_noise(tf.shape(posterior.loc), seed)
        of_components = self.mixture(infer).log_prob(drawn[:, :, tf.newaxis])  # [batch, frames, components, dim]
        so_far = tf.reduce_logsumexp(tf.cumsum(of_components, axis=-1), axis=2) - math.log(self.components)
        conditional = so_far - tf.pad(so_far, [[0, 0], [0, 0], [1, 0]])[..., :-1]
        return posterior.log_prob(drawn) - conditional

    def sample(self, shape: list[int], seed: int, temperature: float, infer: Infer) -> tf.Tensor:
        """Latents [num, frames, dim]: of a component by chance, around its mean with `temperature` of its deviation."""
        mixture = self.mixture(infer)
        chosen = tf.random.stateless_uniform(shape[:2], [seed, 1], 0, self.components, tf.int32)
        mean, deviation = (tf.gather(part, chosen) for part in (mixture.loc, mixture.scale))
        return mean + temperature * deviation * tf.random.stateless_normal(shape, [seed, 0])

    def mixture(self, infer: Infer) -> tfp.distributions.Normal:
        """The components: a Gaussian of batch shape [components, dim]."""
        of_inputs = infer(tf.convert_to_tensor(self.pseudo_inputs))
        shape = tf.shape(of_inputs.loc)
        mean, deviation = of_inputs.loc, tf.broadcast_to(of_inputs.scale, shape)
        return tfp.distributions.Normal(mean[:, 0], deviation[:, 0])

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "components": self.components, "frames": self.frames, "width": self.width}
