"""How far a reconstruction is from its original: one function per measure, in float64, on a whole recording.

Spectra are summed over blocks of frames, so that beside the two waveforms an hour takes no more memory than a minute.

Every measure takes an original and an estimate of the same shape, [samples] or [samples, channels], and returns a
float. Several channels are parts of one recording: their samples, frames and bins enter the same sums and means.
Silence never gives a division by zero: each docstring says what it gives instead. NaN in either waveform gives NaN.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from keras_audio_vae.frontends.mel_matrix import mel_matrix
from keras_audio_vae.metrics.spectra import as_channels, power_blocks

STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(FFT, hop, window) in samples, of Parallel WaveGAN's multi-resolution STFT loss."""

MEL_RESOLUTIONS = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))
"""(window in samples, mel bands) of DAC's mel loss; the hop is a quarter of the window."""

STFT_FLOOR = 1e-4
"""Least magnitude an STFT bin counts as: that of 16-bit quantisation noise in a window of some 500 samples."""

MEL_FLOOR = 1e-5
"""Least magnitude a mel band counts as, DAC's."""

SI_SDR_LIMIT_DB = 60.0
"""SI-SDR is cut to plus and minus this, so that a perfect or a silent reconstruction leaves the mean finite."""


def mse(original: np.ndarray, estimate: np.ndarray) -> float:
    """Returns the mean squared error of the samples.

    Silence needs no special case: between two silent waveforms it is 0.

    Example:
        >>> mse(np.array([1.0, -1.0]), np.array([0.0, -1.0]))
        0.5
    """
    x, y = _pair(original, estimate)
    return float(np.mean((x - y) ** 2))


def cosine_similarity(original: np.ndarray, estimate: np.ndarray) -> float:
    """Returns <x, y> / (|x| |y|) over all samples: 1 for the same shape at any gain, 0 for unrelated waveforms.

    It is high only if the phase is right, which the spectral distances do not ask. Two silent waveforms give 1, one
    silent and one sounding waveform 0.

    Example:
        >>> round(cosine_similarity(np.array([1.0, 2.0]), np.array([2.0, 4.0])), 6)
        1.0
    """
    x, y = _pair(original, estimate)
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    if norms == 0.0:
        return float(np.array_equal(x, y))
    return float(np.clip(np.sum(x * y) / norms, -1.0, 1.0))


def si_sdr(original: np.ndarray, estimate: np.ndarray) -> float:
    """Returns the scale-invariant signal-to-distortion ratio in dB.

    With each channel's mean removed, the target is t = (<y, x> / |x|^2) x, and the ratio 10 log10(|t|^2 / |y - t|^2).
    It is cut to +-60 dB (`SI_SDR_LIMIT_DB`): a perfect reconstruction gives +60, a silent estimate or a silent
    original -60 (two silent waveforms, which are the same: +60).

    Reference: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?", ICASSP 2019, arXiv 1811.02508.

    Example:
        >>> round(si_sdr(np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.1, -0.9, 0.9, -1.1])), 6)
        20.0
    """
    x, y = _pair(original, estimate)
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    energy = np.sum(x**2)
    target = (np.sum(x * y) / energy if energy > 0 else 0.0) * x
    signal, noise = np.sum(target**2), np.sum((y - target) ** 2)
    if signal == 0.0:
        return SI_SDR_LIMIT_DB if energy == noise == 0.0 else -SI_SDR_LIMIT_DB
    if noise == 0.0:
        return SI_SDR_LIMIT_DB
    return float(np.clip(10 * np.log10(signal / noise), -SI_SDR_LIMIT_DB, SI_SDR_LIMIT_DB))


def multi_resolution_stft_distance(original: np.ndarray, estimate: np.ndarray) -> float:
    """Returns the multi-resolution STFT distance: spectral convergence plus log-magnitude distance.

    The mean over three resolutions (`STFT_RESOLUTIONS`) of |Y - X|_F / |X|_F + mean |ln Y - ln X|, with X and Y the
    STFT magnitudes of original and estimate. Magnitudes below 1e-4 count as 1e-4, as in auraloss, which clamps the
    power at 1e-8; papers differ in this floor, and figures with another floor do not compare. A silent original is
    divided by the norm of the floor: the result is finite, and large unless the estimate is silent too (0).

    Reference: Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020, arXiv 1910.11480, equations 4 to 6; Steinmetz,
    Reiss, "auraloss: Audio focused loss functions in PyTorch", 2020.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=4000)
        >>> multi_resolution_stft_distance(noise, noise)
        0.0
        >>> round(multi_resolution_stft_distance(noise, 2 * noise), 3)  # 1 + ln 2
        1.693
    """
    x, y = _pair(original, estimate)
    total = 0.0
    for n_fft, hop, window in STFT_RESOLUTIONS:
        error = energy = logarithms = 0.0
        bins = 0
        for power_x, power_y in _powers(x, y, n_fft, hop, window):
            error += np.sum((np.sqrt(power_y) - np.sqrt(power_x)) ** 2)
            energy += np.sum(power_x)
            logarithms += 0.5 * np.sum(np.abs(np.log(power_y / power_x)))
            bins += power_x.size
        total += float(np.sqrt(error / energy) + logarithms / bins)
    return total / len(STFT_RESOLUTIONS)


def mel_distance(original: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Returns the multi-scale mel distance that DAC trains with and reports.

    Over seven windows from 32 to 2048 samples with 5 to 320 mel bands (`MEL_RESOLUTIONS`), Hann, hop a quarter of the
    window, the sum of mean |log10 max(M_x, 1e-5) - log10 max(M_y, 1e-5)|, with M the STFT magnitudes times the mel
    matrix. The clamp makes it finite on silence: 0 between two silent waveforms, at most 7 * 5 below a full-scale
    sound.

    Reference: Kumar et al., "High-fidelity audio compression with improved RVQGAN", NeurIPS 2023, arXiv 2306.06546,
    with the published training configuration (exponent 1, weight of the linear magnitudes 0).

    Args:
        original: [samples] or [samples, channels].
        estimate: Of the same shape.
        sample_rate: Samples per second, Hz; the mel bands reach to half of it.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=4000)
        >>> mel_distance(noise, noise, 22050)
        0.0
    """
    x, y = _pair(original, estimate)
    total = 0.0
    for window, n_mels in MEL_RESOLUTIONS:
        matrix = mel_matrix(sample_rate, window, n_mels).astype(np.float64)
        distance, bands = 0.0, 0
        for powers in _powers(x, y, window, window // 4, floor=0.0):
            mel_x, mel_y = (np.maximum(np.sqrt(power) @ matrix, MEL_FLOOR) for power in powers)
            distance += np.sum(np.abs(np.log10(mel_y / mel_x)))
            bands += mel_x.size
        total += float(distance / bands)
    return total


def log_spectral_distance(original: np.ndarray, estimate: np.ndarray) -> float:
    """Returns the log-spectral distance: mean over frames of the root mean square, over bins, of the log10 power ratio.

    FFT and Hann window 2048 samples, hop 512. Powers below 1e-8 count as 1e-8 (`STFT_FLOOR` squared), so it is finite
    on silence, and 0 between two silent waveforms. Times 10 it is in dB.

    Reference: Gray, Markel, "Distance measures for speech processing", IEEE Trans. ASSP 24(5), 1976; window and hop
    as in Liu et al., "Neural vocoder is all you need for speech super-resolution", 2022, arXiv 2203.14941.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=8000)
        >>> round(log_spectral_distance(noise, 10 * noise), 3)  # ten times the amplitude: log10 of 100
        2.0
    """
    x, y = _pair(original, estimate)
    distance, frames = 0.0, 0
    for power_x, power_y in _powers(x, y, 2048, 512):
        per_frame = np.sqrt(np.mean(np.log10(power_y / power_x) ** 2, axis=-1))
        distance += np.sum(per_frame)
        frames += per_frame.size
    return float(distance / frames)


@dataclass(frozen=True)
class Measure:
    """A measure as the report's table needs it.

    Attributes:
        name: What the table calls it, with its unit.
        higher_is_better: True for a similarity, False for a distance.
        function: (original, estimate, sample_rate) -> float.

    Example:
        >>> [measure.name for measure in MEASURES if measure.higher_is_better]
        ['cosine similarity', 'SI-SDR (dB)']
    """

    name: str
    higher_is_better: bool
    function: Callable[[np.ndarray, np.ndarray, int], float]


MEASURES = (
    Measure("mel distance", False, mel_distance),
    Measure("STFT distance", False, lambda x, y, sample_rate: multi_resolution_stft_distance(x, y)),
    Measure("log-spectral distance", False, lambda x, y, sample_rate: log_spectral_distance(x, y)),
    Measure("cosine similarity", True, lambda x, y, sample_rate: cosine_similarity(x, y)),
    Measure("SI-SDR (dB)", True, lambda x, y, sample_rate: si_sdr(x, y)),
    Measure("mean squared error", False, lambda x, y, sample_rate: mse(x, y)),
)
"""The measures of a report, in its order."""


def _powers(
    x: np.ndarray, y: np.ndarray, n_fft: int, hop: int, window: int | None = None, floor: float = STFT_FLOOR**2
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the powers of both waveforms, [channels, samples], block by block; those below `floor` count as it."""
    blocks = (power_blocks(signal.T, n_fft, hop, window) for signal in (x, y))
    for power_x, power_y in zip(*blocks, strict=True):
        yield np.maximum(power_x, floor), np.maximum(power_y, floor)


def _pair(original: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns both waveforms as float64 [channels, samples], or says that they do not belong together."""
    x, y = as_channels(original), as_channels(estimate)
    if x.shape != y.shape:
        raise ValueError(
            "An original and its estimate have the same samples and channels; these are "
            f"{np.shape(original)} and {np.shape(estimate)}."
        )
    return x, y
