"""The way back from mel bands: powers of a spectrum, and a signal of its own, that have the bands that are wanted."""

import numpy as np
import tensorflow as tf

from keras_audio_vae.frontends.griffin_lim import SMALLEST, alternate, first_signal, power, scale

START_ITERATIONS = 5  # of `invert_mel` where something better than flat bands is to follow
CORRECTIONS = 2  # of `band_gains`: bands overlap, so that one correction does not quite reach them
MOMENTUM = 0.9  # nearer than 0.99 where the magnitudes move too
BLOCKS = 4  # of a mel matrix' columns: 4 times faster than the whole


def invert_mel(mel: tf.Tensor, matrix: np.ndarray, iterations: int = 20) -> tf.Tensor:
    """Powers, 0 or above, whose mel bands are the given ones as nearly as can be.

    There are more bins than bands, so that many spectra have the same bands. The iteration begins with one that is flat
    within each band and multiplies each bin by how much its bands fall short, to the power of 1.5: it stays positive,
    weighs soft bands like loud ones, and goes no farther from the flat start than it must. It minimises the
    Kullback-Leibler divergence of the bands; the same with squared errors, or with a pseudoinverse and what is negative
    set to 0, is farther off. The power makes each step half as long again, and converges as long as it is below 2.

    Args:
        mel: float32 [batch, frames, bands], 0 or above.
        matrix: float32 [bins, bands], see `mel_matrix`.
        iterations: 20 get nearly as near as 100 do.

    Returns:
        float32 [batch, frames, bins]; 0 in bins that no band holds.

    Example:
        >>> from keras_audio_vae.frontends.mel_matrix import mel_matrix
        >>> matrix = mel_matrix(22050, 2205, 128)
        >>> mel = tf.square(tf.random.stateless_normal([1, 3, 1103], [0, 1])) @ matrix
        >>> bool(tf.reduce_mean(tf.abs(invert_mel(mel, matrix) @ matrix / mel - 1.0)) < 0.05)
        True

    Reference:
        Lee, Seung: Algorithms for Non-negative Matrix Factorization, NIPS 2000 (the rule, for one factor); Badeau,
        Bertin, Vincent: Stability Analysis of Multiplicative Update Algorithms, IEEE TNN 21(12), 2010 (the power).
    """
    means = _means_of_bands(matrix)
    start = _product(mel / np.maximum(matrix.sum(axis=0), SMALLEST), means)

    def step(powers: tf.Tensor) -> tuple[tf.Tensor]:
        gains = _gains(powers, mel, matrix, means)
        return (powers * gains * tf.sqrt(gains),)

    (powers,) = tf.while_loop(
        lambda _: True,
        step,
        (start,),
        maximum_iterations=iterations,
        parallel_iterations=1,
    )
    return tf.stop_gradient(powers)


def mel_to_signal(
    mel: tf.Tensor, matrix: np.ndarray, n_fft: int, hop: int, iterations: int = 32, momentum: float = MOMENTUM
) -> tf.Tensor:
    """A signal whose mel bands are near the given ones: magnitudes and phases are found together.

    It is Griffin-Lim without fixed magnitudes. Bands do not say where in a band the power lies, and what `invert_mel`
    assumes, flat bands, no signal has. Here each iteration keeps what the spectrum of the last signal says about that
    and only multiplies its powers until their bands are the wanted ones. No gradient passes through it.

    Args:
        mel: float32 [batch, frames, bands] of powers, 0 or above.
        matrix: float32 [n_fft // 2 + 1, bands], see `mel_matrix`.
        n_fft: Window and transform length in samples, a multiple of `hop`.
        hop: Samples from one frame to the next.
        iterations: Of the loop.
        momentum: See `griffin_lim`.

    Returns:
        float32 [batch, frames * hop]; digital silence for bands of zero.

    Example:
        >>> from keras_audio_vae.frontends.mel_matrix import mel_matrix
        >>> from keras_audio_vae.frontends.signal import stft
        >>> matrix = mel_matrix(22050, 2205, 128)
        >>> noise = tf.random.stateless_normal([1, 22050], [0, 1])
        >>> mel = power(stft(noise, 2205, 441)) @ matrix
        >>> found = power(stft(mel_to_signal(mel, matrix, 2205, 441), 2205, 441)) @ matrix
        >>> bool(tf.norm(found - mel) / tf.norm(mel) < 0.1)
        True

    Reference:
        Masuyama, Ueno, Ono: Signal Reconstruction from Mel-Spectrogram Based on Bi-Level Consistency of Full-Band
            Magnitude and Phase, WASPAA 2023 (the problem; there it is solved by proximal steps).
    """
    start = first_signal(tf.sqrt(invert_mel(mel, matrix, START_ITERATIONS)), n_fft, hop)
    return approach_bands(start, mel, matrix, n_fft, hop, iterations, momentum)


def approach_bands(
    signal: tf.Tensor,
    mel: tf.Tensor,
    matrix: np.ndarray,
    n_fft: int,
    hop: int,
    iterations: int,
    momentum: float = MOMENTUM,
) -> tf.Tensor:
    """Brings the mel bands of a signal nearer to the wanted ones, with as little change as that takes.

    Args:
        signal: float32 [batch, frames * hop].
        mel: float32 [batch, frames, bands] of powers, 0 or above.
        matrix: See `mel_to_signal` for this and the rest.
        n_fft: Window and transform length in samples.
        hop: Samples from one frame to the next.
        iterations: Of the loop.
        momentum: How far to go on in the direction of the last change.

    Returns:
        float32 [batch, frames * hop].
    """

    def to_bands(spectrum: tf.Tensor) -> tf.Tensor:
        return scale(spectrum, tf.sqrt(band_gains(power(spectrum), mel, matrix)))

    return alternate(signal, to_bands, n_fft, hop, iterations, momentum)


def band_gains(powers: tf.Tensor, mel: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """What brings the mel bands of a spectrum to the wanted ones and leaves the rest of its shape alone.

    Args:
        powers: float32 [batch, frames, bins], 0 or above.
        mel: float32 [batch, frames, bands] of powers, 0 or above.
        matrix: float32 [bins, bands], see `mel_matrix`.

    Returns:
        Gains of the powers, float32 [batch, frames, bins]; their gradient is that of the formula.

    Example:
        >>> matrix = np.eye(3, dtype=np.float32)  # a bin for each band
        >>> band_gains(tf.constant([[[1.0, 1.0, 4.0]]]), tf.constant([[[1.0, 2.0, 1.0]]]), matrix).numpy()
        array([[[1.  , 2.  , 0.25]]], dtype=float32)
    """
    means, gains = _means_of_bands(matrix), tf.ones_like(powers)
    for _ in range(CORRECTIONS):
        gains = gains * _gains(powers * gains, mel, matrix, means)
    return gains


def _gains(powers: tf.Tensor, mel: tf.Tensor, matrix: np.ndarray, means: np.ndarray) -> tf.Tensor:
    """How much each bin's bands fall short of the given ones, the mean over its bands: [batch, frames, bins]."""
    return _product(mel / tf.maximum(_product(powers, matrix), SMALLEST), means)


def _means_of_bands(matrix: np.ndarray) -> np.ndarray:
    """The matrix that gives each bin the mean of its bands: [bands, bins], 0 for a bin that no band holds."""
    of_bins = matrix.sum(axis=1)
    return np.where(of_bins > 0.0, matrix.T / np.maximum(of_bins, SMALLEST), 0.0).astype(np.float32)


def _product(values: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """`values @ matrix` for a mel matrix or its transpose, block by block: it is zero but near its diagonal."""
    parts = []
    for block in np.array_split(matrix, min(BLOCKS, matrix.shape[1]), axis=1):
        rows = np.flatnonzero(block.any(axis=1))
        first, last = (rows[0], rows[-1] + 1) if rows.size else (0, 1)
        parts.append(tf.matmul(values[..., first:last], tf.constant(block[first:last])))
    return tf.concat(parts, axis=-1)
