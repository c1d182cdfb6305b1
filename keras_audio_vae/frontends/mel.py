"""The mel front end: a standardised logarithmic mel spectrogram in, and a waveform found for one."""

import math
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from keras_audio_vae.frontends.channels import bins_to_channels, channels_to_bins, from_mono_batch, to_mono_batch
from keras_audio_vae.frontends.griffin_lim import griffin_lim, power
from keras_audio_vae.frontends.mel_inversion import invert_mel, mel_to_signal
from keras_audio_vae.frontends.mel_matrix import mel_matrix, narrowest_spacing
from keras_audio_vae.frontends.signal import stft

METHODS = ("joint", "griffin_lim")
FLOOR_DECADES = -12.0  # of a band's power: below the rounding noise of 16-bit recordings; what is softer is silence
SILENCE_MARGIN = 0.01  # decades above the floor that are still silence: more than standardising and undoing it rounds
LEAST_DEVIATION = 0.1  # decades: a band that is nearly always silent is not blown up


@keras.saving.register_keras_serializable("keras_audio_vae")
class MelFrontEnd(keras.layers.Layer):
    """Logarithmic mel bands, each brought to mean 0 and deviation 1 over the training sounds.

    A band is log10 of the power that Slaney's mel scale gathers from 0 Hz to half the sample rate, at least -12. Powers
    and not magnitudes: magnitudes of a partial and of noise add up differently, so that a high tone, whose band is many
    bins wide, came back up to 3 dB too soft. Before `adapt` the features are the decades themselves.

    The way back undoes the standardisation and searches a sound for the bands. No gradient passes that way: models of
    mel spectrograms are charged for the spectrogram.

    Args:
        sample_rate: In Hz.
        hop: Samples from one frame to the next; 441 gives 50 frames per second at 22,050 Hz.
        n_fft: Window and transform length in samples, a multiple of `hop`. 1,764 are the shortest that tell the lowest
            of 256 bands apart (a shorter one is refused); longer ones smear onsets, and sound worse.
        bands: Mel bands. 256 keep partials apart that 128 merge.
        channels: Channels of the waveform.
        method: "joint" searches magnitudes and phases together (`mel_to_signal`); "griffin_lim" first settles the
            magnitudes (`invert_mel`) and then searches phases for them (`griffin_lim`).
        iterations: Of the search.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Raises:
        ValueError: If `method` is unknown, `n_fft` is no multiple of `hop` or less than two of it, or the lowest bands
            lie closer together than the bins.

    Example:
        >>> frontend = MelFrontEnd(22050, hop=441, n_fft=1764, bands=128)
        >>> sound = tf.random.stateless_normal([2, 4410, 1], seed=[0, 1])
        >>> features = frontend.features(sound)
        >>> features.shape, frontend.synthesize(features).shape
        (TensorShape([2, 10, 128]), TensorShape([2, 4410, 1]))
        >>> MelFrontEnd(22050, hop=210, n_fft=420, bands=128)
        Traceback (most recent call last):
        ValueError: n_fft (420 samples) is too short for 128 mel bands: the lowest lie 25.8 Hz apart, its bins 52.5 Hz.
        Take n_fft = 1050 or more, or fewer bands.
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        hop: int = 441,
        n_fft: int = 1764,
        bands: int = 256,
        channels: int = 1,
        method: str = "joint",
        iterations: int = 32,
        **kwargs,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
        if n_fft % hop or n_fft < 2 * hop:
            raise ValueError(
                f"n_fft ({n_fft} samples) must be a multiple of hop ({hop} samples), at least twice as long."
            )
        _refuse_degenerate_bands(sample_rate, hop, n_fft, bands)
        self.sample_rate, self.hop, self.n_fft, self.bands = sample_rate, hop, n_fft, bands
        self.channels, self.method, self.iterations = channels, method, iterations
        self.output_bins = channels * bands
        self.matrix = mel_matrix(sample_rate, n_fft, bands)
        statistic = {"shape": (bands,), "trainable": False, "aggregation": "only_first_replica"}
        self.mean = self.add_weight(name="mean", initializer="zeros", **statistic)
        self.deviation = self.add_weight(name="deviation", initializer="ones", **statistic)
        self.built = True

    def adapt(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """Takes mean and deviation of each band from sounds, in one pass.

        Args:
            batches: Pairs of a waveform, float32 [batch, samples, channels], and what counts of its frames, float32
                [batch, ceil(samples / hop)].

        Raises:
            ValueError: If no frame counts.
        """
        count, total, squares = 0.0, np.zeros(self.bands), np.zeros(self.bands)
        for waveform, sounding in batches:
            decades = self.decades(waveform).numpy().astype(np.float64)
            weights = np.repeat(np.asarray(sounding, np.float64), self.channels, axis=0)
            count += weights.sum()
            total += np.einsum("bt,btm->m", weights, decades)
            squares += np.einsum("bt,btm->m", weights, decades**2)
        if not count:
            raise ValueError("The statistics of a mel spectrogram need at least one frame of sound.")
        mean = total / count
        self.mean.assign(mean)
        self.deviation.assign(np.maximum(np.sqrt(np.maximum(squares / count - mean**2, 0.0)), LEAST_DEVIATION))

    def features(self, waveform: tf.Tensor) -> tf.Tensor:
        """Standardised log mel bands of a waveform.

        Args:
            waveform: float32 [batch, samples, channels].

        Returns:
            float32 [batch, ceil(samples / hop), channels * bands].
        """
        return self.standardize(self.decades(waveform))

    def decades(self, waveform: tf.Tensor) -> tf.Tensor:
        """Log mel bands of a waveform: [batch, samples, channels] -> [batch * channels, ceil(samples / hop), bands]."""
        mel = tf.matmul(power(stft(to_mono_batch(waveform), self.n_fft, self.hop)), tf.constant(self.matrix))
        return tf.math.log(tf.maximum(mel, 10.0**FLOOR_DECADES)) / math.log(10.0)

    def standardize(self, decades: tf.Tensor) -> tf.Tensor:
        """Features of log mel bands: [batch * channels, frames, bands] -> [batch, frames, channels * bands]."""
        return channels_to_bins((decades - self.mean) / self.deviation, self.channels)

    def in_decades(self, features: tf.Tensor) -> tf.Tensor:
        """Undoes `standardize`: [batch, frames, channels * bands] -> [batch * channels, frames, bands]."""
        return self.mean + self.deviation * bins_to_channels(features, self.channels)

    def powers(self, features: tf.Tensor) -> tf.Tensor:
        """Bands as powers, 0 at the floor: [batch, frames, channels * bands] -> [batch * channels, frames, bands]."""
        decades = self.in_decades(features)
        return tf.where(decades > FLOOR_DECADES + SILENCE_MARGIN, tf.pow(10.0, decades), 0.0)

    def has_bands_of(self, other: "MelFrontEnd") -> bool:
        """Whether another front end's log mel bands mean the same, whatever the statistics."""
        names = ("sample_rate", "hop", "n_fft", "bands", "channels")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def synthesize(self, features: tf.Tensor, draft: tf.Tensor | None = None) -> tf.Tensor:
        """A waveform whose mel bands are near the given ones.

        Args:
            features: float32 [batch, frames, channels * bands], standardised.
            draft: What other front ends refine; not used, because mel bands need no draft.

        Returns:
            float32 [batch, frames * hop, channels]; digital silence where all bands are at their floor.
        """
        mel = self.powers(features)
        if self.method == "joint":
            signal = mel_to_signal(mel, self.matrix, self.n_fft, self.hop, self.iterations)
        else:
            magnitudes = tf.sqrt(invert_mel(mel, self.matrix))
            signal = griffin_lim(magnitudes, self.n_fft, self.hop, self.iterations)
        return from_mono_batch(signal, self.channels)

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`features`, so that the layer can stand in a Keras model."""
        return self.features(waveform)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        names = ("sample_rate", "hop", "n_fft", "bands", "channels", "method", "iterations")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _refuse_degenerate_bands(sample_rate: int, hop: int, n_fft: int, bands: int) -> None:
    """Where bins lie farther apart than bands, some bands hold no bin and their neighbours all the same one."""
    between_bands, between_bins = narrowest_spacing(sample_rate, bands), sample_rate / n_fft
    if between_bands < between_bins:
        enough = max(2, math.ceil(sample_rate / between_bands / hop)) * hop
        raise ValueError(
            f"n_fft ({n_fft} samples) is too short for {bands} mel bands: the lowest lie {between_bands:.1f} Hz apart, "
            f"its bins {between_bins:.1f} Hz. Take n_fft = {enough} or more, or fewer bands."
        )
