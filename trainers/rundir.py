"""The run directory: what `fit` writes and the other commands read, and which file in it is what."""

import dataclasses
import os
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

from keras_audio_vae.errors import UserError
from keras_audio_vae.files import write_atomically, write_text
from trainers import flags
from trainers.settings import FitSettings

# What may differ when a run goes on: how long it lasts, where it is and what it shows, but not what it computes.
FREE_TO_CHANGE = (
    *("epochs", "max_minutes", "checkpoint_minutes", "replicas", "cache_gb"),
    *("run_dir", "fresh", "listen", "tensorboard"),
)

CONTENTS = {
    "run.flags": "every flag of the run: --flagfile=%s/run.flags repeats it",
    "corpus.json": "what was found in the data, and what was skipped",
    "log.csv": "losses per epoch",
    "model.keras": "the model: keras.saving.load_model reads it",
    "export": "SavedModel for serving",
    "evaluation.txt": "measures on the test recordings beside baselines",
    "evaluation.json": "the same, for programs",
    "listen": "test recordings and their reconstructions",
    "spectrograms.png": "spectrograms of the same",
    "tensorboard": "tensorboard --logdir=%s/tensorboard shows the training",
    "checkpoints": "the last and the best state: the same command goes on from there",
}


class RunDirectory:
    """The files of one run.

    Args:
        path: The folder.

    Example:
        >>> RunDirectory("runs/vae").model.name
        'model.keras'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """See the class."""
        self.path = Path(path).expanduser()
        self.flags = self.path / "run.flags"
        self.corpus = self.path / "corpus.json"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model.keras"
        self.export = self.path / "export"

    def settings(self) -> FitSettings:
        """Reads the flags that the run was made with.

        Raises:
            UserError: The folder holds no run, or its `run.flags` cannot be read.
        """
        self._require_flags()
        try:
            return flags.parse(FitSettings, [f"--flagfile={self.flags}"])
        except flags.FlagError as error:
            raise UserError(f"{self.flags} cannot be read: {error}") from error

    def check(self, settings: FitSettings) -> None:
        """Whether a run of these flags may begin or go on in the folder; touches nothing.

        Args:
            settings: The flags of the run.

        Raises:
            UserError: A run of other flags is there already, or files that a run would replace but no run wrote.
        """
        self._refuse_foreign_files()
        if self.checkpoints.is_dir() and not settings.fresh:
            self._refuse_other_flags(settings)

    def prepare(self, settings: FitSettings) -> None:
        """Makes the folder ready for a run, new or resumed, and saves its flags.

        Args:
            settings: The flags of the run.

        Raises:
            UserError: See `check`; or the folder cannot be written.
        """
        self.check(settings)
        try:
            if settings.fresh:
                self._clear()
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.flags, flags.format_flags(settings, leave_out=["fresh"]))
        except OSError as error:
            raise UserError(f"--run_dir={self.path} cannot be written: {error.strerror}") from error

    def load_model(self) -> Any:
        """Loads the trained model.

        Raises:
            UserError: There is no run, or it has not ended yet, or the file cannot be read.
        """
        import keras

        self._require_flags()
        if not self.model.is_file():
            raise UserError(
                f"{self.model} is not there: the run has not ended; start trainers.fit again to go on with it"
            )
        try:
            _check_sums(self.model)
            return keras.saving.load_model(self.model)
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{self.model} cannot be read, it is damaged or of another version ({error}): start trainers.fit with "
                f"--flagfile={self.flags} again, which writes it anew from the checkpoints"
            ) from error

    def save_model(self, model: Any) -> None:
        """Saves a model, whole or not at all."""
        with write_atomically(self.model) as unfinished:
            model.save(unfinished)

    def contents(self) -> str:
        """Lists what the folder holds, one line each, with what it is."""
        present = [name for name in CONTENTS if (self.path / name).exists()]
        width = max(map(len, present), default=0) + len(str(self.path)) + 2
        return "\n".join(
            f"{self.path / name!s:{width}} {CONTENTS[name].replace('%s', str(self.path))}" for name in present
        )

    def _refuse_other_flags(self, settings: FitSettings) -> None:
        """Raises a UserError if the run in the folder was not made with these settings."""
        before = self.settings()
        changed = [
            f"--{name} {getattr(before, name)} -> {getattr(settings, name)}"
            for name in (
                field.name for field in dataclasses.fields(FitSettings if before.model != settings.model else settings)
            )
            if name not in FREE_TO_CHANGE and getattr(before, name) != getattr(settings, name)
        ]
        if changed:
            raise UserError(
                f"{self.path} holds a run of other flags ({', '.join(changed)}): "
                "use another --run_dir, or --fresh to delete that run and start over"
            )

    def _require_flags(self) -> None:
        if not self.flags.is_file():
            raise UserError(f"{self.path} holds no run (no run.flags): name a folder that trainers.fit wrote")

    def _refuse_foreign_files(self) -> None:
        """Raises a UserError if the folder holds something named as a run's files are, but no run."""
        present = [name for name in CONTENTS if (self.path / name).exists()]
        if present and not self.flags.is_file():
            raise UserError(
                f"{self.path} holds no run (no run.flags), but has {', '.join(present)}, which a run would replace or "
                "--fresh delete: use another --run_dir, or move this away"
            )

    def _clear(self) -> None:
        """Deletes what a run writes, and nothing else that may lie in the folder; last what tells that it is a run."""
        for path in (self.path / name for name in reversed(CONTENTS)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _check_sums(path: Path) -> None:
    """Compares a zip archive's members with their checksums, which those who read parts of a member do not."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(f"the checksum of {damaged} in it is wrong")
