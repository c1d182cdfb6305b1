"""The hierarchical variational autoencoder: two levels of Gaussian latents that inform each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_audio_vae.frontends.signal import length_of, num_frames
from keras_audio_vae.layers.two_levels import TOP_PRIORS, Inference, Levels, TwoLevels, means
from keras_audio_vae.losses.coarse import CoarseOutline
from keras_audio_vae.losses.masking import frame_mask, mean_present
from keras_audio_vae.models import level_rates
from keras_audio_vae.models.arguments import LOSS_WEIGHTS, check_arguments, linear_bands, make_loss, make_network
from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.batches import Batch, as_latents, as_levels, as_waveform
from keras_audio_vae.models.gaussian_latents import active_share, mean_kl, noise_in_training


@keras.saving.register_keras_serializable("keras_audio_vae")
class HVAE(AudioAutoencoder):
    """A variational autoencoder of two levels: a slow top, and a fast bottom whose prior the top tells.

    The bottom has a vector z1 every hop * prod(strides) samples, the top a vector z2 for `top_stride` of those. What
    is said of a sound is q(z2 | x) and q(z1 | x, z2), the latter in residual form; what is expected, p(z2) and
    p(z1 | z2): a prior whose deviation follows the sound's envelope, so that bits go where there is sound, as in an
    adaptive transform coder. The decoder takes both levels, p(x | z1, z2).

    `encode` gives a tuple `Levels(top, bottom)`, and `decode` takes one. `latent_hop` is the top's.

    Args:
        sample_rate: In Hz; see `VAE` for this and all up to `upsampling`.
        channels: Channels of every waveform.
        frontend: "stft", "waveform" or "mel".
        hop: Samples per feature frame.
        n_fft: Window of the STFT and mel front ends in samples.
        mel_bands: Bands of the mel front end.
        synthesis: How the mel front end finds a waveform.
        vocoder: The configuration of a `Vocoder` that makes the waveform instead.
        widths: Channels of each stage of the encoder.
        depths: Residual blocks of each stage.
        strides: Frame rate reduction from each stage to the next.
        upsampling: "nearest" or "transposed", in the decoder.
        latent_dim: Size of a vector of the bottom level.
        waveform_bands: How many of the bottom's latents, per channel, begin as coefficients of a lapped transform.
        top_dim: Size of a vector of the top level: an envelope and little more has room in 32 numbers.
        top_stride: Frames of the bottom per frame of the top; 5 gives 7 frames per second by default.
        top_width: Channels of the layers between the levels. At the top's rate they cost next to nothing.
        top_depth: Residual blocks of either way between the levels.
        top_prior: "normal", N(0, I), or "vamp", a mixture of `vamp_components` posteriors of learnt pseudo-inputs.
        vamp_components: Pseudo-inputs; unused with "normal".
        mse_weight: Weight of the mean squared error; see `ReconstructionLoss` for this and the next three.
        waveform_weight: Weight of the relative error of the waveform.
        stft_weight: Weight of the multi-resolution STFT distance.
        mel_weight: Weight of the mel distance; with frontend="mel" of the bands themselves, see `SpectrogramLoss`.
        coarse_weight: Weight of the distance, in decades, between the sound's coarse mel spectrogram and one that is
            read off z2 alone: an auxiliary term that keeps the top in use. 0 for no such term.
        coarse_bands: Mel bands of that spectrogram, one frame per frame of the bottom.
        rate_control: How the KLs are weighted, the same method for both levels, see `RateControl`.
        beta: Weight of the bottom's KL in nats per frame of the bottom; with "target" where it begins.
        target_bps: Rate of the bottom to hold, bits per second.
        free_bits: Nats per dimension of the bottom that cost nothing with "free_bits".
        top_beta: Weight of the top's KL in nats per frame of the top. A bit costs as much in either level where it is
            beta / top_stride, as by default.
        top_target_bps: Rate of the top to hold, bits per second.
        top_free_bits: Nats per dimension of the top that cost nothing with "free_bits".
        warmup_steps: Ramp or cycle of "linear" and "cyclical", and how long the level that is charged later is free.
        warmup_order: "together", or the level that is charged first. The other is free for `warmup_steps`, so that what
            it can hold settles in it: "bottom" first fills the top, which a strong bottom otherwise leaves empty.
        mean_share: Share of the training examples that are decoded from the means of both levels, see `VAE`.
        clipnorm: Largest norm of the global gradient; 0 for no clipping.
        seed: Of the noise in training.
        **kwargs: Those of `keras.Model`.

    Raises:
        ValueError: If the arguments do not fit each other; the message names them.

    Example:
        >>> model = HVAE(widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4, top_dim=4, top_width=8)
        >>> sound = tf.random.stateless_normal([2, 10000, 1], seed=[0, 1])
        >>> latents = model.encode(sound)
        >>> latents.top.shape, latents.bottom.shape, model.decode(latents, 10000).shape
        (TensorShape([2, 4, 4]), TensorShape([2, 20, 8]), TensorShape([2, 10000, 1]))

    Reference:
        Sønderby et al.: Ladder Variational Autoencoders, NeurIPS 2016; Vahdat, Kautz: NVAE, NeurIPS 2020 (residual
        posterior); Tomczak, Welling: VAE with a VampPrior, AISTATS 2018 (q(z1 | x, z2), p(x | z1, z2)).
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
        top_dim: int = 32,
        top_stride: int = 5,
        top_width: int = 128,
        top_depth: int = 2,
        top_prior: str = "normal",
        vamp_components: int = 64,
        mse_weight: float = 0.0,
        waveform_weight: float = 1.25,
        stft_weight: float = 1.0,
        mel_weight: float = 2.5,
        coarse_weight: float = 0.5,
        coarse_bands: int = 32,
        rate_control: str = "target",
        beta: float = 1e-3,
        target_bps: float = 2600.0,
        free_bits: float = 0.1,
        top_beta: float = 2e-4,
        top_target_bps: float = 300.0,
        top_free_bits: float = 0.1,
        warmup_steps: int = 1000,
        warmup_order: str = "together",
        mean_share: float = 0.25,
        clipnorm: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        config = {
            "sample_rate": sample_rate, "channels": channels, "frontend": frontend, "hop": hop, "n_fft": n_fft,
            "mel_bands": mel_bands, "synthesis": synthesis, "vocoder": vocoder and dict(vocoder),
            "widths": list(widths), "depths": list(depths), "strides": list(strides), "upsampling": upsampling,
            "latent_dim": latent_dim, "waveform_bands": waveform_bands, "top_dim": top_dim, "top_stride": top_stride,
            "top_width": top_width, "top_depth": top_depth, "top_prior": top_prior,
            "vamp_components": vamp_components, "mse_weight": mse_weight, "waveform_weight": waveform_weight,
            "stft_weight": stft_weight, "mel_weight": mel_weight, "coarse_weight": coarse_weight,
            "coarse_bands": coarse_bands, "rate_control": rate_control, "beta": beta, "target_bps": target_bps,
            "free_bits": free_bits, "top_beta": top_beta, "top_target_bps": top_target_bps,
            "top_free_bits": top_free_bits, "warmup_steps": warmup_steps, "warmup_order": warmup_order,
            "mean_share": mean_share, "clipnorm": clipnorm, "seed": seed,
        }  # fmt: skip
        _check(config)
        network = make_network(config, linear_bands(config), kwargs.get("dtype"))
        loss = make_loss(config, network)
        levels = _make_levels(config, network.dtype_policy)
        super().__init__(
            config,
            network,
            loss,
            latent_hop=top_stride * network.latent_hop,
            context_frames=-(-(network.context_frames + levels.reach) // top_stride),
            log_names=(*loss.names, *(("coarse",) if coarse_weight else ()), *level_rates.LOG_NAMES),
            **kwargs,
        )
        self.levels = levels
        outline = CoarseOutline(coarse_bands, network.latent_hop, sample_rate) if coarse_weight else None
        self.outline: CoarseOutline | None = outline
        self.rate_controls = level_rates.make_rate_controls(config, sample_rate / network.latent_hop)
        self.mean_share, self.coarse_weight = mean_share, coarse_weight
        self.build()

    @property
    def latents_spec(self) -> Levels:
        """Both levels by name."""
        dims = Levels(self.levels.top_dim, self.latent_dim)
        return Levels(*(tf.TensorSpec((None, None, d), tf.float32, name) for name, d in dims._asdict().items()))

    @property
    def frames_per_second(self) -> Levels:
        """Latent frames per second of each level."""
        return Levels(*(control.frames_per_second for control in self.rate_controls))

    def posterior(self, waveform, top=None) -> Levels:
        """The distributions of both levels' latents given a waveform.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.
            top: Latents of the top level, by which the bottom's distribution is told; by default their mean.

        Returns:
            `Levels` of diagonal Gaussians, float32, batch shape [batch, frames], event shape [dim].
        """
        inference = self._inference(waveform, top)
        return Levels(*(tfp.distributions.Independent(q, 1) for q in (inference.top, inference.bottom.posterior)))

    def kl_per_dimension(self, waveform, top=None) -> Levels:
        """KL of each level in nats, by frame and dimension, of the frames that hold sound.

        By default that of the bottom is told by z2's mean, as reconstructions are; give z2 drawn from
        `posterior(waveform).top` for an estimate of the expected KL, or another sound's z2 to see what it is worth. The
        top's own KL is an estimate by one draw if its prior is a mixture, see `VampPrior`.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.
            top: Latents of the top level, or None for the mean of their posterior.

        Returns:
            `Levels` of float32 [batch, ceil(samples / hop of the level), dim].
        """
        waveform = as_waveform(waveform, self.channels)
        kl = self.levels.kl(self._inference(waveform, top), tf.constant([self.seed, 0]))
        return self._cut(kl, waveform)

    def innovations(self, waveform) -> Levels:
        """What each level says beyond its prior, see `Inference`, of the frames that hold sound.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            `Levels` of float32 [batch, ceil(samples / hop of the level), dim].
        """
        waveform = as_waveform(waveform, self.channels)
        return self._cut(self._inference(waveform).innovations, waveform)

    def rate(self, waveform) -> tf.Tensor:
        """Bits per second that a waveform's latents cost, both levels together: float32 [batch]."""
        nats = [tf.reduce_mean(tf.reduce_sum(kl, -1), -1) for kl in self.kl_per_dimension(waveform)]
        return tf.add_n([c.bits_per_second(level) for c, level in zip(self.rate_controls, nats, strict=True)])

    def sample(
        self, num: int, seconds: float, seed: int, temperature: float = 1.0, bottom_temperature: float | None = None
    ) -> tf.Tensor:
        """Sounds from the prior: z2 from p(z2), z1 from p(z1 | z2).

        Args:
            num: How many.
            seconds: Length of each.
            seed: The same seed gives the same sounds.
            temperature: Scale of the top's deviations; below 1 keeps nearer to the middle of the latent space.
            bottom_temperature: The same of the bottom's; by default `temperature`.

        Returns:
            float32 [num, seconds * sample_rate, channels].
        """
        samples = round(seconds * self.sample_rate)
        top = self.levels.sample_top(num, -(-samples // self.latent_hop), seed, temperature)
        bottom = self.sample_bottom(top, seed, temperature if bottom_temperature is None else bottom_temperature)
        return self.decode(Levels(top, bottom), samples)

    def sample_bottom(self, top, seed: int, temperature: float = 1.0) -> tf.Tensor:
        """Latents of the bottom level from p(z1 | z2).

        Args:
            top: float32 [batch, frames, top_dim].
            seed: The same seed gives the same latents.
            temperature: Scale of the prior's deviations; with 0 they are its mean.

        Returns:
            float32 [batch, frames * top_stride, latent_dim].
        """
        return self.levels.sample_bottom(as_latents(top, self.levels.top_dim), seed, temperature)

    def swap(self, a, b, level: str, relative: bool = True) -> tf.Tensor:
        """The sound of `a` with one level taken from `b`.

        Args:
            a: float32 [batch, samples, channels].
            b: float32 of the same shape.
            level: "top" or "bottom", the level that is `b`'s.
            relative: Whether the bottom is carried over by its innovation, (z1 - mean) / deviation of p(z1 | z2), which
                is put into the prior that the other's top tells: the envelope of one on the fine structure of the
                other. With False z1 stays as it is.

        Returns:
            float32 of the shape of `a`.

        Raises:
            ValueError: If the shapes differ, or there is no such level.
        """
        a, b = as_waveform(a, self.channels), as_waveform(b, self.channels)
        if a.shape != b.shape:
            raise ValueError(f"swap takes two batches of one shape, not {tuple(a.shape)} and {tuple(b.shape)}.")
        if level not in Levels._fields:
            raise ValueError(f"level must be one of {', '.join(Levels._fields)}, not {level!r}.")
        of_top, of_bottom = map(self._inference, (b, a) if level == "top" else (a, b))
        bottom = of_bottom.latents.bottom
        if relative:
            bottom = of_top.bottom.prior_mean + of_top.bottom.prior_deviation * of_bottom.bottom.shift
        return self.decode(Levels(of_top.latents.top, bottom), a.shape[1])

    def as_latents(self, latents) -> Levels:
        """Checks what `decode` is given: a pair, top first."""
        return as_levels(latents, Levels(self.levels.top_dim, self.latent_dim), self.levels.top_stride)

    def encode_padded(self, waveform: tf.Tensor) -> Levels:
        """The means of both levels, the bottom's given the top's."""
        return self._infer(waveform).latents

    def vectors_of(self, latents: Levels) -> tf.Tensor:
        """Both levels, at the rate of the bottom."""
        return _joined(latents.bottom, self.levels.context(latents.top))

    def build(self, input_shape: tuple | None = None) -> None:
        """Creates every weight."""
        super().build(input_shape)
        if self.outline is not None:
            self.outline.build((None, None, self._arguments["top_width"]))

    def objective(self, batch: Batch, step, training: bool) -> dict[str, tf.Tensor]:
        """Reconstruction terms, KL of both levels and their weighted sum; latents are drawn in training."""
        step = tf.cast(step, tf.int32)
        inference = self._infer(batch.waveform, draw=self._drawing(step) if training else means)
        sounding = self._sounding(batch.mask)
        present = tf.reduce_max(sounding.top, axis=1)
        mean = self.reconstruction_terms(batch, _joined(inference.latents.bottom, inference.context))
        losses = [self.reconstruction_loss.total(mean)]
        if self.outline is not None:
            distance = self.outline.distance(batch.waveform, inference.context, sounding.bottom)
            mean["coarse"] = mean_present(distance, present)
            losses.append(self.coarse_weight * mean["coarse"])
        drawn = self.levels.kl(inference, self._seed(step if training else 0, "KL"))
        kl = Levels(*map(mean_kl, drawn, sounding))
        losses += level_rates.penalties(self.rate_controls, kl, step)
        active = Levels(*map(active_share, inference.innovations, sounding))
        rates = level_rates.rate_logs(self.rate_controls, kl, active, step, tf.reduce_sum(present))
        return {"loss": tf.add_n(losses), **mean, **rates}

    def after_step(self, logs: dict[str, tf.Tensor]) -> None:
        """Moves the weight of each level's KL towards its target rate."""
        level_rates.update(self.rate_controls, logs)

    @property
    def warmup_steps(self) -> int:
        """Training steps before both KLs have first had their full weight."""
        return max(control.ramp_steps for control in self.rate_controls)

    def _inference(self, waveform, top=None) -> Inference:
        """What users ask for: of a waveform of any length, by means, or told by latents of the top."""
        top = None if top is None else as_latents(top, self.levels.top_dim)
        return self._padded_inference(as_waveform(waveform, self.channels), top)

    @tf.function(reduce_retracing=True, autograph=False)
    def _padded_inference(self, waveform: tf.Tensor, top: tf.Tensor | None) -> Inference:
        return self._infer(self.pad(waveform), top=top)

    def _infer(self, waveform: tf.Tensor, **how) -> Inference:
        encoding = self.network.encode(waveform)
        return self.levels.infer(encoding.hidden, encoding.skip, **how)

    def _sounding(self, mask: tf.Tensor) -> Levels:
        """Which frames of each level hold sound."""
        return Levels(frame_mask(mask, self.latent_hop), frame_mask(mask, self.network.latent_hop))

    def _cut(self, levels: Levels, waveform: tf.Tensor) -> Levels:
        """Leaves out the frames of padding alone."""
        hops = self.latent_hop, self.network.latent_hop
        frames = [num_frames(length_of(waveform, 1), hop) for hop in hops]
        return Levels(*(level[:, :count] for level, count in zip(levels, frames, strict=True)))

    def _drawing(self, step: tf.Tensor) -> Callable[[str, tfp.distributions.Normal], tf.Tensor]:
        """Draws latents for a step of training; the same examples go by the means of both levels."""

        def draw(level: str, posterior: tfp.distributions.Normal) -> tf.Tensor:
            chance = tf.stack([self.seed, -1 - step])
            noise = noise_in_training(tf.shape(posterior.loc), self._seed(step, level), chance, self.mean_share)
            return posterior.loc + posterior.scale * noise

        return draw

    def _seed(self, step: tf.Tensor | int, use: str) -> tf.Tensor:
        """The seed of a step's noise, another one for each use."""
        number = ("bottom", "top", "KL").index(use)
        return tf.random.experimental.stateless_fold_in(tf.stack([self.seed, step]), number)


def _joined(bottom: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
    """What the network decodes; the bottom's latents first, as the linear path takes what it needs from the front."""
    return tf.concat([bottom, context], axis=-1)


def _check(config: Mapping[str, Any]) -> None:
    check_arguments(
        config,
        counts=(
            *("latent_dim", "top_dim", "top_stride", "top_width"),
            *("vamp_components", "coarse_bands", "warmup_steps"),
        ),
        amounts=(
            *LOSS_WEIGHTS,
            *("waveform_bands", "top_depth", "coarse_weight", "mean_share", "beta", "target_bps", "free_bits"),
            *("top_beta", "top_target_bps", "top_free_bits"),
        ),
        choices={"top_prior": TOP_PRIORS, "warmup_order": level_rates.WARMUP_ORDERS},
    )


def _make_levels(config: Mapping[str, Any], dtype: Any) -> TwoLevels:
    names = ("latent_dim", "top_dim", "top_stride", "top_width", "top_depth", "top_prior", "vamp_components")
    arguments = {name: config[name] for name in names}
    skip_dim, hidden_width = config["channels"] * linear_bands(config), config["widths"][-1]
    return TwoLevels(**arguments, skip_dim=skip_dim, hidden_width=hidden_width, dtype=dtype)
