"""The vector-quantised autoencoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_audio_vae.layers.normalization import FrameNormalization
from keras_audio_vae.layers.projection import SkipProjection
from keras_audio_vae.layers.quantizers import FiniteScalarQuantizer, Quantized, ResidualVectorQuantizer
from keras_audio_vae.layers.quantizers.residual import as_sizes
from keras_audio_vae.layers.replicas import replica_mean
from keras_audio_vae.losses.masking import frame_mask
from keras_audio_vae.metrics.codes import nominal_bits_per_second
from keras_audio_vae.models.arguments import LOSS_WEIGHTS, check_arguments, linear_bands, make_loss, make_network
from keras_audio_vae.models.autoencoder import AudioAutoencoder
from keras_audio_vae.models.batches import Batch, as_codes, as_waveform

QUANTIZERS = ("residual", "scalar")


@keras.saving.register_keras_serializable("keras_audio_vae")
class VQVAE(AudioAutoencoder):
    """An autoencoder of waveforms whose latents are codes: integers that can be counted, stored and predicted.

    Args:
        sample_rate: In Hz; see `VAE` for this and all up to `latent_dim`.
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
        upsampling: "nearest" or "transposed".
        latent_dim: Size of the vectors that are quantised.
        waveform_bands: How many of the latents, per channel, begin as coefficients of a lapped transform.
        quantizer: "residual" (`num_codebooks` codebooks, each of what the one before left over; one codebook is the
            original VQ-VAE) or "scalar" (`levels` for each dimension of `num_codebooks` groups, nothing to learn).
        num_codebooks: Codes of a frame.
        codebook_size: Codes of each codebook of "residual": one number, or several, of which the last holds for all
            that follow. Ten minutes of sound use small ones in full; many hours fill 1,024.
        levels: Of each dimension of a code of "scalar".
        code_dim: Dimensions in which codes are compared with "residual"; 0 for latent_dim.
        normalize_codes: Whether codes and what they stand for are compared on the unit sphere.
        standardize_encodings: Whether vectors are brought to variance 1, by the statistics of the batch, before they
            are quantised (those of "scalar" are in any case, dimension by dimension). For one codebook: nothing else
            holds the scale of what a lone code stands for, which may run off in the first steps and take the network
            along (benchmarks/RESULTS.md). Several hold each other and do better without; so does a linear path, whose
            coefficients have a scale, and which excludes it.
        codebook_update: "ema" or "gradient", see `VectorQuantizer` for this and all up to `commitment_weight`.
        kmeans_init: Whether the first batches place the codes. With a conscience they find their places by themselves
            (benchmarks/RESULTS.md).
        restart_threshold: Share of its even use below which a code is placed anew; 0 for never, as a conscience draws
            it to the vectors that are there.
        conscience: Strength of the handicap of codes that are used more than others; 0 chooses the nearest code.
        code_gradient: "straight_through" or "rotation".
        evenness_weight: Weight of the term that spreads the use of the codes.
        commitment: "adaptive" or "constant".
        commitment_weight: Weight of the term that keeps the encoder near its codes.
        quantizer_dropout: Share of the training examples that use only the first few codebooks.
        mse_weight: Weight of the mean squared error; see `ReconstructionLoss` for this and the next three.
        waveform_weight: Weight of the relative error of the waveform.
        stft_weight: Weight of the multi-resolution STFT distance.
        mel_weight: Weight of the mel distance; with frontend="mel" of the bands themselves, see `SpectrogramLoss`.
        clipnorm: Largest norm of the global gradient; 0 for no clipping.
        seed: Of all that is random in training.
        **kwargs: Those of `keras.Model`.

    Raises:
        ValueError: If the arguments do not fit each other; the message names them.

    Example:
        >>> model = VQVAE(widths=[8, 16], depths=[1, 1], latent_dim=8, waveform_bands=4, num_codebooks=5)
        >>> sound = tf.random.stateless_normal([2, 10000, 1], seed=[0, 1])
        >>> codes = model.encode(sound)
        >>> codes.shape, codes.dtype.name, model.decode(codes, 10000).shape
        (TensorShape([2, 16, 5]), 'int32', TensorShape([2, 10000, 1]))
        >>> model.nominal_bps
        875.0

    Reference:
        van den Oord, Vinyals, Kavukcuoglu: Neural Discrete Representation Learning, NeurIPS 2017; Zeghidour et al.:
        SoundStream, 2021 (residual codebooks); Mentzer et al.: Finite Scalar Quantization, ICLR 2024.
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
        quantizer: str = "residual",
        num_codebooks: int = 9,
        codebook_size: int | Sequence[int] = (32,),
        levels: Sequence[int] = (8, 6, 5),
        code_dim: int = 0,
        normalize_codes: bool = False,
        standardize_encodings: bool = False,
        codebook_update: str = "ema",
        kmeans_init: bool = False,
        restart_threshold: float = 0.0,
        conscience: float = 4.0,
        code_gradient: str = "straight_through",
        evenness_weight: float = 0.0,
        commitment: str = "adaptive",
        commitment_weight: float = 0.25,
        quantizer_dropout: float = 0.0,
        mse_weight: float = 0.0,
        waveform_weight: float = 1.25,
        stft_weight: float = 1.0,
        mel_weight: float = 2.5,
        clipnorm: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        config = {
            "sample_rate": sample_rate, "channels": channels, "frontend": frontend, "hop": hop, "n_fft": n_fft,
            "mel_bands": mel_bands, "synthesis": synthesis, "vocoder": vocoder and dict(vocoder),
            "widths": list(widths), "depths": list(depths), "strides": list(strides), "upsampling": upsampling,
            "latent_dim": latent_dim, "waveform_bands": waveform_bands, "quantizer": quantizer,
            "num_codebooks": num_codebooks, "codebook_size": as_sizes(codebook_size), "levels": list(levels),
            "code_dim": code_dim, "normalize_codes": normalize_codes,
            "standardize_encodings": standardize_encodings, "codebook_update": codebook_update,
            "kmeans_init": kmeans_init, "restart_threshold": restart_threshold, "conscience": conscience,
            "code_gradient": code_gradient, "evenness_weight": evenness_weight, "commitment": commitment,
            "commitment_weight": commitment_weight, "quantizer_dropout": quantizer_dropout, "mse_weight": mse_weight,
            "waveform_weight": waveform_weight, "stft_weight": stft_weight, "mel_weight": mel_weight,
            "clipnorm": clipnorm, "seed": seed,
        }  # fmt: skip
        check_arguments(
            config,
            counts=("latent_dim", "num_codebooks"),
            amounts=(*LOSS_WEIGHTS, "waveform_bands"),
            choices={"quantizer": QUANTIZERS},
        )
        if standardize_encodings and linear_bands(config):
            raise ValueError(
                "standardize_encodings needs waveform_bands=0: the linear path's coefficients have their own scale."
            )
        if standardize_encodings and quantizer == "scalar":
            raise ValueError("standardize_encodings is for quantizer=residual: a scalar one does so by itself.")
        network = make_network(config, linear_bands(config), kwargs.get("dtype"))
        loss = make_loss(config, network)
        quantize = _MAKERS[quantizer](config)
        super().__init__(
            config,
            network,
            loss,
            log_names=(*loss.names, *quantize.loss_names, *_measure_names(quantize)),
            **kwargs,
        )
        self.quantizer = quantize
        self.projection = SkipProjection(latent_dim, skip_dim=channels * linear_bands(config))
        self.normalization = FrameNormalization(per_channel=False) if standardize_encodings else None
        self.build()

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """How many codes each codebook has."""
        return self.quantizer.codebook_sizes

    @property
    def nominal_bps(self) -> float:
        """Bits per second of codes that are written with as many bits each as their codebook needs."""
        return nominal_bits_per_second(self.codebook_sizes, self.sample_rate / self.latent_hop)

    @property
    def latents_spec(self) -> tf.TensorSpec:
        """Codes: int32 [batch, frames, codebooks]."""
        return tf.TensorSpec((None, None, len(self.codebook_sizes)), tf.int32, "codes")

    def posterior(self, waveform) -> Quantized:
        """Codes and their vectors.

        Args:
            waveform: float32 [batch, samples, channels], any number of samples.

        Returns:
            A `Quantized` of ceil(samples / latent_hop) frames.
        """
        return self.quantizer(self.encodings(waveform))

    def encodings(self, waveform) -> tf.Tensor:
        """What is quantised: float32 [batch, ceil(samples / latent_hop), latent_dim]."""
        return self._encodings(self.pad(as_waveform(waveform, self.channels)))

    def latents_of(self, encodings: tf.Tensor) -> tf.Tensor:
        """The codes of encodings."""
        return self.quantizer.encode(encodings)

    def rate(self, waveform) -> tf.Tensor:
        """Bits per second that a waveform's codes cost, as they are written: float32 [batch]."""
        return tf.fill([tf.shape(waveform)[0]], self.nominal_bps)

    def sample(self, num: int, seconds: float, seed: int, temperature: float = 1.0) -> tf.Tensor:
        """Sounds of codes that are drawn one by one, each as often as training has used it.

        Args:
            num: How many.
            seconds: Length of each.
            seed: The same seed gives the same sounds.
            temperature: Above 0; below 1 it prefers the frequent codes.

        Returns:
            float32 [num, seconds * sample_rate, channels].

        Raises:
            ValueError: If the temperature is not above 0.
        """
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {temperature}.")
        samples = round(seconds * self.sample_rate)
        frames = -(-samples // self.latent_hop)
        books = [
            tf.random.stateless_categorical(tf.math.log(use[tf.newaxis] + 1e-9) / temperature, num * frames, [seed, i])
            for i, use in enumerate(self.quantizer.usage)
        ]
        codes = tf.reshape(tf.stack(books, axis=-1), [num, frames, len(books)])
        return self.decode(codes, samples)

    def as_latents(self, latents) -> tf.Tensor:
        """Checks what `decode` is given: codes, of the first codebooks alone if wanted."""
        return as_codes(latents, self.codebook_sizes)

    def encode_padded(self, waveform: tf.Tensor) -> tf.Tensor:
        """The codes."""
        return self.quantizer.encode(self._encodings(waveform))

    def vectors_of(self, latents: tf.Tensor) -> tf.Tensor:
        """What the codes stand for."""
        return self.quantizer.decode(latents)

    def objective(self, batch: Batch, step, training: bool) -> dict[str, tf.Tensor]:
        """Reconstruction terms, those of the quantizer and their sum, and how the codes are used."""
        sounding = frame_mask(batch.mask, self.latent_hop)
        quantized = self.quantizer(self._encodings(batch.waveform, sounding, training), sounding, training=training)
        mean = self.reconstruction_terms(batch, quantized.vectors)
        # Each replica has its part of them, however much of its rows is padding: not what a mean over examples expects.
        losses = {name: replica_mean(part) for name, part in quantized.losses.items()}
        return {
            "loss": tf.add_n([self.reconstruction_loss.total(mean), *losses.values()]),
            **mean,
            **losses,
            **dict(zip(_measure_names(self.quantizer), _all_measures(quantized), strict=True)),
        }

    def _encodings(self, waveform: tf.Tensor, sounding: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        encoding = self.network.encode(waveform)
        encodings = self.projection(encoding.hidden, encoding.skip)
        if self.normalization is None:
            return encodings
        return self.normalization(encodings, sounding, training=training)


def _residual(config: Mapping[str, Any]) -> ResidualVectorQuantizer:
    return ResidualVectorQuantizer(
        num_codebooks=config["num_codebooks"],
        codebook_size=config["codebook_size"],
        dim=config["latent_dim"],
        code_dim=config["code_dim"] or None,
        normalize=config["normalize_codes"],
        update=config["codebook_update"],
        kmeans_init=config["kmeans_init"],
        restart_threshold=config["restart_threshold"],
        conscience=config["conscience"],
        gradient=config["code_gradient"],
        evenness_weight=config["evenness_weight"],
        commitment=config["commitment"],
        commitment_weight=config["commitment_weight"],
        quantizer_dropout=config["quantizer_dropout"],
        seed=config["seed"],
    )


def _scalar(config: Mapping[str, Any]) -> FiniteScalarQuantizer:
    return FiniteScalarQuantizer(
        dim=config["latent_dim"],
        levels=config["levels"],
        num_codebooks=config["num_codebooks"],
        seed=config["seed"],
    )


def _measure_names(quantizer: ResidualVectorQuantizer | FiniteScalarQuantizer) -> list[str]:
    """Names in the logs: each measure's mean over the codebooks, then its value for each of them, from 1."""
    books = range(1, len(quantizer.codebook_sizes) + 1)
    means = list(quantizer.measure_names)
    return means + [f"{name}_{book}" for name in quantizer.measure_names for book in books]


def _all_measures(quantized: Quantized) -> list[tf.Tensor]:
    means = [tf.reduce_mean(values) for values in quantized.measures.values()]
    return means + [value for values in quantized.measures.values() for value in tf.unstack(values)]


_MAKERS: dict[str, Callable[[Mapping[str, Any]], ResidualVectorQuantizer | FiniteScalarQuantizer]] = {
    "residual": _residual,
    "scalar": _scalar,
}
