"""The STFT front end: compressed complex spectra in, a magnitude and a phase per bin out."""

import keras
import tensorflow as tf

from keras_audio_vae.frontends.channels import bins_to_channels, channels_to_bins, from_mono_batch, to_mono_batch
from keras_audio_vae.frontends.signal import inverse_stft, stft

POWER_FLOOR = 1e-8  # -80 dB below a bin of white noise of variance 1: under the noise of 16-bit recordings
DRAFT_FLOOR = 1e-3  # magnitude to which a draft's softer bins are raised, to have something to start from
MAX_LOG_GAIN = 6.0  # a bin is raised by at most e^6 = 52 dB over draft and floor: an early step cannot overflow


@keras.saving.register_keras_serializable("keras_audio_vae")
class STFTFrontEnd(keras.layers.Layer):
    """Log magnitude and square-root-compressed real and imaginary parts in; log gain and phase direction out.

    For each bin the network gives three numbers: a log gain g and a direction (u, v). With the draft's bin d and
    m = sqrt(|d|^2 + 1e-3^2), the bin of the result has magnitude m e^g and the direction of d / m + (u, v). So zeros
    leave the draft as it is, noise is gated by a low gain, and where the draft has nothing the network decides alone.
    The direction is two numbers, not an angle: an angle has a jump that a network must learn around.

    Args:
        hop: Samples from one frame to the next.
        n_fft: Window and transform length in samples, a multiple of `hop`. The default of four hops resolves 26 Hz.
        channels: Channels of the waveform.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy: an FFT takes no
            less.

    Raises:
        ValueError: If `n_fft` is not a multiple of `hop`, or less than twice as long.

    Example:
        >>> frontend = STFTFrontEnd(hop=210, n_fft=840)
        >>> x = tf.random.stateless_normal([1, 2100, 1], seed=[0, 1])
        >>> frontend.features(x).shape
        TensorShape([1, 10, 1263])
        >>> same = frontend.synthesize(tf.zeros([1, 10, frontend.output_bins]), draft=x)
        >>> bool(tf.reduce_max(tf.abs(same - x)) < 1e-2)
        True

    Reference:
        Siuzdak: Vocos: Closing the gap between time-domain and Fourier-based neural vocoders, 2023
            (magnitude-and-phase head);
        Ai, Ling: APNet, 2023 (phase from two parallel outputs).
    """

    def __init__(self, hop: int = 210, n_fft: int = 840, channels: int = 1, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if n_fft % hop or n_fft < 2 * hop:
            raise ValueError(
                f"n_fft ({n_fft} samples) must be a multiple of hop ({hop} samples), at least twice as long."
            )
        self.hop, self.n_fft, self.channels = hop, n_fft, channels
        self.bins = n_fft // 2 + 1
        self.output_bins = 3 * channels * self.bins
        self.built = True

    def features(self, waveform: tf.Tensor) -> tf.Tensor:
        """Compressed complex spectra of a waveform, scaled to a range of about one.

        Args:
            waveform: float32 [batch, samples, channels].

        Returns:
            float32 [batch, ceil(samples / hop), channels * 3 * (n_fft // 2 + 1)].
        """
        spectrum = stft(to_mono_batch(waveform), self.n_fft, self.hop)
        real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
        power = tf.square(real) + tf.square(imaginary) + POWER_FLOOR
        compression = 3.0 * tf.math.rsqrt(tf.sqrt(power))
        log_magnitude = 1.0 + 0.125 * tf.math.log(power)
        return channels_to_bins(
            tf.concat([log_magnitude, real * compression, imaginary * compression], -1), self.channels
        )

    def synthesize(self, outputs: tf.Tensor, draft: tf.Tensor) -> tf.Tensor:
        """The waveform that log gains and phase directions make of a draft.

        Args:
            outputs: float32 [batch, frames, output_bins].
            draft: float32 [batch, frames * hop, channels].

        Returns:
            float32 [batch, frames * hop, channels].
        """
        log_gain, u, v = tf.split(bins_to_channels(outputs, self.channels), 3, axis=-1)
        spectrum = stft(to_mono_batch(draft), self.n_fft, self.hop)
        real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
        magnitude = tf.sqrt(tf.square(real) + tf.square(imaginary) + DRAFT_FLOOR**2)
        u, v = u + real / magnitude, v + imaginary / magnitude
        scale = magnitude * tf.exp(tf.minimum(log_gain, MAX_LOG_GAIN)) * tf.math.rsqrt(u * u + v * v + 1e-6)
        return from_mono_batch(inverse_stft(tf.complex(scale * u, scale * v), self.n_fft, self.hop), self.channels)

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`features`, so that the layer can stand in a Keras model."""
        return self.features(waveform)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "hop": self.hop, "n_fft": self.n_fft, "channels": self.channels}
