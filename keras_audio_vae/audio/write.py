"""Sound files out."""

import os
import tempfile
from types import TracebackType

import numpy as np
import soundfile

_LARGEST_WAV = 2**32 - 2**16  # bytes; what is longer is written as RF64, the same with longer numbers


class WavWriter:
    """A 16-bit WAV file that is written block by block, and appears whole or not at all.

    Samples beyond full scale are clipped, and counted, so that the caller can tell. A folder that does not exist yet
    is made.

    Args:
        path: where to; an existing file is replaced when the writer is closed without an error.
        sample_rate: Hz.
        channels: how many.
        samples: length, as far as it is known: more than 4 GB of samples need another kind of header.

    Attributes:
        clipped: how many samples (over all channels) were beyond full scale so far.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder, WavWriter(f"{folder}/a.wav", 22050, channels=1) as writer:
        ...     writer.write(np.array([[0.5], [1.0]]))
        ...     writer.write(np.array([[-1.5]]))
        ...     writer.clipped
        1
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int, channels: int, samples: int = 0):
        """Open the file under a name of its own: two writers of one path must not share the unfinished file."""
        self.clipped = 0
        self._path = path
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        handle, self._unfinished = tempfile.mkstemp(suffix=".part", dir=folder)
        os.close(handle)
        kind = "WAV" if samples * channels * 2 < _LARGEST_WAV else "RF64"
        self._file = soundfile.SoundFile(self._unfinished, "w", sample_rate, channels, subtype="PCM_16", format=kind)

    def write(self, waveform: np.ndarray) -> None:
        """Append samples.

        Args:
            waveform: float [samples, channels], nominal range -1 to 1.

        Raises:
            ValueError: the waveform holds NaN or infinity.
        """
        if not np.isfinite(waveform).all():
            raise ValueError(f"{self._path}: the waveform holds NaN or infinity and cannot be written as sound")
        self.clipped += int(np.count_nonzero(np.abs(waveform) > 1))
        # 32768, as decoders divide by: what was decoded from 16 bits is written back bit by bit.
        self._file.write(np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int16))

    def __enter__(self) -> "WavWriter":
        """Be a context manager."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the file in its place, or after an error remove what there is of it."""
        self._file.close()
        if error is not None:
            os.unlink(self._unfinished)
            return
        os.chmod(self._unfinished, 0o644)  # mkstemp makes files for the owner alone
        os.replace(self._unfinished, self._path)


def write_wav(path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int) -> int:
    """Write a whole 16-bit WAV file; see `WavWriter`.

    Args:
        path: where to; an existing file is replaced.
        waveform: float [samples, channels] or [samples], nominal range -1 to 1.
        sample_rate: Hz.

    Returns:
        How many samples (over all channels) were beyond full scale.

    Raises:
        ValueError: the waveform holds NaN or infinity.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_wav(f"{folder}/a.wav", np.array([0.5, 1.0, -1.5]), 22050)
        1
    """
    waveform = np.asarray(waveform)
    waveform = waveform[:, np.newaxis] if waveform.ndim == 1 else waveform
    with WavWriter(path, sample_rate, waveform.shape[1], len(waveform)) as writer:
        writer.write(waveform)
    return writer.clipped
