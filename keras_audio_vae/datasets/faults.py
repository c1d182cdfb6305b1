"""Recordings that turn out damaged, or vanish, while they are read: named once and left out."""

import logging
import threading

from keras_audio_vae.audio import Recording, printable
from keras_audio_vae.errors import UserError

_log = logging.getLogger("keras_audio_vae")
_TOLERATED = 30  # batches in a row without any sound: it is the disk, then, and there is nothing left to learn from


class Faults:
    """What went wrong with which recording.

    Attributes:
        reasons: by the recording's id.
        fatal: the error to stop with, once batch after batch could not be read at all.

    Example:
        >>> from keras_audio_vae import datasets
        >>> faults = Faults()
        >>> faults.note(datasets.load("fluidnotes").recordings[0], UserError("gone"))
        >>> list(faults.reasons.values()), faults.fatal
        (['gone'], None)
    """

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self.reasons: dict[str, str] = {}
        self.fatal: UserError | None = None
        self._empty_batches = 0
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
        _log.warning("Left out where it cannot be read: %s", error)

    def count_batch(self, holds_sound: bool) -> None:
        """Watch what training gets.

        Args:
            holds_sound: whether any row of the batch could be read.
        """
        with self._lock:
            self._empty_batches = 0 if holds_sound else self._empty_batches + 1
            if self._empty_batches > _TOLERATED:
                name, reason = next(iter(self.reasons.items()))
                self.fatal = UserError(
                    f"no recording can be read any more, {len(self.reasons)} have failed, {printable(name)} among them"
                    f" ({reason}); is the disk still there?"
                )
