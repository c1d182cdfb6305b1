"""What a run shows while it trains: Keras' progress bar with few named losses, and log.csv with all of them."""

import csv
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_audio_vae.files import write_atomically
from keras_audio_vae.training.checkpoints import RunState
from keras_audio_vae.training.variables import scalar_of

SHOWN = (
    *("loss", "waveform", "stft", "mel"),
    *("kl", "rate_bps", "active_units"),  # of Gaussian latents
    *("coarse", "top_share", "active_units_top", "active_units_bottom"),  # of two levels of them
    *("commitment", "codebook", "evenness", "usage", "perplexity"),  # of codes
    "val_loss",
)


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, with few of the logs, and the time that the run has left.

    Args:
        state: The state of the run.
        max_seconds: The time limit of the run; 0 for none.
        shown: Names of the logs to show, where the model has them.

    Example:
        >>> bar = ProgressBar(RunState(), shown=("loss",))
        >>> bar.select({"loss": 1.0, "beta": 2.0})
        {'loss': 1.0}
    """

    def __init__(self, state: RunState, max_seconds: float = 0.0, shown: Iterable[str] = SHOWN) -> None:
        """See the class."""
        super().__init__()
        self.verbose: int
        self.target: int | None
        self.state = state
        self.max_seconds = max_seconds
        self.shown = tuple(shown)

    def select(self, logs: Mapping[str, float] | None) -> dict[str, float]:
        """The logs to show, in the order of `shown`."""
        return {name: logs[name] for name in self.shown if logs and name in logs}

    def set_params(self, params: dict[str, Any]) -> None:
        """Takes what `fit` hands over; where no terminal redraws a line, one line per epoch has to do."""
        super().set_params(params)
        if self.verbose == 1 and not sys.stdout.isatty():
            self.verbose = 2

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Prints which epoch this is, and how much of a limited time is spent."""
        self._reset_progbar()
        self._maybe_init_progbar()
        if self.verbose:
            epochs = f"/{self.epochs}" if self.epochs else ""
            spent, limit = self.state.seconds / 60, self.max_seconds / 60
            minutes = f", {spent:.1f} of {limit:g} minutes" if limit else ""
            print(f"Epoch {epoch + 1}{epochs}, step {self.state.step}{minutes}", flush=True)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Moves the bar."""
        super().on_train_batch_end(batch, self.select(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Ends the bar's line, at the step that was reached, which a time limit may have put before the last one."""
        steps, self.target = self.target, self.seen or self.target
        super().on_epoch_end(epoch, self.select(logs))
        self.target = steps


class EpochLog(keras.callbacks.Callback):
    """Keeps log.csv: one row per epoch with its step, minutes, learning rate and all logs.

    The whole file is replaced each time, so that it is never half written; rows from after the checkpoint from which a
    run resumes are dropped, since those epochs come again.

    Args:
        path: The file.
        state: The state of the run.

    Example:
        >>> import tempfile
        >>> log = EpochLog(os.path.join(tempfile.mkdtemp(), "log.csv"), RunState(step=9, seconds=60.0))
        >>> log.write_row(0, 0.001, {"loss": 2.0})
        >>> print(open(log.path).read())
        epoch,step,minutes,learning_rate,loss
        1,9,1.000,0.001,2.0
        <BLANKLINE>
    """

    def __init__(self, path: str | os.PathLike[str], state: RunState) -> None:
        """See the class."""
        super().__init__()
        self.path = Path(path)
        self.state = state
        self.rows: list[dict[str, Any]] = []
        if state.step and self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= state.ended_step]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds the row of the epoch."""
        self.write_row(epoch, scalar_of(self.model.optimizer.learning_rate), logs or {})

    def write_row(self, epoch: int, learning_rate: float, logs: Mapping[str, float]) -> None:
        """Adds one row and replaces the file."""
        head = {
            "epoch": epoch + 1,
            "step": self.state.step,
            "minutes": f"{self.state.seconds / 60:.3f}",
            "learning_rate": f"{learning_rate:.6g}",
        }
        self.rows.append({**head, **logs})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with write_atomically(self.path) as unfinished, open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
