"""Ctrl-C and SIGTERM end a run politely: after the step that is under way, with a checkpoint."""

import os
import signal
import threading
from types import FrameType

from keras_audio_vae.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(UserError):
    """A run was asked to stop, and its state is saved: starting the same command again goes on from there.

    Attributes:
        signal_number: The signal that asked, for an exit code of 128 plus it.

    Example:
        >>> Interrupted("Stopped at step 7.", signal.SIGTERM).signal_number == 15
        True
    """

    def __init__(self, message: str, signal_number: int) -> None:
        """See the class."""
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """Remembers a signal instead of dying of it. A second Ctrl-C ends the process at once.

    A context manager; outside the main thread, where Python delivers no signals, it does nothing.

    Attributes:
        received: The number of the signal, or None.

    Example:
        >>> with StopRequest() as request:
        ...     os.kill(os.getpid(), signal.SIGTERM)
        ...     request.received == signal.SIGTERM
        True
    """

    def __init__(self) -> None:
        """See the class."""
        self.received: int | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopRequest":
        """Takes the signals over."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        """Gives the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        # A handler must not use Python's buffered streams: the signal may have come in the middle of a print.
        os.write(2, b"\nStopping after this step; a checkpoint will be written. Once more to stop at once.\n")
