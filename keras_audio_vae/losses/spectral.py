"""Distances between spectra at several resolutions, differentiable, finite on silence, blind to padding."""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.frontends.signal import frame
from keras_audio_vae.losses.masking import frame_mask, masked_mean

MEL_RESOLUTIONS = ((32, 5), (128, 20), (512, 80), (2048, 320))
"""(window in samples, mel bands): every second resolution of DAC's mel distance; what lies between them follows."""

CONVERGENCE_WINDOWS = (512, 2048)
"""Windows, in samples, of the spectral convergence and log-magnitude terms."""

MEL_FLOOR = 1e-5
STFT_FLOOR = 1e-4
SILENCE = 1e-5  # mean power, -50 dB of full scale: quieter chunks are weighed as if they were this loud
MATRIX_UP_TO = 128  # samples: a Fourier transform this short is faster as a matrix product than as many tiny FFTs


class SpectralTerms(NamedTuple):
    """Spectral distances, each float32 [batch].

    Attributes:
        stft: Multi-resolution STFT distance: spectral convergence plus mean |delta ln magnitude|.
        mel: Mel distance, sum over resolutions of mean |delta log10 mel|.
    """

    stft: tf.Tensor
    mel: tf.Tensor


def spectral_terms(original: tf.Tensor, estimate: tf.Tensor, mask: tf.Tensor, sample_rate: int) -> SpectralTerms:
    """Both spectral distances; they share their Fourier transforms, which cost more than all the rest.

    Args:
        original: float32 [batch, samples].
        estimate: float32 [batch, samples].
        mask: float32 [batch, samples], 1 for sound, 0 for padding.
        sample_rate: In Hz; the mel bands reach to half of it.

    Returns:
        `SpectralTerms`, per example, averaged over the frames that hold sound.

    Example:
        >>> x = tf.random.stateless_normal([2, 4410], seed=[0, 1])
        >>> [round(float(term), 4) for term in map(tf.reduce_sum, spectral_terms(x, x, tf.ones_like(x), 22050))]
        [0.0, 0.0]

    Reference:
        Kumar et al.: High-Fidelity Audio Compression with Improved RVQGAN, NeurIPS 2023 (mel distance);
        Yamamoto, Song, Kim: Parallel WaveGAN, ICASSP 2020 (spectral convergence and log magnitude).
    """
    stft_terms, mel_terms = [], []
    for window, bands in MEL_RESOLUTIONS:
        hop = window // 4
        frames = frame_mask(mask, hop)
        x, y = magnitudes(original, window), magnitudes(estimate, window)
        matrix = tf.constant(mel_matrix(sample_rate, window, bands))
        mel_terms.append(log_distance(x @ matrix, y @ matrix, frames, MEL_FLOOR) / np.log(10.0))
        if window in CONVERGENCE_WINDOWS:
            floor = SILENCE * window * 0.75 * tf.reduce_sum(mask, axis=1)  # the energy of noise of that power
            stft_terms.append(convergence(x, y, frames, floor) + log_distance(x, y, frames, STFT_FLOOR))
    return SpectralTerms(stft=tf.add_n(stft_terms) / len(stft_terms), mel=tf.add_n(mel_terms))


def magnitudes(signal: tf.Tensor, window: int) -> tf.Tensor:
    """Magnitudes of a Hann-windowed Fourier transform with a hop of a quarter of the window.

    Args:
        signal: float32 [batch, samples].
        window: In samples, a multiple of 4.

    Returns:
        float32 [batch, ceil(4 samples / window), window // 2 + 1].

    Example:
        >>> magnitudes(tf.zeros([1, 22050]), 1024).shape
        TensorShape([1, 87, 513])
    """
    frames = frame(signal, window, window // 4)
    if window <= MATRIX_UP_TO:
        real, imaginary = tf.split(tf.matmul(frames, tf.constant(_fourier_matrix(window))), 2, axis=-1)
    else:
        spectrum = tf.signal.rfft(frames * tf.constant(_hann(window)))
        real, imaginary = tf.math.real(spectrum), tf.math.imag(spectrum)
    return tf.sqrt(tf.square(real) + tf.square(imaginary) + 1e-12)  # the constant keeps the gradient finite at zero


def convergence(x: tf.Tensor, y: tf.Tensor, frames: tf.Tensor, floor: tf.Tensor) -> tf.Tensor:
    """Spectral convergence, |y - x| / |x| over all bins and frames that count.

    Args:
        x: float32 [batch, frames, bins], magnitudes of the original.
        y: float32 of the same shape, of the estimate.
        frames: float32 [batch, frames], 1 for what counts.
        floor: float32 [batch], energy that is added to the original's, so that silence is no divisor.

    Returns:
        float32 [batch].

    Example:
        >>> x = tf.ones([1, 2, 3])
        >>> convergence(x, 1.5 * x, tf.ones([1, 2]), tf.zeros([1])).numpy().round(3)
        array([0.5], dtype=float32)
    """
    weight = frames[:, :, tf.newaxis]
    error = tf.reduce_sum(weight * tf.square(x - y), axis=[1, 2])
    return tf.sqrt(error + 1e-6) / tf.sqrt(tf.reduce_sum(weight * tf.square(x), axis=[1, 2]) + floor + 1e-6)


def log_distance(x: tf.Tensor, y: tf.Tensor, frames: tf.Tensor, floor: float) -> tf.Tensor:
    """Mean difference of natural logarithms, of magnitudes or of bands.

    Args:
        x: float32 [batch, frames, bins].
        y: float32 of the same shape.
        frames: float32 [batch, frames], 1 for what counts.
        floor: What is softer counts as this.

    Returns:
        float32 [batch].

    Example:
        >>> log_distance(tf.ones([1, 2, 3]), tf.fill([1, 2, 3], 2.0), tf.ones([1, 2]), 1e-5).numpy().round(4)
        array([0.6931], dtype=float32)
    """
    return masked_mean(tf.abs(tf.math.log(tf.maximum(x, floor)) - tf.math.log(tf.maximum(y, floor))), frames)


def _hann(window: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@functools.cache
def _fourier_matrix(window: int) -> np.ndarray:
    """Windowed real and imaginary parts as one matrix, float32 [window, 2 * (window // 2 + 1)]."""
    phase = 2 * np.pi * np.outer(np.arange(window), np.arange(window // 2 + 1)) / window
    return (np.concatenate([np.cos(phase), -np.sin(phase)], axis=1) * _hann(window)[:, None]).astype(np.float32)
