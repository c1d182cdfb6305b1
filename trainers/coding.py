"""Sound to code files and back, for `trainers.reconstruct --codes`."""

import functools
import glob
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_audio_vae import audio
from keras_audio_vae.errors import UserError
from keras_audio_vae.models import decode_blocks, encode_blocks
from keras_audio_vae.serving.code_file import SUFFIX, CodeFile, fingerprint
from trainers.settings import FitSettings
from trainers.sound import Heard, write_blocks

# Of all weights: taken once, and not for each file.
_fingerprint = functools.lru_cache(maxsize=1)(fingerprint)


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
        _fingerprint(model),
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
    file = CodeFile.read(source)
    if file.model != _fingerprint(model):
        raise UserError("these codes are another model's, which alone can decode them")
    return write_blocks(
        path,
        decode_blocks(model, file.codes[np.newaxis], file.samples),
        sample_rate=file.sample_rate,
        channels=file.channels,
        samples=file.samples,
        gain=file.gain,
    )
