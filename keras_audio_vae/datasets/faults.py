"""Recordings that turn out damaged, or vanish, while they are read: named once and left out."""

import logging
import threading

from keras_audio_vae.audio import Recording, printable
from keras_audio_vae.errors import UserError

_log = logging.getLogger("keras_audio_vae")
_TOLERATED = 0.5  # share of the recordings; when more of them fail, it is the disk, and there is nothing left to learn


class Faults:
    """What went wrong with which recording.

    Args:
        num_recordings: how many the corpus has.

    Attributes:
        reasons: by the recording's id.
        fatal: the error to stop with, once more than half of the recordings have failed.

    Example:
        >>> from keras_audio_vae import datasets
        >>> faults = Faults(num_recordings=305)
        >>> faults.note(datasets.load("fluidnotes").recordings[0], UserError("gone"))
        >>> list(faults.reasons.values()), faults.fatal
        (['gone'], None)
    """

    def __init__(self, num_recordings: int):
        """Nothing has failed yet."""
        self.reasons: dict[str, str] = {}
        self.fatal: UserError | None = None
        self._num_recordings = num_recordings
        self._lock = threading.Lock()

    def note(self, recording: Recording, error: UserError) -> None:
        """Remember a failure, and say so the first time.

        Args:
            recording: what could not be read.
            error: why.
        """
        with self._lock:
            if recording.recording_id in self.reasons:
                return
            self.reasons[recording.recording_id] = str(error)
            failed = len(self.reasons)
        _log.warning("Left out where it cannot be read: %s", error)
        if failed > _TOLERATED * self._num_recordings:
            self.fatal = UserError(
                f"{failed} of {self._num_recordings} recordings cannot be read any more,"
                f" {printable(recording.recording_id)} among them ({error}); is the disk still there?"
            )
