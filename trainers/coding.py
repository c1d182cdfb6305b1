"""Sound to code files and back, for `trainers.reconstruct --codes`, and how a recording reaches a model."""

import glob
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_audio_vae import audio
from keras_audio_vae.datasets.reading import Reader
from keras_audio_vae.errors import UserError
from keras_audio_vae.models import decode_blocks, encode_blocks
from keras_audio_vae.serving.code_file import SUFFIX, CodeFile, fingerprint
from trainers.settings import FitSettings


class Heard:
    """A recording as a model hears it: at the model's rate and channels, levelled, read by stretches.

    Args:
        recording: What is heard.
        settings: The flags of the run.

    Attributes:
        samples: Its length at the model's rate.
        gain: What its own level is multiplied by.
    """

    def __init__(self, recording: audio.Recording, settings: FitSettings) -> None:
        """See the class."""
        corpus = audio.Corpus((recording,))
        self._reader = Reader(corpus, settings.sample_rate, settings.channels, settings.normalization)
        self.samples, self.gain = int(self._reader.lengths[0]), float(self._reader.gains[0])

    def read(self, start: int, count: int) -> np.ndarray:
        """A stretch: float32 [1, count, channels]."""
        return self._reader.read(0, start, count)[np.newaxis]


def check_codes(model: Any, run_dir: str) -> None:
    """Raises a UserError if a run's model has no codes."""
    if not hasattr(model, "codebook_sizes"):
        raise UserError(f"{run_dir}: its model has no codes; --codes takes a run of --model=vqvae")


def code_files(source: str) -> dict[str, Path]:
    """The code files of an input by their names in it: of a folder's tree, a glob, or one file."""
    path = Path(source).expanduser()
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob(f"*{SUFFIX}"))}
    found = [path] if path.is_file() else sorted(map(Path, glob.glob(os.fspath(path), recursive=True)))
    return {file.name: file for file in found if file.suffix == SUFFIX}


def encode(model: Any, recording: audio.Recording, settings: FitSettings, path: Path) -> str:
    """Writes the codes of one recording.

    Args:
        model: A trained model of codes.
        recording: What it hears.
        settings: The flags of the run.
        path: The code file.

    Returns:
        Its duration and rate, in words.
    """
    heard = Heard(recording, settings)
    codes = [block.numpy()[0] for block in encode_blocks(model, heard.read, heard.samples)]
    file = CodeFile(
        np.concatenate(codes),
        tuple(model.codebook_sizes),
        fingerprint(model),
        sample_rate=model.sample_rate,
        channels=model.channels,
        samples=heard.samples,
        gain=heard.gain,
    )
    file.write(path)
    return f"{heard.samples / model.sample_rate:.2f} s, {file.bits_per_second:.0f} bits/s"


def decode(model: Any, source: Path, path: Path) -> str:
    """Writes the sound of one code file.

    Args:
        model: The model that wrote it.
        source: The code file.
        path: The WAV file.

    Returns:
        Its duration, and how much was clipped, in words.

    Raises:
        UserError: It is no code file, or damaged, or another model's.
    """
    from trainers.reconstruct import describe

    file = CodeFile.read(source)
    if file.model != fingerprint(model):
        raise UserError("these codes are another model's, which alone can decode them")
    with audio.WavWriter(path, file.sample_rate, file.channels, file.samples) as writer:
        for block in decode_blocks(model, file.codes[np.newaxis], file.samples):
            writer.write(block.numpy()[0] / file.gain)
    return describe(file.samples / file.sample_rate, writer.clipped)
