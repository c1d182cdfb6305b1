"""Change of the sample rate, whole or by stretches, and the arithmetic of lengths that goes with it."""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr

_QUALITY = "HQ"  # 20 bit, linear phase
# Samples of the lower rate beyond which soxr's filter no longer reaches: what lies further away changes nothing.
_REACH = 512


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
    resampled = soxr.resample(waveform, from_rate, to_rate, quality=_QUALITY)
    return _fitted(resampled, resampled_length(len(waveform), from_rate, to_rate))


def resampled_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resample a recording that comes block by block, in bounded memory.

    Args:
        blocks: float32 [samples, channels] each, in order.
        from_rate: Hz.
        to_rate: Hz.

    Yields:
        float32 [samples, channels]; together they are what `resample` makes of the whole.

    Example:
        >>> halves = [np.zeros((22051, 1), np.float32)] * 2
        >>> sum(len(block) for block in resampled_blocks(halves, 44100, 22050))
        22051
    """
    if from_rate == to_rate:
        yield from blocks
        return
    stream, heard, given = None, 0, 0
    for block in blocks:
        stream = stream or soxr.ResampleStream(from_rate, to_rate, block.shape[1], quality=_QUALITY)
        heard += len(block)
        resampled = stream.resample_chunk(np.ascontiguousarray(block))
        given += len(resampled)
        yield resampled
    if stream is not None:
        rest = stream.resample_chunk(np.zeros((0, block.shape[1]), np.float32), last=True)
        yield _fitted(rest, max(0, resampled_length(heard, from_rate, to_rate) - given))


def resampled_stretch(
    read: Callable[[int, int], np.ndarray], samples: int, start: int, count: int, from_rate: int, to_rate: int
) -> np.ndarray:
    """A stretch of what `resample` makes of a whole recording, from only as much of it as the stretch needs.

    Args:
        read: (start, count) at `from_rate` -> float32 [count, channels].
        samples: length of the recording at `from_rate`.
        start: first sample wanted, at `to_rate`.
        count: how many; start + count is at most the resampled length.
        from_rate: Hz.
        to_rate: Hz.

    Returns:
        float32 [count, channels].

    Example:
        >>> tone = np.sin(np.arange(44100, dtype=np.float32))[:, None]
        >>> def read(start, count):
        ...     return tone[start : start + count]
        >>> stretch = resampled_stretch(read, len(tone), 10_000, 500, 44100, 22050)
        >>> bool(np.allclose(stretch, resample(tone, 44100, 22050)[10_000:10_500], atol=1e-5))
        True
    """
    if from_rate == to_rate:
        return read(start, count)
    divisor = math.gcd(from_rate, to_rate)
    reach = math.ceil(_REACH * max(1.0, from_rate / to_rate))
    # Samples of the two rates coincide once in a period; resampling has to begin where they do.
    period, resampled_period = from_rate // divisor, to_rate // divisor
    periods = max(0, start * from_rate // to_rate - reach) // period
    first = periods * period
    last = min(samples, -(-(start + count) * from_rate // to_rate) + reach)
    resampled = soxr.resample(read(first, last - first), from_rate, to_rate, quality=_QUALITY)
    skipped = start - periods * resampled_period
    return _fitted(resampled[skipped:], count)


def _fitted(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Cut to a length, or filled up to it: soxr may round otherwise, and gives nothing for less than one sample."""
    return np.pad(waveform[:samples], ((0, max(0, samples - len(waveform))), (0, 0)))


def change_speed(waveform: np.ndarray, speed: float, samples: int) -> np.ndarray:
    """Play faster or slower, as a tape would: pitch and duration change together.

    Args:
        waveform: float32 [samples heard, channels].
        speed: 2 is an octave up.
        samples: length wanted; what is missing is filled up by zeros.

    Returns:
        float32 [samples, channels].

    Example:
        >>> change_speed(np.ones((200, 1), np.float32), speed=2.0, samples=80).shape
        (80, 1)
    """
    return _fitted(soxr.resample(waveform, float(speed), 1.0, quality=_QUALITY), samples)
