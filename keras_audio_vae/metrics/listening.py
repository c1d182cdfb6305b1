"""What figures cannot tell: original and reconstruction side by side, to listen to and to look at."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_audio_vae.audio.write import write_wav
from keras_audio_vae.metrics.evaluation import EvaluatedModel
from keras_audio_vae.metrics.spectra import power_spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 16
"""Pairs that one picture has room for."""

_WRITTEN = re.compile(r"\d{2,}_.*_(original|reconstruction)\.wav", re.DOTALL)
"""What `write_pairs` calls its files."""

_RANGE_DB = 80.0
"""Levels further below the loudest point of an original are drawn as the bottom of the colour bar."""


@dataclass(frozen=True)
class Pair:
    """A recording and what the model makes of it.

    Attributes:
        name: The recording's name.
        original: [samples, channels].
        reconstruction: Of the same shape.

    Example:
        >>> Pair("a.wav", np.zeros([8, 1]), np.zeros([8, 1])).name
        'a.wav'
    """

    name: str
    original: np.ndarray
    reconstruction: np.ndarray


def spread(total: int, number: int) -> list[int]:
    """Returns up to `number` indices spread evenly over `total` recordings, so that every kind of sound has its chance.

    Example:
        >>> spread(total=41, number=4)
        [0, 13, 27, 40]
        >>> spread(total=2, number=4)
        [0, 1]
    """
    return sorted({round(float(place)) for place in np.linspace(0, total - 1, min(number, total))})


def reconstruct_pairs(
    model: EvaluatedModel, recordings: Iterable[tuple[str, np.ndarray]], indices: Collection[int]
) -> list[Pair]:
    """Reconstructs some of the recordings.

    Args:
        model: With `reconstruct`, [1, samples, channels] -> the same shape.
        recordings: Pairs of a name and a waveform, [samples] or [samples, channels].
        indices: Which of them, counted from 0; `spread` gives some.

    Example:
        >>> class Negative:
        ...     def reconstruct(self, waveform): return -waveform
        >>> [pair] = reconstruct_pairs(Negative(), [("a", np.zeros(3)), ("b", np.ones(3))], indices=[1])
        >>> pair.name, pair.reconstruction.ravel()
        ('b', array([-1., -1., -1.], dtype=float32))
    """
    pairs = []
    for index, (name, waveform) in enumerate(recordings):
        if index in indices:
            original = np.asarray(waveform, np.float32).reshape(len(waveform), -1)
            pairs.append(Pair(name, original, np.asarray(model.reconstruct(original[np.newaxis]), np.float32)[0]))
    return pairs


def write_pairs(directory: str | os.PathLike[str], pairs: Sequence[Pair], sample_rate: int) -> dict[str, int]:
    """Writes each pair as NN_<name>_original.wav and NN_<name>_reconstruction.wav, in place of those that are there.

    Args:
        directory: Made if it does not exist.
        pairs: What to write.
        sample_rate: Samples per second, Hz.

    Returns:
        How many samples were beyond full scale and clipped, by the path of the file.

    Example:
        >>> import tempfile
        >>> pair = Pair("notes/a.flac", np.zeros([100, 1]), np.zeros([100, 1]))
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     [os.path.basename(path) for path in write_pairs(directory, [pair], sample_rate=8000)]
        ['00_notes-a_original.wav', '00_notes-a_reconstruction.wav']
    """
    for old in os.listdir(directory) if os.path.isdir(directory) else ():
        if _WRITTEN.fullmatch(old):
            os.remove(os.path.join(directory, old))
    clipped = {}
    for number, pair in enumerate(pairs):
        plain = re.sub(r"[^\w.-]+", "-", os.path.splitext(pair.name)[0]).strip("-")
        for role, waveform in (("original", pair.original), ("reconstruction", pair.reconstruction)):
            path = os.path.join(directory, f"{number:02d}_{plain}_{role}.wav")
            clipped[path] = write_wav(path, waveform, sample_rate)
    return clipped


def draw_spectrograms(
    path: str | os.PathLike[str], pairs: Sequence[Pair], sample_rate: int, *, seconds: float = 10.0
) -> None:
    """Draws the spectrograms of each pair side by side: time in s, frequency in Hz on a logarithmic axis, level in dB.

    A window of about 46 ms. Levels are relative to the loudest point of the pair's original, in both pictures, so a
    reconstruction that is too soft looks too soft. Channels are averaged as powers.

    Args:
        path: Where the PNG file goes.
        pairs: One row of pictures for each, at least one; of more than `MAX_ROWS`, as many, evenly spread.
        sample_rate: Samples per second, Hz.
        seconds: A longer recording is drawn up to here, and its title says so.

    Example:
        >>> import tempfile
        >>> noise = np.random.default_rng(0).normal(size=[4000, 1])
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = os.path.join(directory, "spectrograms.png")
        ...     draw_spectrograms(path, [Pair("noise", noise, 0.5 * noise)], sample_rate=8000)
        ...     os.path.getsize(path) > 1000
        True
    """
    # Imported here, because whoever only trains or serves should not wait for it. A bare Figure draws with Agg: it
    # needs no display and leaves no global state of pyplot behind.
    from matplotlib.figure import Figure

    pairs = [pairs[index] for index in spread(len(pairs), MAX_ROWS)]
    figure = Figure(figsize=(11, 0.6 + 2.4 * len(pairs)), layout="constrained")
    grid = figure.subplots(len(pairs), 2, squeeze=False, sharey=True)
    for axes, pair in zip(grid, pairs, strict=True):
        shown = min(len(pair.original), round(seconds * sample_rate))
        original, reconstruction = (
            _mean_power(waveform[:shown], sample_rate) for waveform in (pair.original, pair.reconstruction)
        )
        loudest = max(float(original.max()), 1e-12)
        part = f" (first {seconds:g} s)" if shown < len(pair.original) else ""
        for ax, power, role in zip(axes, (original, reconstruction), ("original", "reconstruction"), strict=True):
            image = _draw(ax, 10 * np.log10(np.maximum(power / loudest, 1e-12)), shown / sample_rate, sample_rate)
            ax.set_title(f"{_shortened(pair.name)}{part}\n{role}", fontsize=9)
        axes[0].set_ylabel("frequency (Hz)")
    for ax in grid[-1]:
        ax.set_xlabel("time (s)")
    bar = figure.colorbar(image, ax=grid, shrink=min(1.0, 2 / len(pairs)), pad=0.01)
    bar.set_label("level (dB below the loudest point of the original)")
    figure.savefig(path, dpi=100, format="png")


def _mean_power(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the spectrogram that is drawn, [frames, bins], averaged over the channels."""
    n_fft = 2 ** round(np.log2(0.046 * sample_rate))
    return power_spectrogram(waveform, n_fft, n_fft // 4).mean(axis=0)


def _draw(ax: "Axes", level_db: np.ndarray, duration: float, sample_rate: int):
    """Draws levels [frames, bins] and returns the mesh for the colour bar."""
    frames, bins = level_db.shape
    # Edges of the cells: a bin reaches half a bin to either side; the bin at 0 Hz has no place on a logarithmic axis.
    spacing = sample_rate / 2 / (bins - 1)
    frequencies = (np.arange(bins) + 0.5) * spacing
    times = np.linspace(0, duration, frames + 1)
    mesh = ax.pcolormesh(times, frequencies, level_db[:, 1:].T, vmin=-_RANGE_DB, vmax=0, cmap="magma", rasterized=True)
    ax.set_yscale("log")
    ax.set_ylim(frequencies[0], sample_rate / 2)
    ticks = [hertz for hertz in (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000) if hertz < sample_rate / 2]
    ax.set_yticks(ticks, [f"{hertz:,}" for hertz in ticks])
    ax.minorticks_off()
    return mesh


def _shortened(name: str, length: int = 48) -> str:
    """Returns a name that fits above a picture: the end of a long path, which tells more than its start."""
    return name if len(name) <= length else "..." + name[-(length - 3) :]
