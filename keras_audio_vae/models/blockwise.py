"""Long recordings through a model, block by block, as if in one pass."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

BLOCK_SECONDS = 20.0


class Blockwise(Protocol):
    """What a model must have; every `AudioAutoencoder` has it."""

    sample_rate: int
    latent_hop: int
    context_frames: int
    fade_samples: int

    def reconstruct_at_once(self, waveform) -> tf.Tensor:
        """The reconstruction in one pass."""

    def encode(self, waveform) -> Any:
        """The latents: a tensor, or a tuple of levels."""

    def decode(self, latents, num_samples=None) -> tf.Tensor:
        """The waveform of latents."""


class _Span(NamedTuple):
    """A block of a recording and the surroundings that it goes through a model with.

    Attributes:
        first: Where the surroundings begin, in samples, on a latent frame.
        last: Where they end.
        lead: Latent frames of them before the block.
        frames: Latent frames of the block; the last block may be shorter.
    """

    first: int
    last: int
    lead: int
    frames: int


def _spans(model: Blockwise, samples: int) -> Iterator[_Span]:
    """Blocks of some twenty seconds that cover a recording."""
    hop = model.latent_hop
    frames = max(1, round(BLOCK_SECONDS * model.sample_rate / hop))
    for start in range(0, samples, frames * hop):
        lead = min(start // hop, model.context_frames)
        yield _Span(start - lead * hop, min(samples, start + (frames + model.context_frames) * hop), lead, frames)


def _stretch(latents: Any, first: int, last: int) -> Any:
    """Frames `first` to `last` of latents; a level with several frames to each of the first level's gives as many."""
    slowest = tf.nest.flatten(latents)[0].shape[1]

    def cut(level: tf.Tensor) -> tf.Tensor:
        ratio = level.shape[1] // slowest
        return level[:, first * ratio : last * ratio]

    return tf.nest.map_structure(cut, latents)


def _blocks(model: Blockwise, spans: Iterable[_Span], parts: Iterable[tf.Tensor]) -> Iterator[tf.Tensor]:
    """Cuts the blocks out of what was made of them with their surroundings, and fades them into each other."""
    hop, fade, before = model.latent_hop, model.fade_samples, None
    for span, part in zip(spans, parts, strict=True):
        part = part[:, span.lead * hop :]
        block, after = part[:, : span.frames * hop], part[:, span.frames * hop :][:, :fade]
        yield block if before is None else _faded(before, block)
        before = after if fade else None


def _faded(before: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
    """A block whose beginning comes up while the end of the one before goes down; the power stays the same."""
    length = min(before.shape[1], block.shape[1])
    angle = (tf.range(length, dtype=tf.float32)[:, tf.newaxis] + 0.5) * (0.5 * math.pi / length)
    beginning = tf.cos(angle) * before[:, :length] + tf.sin(angle) * block[:, :length]
    return tf.concat([beginning, block[:, length:]], axis=1)


def reconstruct_blocks(model: Blockwise, read: Callable[[int, int], tf.Tensor], samples: int) -> Iterator[tf.Tensor]:
    """What `model.reconstruct` makes of a recording that is read, and given back, block by block.

    Each block goes through the model with as much of its surroundings as can make a difference: the result is that of
    one pass, in memory that does not depend on the length. A model that searches for a phase finds another one for each
    block; there the blocks are faded into each other.

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
    spans = list(_spans(model, samples))
    parts = (model.reconstruct_at_once(read(span.first, span.last - span.first)) for span in spans)
    yield from _blocks(model, spans, parts)


def encode_blocks(model: Blockwise, read: Callable[[int, int], tf.Tensor], samples: int) -> Iterator[Any]:
    """The latents of a recording that is read block by block, as `model.encode` gives them in one pass.

    Args:
        model: an `AudioAutoencoder`.
        read: (start, count) -> waveform, float32 [batch, count, channels].
        samples: length of the recording.

    Yields:
        Latents or codes [batch, frames of the block, ...], or levels of them, of twenty seconds or less.

    Example:
        >>> from keras_audio_vae.models import VAE
        >>> model = VAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4)
        >>> sound = tf.random.stateless_normal([1, 500_000, 1], [0, 1])
        >>> parts = encode_blocks(model, lambda start, count: sound[:, start : start + count], 500_000)
        >>> [part.shape[1] for part in parts]
        [2100, 281]
    """
    for span in _spans(model, samples):
        yield _stretch(model.encode(read(span.first, span.last - span.first)), span.lead, span.lead + span.frames)


def decode_blocks(model: Blockwise, latents: Any, samples: int) -> Iterator[tf.Tensor]:
    """The waveform of a long sequence of latents, as `model.decode` gives it in one pass.

    Args:
        model: an `AudioAutoencoder`.
        latents: latents or codes [batch, frames, ...], or a tuple of levels of them.
        samples: length of the recording, at most frames * latent_hop.

    Yields:
        float32 [batch, samples of the block, channels], twenty seconds or less.

    Example:
        >>> from keras_audio_vae.models import VAE
        >>> model = VAE(widths=[8], depths=[1], strides=[], latent_dim=4, waveform_bands=4)
        >>> [part.shape[1] for part in decode_blocks(model, tf.zeros([1, 2381, 4]), 500_000)]
        [441000, 59000]
    """
    hop, spans = model.latent_hop, list(_spans(model, samples))
    parts = (
        model.decode(_stretch(latents, span.first // hop, -(-span.last // hop)), span.last - span.first)
        for span in spans
    )
    yield from _blocks(model, spans, parts)
