"""Frames, Fourier frames and lapped transforms whose lengths are exact, as pure functions of tensors.

The arithmetic of lengths, once and for all: a signal of N samples cut with hop h has ceil(N / h) frames, frame t is
centred on the samples [t h, (t + 1) h), and what a window reaches beyond either end is read as zero. Nothing is
cropped, and the way back from ceil(N / h) frames gives ceil(N / h) h samples, of which the first N are the signal's.

Everything here is float32: TensorFlow's FFT takes nothing shorter, and phase suffers first from lost bits.
"""

import functools

import numpy as np
import tensorflow as tf


def num_frames(num_samples, hop: int):
    """Number of frames that cover a signal: ceil(num_samples / hop).

    Args:
        num_samples: Length of the signal in samples, a Python int or an integer tensor.
        hop: Samples from one frame to the next.

    Returns:
        The number of frames, of the same type as `num_samples`.

    Example:
        >>> num_frames(22050, 210), num_frames(22051, 210)
        (105, 106)
    """
    return -(-num_samples // hop)


def length_of(tensor: tf.Tensor, axis: int):
    """A tensor's length along an axis: a Python int where it is known, else a scalar int32 tensor."""
    return tensor.shape[axis] if tensor.shape[axis] is not None else tf.shape(tensor)[axis]


def frame(signal: tf.Tensor, size: int, hop: int) -> tf.Tensor:
    """Cuts a signal into overlapping frames, frame t centred on samples [t hop, (t + 1) hop).

    A frame is put together from whole hops by slicing, not by a gather, whose gradient is many times slower.

    Args:
        signal: float [batch, samples].
        size: Samples per frame, a multiple of `hop`.
        hop: Samples from one frame to the next. Where `size - hop` is odd, frames begin half a sample late.

    Returns:
        float [batch, ceil(samples / hop), size].

    Raises:
        ValueError: If `size` is no multiple of `hop`.

    Example:
        >>> frame(tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]), size=6, hop=2).numpy()[0]
        array([[0., 0., 1., 2., 3., 4.],
               [1., 2., 3., 4., 5., 6.],
               [3., 4., 5., 6., 0., 0.]], dtype=float32)
    """
    before, beyond = _overhang(size, hop)
    samples = length_of(signal, 1)
    frames = num_frames(samples, hop)
    after = frames * hop - samples + beyond
    hops = tf.reshape(tf.pad(signal, [[0, 0], [before, after]]), [tf.shape(signal)[0], frames + size // hop - 1, hop])
    return tf.concat([hops[:, index : index + frames] for index in range(size // hop)], axis=-1)


def overlap_add(frames: tf.Tensor, window: tf.Tensor, hop: int) -> tf.Tensor:
    """Adds windowed frames up to a signal and divides by the squared windows that cover each sample.

    The division undoes the windows of analysis and synthesis, also at either end, where fewer of them meet.

    Args:
        frames: float [batch, frames, size], each already multiplied by `window`.
        window: float [size], the window of analysis and synthesis.
        hop: Samples from one frame to the next, a divisor of `size`.

    Returns:
        float [batch, frames * hop]; what frames reach beyond either end is dropped, as `frame` read it as zero.

    Example:
        >>> window = analysis_window(6)
        >>> overlap_add(frame(tf.ones([1, 6]), 6, 2) * window**2, window, hop=2).numpy().round(4)
        array([[1., 1., 1., 1., 1., 1.]], dtype=float32)
    """
    coverage = tf.ones([1, length_of(frames, 1), 1]) * tf.square(window)
    return _transposed_frame(frames, hop) / tf.maximum(_transposed_frame(coverage, hop), 1e-8)


def _transposed_frame(frames: tf.Tensor, hop: int) -> tf.Tensor:
    size, count = frames.shape[-1], length_of(frames, 1)
    (before, _), overlap = _overhang(size, hop), size // hop
    parts = tf.unstack(tf.reshape(frames, [tf.shape(frames)[0], count, overlap, hop]), axis=2)
    hops = tf.add_n([tf.pad(part, [[0, 0], [index, overlap - 1 - index], [0, 0]]) for index, part in enumerate(parts)])
    samples = tf.reshape(hops, [tf.shape(frames)[0], (count + overlap - 1) * hop])
    return samples[:, before : before + count * hop]


def _overhang(size: int, hop: int) -> tuple[int, int]:
    if size % hop:
        raise ValueError(f"A frame of {size} samples must be a multiple of its hop of {hop} samples.")
    return (size - hop) // 2, size - hop - (size - hop) // 2


def stft(signal: tf.Tensor, n_fft: int, hop: int) -> tf.Tensor:
    """Short-time Fourier transform with a Hann window, scaled so that white noise of variance 1 has bins of variance 1.

    Args:
        signal: float32 [batch, samples].
        n_fft: Window and transform length in samples, a multiple of `hop`.
        hop: Samples from one frame to the next.

    Returns:
        complex64 [batch, ceil(samples / hop), n_fft // 2 + 1].

    Example:
        >>> stft(tf.zeros([2, 22050]), n_fft=840, hop=210).shape
        TensorShape([2, 105, 421])
    """
    return tf.signal.rfft(frame(signal, n_fft, hop) * analysis_window(n_fft))


def inverse_stft(spectrum: tf.Tensor, n_fft: int, hop: int) -> tf.Tensor:
    """Signal whose `stft` is nearest to a spectrum in squared error; exact for a spectrum that is a signal's own.

    Args:
        spectrum: complex64 [batch, frames, n_fft // 2 + 1].
        n_fft: Window and transform length in samples.
        hop: Samples from one frame to the next; `n_fft` must be at least twice as long, so that windows overlap.

    Returns:
        float32 [batch, frames * hop].

    Example:
        >>> x = tf.random.stateless_normal([1, 4200], seed=[1, 2])
        >>> error = inverse_stft(stft(x, 840, 210), 840, 210) - x
        >>> bool(tf.reduce_max(tf.abs(error)) < 1e-4)
        True

    Reference:
        Griffin, Lim: Signal Estimation from Modified Short-Time Fourier Transform, IEEE TASSP 32(2), 1984.
    """
    window = analysis_window(n_fft)
    return overlap_add(tf.signal.irfft(spectrum, [n_fft]) * window, window, hop)


@functools.cache
def _scaled_hann(size: int) -> np.ndarray:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(size) + 0.5) / size)  # half-sample offset: symmetric, nowhere zero
    return (hann / np.sqrt(np.sum(hann**2))).astype(np.float32)


def analysis_window(size: int) -> tf.Tensor:
    """Hann window with the half-sample offset, scaled to energy 1: float32 [size].

    Args:
        size: Length in samples.

    Returns:
        float32 [size].

    Example:
        >>> round(float(tf.reduce_sum(analysis_window(840) ** 2)), 4)
        1.0
    """
    return tf.constant(_scaled_hann(size))


def sine_window(hop: int) -> np.ndarray:
    """The window of the lapped transform: half a sine over two hops, float32 [2 * hop]."""
    return np.sin(np.pi * _lapped_positions(hop) / (2 * hop)).astype(np.float32)


def _lapped_positions(hop: int) -> np.ndarray:
    """Where a lapped frame's samples lie in it: half a sample later for an odd hop, as `frame` cuts it so late.

    The folds of the transform then fall between two samples at either end of a signal, and the first one is kept.
    """
    return np.arange(2 * hop) + (1.0 if hop % 2 else 0.5)


def lapped_basis(hop: int, bands: int) -> np.ndarray:
    """The lowest `bands` functions of the modified discrete cosine transform with a sine window.

    They are orthonormal, also across frames one hop apart, so that analysis by them and synthesis by the same
    functions project a signal onto the band below sample_rate * bands / (2 * hop); with `bands == hop` the projection
    is the identity.

    Args:
        hop: Samples from one frame to the next; each function is two hops long.
        bands: How many functions, from the lowest frequency up, at most `hop`.

    Returns:
        float32 [2 * hop, bands].

    Raises:
        ValueError: If `bands` is not between 1 and `hop`.

    Example:
        >>> basis = lapped_basis(hop=630, bands=64)
        >>> bool(np.allclose(basis.T @ basis, np.eye(64), atol=1e-5))
        True

    Reference:
        Princen, Johnson, Bradley: Subband/Transform Coding Using Filter Bank Designs Based on Time Domain Aliasing
        Cancellation, ICASSP 1987.
    """
    if not 1 <= bands <= hop:
        raise ValueError(f"A lapped transform with a hop of {hop} samples has 1 to {hop} bands, not {bands}.")
    sample = _lapped_positions(hop)[:, None]
    band = np.arange(bands)[None, :] + 0.5
    return (sine_window(hop)[:, None] * np.sqrt(2 / hop) * np.cos(np.pi / hop * (sample + hop / 2) * band)).astype(
        np.float32
    )
