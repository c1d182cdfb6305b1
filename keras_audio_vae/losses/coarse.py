"""The outline of a sound: few mel bands at the latents' own rate, for a level that should carry the outline."""

import keras
import numpy as np
import tensorflow as tf

from keras_audio_vae.frontends.channels import to_mono_batch
from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.losses.masking import masked_mean
from keras_audio_vae.losses.spectral import MEL_FLOOR, magnitudes

USUAL_LEVEL = -2.0  # decades: that of a band of average music


def coarse_mel(waveform: tf.Tensor, hop: int, bands: int, sample_rate: int) -> tf.Tensor:
    """A coarse log-mel spectrogram, the channels' mean.

    Args:
        waveform: float32 [batch, samples, channels].
        hop: Samples per frame; a window is four of them.
        bands: Mel bands from 0 Hz to half the sample rate.
        sample_rate: In Hz.

    Returns:
        float32 [batch, ceil(samples / hop), bands], decades: log10 of the mel magnitude, at least -5.

    Example:
        >>> coarse_mel(tf.zeros([2, 6300, 1]), hop=630, bands=32, sample_rate=22050).shape
        TensorShape([2, 10, 32])
    """
    channels = waveform.shape[-1]
    mel = magnitudes(to_mono_batch(waveform), 4 * hop) @ tf.constant(mel_matrix(sample_rate, 4 * hop, bands))
    mel = tf.reduce_mean(tf.reshape(mel, [-1, channels, tf.shape(mel)[1], bands]), axis=1)
    return tf.math.log(tf.maximum(mel, MEL_FLOOR)) / np.log(10.0)


@keras.saving.register_keras_serializable("keras_audio_vae")
class CoarseOutline(keras.layers.Layer):
    """Reads a coarse spectrogram off hidden frames, linearly, and tells how far it is from the sound's own.

    Args:
        bands: Mel bands.
        hop: Samples per hidden frame.
        sample_rate: In Hz.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> outline = CoarseOutline(bands=32, hop=630, sample_rate=22050)
        >>> float(outline.distance(tf.zeros([1, 6300, 1]), tf.zeros([1, 10, 8]), tf.ones([1, 10]))[0])
        3.0
    """

    def __init__(self, bands: int, hop: int, sample_rate: int, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.bands, self.hop, self.sample_rate = bands, hop, sample_rate
        bias = keras.initializers.Constant(USUAL_LEVEL)
        self.dense = keras.layers.Dense(bands, bias_initializer=bias, dtype="float32")

    def build(self, input_shape: tuple) -> None:
        """Creates the weights for hidden frames [batch, frames, channels]."""
        self.dense.build(input_shape)

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """The outline: float [batch, frames, channels] -> float32 [batch, frames, bands], decades."""
        return self.dense(hidden)

    def distance(self, waveform: tf.Tensor, hidden: tf.Tensor, sounding: tf.Tensor) -> tf.Tensor:
        """Mean absolute difference from the sound's outline, over the frames that hold sound.

        Args:
            waveform: float32 [batch, samples, channels].
            hidden: float [batch, ceil(samples / hop), channels].
            sounding: float32 [batch, ceil(samples / hop)], 1 for a frame with sound, 0 for padding.

        Returns:
            float32 [batch], decades.
        """
        own = coarse_mel(waveform, self.hop, self.bands, self.sample_rate)
        return masked_mean(tf.abs(self(hidden) - own), sounding)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "bands": self.bands, "hop": self.hop, "sample_rate": self.sample_rate}
