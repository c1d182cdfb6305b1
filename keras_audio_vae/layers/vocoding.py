"""The network of a vocoder: mel bands to the waveform, through a draft that a search has found."""

import math
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from keras_audio_vae.frontends import MelFrontEnd, STFTFrontEnd
from keras_audio_vae.layers.stacks import Decoder

DRAFT_FLOOR = 1e-6  # of the search's result, whose soft bins are right: a floor above them would be heard as noise


@keras.saving.register_keras_serializable("keras_audio_vae")
class VocoderNetwork(keras.layers.Layer):
    """Refines what a few iterations of the mel front end's own synthesis make of a spectrogram.

    A network that has to invent a phase needs days and an adversary to sound clean. The search finds a phase at once,
    and what it leaves to be desired (levels, noise between partials, smeared onsets) is learnt in minutes: a decoder
    sees the mel bands and the draft's spectrum, and gives a log gain and a phase direction for each bin.

    Args:
        sample_rate: In Hz.
        channels: Channels of the waveform.
        hop: Samples per frame of the mel bands.
        n_fft: Window of the mel bands in samples.
        mel_bands: Their number.
        synthesis: How the draft is found, see `MelFrontEnd`.
        iterations: Of that search.
        window: Of the refined spectrum in samples; shorter than that of the mel bands, it mends onsets.
        widths: Channels of each stage of the decoder, the fastest first.
        depths: Residual blocks of each stage.
        strides: Frames of the refined spectrum for each frame of the mel bands, stage by stage.
        upsampling: "nearest" or "transposed".
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If the arguments do not fit each other.

    Example:
        >>> network = VocoderNetwork(widths=[8, 16], depths=[1, 1], mel_bands=64)
        >>> sound = tf.random.stateless_normal([2, 4410, 1], seed=[0, 1])
        >>> mel = network.encode(sound)
        >>> mel.shape, network.decode(mel).shape
        (TensorShape([2, 10, 64]), TensorShape([2, 4410, 1]))

    Reference:
        Siuzdak: Vocos, 2023 (frames at the rate of the mel bands, a spectrum at the end).
    """

    def __init__(
        self,
        sample_rate: int = 22050,
        channels: int = 1,
        hop: int = 441,
        n_fft: int = 1764,
        mel_bands: int = 256,
        synthesis: str = "joint",
        iterations: int = 8,
        window: int = 588,
        widths: Sequence[int] = (128, 256),
        depths: Sequence[int] = (4, 2),
        strides: Sequence[int] = (3,),
        upsampling: str = "nearest",
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        of_spectrum = hop // math.prod(strides)
        if hop % math.prod(strides) or window % of_spectrum or window < 2 * of_spectrum:
            raise ValueError(
                f"hop ({hop} samples) must be a multiple of the strides {list(strides)}, and window ({window} samples) "
                "one of the hop that is left, at least twice as long."
            )
        self.hop = self.latent_hop = hop
        policy = self.dtype_policy
        self.mel = MelFrontEnd(sample_rate, hop, n_fft, mel_bands, channels, synthesis, iterations)
        self.spectrum = STFTFrontEnd(of_spectrum, window, channels, draft_floor=DRAFT_FLOOR)
        self.decoder = Decoder(widths, depths, strides, upsampling, dtype=policy)
        self.head = keras.layers.Dense(self.spectrum.output_bins, kernel_initializer="zeros", dtype="float32")
        self.context_frames = -(-(self.decoder.reach(self.spectrum.hop) + 4 * n_fft + window) // hop)
        self.fade_samples = n_fft  # see `AudioNetwork.fade_samples`

    def adapt(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """See `MelFrontEnd.adapt`."""
        self.mel.adapt(batches)

    def encode(self, waveform: tf.Tensor) -> tf.Tensor:
        """Standardised mel bands: float32 [batch, samples, channels] -> [batch, ceil(samples / hop), bins]."""
        return self.mel.features(waveform)

    def decode(self, features: tf.Tensor) -> tf.Tensor:
        """The waveform of standardised mel bands: [batch, frames, bins] -> [batch, frames * hop, channels]."""
        draft = self.mel.synthesize(features)
        hidden = self.decoder(features, self.spectrum.features(draft))
        return self.spectrum.synthesize(self.head(hidden), draft)

    def predict(self, features: tf.Tensor) -> tf.Tensor:
        """What is compared with a sound in training: the waveform."""
        return self.decode(features)

    def build(self, input_shape: tuple | None = None) -> None:
        """Nothing of its own: models build it by running `encode` and `decode` once."""
        self.built = True
