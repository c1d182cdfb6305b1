"""The bands that an FFT's bins are summed into, the one place outside `audio/` that asks librosa for anything."""

import functools
import warnings

import librosa
import numpy as np


@functools.lru_cache(maxsize=64)
def mel_matrix(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Returns the matrix that maps FFT magnitudes to mel bands.

    Slaney's mel scale with bands of unit area, from 0 Hz to half the sample rate: librosa's default, and what DAC's mel
    distance is defined with. A short window has bins so far apart that some low bands hold none of them: such a band is
    a column of zeros, in DAC too, so librosa's warning about it is not shown.

    Args:
        sample_rate: Samples per second, Hz.
        n_fft: Length of the FFT, samples.
        n_mels: Number of mel bands.

    Returns:
        float32 [n_fft // 2 + 1, n_mels], read-only because every caller shares it: `magnitudes @ mel_matrix(...)`.

    Example:
        >>> mel_matrix(22050, 1024, 80).shape
        (513, 80)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=0.0, fmax=sample_rate / 2)
    matrix = np.ascontiguousarray(filters.T, dtype=np.float32)
    matrix.setflags(write=False)
    return matrix


def narrowest_spacing(sample_rate: int, n_mels: int) -> float:
    """Distance of the lowest two of the bands of `mel_matrix`, which lie closest together, in Hz.

    Args:
        sample_rate: Samples per second, Hz.
        n_mels: Number of mel bands.

    Example:
        >>> round(narrowest_spacing(22050, 128), 1)
        25.8
    """
    return float(librosa.mel_frequencies(n_mels + 2, fmin=0.0, fmax=sample_rate / 2)[1])
