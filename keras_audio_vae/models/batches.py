"""What a model takes as a batch: a waveform, or a waveform with the mask of its padding."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_audio_vae.layers.quantizers.tokens import require_codes
from keras_audio_vae.layers.two_levels import Levels


class Batch(NamedTuple):
    """A batch of chunks.

    Attributes:
        waveform: float32 [batch, samples, channels].
        mask: float32 [batch, samples], 1 for sound, 0 for padding.
    """

    waveform: tf.Tensor
    mask: tf.Tensor


def of_any_waveform(method: Callable[[Any, tf.Tensor], Any]) -> Any:
    """Makes a method of a waveform a graph, traced once for all sizes of the batch and all lengths.

    With the shapes of the first call it would be traced again for the second, which takes seconds.

    Args:
        method: Takes float32 [batch, samples, channels]; no dimension is known while it is traced.
    """
    return tf.function(method, input_signature=[tf.TensorSpec([None, None, None], tf.float32)], autograph=False)


def as_waveform(waveform, channels: int) -> tf.Tensor:
    """A waveform as models compute with it.

    Args:
        waveform: [batch, samples, channels], a tensor or an array of any float type.
        channels: What the model was made for.

    Returns:
        float32 [batch, samples, channels].

    Raises:
        ValueError: If the rank or the number of channels is another, there is no sample, or samples are integers.

    Example:
        >>> as_waveform(tf.zeros([1, 100]), channels=1)
        Traceback (most recent call last):
        ValueError: A waveform is [batch, samples, 1 channels]; this one has shape (1, 100).
    """
    waveform = tf.convert_to_tensor(waveform)
    if not waveform.dtype.is_floating:
        raise ValueError(f"A waveform is floats of -1 to 1, not {waveform.dtype.name}: divide 16-bit samples by 32768.")
    waveform = tf.cast(waveform, tf.float32)
    if waveform.shape.rank != 3 or waveform.shape[-1] not in (None, channels):
        raise ValueError(
            f"A waveform is [batch, samples, {channels} channels]; this one has shape {tuple(waveform.shape)}."
        )
    if waveform.shape[1] == 0:
        raise ValueError(f"A waveform has at least one sample; this one has shape {tuple(waveform.shape)}.")
    return waveform


def as_latents(latents, latent_dim: int) -> tf.Tensor:
    """Latents as models decode them.

    Args:
        latents: [batch, frames, latent_dim], a tensor or an array.
        latent_dim: The model's.

    Returns:
        float32 [batch, frames, latent_dim].

    Raises:
        ValueError: If the rank or the last dimension is another, or there is no frame.

    Example:
        >>> as_latents(tf.zeros([35, 16]), latent_dim=16)
        Traceback (most recent call last):
        ValueError: Latents are [batch, at least one frame, latent_dim = 16]; these have shape (35, 16).
    """
    latents = tf.cast(latents, tf.float32)
    shape = latents.shape
    if shape.rank != 3 or shape[1] == 0 or shape[2] not in (None, latent_dim):
        raise ValueError(
            f"Latents are [batch, at least one frame, latent_dim = {latent_dim}]; these have shape {tuple(shape)}."
        )
    return latents


def as_levels(latents, dims: tuple[int, int], stride: int) -> Levels:
    """Latents of two levels as models decode them.

    Args:
        latents: A pair, top first: [batch, frames, dims[0]] and [batch, frames * stride, dims[1]].
        dims: Sizes of the levels' latent vectors.
        stride: Frames of the bottom per frame of the top.

    Returns:
        `Levels` of float32.

    Raises:
        ValueError: If they are no pair, a level has another shape, or the frames do not fit each other.

    Example:
        >>> as_levels((tf.zeros([1, 7, 2]), tf.zeros([1, 34, 4])), dims=(2, 4), stride=5)
        Traceback (most recent call last):
        ValueError: The bottom level has 5 frames for each of the top's 7, not 34.
    """
    if not isinstance(latents, tuple | list) or len(latents) != 2:
        raise ValueError(f"Latents of two levels are a pair (top, bottom), not {type(latents).__name__}.")
    top, bottom = (as_latents(level, dim) for level, dim in zip(latents, dims, strict=True))
    frames, fast_frames = top.shape[1], bottom.shape[1]
    if frames is not None and fast_frames is not None and fast_frames != stride * frames:
        raise ValueError(f"The bottom level has {stride} frames for each of the top's {frames}, not {fast_frames}.")
    return Levels(top, bottom)


def as_codes(codes, codebook_sizes: Sequence[int]) -> tf.Tensor:
    """Codes as models decode them.

    Args:
        codes: Integers [batch, frames, codebooks], a tensor or an array; of the first codebooks alone if wanted.
        codebook_sizes: How many codes each codebook of the model has.

    Returns:
        int32 [batch, frames, codebooks].

    Raises:
        ValueError: If they are no integers, or the rank or the number of codebooks is another, or there is no frame, or
            (outside a graph) a codebook has no such code.

    Example:
        >>> as_codes(tf.constant([[[0, 3], [1, 8]]]), codebook_sizes=(8, 8))
        Traceback (most recent call last):
        ValueError: Codes of codebook 1 are 0 to 7; these reach from 3 to 8.
    """
    codes = tf.convert_to_tensor(codes)
    most = len(codebook_sizes)
    if not codes.dtype.is_integer:
        raise ValueError(f"Codes are integers, not {codes.dtype.name}.")
    shape = codes.shape
    if shape.rank != 3 or shape[1] == 0 or (shape[2] is not None and not 1 <= shape[2] <= most):
        raise ValueError(f"Codes are [batch, at least one frame, 1 to {most} codebooks]; these are {tuple(shape)}.")
    if tf.executing_eagerly():  # in a graph the quantizer does
        require_codes(codes, codebook_sizes)
    return tf.cast(codes, tf.int32)


def as_batch(data, channels: int) -> Batch:
    """Whatever `fit` hands to a training step, as a `Batch`.

    Args:
        data: A waveform, a mapping with "waveform" and maybe "mask", or a tuple whose first part is one of the two.
        channels: What the model was made for.

    Returns:
        The `Batch`; without a mask everything is sound.

    Example:
        >>> as_batch(tf.zeros([2, 100, 1]), channels=1).mask.shape
        TensorShape([2, 100])
    """
    if isinstance(data, tuple):
        data = data[0]
    if not isinstance(data, Mapping):
        data = {"waveform": data}
    waveform = as_waveform(data["waveform"], channels)
    mask = data.get("mask")
    return Batch(waveform, tf.ones(tf.shape(waveform)[:2]) if mask is None else tf.cast(mask, tf.float32))
