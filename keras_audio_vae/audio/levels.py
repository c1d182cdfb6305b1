"""Loudness and channels of one recording."""

from typing import Literal, get_args

import numpy as np

Normalization = Literal["none", "peak", "rms"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)

PEAK_TARGET = 0.9  # -0.9 dBFS: room for the overshoot of a reconstruction before it clips
RMS_TARGET = 0.1  # -20 dBFS: music at this level seldom peaks above full scale
MAX_GAIN = 1000.0  # +60 dB: beyond it, normalising lifts only the noise of a nearly silent recording


def normalize(waveform: np.ndarray, how: str) -> tuple[np.ndarray, float]:
    """Bring one recording to a standard level.

    Silence stays silence, with gain 1. Dividing the result by the gain undoes it.

    Args:
        waveform: float32 [samples, channels].
        how: "none"; "peak", so that the largest magnitude is 0.9; or "rms", so that the root mean square over samples
            and channels is 0.1. The gain is limited to +60 dB.

    Returns:
        The scaled waveform, float32 [samples, channels], and the gain, a positive factor.

    Example:
        >>> loud, gain = normalize(np.array([[0.0], [-0.45]], np.float32), "peak")
        >>> gain, float(loud.min())
        (2.0, -0.8999999761581421)
    """
    if how not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {how!r}")
    if how == "none" or not waveform.size:
        return waveform, 1.0
    if how == "peak":
        level, target = float(np.abs(waveform).max()), PEAK_TARGET
    else:
        level, target = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))), RMS_TARGET
    if level == 0:
        return waveform, 1.0
    # Rounded to float32, so that the gain that is reported is exactly the one that was applied.
    gain = np.float32(min(target / level, MAX_GAIN))
    return waveform * gain, float(gain)


def to_channels(waveform: np.ndarray, channels: int) -> np.ndarray:
    """Map a recording to a number of channels.

    Fewer: channel k is the mean of the recording's channels k, k + channels, k + 2 channels, ... (to one channel: the
    mean of all). More: the recording's channels are repeated in turn (from one channel: copied).

    Args:
        waveform: float32 [samples, channels of the recording].
        channels: how many are wanted.

    Returns:
        float32 [samples, channels]; the input itself where it has that many already.

    Example:
        >>> to_channels(np.array([[0.5, 0.25, 0.0]], np.float32), 1)
        array([[0.25]], dtype=float32)
        >>> to_channels(np.array([[0.5, 0.25]], np.float32), 3)
        array([[0.5 , 0.25, 0.5 ]], dtype=float32)
    """
    if channels < 1:
        raise ValueError(f"channels must be at least 1; got {channels}")
    available = waveform.shape[1]
    if channels == available:
        return waveform
    if channels > available:
        return waveform[:, np.arange(channels) % available]
    return np.stack([waveform[:, k::channels].mean(axis=1) for k in range(channels)], axis=1)
