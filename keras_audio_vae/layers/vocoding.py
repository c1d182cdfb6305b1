"""The network of a vocoder: mel bands to magnitudes, for which a short search finds the phases."""

from collections.abc import Iterable

import keras
import tensorflow as tf

from keras_audio_vae.frontends import MelFrontEnd
from keras_audio_vae.frontends.channels import bins_to_channels, channels_to_bins, from_mono_batch
from keras_audio_vae.frontends.griffin_lim import SMALLEST, griffin_lim
from keras_audio_vae.frontends.mel_inversion import START_ITERATIONS, approach_bands, band_gains, invert_mel
from keras_audio_vae.layers.stacks import Encoder

MAX_LOG_GAIN = 6.0  # of a magnitude over that of its flat band, either way: 52 dB
BAND_ITERATIONS = 4  # the last ones of the search, which hold bands and let go of magnitudes


@keras.saving.register_keras_serializable("keras_audio_vae")
class VocoderNetwork(keras.layers.Layer):
    """Knows where in its band a sound's power lies; a short search finds phases for that.

    A band tells how much power it holds, not in which of its bins. An inversion without knowledge (`invert_mel`) takes
    bands as flat, which merges what a band holds and leaves Griffin-Lim magnitudes that no sound has. How sounds divide
    a band, partials of one pitch above all, is learnt in minutes from the sounds themselves: a stack of residual blocks
    sees the bands of some frames around and gives a log gain for each bin of the flat spectrum, after which each band
    gets back its power, to a twentieth of a decade in the mean. What phases there are is left to `griffin_lim`: a
    network that has to invent them needs days and an adversary to sound clean. Predicted magnitudes are never quite
    those of any sound, so that the last iterations hold the bands alone, as `mel_to_signal` does, and keep what the
    spectrum of the sound found so far says of the rest.

    Args:
        sample_rate: In Hz.
        channels: Channels of the waveform.
        hop: Samples per frame of the mel bands.
        n_fft: Window of the mel bands, and of the magnitudes, in samples.
        mel_bands: Their number.
        iterations: Of the search; the last `BAND_ITERATIONS` are those that hold the bands.
        width: Channels of the residual blocks.
        depth: Their number; each sees one frame more to either side.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If the arguments do not fit each other, see `MelFrontEnd`.

    Example:
        >>> network = VocoderNetwork(width=8, depth=1, mel_bands=64)
        >>> sound = tf.random.stateless_normal([2, 4410, 1], seed=[0, 1])
        >>> mel = network.encode(sound)
        >>> mel.shape, network.predict(mel).shape, network.decode(mel).shape
        (TensorShape([2, 10, 64]), TensorShape([2, 10, 883]), TensorShape([2, 4410, 1]))
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        channels: int = 1,
        hop: int = 441,
        n_fft: int = 1764,
        mel_bands: int = 256,
        iterations: int = 14,
        width: int = 256,
        depth: int = 4,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.hop = self.latent_hop = hop
        self.channels, self.iterations = channels, iterations
        self.mel = MelFrontEnd(sample_rate, hop, n_fft, mel_bands, channels)
        self.stack = Encoder([width], [depth], [], dtype=self.dtype_policy)
        bins = channels * (n_fft // 2 + 1)
        self.head = keras.layers.Dense(bins, kernel_initializer="zeros", dtype="float32")  # begins with flat bands
        self.context_frames = -(-(self.stack.reach(hop) + 4 * n_fft) // hop)
        self.fade_samples = n_fft  # see `AudioNetwork.fade_samples`

    def adapt(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """See `MelFrontEnd.adapt`."""
        self.mel.adapt(batches)

    def encode(self, waveform: tf.Tensor) -> tf.Tensor:
        """Standardised mel bands: float32 [batch, samples, channels] -> [batch, ceil(samples / hop), bands]."""
        return self.mel.features(waveform)

    def decode(self, features: tf.Tensor) -> tf.Tensor:
        """The waveform of standardised mel bands: [batch, frames, bands] -> [batch, frames * hop, channels]."""
        mel = self.mel.powers(features)
        last = min(BAND_ITERATIONS, self.iterations)
        signal = griffin_lim(self._magnitudes(features, mel), self.mel.n_fft, self.hop, self.iterations - last)
        signal = approach_bands(signal, mel, self.mel.matrix, self.mel.n_fft, self.hop, last)
        return from_mono_batch(signal, self.channels)

    def predict(self, features: tf.Tensor) -> tf.Tensor:
        """What is compared with a sound in training: its magnitudes, on the scale of `frontends.signal.stft`.

        Args:
            features: float32 [batch, frames, channels * bands], standardised.

        Returns:
            float32 [batch, frames, channels * (n_fft // 2 + 1)], 0 or above.
        """
        return channels_to_bins(self._magnitudes(features, self.mel.powers(features)), self.channels)

    def _magnitudes(self, features: tf.Tensor, mel: tf.Tensor) -> tf.Tensor:
        """Each channel's: features and their bands as powers -> [batch * channels, frames, n_fft // 2 + 1]."""
        log_gains = bins_to_channels(self.head(self.stack(features)), self.channels)
        gains = tf.exp(2.0 * tf.clip_by_value(log_gains, -MAX_LOG_GAIN, MAX_LOG_GAIN))
        powers = invert_mel(mel, self.mel.matrix, START_ITERATIONS) * gains
        powers *= band_gains(powers, mel, self.mel.matrix)
        return powers * tf.math.rsqrt(powers + SMALLEST)  # the root; its gradient is finite, and silence is 0

    def build(self, input_shape: tuple | None = None) -> None:
        """Nothing of its own: models build it by running `encode` and `decode` once."""
        self.built = True
