"""The variational autoencoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.layers.gaussian import GaussianHead, kl_from_standard
from keras_audio_vae.layers.network import POOLINGS
from keras_audio_vae.losses.masking import frame_mask
from keras_audio_vae.losses.rate import RateControl
from keras_audio_vae.models.arguments import LOSS_WEIGHTS, check_arguments, linear_bands, make_loss, make_network
from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.batches import Batch, as_waveform, of_any_waveform
from keras_audio_vae.models.gaussian_latents import active_share, mean_kl, noise_in_training


@keras.saving.register_keras_serializable("keras_audio_vae")
class VAE(AudioAutoencoder):
    """A variational autoencoder of waveforms with Gaussian latents.

    Args:
        sample_rate: In Hz. Hops below divide 22,050, the default, without a remainder.
        channels: Channels of every waveform; 2 keeps stereo.
        frontend: "stft" (complex spectra in, magnitudes and phases out), "waveform" (a strided, learnable first layer)
            or "mel" (log mel bands in and out, and sound found for them: `synthesis`).
        hop: Samples per feature frame; 210 gives 105 frames per second at 22,050 Hz.
        n_fft: Window of the STFT and mel front ends in samples.
        mel_bands: Bands of the mel front end; unused by the others.
        synthesis: How the mel front end finds a waveform, see `MelFrontEnd`; unused by the others.
        vocoder: The configuration of a `Vocoder` that makes the waveform instead, see `with_vocoder`.
        widths: Channels of each stage of the encoder; the decoder mirrors it.
        depths: Residual blocks of each stage.
        strides: Frame rate reduction from each stage to the next; latent_hop = hop * prod(strides) = 630 samples by
            default.
        upsampling: "nearest" (best in listening tests) or "transposed".
        latent_dim: Size of a latent vector.
        waveform_bands: How many of the latents, per channel, begin as coefficients of a lapped transform that carries
            the band below sample_rate * waveform_bands / (2 * latent_hop), 1,120 Hz by default: the phase of a sound.
            No more than latent_dim / channels of them, and none of pooled latents. 0 turns it off, and has to be given
            with the mel front end, as have weights of 0 of the terms that hear a phase.
        latent_pooling: "sequence" gives a latent vector every latent_hop samples; "global" one per chunk_samples, by
            averaging.
        chunk_samples: Samples per pooled vector; unused with "sequence".
        latent_norm: "batch" normalises the posterior's mean over the batch (BN-VAE), which guarantees a KL of
            latent_gamma^2 / 2 nats per dimension; "none" leaves it.
        latent_gamma: The scale of the normalised mean.
        mse_weight: Weight of the mean squared error; see `ReconstructionLoss` for this and the next three.
        waveform_weight: Weight of the relative error of the waveform.
        stft_weight: Weight of the multi-resolution STFT distance.
        mel_weight: Weight of the mel distance; with frontend="mel" of the bands themselves, see `SpectrogramLoss`.
        rate_control: How the KL is weighted, see `RateControl` for this and the next four.
        beta: Weight of the KL in nats per frame; with "target" where it begins.
        target_bps: Rate to hold, bits per second.
        warmup_steps: Ramp or cycle of "linear" and "cyclical".
        free_bits: Nats per dimension that cost nothing with "free_bits".
        mean_share: Share of the training examples that are decoded from the posterior's mean, as `reconstruct` does it,
            and not from a draw. A decoder that has never met a mean takes its smaller variance for a softer sound
            (benchmarks/RESULTS.md: a mel distance 7 % lower with a quarter).
        clipnorm: Largest norm of the global gradient; 0 for no clipping.
        seed: Of the noise in training.
        **kwargs: Those of `keras.Model`.

    Raises:
        ValueError: If the arguments do not fit each other; the message names them.

    Example:
        >>> vae = VAE(widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4)
        >>> sound = tf.random.stateless_normal([2, 10000, 1], seed=[0, 1])
        >>> vae.encode(sound).shape, vae.reconstruct(sound).shape
        (TensorShape([2, 16, 8]), TensorShape([2, 10000, 1]))

    Reference:
        Kingma, Welling: Auto-Encoding Variational Bayes, ICLR 2014.
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        channels: int = 1,
        frontend: str = "stft",
        hop: int = 210,
        n_fft: int = 840,
        mel_bands: int = 128,
        synthesis: str = "joint",
        vocoder: Mapping[str, Any] | None = None,
        widths: Sequence[int] = (128, 256),
        depths: Sequence[int] = (4, 2),
        strides: Sequence[int] = (3,),
        upsampling: str = "nearest",
        latent_dim: int = 96,
        waveform_bands: int = 64,
        latent_pooling: str = "sequence",
        chunk_samples: int = 22050,
        latent_norm: str = "none",
        latent_gamma: float = 0.6,
        mse_weight: float = 0.0,
        waveform_weight: float = 1.25,
        stft_weight: float = 1.0,
        mel_weight: float = 2.5,
        rate_control: str = "target",
        beta: float = 1e-3,
        target_bps: float = 3000.0,
        warmup_steps: int = 1000,
        free_bits: float = 0.1,
        mean_share: float = 0.25,
        clipnorm: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        config = {
            "sample_rate": sample_rate, "channels": channels, "frontend": frontend, "hop": hop, "n_fft": n_fft,
            "mel_bands": mel_bands, "synthesis": synthesis, "vocoder": vocoder and dict(vocoder),
            "widths": list(widths), "depths": list(depths), "strides": list(strides), "upsampling": upsampling,
            "latent_dim": latent_dim, "waveform_bands": waveform_bands, "latent_pooling": latent_pooling,
            "chunk_samples": chunk_samples, "latent_norm": latent_norm, "latent_gamma": latent_gamma,
            "mse_weight": mse_weight, "waveform_weight": waveform_weight, "stft_weight": stft_weight,
            "mel_weight": mel_weight, "rate_control": rate_control, "beta": beta, "target_bps": target_bps,
            "warmup_steps": warmup_steps, "free_bits": free_bits, "mean_share": mean_share,
            "clipnorm": clipnorm, "seed": seed,
        }  # fmt: skip
        _check(config)
        network = make_network(config, _bands(config), kwargs.get("dtype"), _pooled_samples(config))
        loss = make_loss(config, network)
        super().__init__(
            config,
            network,
            loss,
            log_names=(*loss.names, "kl", "rate_bps", "beta", "active_units"),
            **kwargs,
        )
        self.head, self.mean_share = _make_head(config), mean_share
        frames_per_second = sample_rate / network.latent_hop
        self.rate_control = RateControl(rate_control, beta, target_bps, warmup_steps, free_bits, frames_per_second)
        self.build()

    def posterior(self, waveform) -> tfp.distributions.Distribution:
        """The distribution of the latents given a waveform.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            A diagonal Gaussian, float32, batch shape [batch, ceil(samples / latent_hop)], event shape [latent_dim].
        """
        return tfp.distributions.Independent(self._normal(waveform), reinterpreted_batch_ndims=1)

    def kl_per_dimension(self, waveform) -> tf.Tensor:
        """KL of the posterior from N(0, 1) in nats: float32 [batch, ceil(samples / latent_hop), latent_dim]."""
        return self._kl_per_dimension(as_waveform(waveform, self.channels))

    @of_any_waveform
    def _kl_per_dimension(self, waveform: tf.Tensor) -> tf.Tensor:
        return kl_from_standard(self._normal(waveform))

    def rate(self, waveform) -> tf.Tensor:
        """Bits per second that a waveform's latents cost: float32 [batch], the mean over its frames."""
        return self.rate_control.bits_per_second(tf.reduce_mean(tf.reduce_sum(self.kl_per_dimension(waveform), -1), -1))

    def sample(self, num: int, seconds: float, seed: int, temperature: float = 1.0) -> tf.Tensor:
        """Sounds from the prior N(0, temperature^2).

        Args:
            num: How many.
            seconds: Length of each.
            seed: The same seed gives the same sounds.
            temperature: Standard deviation of the latents; below 1 keeps nearer to the middle of the latent space.

        Returns:
            float32 [num, seconds * sample_rate, channels].
        """
        samples = round(seconds * self.sample_rate)
        shape = [num, -(-samples // self.latent_hop), self.latent_dim]
        return self.decode(temperature * tf.random.stateless_normal(shape, [seed, 0]), samples)

    def encode_padded(self, waveform: tf.Tensor) -> tf.Tensor:
        """The posterior's mean."""
        return self._infer(waveform).loc

    def objective(self, batch: Batch, step, training: bool) -> dict[str, tf.Tensor]:
        """Reconstruction terms, KL and their weighted sum; latents are drawn in training, save for a share."""
        sounding = frame_mask(batch.mask, self.latent_hop)
        posterior = self._infer(batch.waveform, sounding, training)
        latents = posterior.loc
        if training:
            latents += posterior.scale * self._noise(tf.shape(latents), tf.cast(step, tf.int32))
        mean = self.reconstruction_terms(batch, latents)
        kl = mean_kl(kl_from_standard(posterior), sounding)
        kl_mean = tf.reduce_sum(kl)
        penalty = self.rate_control.penalty(kl[tf.newaxis], step)
        return {
            "loss": self.reconstruction_loss.total(mean) + penalty,
            **mean,
            "kl": kl_mean,
            "rate_bps": self.rate_control.bits_per_second(kl_mean),
            "beta": self.rate_control.weight(step),
            "active_units": active_share(posterior.loc, sounding),
        }

    def _noise(self, shape: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Standard normal noise, and none for the share of the examples that are decoded from the mean."""
        seeds = tf.stack([self.seed, step]), tf.stack([self.seed, -1 - step])
        return noise_in_training(shape, *seeds, self.mean_share)

    def after_step(self, logs: dict[str, tf.Tensor]) -> None:
        """Moves the KL's weight towards the target rate."""
        self.rate_control.update(logs["kl"])

    @property
    def warmup_steps(self) -> int:
        """Training steps before the KL has first had its full weight; 0 without a ramp."""
        return self.rate_control.ramp_steps

    def _normal(self, waveform) -> tfp.distributions.Normal:
        return self._infer(self.pad(as_waveform(waveform, self.channels)))

    def _infer(
        self, waveform: tf.Tensor, sounding: tf.Tensor | None = None, training: bool = False
    ) -> tfp.distributions.Normal:
        encoding = self.network.encode(waveform)
        mean, deviation = self.head(encoding.hidden, encoding.skip, sounding, training=training)
        return tfp.distributions.Normal(mean, deviation)


def _check(config: Mapping[str, Any]) -> None:
    check_arguments(
        config,
        counts=("latent_dim", "chunk_samples", "warmup_steps"),
        amounts=(*LOSS_WEIGHTS, "waveform_bands", "beta", "target_bps", "free_bits", "mean_share"),
        choices={"latent_pooling": POOLINGS, "latent_norm": ("none", "batch")},
    )
    if config["latent_norm"] == "batch" and config["latent_gamma"] <= 0:
        raise ValueError(f"latent_gamma must be above 0, not {config['latent_gamma']}.")


def _bands(config: Mapping[str, Any]) -> int:
    return 0 if config["latent_pooling"] == "global" else linear_bands(config)


def _pooled_samples(config: Mapping[str, Any]) -> int:
    return config["chunk_samples"] if config["latent_pooling"] == "global" else 0


def _make_head(config: Mapping[str, Any]) -> GaussianHead:
    gamma = config["latent_gamma"] if config["latent_norm"] == "batch" else None
    return GaussianHead(config["latent_dim"], skip_dim=config["channels"] * _bands(config), gamma=gamma)
