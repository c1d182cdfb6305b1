"""The waveform front end: a strided, learnable first layer and its transpose as the last."""

import math

import keras
import tensorflow as tf

from keras_audio_vae.frontends.lapped import LappedTransform

MAX_LOG_GAIN = math.log(2.0)  # the gain is there to gate noise; what is missing is added, and an early step stays small


@keras.saving.register_keras_serializable("keras_audio_vae")
class WaveformFrontEnd(keras.layers.Layer):
    """Companded coefficients of a learnable lapped transform in; a log gain and an addition per coefficient out.

    With the draft's companded coefficient c, the network gives a log gain g and an addition a: the result is c e^g + a.
    So zeros leave the draft as it is, and noise in it is gated by a low gain. The transform starts as a complete
    orthonormal basis (`bands == hop`), so no sound is lost before the first training step.

    Args:
        hop: Samples from one frame to the next; also the number of coefficients per frame and channel.
        channels: Channels of the waveform.
        **kwargs: Those of `keras.layers.Layer`. It computes in float32 whatever the global policy.

    Example:
        >>> frontend = WaveformFrontEnd(hop=210)
        >>> x = tf.random.stateless_normal([1, 2100, 1], seed=[0, 1])
        >>> frontend.features(x).shape
        TensorShape([1, 10, 210])
        >>> same = frontend.synthesize(tf.zeros([1, 10, 420]), draft=x)
        >>> bool(tf.reduce_max(tf.abs(same - x)) < 1e-3)
        True
    """

    def __init__(self, hop: int = 210, channels: int = 1, **kwargs) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.hop, self.channels = hop, channels
        self.output_bins = 2 * channels * hop
        self.transform = LappedTransform(hop, hop, channels)
        self.built = True

    def features(self, waveform: tf.Tensor) -> tf.Tensor:
        """Companded coefficients: [batch, samples, channels] -> [batch, ceil(samples / hop), channels * hop]."""
        return self.transform.analyse(waveform)

    def synthesize(self, outputs: tf.Tensor, draft: tf.Tensor) -> tf.Tensor:
        """The waveform of the draft's coefficients, scaled and added to.

        Args:
            outputs: float32 [batch, frames, 2 * channels * hop].
            draft: float32 [batch, frames * hop, channels].

        Returns:
            float32 [batch, frames * hop, channels].
        """
        log_gain, addition = tf.split(outputs, 2, axis=-1)
        gain = tf.exp(tf.minimum(log_gain, MAX_LOG_GAIN))
        return self.transform.synthesize(gain * self.transform.analyse(draft) + addition)

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        """`features`, so that the layer can stand in a Keras model."""
        return self.features(waveform)

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        return {**super().get_config(), "hop": self.hop, "channels": self.channels}
