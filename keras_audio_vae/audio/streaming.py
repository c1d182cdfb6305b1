"""Sound files by stretches: any part of a recording, without decoding the rest."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType

import numpy as np
import soundfile

from keras_audio_vae.audio.corpus import Recording
from keras_audio_vae.audio.formats import printable
from keras_audio_vae.audio.headers import check_regular
from keras_audio_vae.audio.opening import SoundFile
from keras_audio_vae.errors import UserError

BLOCK_SAMPLES = 2**18  # twelve seconds at 22,050 Hz: long enough that seeking costs nothing, small beside any memory

# Encodings whose decoders, after a jump, give wrong samples until they have heard enough: up to full scale wrong, for
# up to 13,000 samples of an MP3 whose bit rate varies (a frame may keep its bits in many frames before it).
_NEED_RUN_UP = ("MPEG_LAYER_III", "VORBIS")
_RUN_UP = 2**14  # samples


class SoundStream:
    """One open sound file that is read at any place, by one thread at a time.

    Args:
        recording: what to open.

    Raises:
        UserError: the file is not there any more, or is not what was scanned.

    Example:
        >>> from keras_audio_vae import datasets
        >>> with SoundStream(datasets.load("fluidnotes").recordings[0]) as stream:
        ...     stream.read(start=10, count=100).shape
        (100, 1)
    """

    def __init__(self, recording: Recording):
        """Open the file."""
        self.recording = recording
        self._sound: SoundFile | None = self._open()

    def read(self, start: int, count: int) -> np.ndarray:
        """Read a stretch.

        After a failure the file is opened anew by the next call, so that other stretches can be read.

        Args:
            start: first sample, at the recording's own rate.
            count: how many; start + count is at most the recording's length.

        Returns:
            float32 [count, channels], finite.

        Raises:
            UserError: the file is damaged there, has become shorter, or holds NaN or infinity there.
        """
        if start < 0 or count < 0 or start + count > self.recording.samples:
            raise ValueError(f"samples {start} to {start + count} were asked for, of {self.recording.samples}")
        try:
            self._sound = self._sound or self._open()
            waveform = _read(self._sound, start, count)
        except (OSError, soundfile.SoundFileError) as error:
            self.close()
            raise self._error(f"cannot be read at sample {start} ({error})") from error
        if len(waveform) != count:
            self.close()
            raise self._error(f"it ends after {start + len(waveform)} samples, at its scan it had more")
        if not np.isfinite(waveform).all():
            first = start + int(np.argmin(np.isfinite(waveform).all(axis=1)))
            raise self._error(f"sample {first} is NaN or infinite")
        return waveform

    def close(self) -> None:
        """Close the file."""
        if self._sound:
            self._sound.close()
        self._sound = None

    def _open(self) -> SoundFile:
        recording = self.recording
        try:
            check_regular(recording.path)
            sound = SoundFile(recording.path, recording.samples)
        except (OSError, soundfile.SoundFileError, UserError) as error:
            raise self._error(f"cannot be opened any more ({error})") from error
        if (sound.samplerate, sound.channels) != (recording.sample_rate, recording.channels):
            sound.close()
            raise self._error("is not the sound any more that was scanned")
        return sound

    def _error(self, what: str) -> UserError:
        return UserError(f"{printable(self.recording.path)}: {what}; repair the file or move it away")

    def __enter__(self) -> "SoundStream":
        """Be a context manager."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file."""
        self.close()


def _read(sound: SoundFile, start: int, count: int) -> np.ndarray:
    """A stretch of an open file, float32 [count, channels]; shorter where the file ends."""
    run_up = 0
    if start and sound.subtype in _NEED_RUN_UP:
        run_up = min(start, _RUN_UP)
        sound.seek(0)  # without it, what Vorbis gives depends on where it was read before
    sound.seek(start - run_up)
    # In one call: `soundfile` seeks after each, which a run-up is there to get over.
    return sound.read(run_up + count, dtype="float32", always_2d=True)[run_up:]


def blocks(recording: Recording, block_samples: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
    """A whole recording in order, a block at a time.

    Args:
        recording: what to read.
        block_samples: size of a block.

    Yields:
        float32 [at most block_samples, channels].

    Raises:
        UserError: the recording cannot be read to its end; `usable_part` tells how far it can.

    Example:
        >>> from keras_audio_vae import datasets
        >>> [len(block) for block in blocks(datasets.load("fluidnotes").recordings[0], block_samples=10000)]
        [10000, 10000, 2050]
    """
    with SoundStream(recording) as stream:
        yield from in_blocks(stream.read, recording.samples, block_samples)


def in_blocks(
    read: Callable[[int, int], np.ndarray], samples: int, block_samples: int = BLOCK_SAMPLES
) -> Iterator[np.ndarray]:
    """A whole in order, a block at a time.

    Args:
        read: (start, count) -> [count, channels].
        samples: length of the whole.
        block_samples: size of a block; the last may be shorter.

    Example:
        >>> [len(block) for block in in_blocks(lambda start, count: np.zeros((count, 1)), 5, block_samples=2)]
        [2, 2, 1]
    """
    for start in range(0, samples, block_samples):
        yield read(start, min(block_samples, samples - start))


def usable_part(recording: Recording) -> Recording:
    """A recording up to the first place that cannot be read, found by reading all of it in bounded memory.

    A scan looks at headers and ends; damage in the middle, and NaN, show only here.

    Args:
        recording: what to read.

    Returns:
        The recording itself where all of it can be read; else with fewer `samples`, and the reason in `partial`.

    Raises:
        UserError: not one sample can be read.

    Example:
        >>> from keras_audio_vae import datasets
        >>> recording = datasets.load("fluidnotes").recordings[0]
        >>> usable_part(recording) == recording
        True
    """
    start, count, reason = 0, BLOCK_SAMPLES, None
    with SoundStream(recording) as stream:
        while start < recording.samples and count:
            try:
                start += len(stream.read(start, min(count, recording.samples - start)))
            except UserError as error:
                reason, count = reason or error, count // 2  # ever shorter steps up to the damage
    if reason is None:
        return recording
    if not start:
        raise reason
    missing = f"only the first {start} of {recording.samples} samples can be read"
    return replace(recording, samples=start, partial=missing)
