"""Long recordings through a model, block by block, as if in one pass."""

from collections.abc import Callable, Iterator
from typing import Protocol

import tensorflow as tf

BLOCK_SECONDS = 20.0


class Reconstructing(Protocol):
    """What a model must have; every `AudioAutoencoder` has it."""

    sample_rate: int
    latent_hop: int
    context_frames: int

    def reconstruct_at_once(self, waveform) -> tf.Tensor:
        """The reconstruction in one pass."""


def reconstruct_blocks(
    model: Reconstructing, read: Callable[[int, int], tf.Tensor], samples: int
) -> Iterator[tf.Tensor]:
    """What `model.reconstruct` makes of a recording that is read, and given back, block by block.

    Each block goes through the model with as much of its surroundings as can make a difference: the result is that of
    one pass, in memory that does not depend on the length.

    Args:
        model: an `AudioAutoencoder`.
        read: (start, count) -> waveform, float32 [batch, count, channels].
        samples: length of the recording.

    Yields:
        float32 [batch, samples of the block, channels], twenty seconds or less.

    Example:
        >>> from keras_audio_vae.models import VAE
        >>> model = VAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4)
        >>> sound = tf.random.stateless_normal([1, 500_000, 1], [0, 1])
        >>> parts = reconstruct_blocks(model, lambda start, count: sound[:, start : start + count], 500_000)
        >>> [part.shape[1] for part in parts]
        [441000, 59000]
    """
    block = max(1, round(BLOCK_SECONDS * model.sample_rate / model.latent_hop)) * model.latent_hop
    context = model.context_frames * model.latent_hop
    for start in range(0, samples, block):
        first, last = max(0, start - context), min(samples, start + block + context)
        part = model.reconstruct_at_once(read(first, last - first))
        yield part[:, start - first : start - first + block]
