"""Levels and channels of one recording: measured block by block, set to a standard, undone by a division."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyloudnorm
import scipy.signal

Normalization = Literal["none", "peak", "rms", "loudness"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)

PEAK_TARGET = 0.9  # -0.9 dBFS: room for the overshoot of a reconstruction before it clips
RMS_TARGET = 0.1  # -20 dBFS: music at this level seldom peaks above full scale
LOUDNESS_TARGET = -23.0  # LUFS, the programme loudness of EBU R 128
MAX_GAIN = 1000.0  # +60 dB: beyond it, normalising lifts only the noise of a nearly silent recording

# ITU-R BS.1770: windows of four steps of 100 ms each, gated at -70 LUFS and at 10 LU below what is left.
_STEPS_PER_SECOND, _STEPS_PER_WINDOW = 10, 4
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0
_SHELF_HZ, _HIGH_PASS_HZ = 1500.0, 38.0


@dataclass(frozen=True)
class Levels:
    """How loud one recording is, as a whole.

    Attributes:
        peak: largest magnitude.
        rms: root mean square over samples and channels.
        loudness: integrated loudness in LUFS; -inf of silence, NaN where it was not measured.
    """

    peak: float
    rms: float
    loudness: float


def measure(blocks: Iterable[np.ndarray], sample_rate: int | None) -> Levels:
    """Measure a recording that comes block by block, in bounded memory.

    The loudness is that of ITU-R BS.1770-4, with the filters of pyloudnorm, and equals pyloudnorm's for a recording of
    any length: only the energy of each 100 ms is kept until the end. Where the standard says nothing: a recording of
    less than 0.4 s (one window) counts as one shorter window, one that nowhere reaches -70 LUFS is not gated, and all
    channels weigh the same.

    Args:
        blocks: float32 [samples, channels] each, in order.
        sample_rate: Hz; None leaves the loudness out.

    Example:
        >>> tone = np.sin(2 * np.pi * 997 * np.arange(22050) / 22050)[:, None]
        >>> levels = measure(np.split(tone, 2), 22050)
        >>> round(levels.peak, 3), round(levels.rms, 3), round(levels.loudness, 1)
        (1.0, 0.707, -3.1)
    """
    peak, energy, size = 0.0, 0.0, 0
    meter = _LoudnessMeter(sample_rate) if sample_rate else None
    for block in blocks:
        if not block.size:
            continue
        peak = max(peak, float(block.max()), -float(block.min()))
        energy += float(np.sum(np.square(block, dtype=np.float64)))
        size += block.size
        if meter:
            meter.hear(block)
    rms = math.sqrt(energy / size) if size else 0.0
    return Levels(peak, rms, meter.loudness() if meter else math.nan)


def gain_for(levels: Levels, how: str) -> float:
    """The factor that brings a recording to a standard level.

    Args:
        levels: of the recording.
        how: "none"; "peak", so that the largest magnitude is 0.9; "rms", so that the root mean square is 0.1; or
            "loudness", so that the integrated loudness is -23 LUFS.

    Returns:
        A positive factor, exact in float32: 1 for silence, at most 1,000 (+60 dB), and never one that would lift the
        root mean square above full scale (which loudness, deaf to a constant offset, could ask for).

    Example:
        >>> gain_for(Levels(peak=0.45, rms=0.2, loudness=-17.0), "peak")
        2.0
    """
    if how not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {how!r}")
    if how == "none" or levels.rms == 0:
        return 1.0
    if how == "loudness" and math.isnan(levels.loudness):
        raise ValueError("the loudness was not measured: it needs a sample rate")
    if how == "peak":
        wanted = PEAK_TARGET / levels.peak
    elif how == "rms":
        wanted = RMS_TARGET / levels.rms
    else:  # the loudness itself may be -inf, of a constant
        wanted = 10 ** (min(LOUDNESS_TARGET - levels.loudness, 100.0) / 20)
    # Rounded to float32, so that the gain that is reported is exactly the one that is applied.
    return float(np.float32(min(wanted, MAX_GAIN, 1 / levels.rms)))


def normalize(waveform: np.ndarray, how: str, sample_rate: int | None = None) -> tuple[np.ndarray, float]:
    """Bring one recording to a standard level.

    Silence stays silence, with gain 1. Dividing the result by the gain undoes it.

    Args:
        waveform: float32 [samples, channels], the whole recording.
        how: "none", "peak", "rms" or "loudness", as `gain_for` explains.
        sample_rate: Hz; "loudness" needs it.

    Returns:
        The scaled waveform, float32 [samples, channels], and the gain, a positive factor.

    Example:
        >>> loud, gain = normalize(np.array([[0.0], [-0.45]], np.float32), "peak")
        >>> gain, float(loud.min())
        (2.0, -0.8999999761581421)
    """
    gain = gain_for(measure([waveform], sample_rate if how == "loudness" else None), how)
    return (waveform if gain == 1 else waveform * np.float32(gain)), gain


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


class _LoudnessMeter:
    """Integrated loudness of a recording that is heard block by block."""

    def __init__(self, sample_rate: int):
        self._rate = sample_rate
        filters = [pyloudnorm.IIRfilter(0.0, 0.5, _HIGH_PASS_HZ, sample_rate, "high_pass")]
        # At rates that end below its corner the shelf would be unstable, and has nothing to lift.
        if sample_rate > 2 * _SHELF_HZ:
            filters.insert(0, pyloudnorm.IIRfilter(4.0, 1 / math.sqrt(2), _SHELF_HZ, sample_rate, "high_shelf"))
        self._sections = np.array([np.concatenate([weighting.b, weighting.a]) for weighting in filters])
        self._state: np.ndarray | None = None
        self._heard = 0
        self._steps = [0.0]  # energy of each 100 ms, summed over channels; the last is still being heard

    def hear(self, block: np.ndarray) -> None:
        """Take in the next samples."""
        if self._state is None:
            self._state = np.zeros((len(self._sections), 2, block.shape[1]))
        weighted, self._state = scipy.signal.sosfilt(self._sections, block.astype(np.float64), axis=0, zi=self._state)
        energy = np.concatenate([[0.0], np.cumsum(np.sum(np.square(weighted), axis=1))])
        end = self._heard + len(block)
        # Step k begins at sample k * rate // 10: at rates that tens do not divide, some are a sample longer.
        begun = np.arange(len(self._steps), (_STEPS_PER_SECOND * end - 1) // self._rate + 1)
        borders = begun * self._rate // _STEPS_PER_SECOND - self._heard
        first, *others = np.diff(energy[[0, *borders, len(block)]])
        self._steps[-1] += float(first)
        self._steps.extend(map(float, others))
        self._heard = end

    def loudness(self) -> float:
        """LUFS of all that was heard; -inf of silence."""
        window = self._rate * _STEPS_PER_WINDOW / _STEPS_PER_SECOND
        if self._heard < window:
            return float(_lufs(np.sum(self._steps) / max(1, self._heard)))
        # A last step of less than half its length belongs to no window, as in pyloudnorm.
        steps = self._steps[: round(_STEPS_PER_SECOND * self._heard / self._rate)]
        power = np.convolve(steps, np.ones(_STEPS_PER_WINDOW), "valid") / window
        loud = power[_lufs(power) >= _ABSOLUTE_GATE]
        if not len(loud):
            return float(_lufs(np.mean(power)))
        return float(_lufs(np.mean(loud[_lufs(loud) > _lufs(np.mean(loud)) + _RELATIVE_GATE])))


def _lufs(power: np.ndarray | np.floating) -> np.ndarray:
    """Loudness of a K-weighted mean square; -inf of none."""
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(power)
