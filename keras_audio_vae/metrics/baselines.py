"""What a reconstruction must beat before its figures mean anything."""

from collections.abc import Callable, Mapping

import numpy as np

Baseline = Callable[[np.ndarray, int], np.ndarray]
"""(waveform, sample_rate) -> waveform of the same shape."""


def silence(waveform: np.ndarray) -> np.ndarray:
    """Returns zeros: what a decoder that learnt nothing may write.

    Args:
        waveform: [samples] or [samples, channels].

    Returns:
        float64 of the same shape.

    Example:
        >>> silence(np.ones(3))
        array([0., 0., 0.])
    """
    return np.zeros(np.shape(waveform))


def low_pass(waveform: np.ndarray, sample_rate: int, cutoff_hz: float = 1000.0, order: int = 8) -> np.ndarray:
    """Returns the waveform without its high frequencies, in phase: dull, yet high in cosine similarity.

    A Butterworth low-pass run forwards and backwards, computed as its gain 1 / (1 + (f / cutoff_hz)^(2 order)) on the
    spectrum (half the amplitude at the cutoff). The sound is continued with zeros, so that its end does not ring into
    its start, and cut back to its own length.

    Args:
        waveform: [samples] or [samples, channels].
        sample_rate: Samples per second, Hz. Below twice the cutoff next to nothing is taken away.
        cutoff_hz: Frequency that passes with half its amplitude, Hz.
        order: Of the Butterworth filter.

    Returns:
        float64 of the same shape.

    Example:
        >>> low_pass(np.ones([5, 2]), sample_rate=22050).shape
        (5, 2)
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    samples = waveform.shape[0]
    # The filter's answer has died away after some 20 periods of the cutoff.
    padded = samples + round(20 * sample_rate / cutoff_hz)
    frequencies = np.fft.rfftfreq(padded, 1 / sample_rate)
    gain = 1 / (1 + (frequencies / cutoff_hz) ** (2 * order))
    spectrum = np.fft.rfft(waveform, n=padded, axis=0)
    return np.fft.irfft((spectrum.T * gain).T, n=padded, axis=0)[:samples]


BASELINES: Mapping[str, Baseline] = {
    "silence": lambda waveform, sample_rate: silence(waveform),
    "1 kHz low-pass": low_pass,
}
"""The rows of a report beside the model's, by name."""
