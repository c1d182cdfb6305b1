"""Sound files as libsndfile opens them, under their own header or the one that they ought to have."""

import io
import os

import soundfile

from keras_audio_vae.audio.containers import corrected_head


class SoundFile(soundfile.SoundFile):
    """An open sound file.

    Args:
        path: where it is.
        samples: its length where that is known better than by its header, as after a scan. A FLAC that is cut off can
            be read to its last sample only if its header does not promise more.

    Raises:
        OSError: there is no such file, or it may not be read.
        soundfile.LibsndfileError: libsndfile does not know it as sound.

    Example:
        >>> from keras_audio_vae import datasets
        >>> with SoundFile(datasets.load("fluidnotes").recordings[0].path) as sound:
        ...     sound.frames
        22050
    """

    def __init__(self, path: str, samples: int | None = None):
        """Open the file."""
        correction = corrected_head(path, samples)
        self._corrected = _Corrected(path, *correction) if correction else None
        try:
            super().__init__(self._corrected or os.fsencode(path))  # as bytes: a name need not be UTF-8
        except BaseException:
            self._close_corrected()
            raise

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._close_corrected()

    def _close_corrected(self) -> None:
        if self._corrected:
            self._corrected.close()


class _Corrected(io.RawIOBase):
    """A file whose first bytes are replaced: `head`, then the file from byte `replaced` on."""

    def __init__(self, path: str, head: bytes, replaced: int):
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._head, self._shift = head, replaced - len(head)
        self._size = os.fstat(self._file.fileno()).st_size - self._shift
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer) -> int:
        if self._at < len(self._head):
            part = self._head[self._at : self._at + len(buffer)]
            buffer[: len(part)] = part
            size = len(part)
        else:
            self._file.seek(self._at + self._shift)
            size = self._file.readinto(buffer)
        self._at += size
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
