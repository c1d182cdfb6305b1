"""The network that every model family shares: waveform to hidden frames, latents back to a waveform."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_audio_vae.frontends import LappedTransform, STFTFrontEnd, WaveformFrontEnd
from keras_audio_vae.frontends.signal import length_of
from keras_audio_vae.layers.stacks import Decoder, Encoder, check_stages

FRONTENDS = ("stft", "waveform")
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
        frontend: "stft" or "waveform".
        hop: Samples per feature frame.
        n_fft: Window of the STFT front end in samples.
        widths: Channels of each stage.
        depths: Residual blocks of each stage.
        strides: Frame rate reduction between stages.
        upsampling: "nearest" or "transposed".
        waveform_bands: Coefficients of the linear path per channel; 0 for no such path. Not with pooling.
        pooled_samples: 0 for a sequence of latents, or the samples that one pooled latent vector stands for.
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
        widths: Sequence[int] = (128, 256),
        depths: Sequence[int] = (4, 2),
        strides: Sequence[int] = (3,),
        upsampling: str = "nearest",
        waveform_bands: int = 64,
        pooled_samples: int = 0,
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
        self.channels, self.hop, self.n_fft, self.strides = channels, hop, n_fft, list(strides)
        self.waveform_bands, self.pooled_frames = waveform_bands, pooled_samples // frame_hop
        self.depths, self.upsampling, self.latent_hop = list(depths), upsampling, pooled_samples or frame_hop
        policy = self.dtype_policy
        self.frontend = STFTFrontEnd(hop, n_fft, channels) if frontend == "stft" else WaveformFrontEnd(hop, channels)
        self.linear_path = LappedTransform(frame_hop, waveform_bands, channels) if waveform_bands else None
        self.encoder = Encoder(widths, depths, strides, dtype=policy)
        self.decoder = Decoder(widths, depths, strides, upsampling, dtype=policy)
        # With a draft the outputs start at zero, which leaves the draft as it is.
        initializer = "zeros" if waveform_bands else "glorot_uniform"
        self.head = keras.layers.Dense(self.frontend.output_bins, kernel_initializer=initializer, dtype="float32")
        if self.pooled_frames:
            self.positions = self.add_weight(
                name="positions", shape=(self.pooled_frames, widths[-1]), initializer="random_normal"
            )
            self.spread = keras.layers.Dense(widths[-1], dtype=policy)

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
        draft = self._draft(latents)
        hidden = self.decoder(self._spread(latents), self.frontend.features(draft))
        return self.frontend.synthesize(self.head(hidden), draft)

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

        A convolution of three frames reaches one frame, at its stage's rate, in the encoder and again in the decoder;
        windows reach half of what they are longer than their hop; the linear path and the upsampling reach one frame
        each.
        """
        stage_hops = [self.hop * math.prod(self.strides[:stage]) for stage in range(len(self.depths))]
        one_way = sum(depth * hop for depth, hop in zip(self.depths, stage_hops, strict=True))
        upsampling = sum(stage_hops[1:]) if self.upsampling == "transposed" else sum(stage_hops[:-1])
        windows = 4 * max(self.n_fft, 2 * self.hop) + 2 * stage_hops[-1]
        return -(-(2 * one_way + upsampling + windows) // self.latent_hop) + 1

    def build(self, input_shape: tuple | None = None) -> None:
        """Nothing of its own: models build it by running `encode` and `decode` once."""
        self.built = True
