"""The network that every model family shares: waveform to hidden frames, latents back to a waveform."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_audio_vae.frontends import LappedTransform, MelFrontEnd, STFTFrontEnd, WaveformFrontEnd
from keras_audio_vae.frontends.frontend import FrontEnd
from keras_audio_vae.frontends.signal import length_of
from keras_audio_vae.layers.stacks import Decoder, Encoder, check_stages, stage_hops
from keras_audio_vae.layers.vocoding import VocoderNetwork

FRONTENDS = ("stft", "waveform", "mel")
POOLINGS = ("sequence", "global")


class Encoding(NamedTuple):
    """What the network makes of a waveform.

    Attributes:
        hidden: float [batch, latent frames, widths[-1]].
        skip: float32 [batch, latent frames, channels * waveform_bands], the linear path's coefficients; None without
            one.
    """

    hidden: tf.Tensor
    skip: tf.Tensor | None


@keras.saving.register_keras_serializable("keras_audio_vae")
class AudioNetwork(keras.layers.Layer):
    """Front end, encoder and decoder, with a linear path through the latents beside them.

    The linear path is a lapped transform at the latents' own frame rate: its lowest `waveform_bands` coefficients go
    into the first latents, and what comes out of the latents is synthesised to a draft of the waveform. The decoder
    sees the draft's features and refines the draft. A network alone needs very long to learn the phase of a sound; the
    path carries it, for the band that holds most of the energy, from the first step on, and leaves magnitudes and the
    upper bands to the network.

    Args:
        channels: Channels of the waveform.
        frontend: "stft", "waveform" or "mel".
        hop: Samples per feature frame.
        n_fft: Window of the STFT and mel front ends in samples.
        sample_rate: In Hz; the mel front end has to know it, as it has to know the next two.
        mel_bands: Its bands.
        synthesis: Its method, see `MelFrontEnd`.
        widths: Channels of each stage.
        depths: Residual blocks of each stage.
        strides: Frame rate reduction between stages.
        upsampling: "nearest" or "transposed".
        waveform_bands: Coefficients of the linear path per channel; 0 for no such path. Neither with pooling nor with
            mel bands.
        pooled_samples: 0 for a sequence of latents, or the samples that one pooled latent vector stands for.
        vocoder: Trained before, makes the waveform of the mel front end's bands in place of `synthesis`; it is not
            trained any more.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        ValueError: If the arguments do not fit each other.

    Example:
        >>> network = AudioNetwork(widths=[8, 16], depths=[1, 1], waveform_bands=4)
        >>> encoding = network.encode(tf.zeros([2, 6300, 1]))
        >>> encoding.hidden.shape, encoding.skip.shape
        (TensorShape([2, 10, 16]), TensorShape([2, 10, 4]))
        >>> network.decode(encoding.skip).shape
        TensorShape([2, 6300, 1])
    """

    def __init__(
        self,
        channels: int = 1,
        frontend: str = "stft",
        hop: int = 210,
        n_fft: int = 840,
        sample_rate: int = 22050,
        mel_bands: int = 128,
        synthesis: str = "joint",
        widths: Sequence[int] = (128, 256),
        depths: Sequence[int] = (4, 2),
        strides: Sequence[int] = (3,),
        upsampling: str = "nearest",
        waveform_bands: int = 64,
        pooled_samples: int = 0,
        vocoder: VocoderNetwork | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if frontend not in FRONTENDS:
            raise ValueError(f"frontend must be one of {', '.join(FRONTENDS)}, not {frontend!r}.")
        check_stages(widths, depths, strides)
        frame_hop = hop * math.prod(strides)
        if pooled_samples % frame_hop:
            raise ValueError(
                f"chunk_samples ({pooled_samples}) must be a multiple of hop * strides ({frame_hop}) to be pooled."
            )
        if pooled_samples and waveform_bands:
            raise ValueError(
                "waveform_bands must be 0 with pooled latents: one vector per chunk cannot hold a waveform."
            )
        if waveform_bands and frontend == "mel":
            raise ValueError("waveform_bands must be 0 with frontend=mel: a spectrogram has no phase to be carried.")
        self.channels, self.hop, self.n_fft, self.strides = channels, hop, n_fft, list(strides)
        self.waveform_bands, self.pooled_frames = waveform_bands, pooled_samples // frame_hop
        self.latent_hop = pooled_samples or frame_hop
        policy = self.dtype_policy
        self.frontend: FrontEnd
        if frontend == "stft":
            self.frontend = STFTFrontEnd(hop, n_fft, channels)
        elif frontend == "waveform":
            self.frontend = WaveformFrontEnd(hop, channels)
        else:
            self.frontend = MelFrontEnd(sample_rate, hop, n_fft, mel_bands, channels, synthesis)
        self.vocoder = vocoder
        if vocoder is not None:
            if self.mel is None or not self.mel.has_bands_of(vocoder.mel):
                raise ValueError(
                    "A vocoder needs frontend=mel, with the hop, n_fft, mel_bands, rate and channels that are its own."
                )
            vocoder.trainable = False
        self.linear_path = LappedTransform(frame_hop, waveform_bands, channels) if waveform_bands else None
        self.encoder = Encoder(widths, depths, strides, dtype=policy)
        self.decoder = Decoder(widths, depths, strides, upsampling, takes_draft=bool(waveform_bands), dtype=policy)
        # With a draft the outputs start at zero, which leaves the draft as it is.
        initializer = "zeros" if waveform_bands else "glorot_uniform"
        self.head = keras.layers.Dense(self.frontend.output_bins, kernel_initializer=initializer, dtype="float32")
        if self.pooled_frames:
            self.positions = self.add_weight(
                name="positions", shape=(self.pooled_frames, widths[-1]), initializer="random_normal"
            )
            self.spread = keras.layers.Dense(widths[-1], dtype=policy)

    @property
    def mel(self) -> MelFrontEnd | None:
        """The front end, if the network predicts mel bands; None if it predicts the waveform."""
        return self.frontend if isinstance(self.frontend, MelFrontEnd) else None

    def adapt(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """See `MelFrontEnd.adapt`; the other front ends know all they need, and no batch is asked for."""
        if self.mel is not None:
            self.mel.adapt(batches)

    def encode(self, waveform: tf.Tensor) -> Encoding:
        """Hidden frames of a waveform.

        Args:
            waveform: float32 [batch, samples, channels], samples a multiple of `latent_hop`.

        Returns:
            An `Encoding` of samples / latent_hop frames.
        """
        hidden = self.encoder(self.frontend.features(waveform))
        if self.pooled_frames:
            chunks = tf.reshape(hidden, [tf.shape(hidden)[0], -1, self.pooled_frames, hidden.shape[-1]])
            hidden = tf.reduce_mean(chunks, axis=2)
        return Encoding(hidden, self.linear_path.analyse(waveform) if self.linear_path is not None else None)

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """The waveform of latents: float32 [batch, frames, dim] -> [batch, frames * latent_hop, channels]."""
        return self.synthesize(*self._outputs(latents))

    def synthesize(self, outputs: tf.Tensor, draft: tf.Tensor | None = None) -> tf.Tensor:
        """The waveform of the head's outputs, by the vocoder if there is one.

        Args:
            outputs: float32 [batch, frames, bins].
            draft: float32 [batch, samples, channels] of the waveform; mel bands need none.

        Returns:
            float32 [batch, frames * hop, channels].
        """
        if self.vocoder is not None and self.mel is not None:
            return self.vocoder.decode(self.vocoder.mel.standardize(self.mel.in_decades(outputs)))
        return self.frontend.synthesize(outputs, draft)

    def predict(self, latents: tf.Tensor) -> tf.Tensor:
        """What is compared with a sound in training: the waveform, or mel bands, whose way back has no gradient.

        Args:
            latents: float32 [batch, frames, dim].

        Returns:
            float32 [batch, frames * latent_hop, channels], or features [batch, frames * latent_hop / hop, bins].
        """
        outputs, draft = self._outputs(latents)
        return self.synthesize(outputs, draft) if self.mel is None else outputs

    def _outputs(self, latents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the front end synthesises from: the head's outputs and a draft of the waveform."""
        draft = self._draft(latents)
        features = None if self.linear_path is None else self.frontend.features(draft)
        return self.head(self.decoder(self._spread(latents), features)), draft

    def _draft(self, latents: tf.Tensor) -> tf.Tensor:
        if self.linear_path is not None:
            return self.linear_path.synthesize(latents[..., : self.channels * self.waveform_bands])
        samples = length_of(latents, 1) * self.latent_hop
        return tf.zeros([tf.shape(latents)[0], samples, self.channels])

    def _spread(self, latents: tf.Tensor) -> tf.Tensor:
        """Spreads a pooled latent over the frames of its chunk; a learnt vector per frame tells them apart."""
        if not self.pooled_frames:
            return latents
        hidden = self.spread(latents)[:, :, tf.newaxis] + tf.cast(self.positions, self.compute_dtype)
        return tf.reshape(hidden, [tf.shape(hidden)[0], length_of(latents, 1) * self.pooled_frames, hidden.shape[-1]])

    @property
    def context_frames(self) -> int:
        """Latent frames to either side of a sample that can change its reconstruction, rounded up.

        Windows reach half of what they are longer than their hop; the linear path reaches one frame. A phase that is
        searched for depends on everything around, less and less: twice its window counts.
        """
        windows = 4 * max(self.n_fft, 2 * self.hop) + 2 * stage_hops(self.hop, self.strides)[-1]
        reach = self.encoder.reach(self.hop) + self.decoder.reach(self.hop) + windows
        if self.vocoder is not None:
            reach += self.vocoder.stack.reach(self.hop)
        return -(-reach // self.latent_hop) + 1

    @property
    def fade_samples(self) -> int:
        """Over how much two blocks of a long recording are faded into each other: their searched phases differ."""
        return 0 if self.mel is None else self.n_fft

    def build(self, input_shape: tuple | None = None) -> None:
        """Nothing of its own: models build it by running `encode` and `decode` once."""
        self.built = True
