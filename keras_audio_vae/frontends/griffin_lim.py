"""A phase for magnitudes that have none: the fast Griffin-Lim algorithm, begun with phases that advance."""

import math
from collections.abc import Callable

import tensorflow as tf

from keras_audio_vae.frontends.signal import inverse_stft, stft

REACH = 5  # bins to either side that a bin takes its frequency from; a partial, seen through a Hann window, is 4 wide
SMALLEST = 1e-24  # of a bin's power: what is divided by it is silence


def griffin_lim(magnitudes: tf.Tensor, n_fft: int, hop: int, iterations: int = 32, momentum: float = 0.99) -> tf.Tensor:
    """A signal whose short-time spectrum has magnitudes near the given ones.

    Each iteration takes the spectrum of the signal that is nearest to the last spectrum, goes beyond it by `momentum`
    times the last change, and sets the magnitudes anew. No gradient passes through it.

    Cost: one inverse and one forward transform of each frame per iteration.

    Args:
        magnitudes: float32 [batch, frames, n_fft // 2 + 1], 0 or above, on the scale of `stft`.
        n_fft: Window and transform length in samples, a multiple of `hop`.
        hop: Samples from one frame to the next.
        iterations: Of the loop; 32 to 64 are common.
        momentum: 0 is the algorithm of Griffin and Lim; 0.99, as in the paper below, gets nearer in fewer iterations.

    Returns:
        float32 [batch, frames * hop]; digital silence for magnitudes of zero.

    Example:
        >>> tone = tf.sin(2 * math.pi * 440 / 22050 * tf.range(22050, dtype=tf.float32))[tf.newaxis]
        >>> magnitudes = tf.abs(stft(tone, 840, 210))
        >>> signal = griffin_lim(magnitudes, 840, 210)
        >>> error = tf.norm(tf.abs(stft(signal, 840, 210)) - magnitudes) / tf.norm(magnitudes)
        >>> signal.shape, bool(error < 0.1)
        (TensorShape([1, 22050]), True)

    Reference:
        Griffin, Lim: Signal Estimation from Modified Short-Time Fourier Transform, IEEE TASSP 32(2), 1984; Perraudin,
        Balazs, Søndergaard: A Fast Griffin-Lim Algorithm, WASPAA 2013.
    """

    def to_magnitudes(spectrum: tf.Tensor) -> tf.Tensor:
        return scale(spectrum, magnitudes * tf.math.rsqrt(power(spectrum) + SMALLEST))

    return alternate(first_signal(magnitudes, n_fft, hop), to_magnitudes, n_fft, hop, iterations, momentum)


def alternate(
    signal: tf.Tensor,
    correct: Callable[[tf.Tensor], tf.Tensor],
    n_fft: int,
    hop: int,
    iterations: int,
    momentum: float,
) -> tf.Tensor:
    """Goes back and forth between spectra that are a signal's and spectra that are as they should be.

    It is one `tf.while_loop`, which can be exported. The momentum is applied to the signals, which comes to the same as
    applying it to their spectra, for the transform is linear, and costs less.

    Args:
        signal: float32 [batch, frames * hop], to begin with.
        correct: Makes a spectrum, complex64 [batch, frames, n_fft // 2 + 1], what it should be.
        n_fft: Window and transform length in samples.
        hop: Samples from one frame to the next.
        iterations: Of the loop.
        momentum: How far to go on in the direction of the last change.

    Returns:
        float32 [batch, frames * hop].
    """

    def step(signal: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ahead = stft(signal + momentum * (signal - before), n_fft, hop)
        return inverse_stft(correct(ahead), n_fft, hop), signal

    signal, _ = tf.while_loop(
        lambda *_: True, step, (signal, signal), maximum_iterations=iterations, parallel_iterations=1
    )
    return tf.stop_gradient(signal)


def first_signal(magnitudes: tf.Tensor, n_fft: int, hop: int) -> tf.Tensor:
    """The signal of magnitudes with `advancing_phases`: [batch, frames, n_fft // 2 + 1] -> [batch, frames * hop]."""
    phases = advancing_phases(magnitudes, n_fft, hop)
    return inverse_stft(tf.complex(magnitudes * tf.cos(phases), magnitudes * tf.sin(phases)), n_fft, hop)


def advancing_phases(magnitudes: tf.Tensor, n_fft: int, hop: int) -> tf.Tensor:
    """Phases that turn from frame to frame as fast as the partial does that a bin belongs to.

    The partial's frequency is the mean of the bins nearby, weighted with their powers. Neighbouring bins of one partial
    turn together and begin half a turn apart, which puts the middle of a sound in the middle of the window. To each
    phase comes a random part, the larger the flatter the powers nearby are: some hundredths of a turn for a lone peak,
    a whole one for noise, which would otherwise begin as a click in each frame. It needs the magnitudes alone and no
    iteration, and leaves Griffin-Lim much less to do than random phases.

    Args:
        magnitudes: float32 [batch, frames, n_fft // 2 + 1].
        n_fft: Window and transform length in samples.
        hop: Samples from one frame to the next.

    Returns:
        float32 of the same shape, radians; the random part is the same for every row of the batch and every call.

    Reference:
        Beauregard, Harish, Wyse: Single Pass Spectrogram Inversion, IEEE DSP 2015 (phases that follow the peaks).
    """
    width, bins = 2 * REACH + 1, tf.range(magnitudes.shape[-1], dtype=tf.float32)[:, tf.newaxis]
    powers = tf.transpose(tf.square(magnitudes), [0, 2, 1])  # frames last: pooling a single channel is ten times slower
    means = tf.nn.avg_pool1d(powers, width, 1, "SAME")
    frequencies = tf.nn.avg_pool1d(powers * bins, width, 1, "SAME") / (means + SMALLEST)
    flatness = means / (tf.nn.max_pool1d(powers, width, 1, "SAME") + SMALLEST)
    turns = _fraction(tf.cumsum(_fraction(frequencies * (hop / n_fft)), axis=2))
    random = tf.random.stateless_uniform(tf.shape(powers)[1:], seed=[0, 0], minval=-0.5, maxval=0.5)
    phases = 2.0 * math.pi * (turns + 0.5 * tf.math.floormod(bins, 2.0) + tf.square(flatness) * random)
    return tf.transpose(phases, [0, 2, 1])


def _fraction(values: tf.Tensor) -> tf.Tensor:
    return values - tf.floor(values)


def power(spectrum: tf.Tensor) -> tf.Tensor:
    """Squared magnitudes: complex64 of any shape -> float32."""
    return tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))


def scale(spectrum: tf.Tensor, gains: tf.Tensor) -> tf.Tensor:
    """A complex64 spectrum times real gains."""
    return spectrum * tf.cast(gains, tf.complex64)
