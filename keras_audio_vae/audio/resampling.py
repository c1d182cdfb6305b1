"""Change of the sample rate, and the arithmetic of lengths that goes with it."""

import numpy as np
import soxr


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """How many samples a recording has at another rate: rounded half up, and never none of some.

    Args:
        samples: length in samples at `from_rate`.
        from_rate: Hz.
        to_rate: Hz.

    Example:
        >>> resampled_length(44100, 44100, 22050), resampled_length(3, 8000, 22050), resampled_length(1, 96000, 8000)
        (22050, 8, 1)
    """
    if samples == 0:
        return 0
    return max(1, (2 * samples * to_rate + from_rate) // (2 * from_rate))


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample by soxr in its "HQ" setting (20 bit, linear phase); equal rates give back the input itself.

    Args:
        waveform: float32 [samples, channels].
        from_rate: Hz.
        to_rate: Hz.

    Returns:
        float32 [resampled_length(samples, from_rate, to_rate), channels].

    Example:
        >>> resample(np.zeros((44100, 2), np.float32), 44100, 22050).shape
        (22050, 2)
    """
    if from_rate == to_rate:
        return waveform
    resampled = soxr.resample(waveform, from_rate, to_rate, quality="HQ")
    length = resampled_length(len(waveform), from_rate, to_rate)
    missing = max(0, length - len(resampled))  # soxr gives nothing for a sound shorter than one output sample
    return np.pad(resampled, ((0, missing), (0, 0)))[:length]
