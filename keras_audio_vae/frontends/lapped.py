"""A learnable lapped transform: a strided convolution that starts as an orthonormal cosine transform."""

import keras
import tensorflow as tf

from keras_audio_vae.frontends.channels import bins_to_channels, channels_to_bins, from_mono_batch, to_mono_batch
from keras_audio_vae.frontends.companding import compress, expand
from keras_audio_vae.frontends.signal import frame, lapped_basis, overlap_add, sine_window


@keras.saving.register_keras_serializable("keras_audio_vae")
class LappedTransform(keras.layers.Layer):
    """Waveform to companded coefficients of a lapped transform and back, both directions learnable.

    Analysis is a strided convolution whose kernel of two hops starts as the lowest `bands` functions of the modified
    discrete cosine transform; synthesis is its transpose with a kernel of its own. Before any training, synthesis after
    analysis is therefore the projection onto the band below sample_rate * bands / (2 * hop), and the identity for
    `bands == hop`.

    Args:
        hop: Samples from one frame to the next.
        bands: Coefficients per frame and channel, 1 to `hop`.
        channels: Channels of the waveform; each is transformed by the same kernel.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> transform = LappedTransform(hop=210, bands=210)
        >>> x = tf.random.stateless_normal([2, 2100, 1], seed=[0, 1])
        >>> coefficients = transform.analyse(x)
        >>> coefficients.shape
        TensorShape([2, 10, 210])
        >>> bool(tf.reduce_max(tf.abs(transform.synthesize(coefficients) - x)) < 1e-3)
        True

    Reference:
        Princen, Johnson, Bradley: Subband/Transform Coding Using Filter Bank Designs Based on Time Domain Aliasing
        Cancellation, ICASSP 1987.
    """

    def __init__(self, hop: int, bands: int, channels: int = 1, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.hop, self.bands, self.channels = hop, bands, channels
        basis = lapped_basis(hop, bands)

        def cosines(shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
            return tf.constant(basis, dtype)

        # Both directions are called by name, not through `__call__`, so that the autocast of whatever layer is calling
        # would reach the kernels: a model of mixed precision would multiply them, rounded, with float32 frames.
        kernel = {"shape": basis.shape, "initializer": cosines, "autocast": False}
        self.analysis_kernel = self.add_weight(name="analysis", **kernel)
        self.synthesis_kernel = self.add_weight(name="synthesis", **kernel)
        self.built = True

    def analyse(self, waveform: tf.Tensor) -> tf.Tensor:
        """Companded coefficients of a waveform.

        Args:
            waveform: float32 [batch, samples, channels].

        Returns:
            float32 [batch, ceil(samples / hop), channels * bands].
        """
        frames = frame(to_mono_batch(waveform), 2 * self.hop, self.hop)
        coefficients = tf.matmul(frames, tf.convert_to_tensor(self.analysis_kernel))
        return channels_to_bins(compress(coefficients), self.channels)

    def synthesize(self, coefficients: tf.Tensor) -> tf.Tensor:
        """The waveform of companded coefficients.

        Args:
            coefficients: float32 [batch, frames, channels * bands].

        Returns:
            float32 [batch, frames * hop, channels].
        """
        values = expand(bins_to_channels(coefficients, self.channels))
        frames = tf.matmul(values, tf.convert_to_tensor(self.synthesis_kernel), transpose_b=True)
        return from_mono_batch(overlap_add(frames, tf.constant(sine_window(self.hop)), self.hop), self.channels)

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`analyse`, so that the layer can stand in a Keras model."""
        return self.analyse(waveform)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "hop": self.hop, "bands": self.bands, "channels": self.channels}
