"""Sound to code files and back, for `trainers.reconstruct --codes`."""

import functools
import glob
import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_audio_vae import audio
from keras_audio_vae.audio.formats import named_as_sound
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
    """The code files of an input, which are decoded; without any, an input is sound to encode.

    Where there are other files beside them, a printed line says that these are passed over.

    Args:
        source: A folder, which is searched in depth, a glob of files and folders, or a file.

    Returns:
        Each file by its path in the folder, or in the folder that all matches of the glob have in common.
    """
    path = Path(source).expanduser()
    matches = [path] if path.exists() else map(Path, glob.glob(os.fspath(path), recursive=True))
    found = sorted({file for match in matches for file in _files(match)})
    codes = [file for file in found if file.suffix == SUFFIX]
    others = [file for file in found if file.suffix != SUFFIX]
    if not codes:
        return {}
    if others:
        shown = min(others, key=lambda file: not named_as_sound(os.fspath(file)))  # sound, if there is any
        print(
            f"{audio.printable(source)}: decoding {len(codes)} with codes; passing over {len(others)} without, such as "
            f"{audio.printable(shown)}: sound is encoded if no {SUFFIX} file is in the --input",
            flush=True,
        )
    root = path if path.is_dir() else os.path.commonpath([file.parent for file in codes])
    return {file.relative_to(root).as_posix(): file for file in codes}


def _files(match: Path) -> list[Path]:
    """A file itself, or those below a folder, but for what is hidden: systems keep files of their own there."""
    if not match.is_dir():
        return [match]
    return [
        file
        for file in match.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(match).parts)
    ]


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
    size, seconds = file.write(path), heard.samples / model.sample_rate
    return f"{seconds:.2f} s, {size} bytes, {8 * size / seconds:.0f} bits/s ({model.nominal_bps:.0f} nominal)"


def decode(model: Any, source: Path, path: Path) -> str:
    """Writes the sound of one code file.

    Args:
        model: The model that wrote it.
        source: The code file.
        path: The WAV file.

    Returns:
        Its duration, and how much was clipped, in words.

    Raises:
        UserError: It is no code file, or damaged, or another model's, or says of the model what is not so.
    """
    file = CodeFile.read(source)
    if file.model != _fingerprint(model):
        raise UserError("these codes are another model's, which alone can decode them")
    _check_fit(model, file)
    return write_blocks(
        path,
        decode_blocks(model, file.codes[np.newaxis], file.samples),
        sample_rate=file.sample_rate,
        channels=file.channels,
        samples=file.samples,
        gain=file.gain,
    )


def _check_fit(model: Any, file: CodeFile) -> None:
    """Raises a UserError if a file that names the model says of it, or of its frames, what is not so."""
    own = {
        "codebook_sizes": tuple(model.codebook_sizes),
        "sample_rate": model.sample_rate,
        "channels": model.channels,
        "frames": -(-file.samples // model.latent_hop),
    }
    said = {**vars(file), "frames": len(file.codes)}
    if wrong := [f"{name} {said[name]}, not {value}" for name, value in own.items() if said[name] != value]:
        raise UserError(f"what it says is not its model's ({'; '.join(wrong)}): encode the sound again")
