"""The price of information: how the KL of the latents is weighted while training."""

import math

import keras
import tensorflow as tf

from keras_audio_vae.layers.replicas import replica_mean

CONTROL_GAIN = 0.01  # the weight moves by at most 1 % a step, e-fold in a hundred: slower than the encoder follows


def bits_per_second(nats_per_frame, frames_per_second: float):
    """The rate of a latent sequence: nats per frame * frames per second / ln 2.

    Args:
        nats_per_frame: KL of a frame in nats: a number, an array or a tensor.
        frames_per_second: Latent frames per second, sample_rate / latent_hop.

    Returns:
        Bits per second, of the type and shape of `nats_per_frame`.

    Example:
        >>> round(bits_per_second(math.log(2), frames_per_second=35.0), 6)
        35.0
    """
    return nats_per_frame * (frames_per_second / math.log(2.0))


@keras.saving.register_keras_serializable("keras_audio_vae")
class RateControl(keras.layers.Layer):
    """Weights the KL by one of five rules, each a known answer to posterior collapse.

    Args:
        method: "target" holds the rate at `target_bps` by moving the weight up while the rate is above and down while
            it is below, so that nobody has to guess beta; "constant" is the beta-VAE; "linear" raises the weight from
            0 to beta over `warmup_steps`; "cyclical" does so in the first half of every `warmup_steps` and holds it in
            the second; "free_bits" charges beta for what a dimension spends beyond `free_bits`.
        beta: Weight of the KL in nats per frame; with "target" where the weight begins.
        target_bps: Rate to hold, bits per second.
        warmup_steps: Length of the ramp, or of a cycle.
        free_bits: Nats per dimension and frame, averaged over batch and frames, that cost nothing.
        frames_per_second: Latent frames per second, to translate nats per frame into bits per second.
        start_step: Steps in which the KL costs nothing, before the method begins as if training did.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If `method` is none of the five, or "target" has nothing to start from or to reach.

    Example:
        >>> control = RateControl("linear", beta=0.5, warmup_steps=100)
        >>> kl = tf.ones([2, 4])  # nats of each dimension, two examples
        >>> float(control.penalty(kl, step=50))
        1.0
        >>> round(float(control.bits_per_second(tf.constant(4.0))))
        202

    Reference:
        Higgins et al.: beta-VAE, ICLR 2017; Fu et al.: Cyclical Annealing Schedule, NAACL 2019; Kingma et al.:
        Improving Variational Inference with Inverse Autoregressive Flow, 2016 (free bits); Rezende, Viola: Taming
        VAEs, 2018 (a multiplier that holds a constraint).
    """

    METHODS = ("target", "constant", "linear", "cyclical", "free_bits")

    def __init__(
        self,
        method: str = "target",
        beta: float = 1e-3,
        target_bps: float = 3000.0,
        warmup_steps: int = 1000,
        free_bits: float = 0.1,
        frames_per_second: float = 35.0,
        start_step: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if method not in self.METHODS:
            raise ValueError(f"rate_control must be one of {', '.join(self.METHODS)}, not {method!r}.")
        if method == "target" and (beta <= 0 or target_bps <= 0):
            raise ValueError(f"rate_control='target' needs beta and target_bps above 0, not {beta} and {target_bps}.")
        self.method, self.beta, self.target_bps = method, beta, target_bps
        self.warmup_steps, self.free_bits, self.frames_per_second = warmup_steps, free_bits, frames_per_second
        self.start_step = start_step
        if method == "target":
            self.log_weight = self.add_weight(
                name="log_weight",
                shape=(),
                trainable=False,
                initializer=keras.initializers.Constant(math.log(beta)),
                aggregation="only_first_replica",  # every replica computes the same value from the global KL
            )
        self.built = True

    def bits_per_second(self, kl: tf.Tensor) -> tf.Tensor:
        """Nats per frame as bits per second, of the same shape."""
        return bits_per_second(kl, self.frames_per_second)

    @property
    def ramp_steps(self) -> int:
        """Steps until the KL has first had its full weight; 0 for a method that does not begin without it."""
        return self.start_step + (self.warmup_steps if self.method in ("linear", "cyclical") else 0)

    def weight(self, step) -> tf.Tensor:
        """The KL's weight at a step: float32 scalar."""
        if not self.start_step:
            return self._weight(step)
        return tf.where(step < self.start_step, 0.0, self._weight(step - self.start_step))

    def _weight(self, step) -> tf.Tensor:
        """The weight, so many steps after the start."""
        progress = tf.cast(step, tf.float32) / self.warmup_steps
        if self.method == "target":
            return tf.exp(tf.convert_to_tensor(self.log_weight))
        if self.method == "linear":
            return self.beta * tf.minimum(progress, 1.0)
        if self.method == "cyclical":
            return self.beta * tf.minimum(2.0 * tf.math.floormod(progress, 1.0), 1.0)
        return tf.constant(self.beta, tf.float32)

    def penalty(self, kl: tf.Tensor, step) -> tf.Tensor:
        """The loss term.

        Args:
            kl: float32 [batch, latent_dim], nats per frame of each example and dimension.
            step: Steps taken so far, an int or an integer tensor.

        Returns:
            float32 scalar, the mean over the batch; means over replicas give that of the global batch.
        """
        per_dimension = tf.reduce_mean(kl, axis=0)
        if self.method == "free_bits":
            spends = tf.stop_gradient(replica_mean(per_dimension)) > self.free_bits
            per_dimension = tf.where(spends, per_dimension, self.free_bits)
        return self.weight(step) * tf.reduce_sum(per_dimension)

    def update(self, kl: tf.Tensor, weight: tf.Tensor | float = 1.0) -> None:
        """After a training step with method "target": moves the weight towards the target rate.

        Args:
            kl: float32 scalar, nats per frame, mean over the global batch.
            weight: The weight that the step had. With 0, before the start, there is nothing to learn from its rate.
        """
        if self.method == "target":
            error = tf.clip_by_value(self.bits_per_second(kl) / self.target_bps - 1.0, -1.0, 1.0)
            self.log_weight.assign_add(CONTROL_GAIN * tf.where(weight > 0.0, error, 0.0))

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {
            **super().get_config(),
            "method": self.method,
            "beta": self.beta,
            "target_bps": self.target_bps,
            "warmup_steps": self.warmup_steps,
            "free_bits": self.free_bits,
            "frames_per_second": self.frames_per_second,
            "start_step": self.start_step,
        }
