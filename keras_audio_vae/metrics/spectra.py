"""Magnitude spectrograms in float64, shared by the measures and the pictures."""

from collections.abc import Iterator

import numpy as np

_BLOCK_VALUES = 2**18
"""Samples under windows that are transformed at once: some 20 MB, whatever the length of the recording."""


def as_channels(waveform: np.ndarray) -> np.ndarray:
    """Returns a waveform as float64 [channels, samples].

    Args:
        waveform: [samples] or [samples, channels].

    Raises:
        ValueError: If the waveform has another rank, or holds no sample.

    Example:
        >>> as_channels(np.zeros([100, 2])).shape
        (2, 100)
    """
    waveform = np.asarray(waveform, dtype=np.float64)
    if waveform.ndim not in (1, 2) or waveform.size == 0:
        raise ValueError(f"A waveform is [samples] or [samples, channels] and not empty; this one is {waveform.shape}.")
    return waveform[np.newaxis] if waveform.ndim == 1 else waveform.T


def power_spectrogram(waveform: np.ndarray, n_fft: int, hop: int, window: int | None = None) -> np.ndarray:
    """Returns the squared magnitudes of the short-time Fourier transform.

    Frame t is centred on sample t * hop, and the sound is continued with zeros by half an FFT at both ends, so that
    every sample counts and a recording shorter than a window still has a frame. No normalisation: the values are
    those of `librosa.stft(..., pad_mode="constant")` and of `torch.stft(..., pad_mode="constant")`.

    Args:
        waveform: [samples] or [samples, channels].
        n_fft: Length of the FFT, samples, even.
        hop: Distance of two frames, samples.
        window: Length of the periodic Hann window, samples, at most n_fft; None for n_fft. A shorter window stands in
            the middle of the FFT's frame.

    Returns:
        float64 [channels, 1 + samples // hop, n_fft // 2 + 1].

    Example:
        >>> power_spectrogram(np.zeros(22050), n_fft=1024, hop=256).shape
        (1, 87, 513)
    """
    return np.concatenate(list(power_blocks(waveform, n_fft, hop, window)), axis=1)


def power_blocks(waveform: np.ndarray, n_fft: int, hop: int, window: int | None = None) -> Iterator[np.ndarray]:
    """Yields the frames of `power_spectrogram` a few at a time, so that memory does not grow with a recording's length.

    Args:
        waveform: See `power_spectrogram` for this and the others.
        n_fft: In samples.
        hop: In samples.
        window: In samples.

    Yields:
        float64 [channels, some frames, n_fft // 2 + 1]: in order, every frame once.

    Example:
        >>> [block.shape for block in power_blocks(np.zeros(220500), n_fft=1024, hop=256)]
        [(1, 256, 513), (1, 256, 513), (1, 256, 513), (1, 94, 513)]
    """
    window = n_fft if window is None else window
    offset = (n_fft - window) // 2  # the frame's first sample under the window; where it stands changes the phase alone
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(as_channels(waveform), [(0, 0), (n_fft // 2, n_fft // 2)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[:, ::hop, offset : offset + window]
    block = max(1, _BLOCK_VALUES // (len(padded) * n_fft))
    for start in range(0, frames.shape[1], block):
        spectrum = np.fft.rfft(frames[:, start : start + block] * hann, n=n_fft)
        yield spectrum.real**2 + spectrum.imag**2
