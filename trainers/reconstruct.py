"""Sends sound through a trained model: `python -m trainers.reconstruct --run_dir=runs/vae --input=DIR --output=DIR`."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from trainers import command
from trainers.flags import FlagSet, flag
from trainers.settings import FitSettings

if TYPE_CHECKING:
    import numpy as np

    from keras_audio_vae.audio import Recording


@dataclasses.dataclass(frozen=True)
class ReconstructSettings(FlagSet):
    """The settings of a reconstruction; the fields' help texts say what each is."""

    run_dir: str = flag("", "files", "folder that trainers.fit wrote", required=True)
    input: str = flag("", "files", "sound: a folder, a glob or a file", required=True)
    output: str = flag("", "files", "folder of the WAV files, in the input's tree", required=True)


def main(settings: ReconstructSettings) -> None:
    """Writes one WAV file per recording, as long as the recording and at the model's sample rate.

    Raises:
        UserError: There is no sound, or none of it can be decoded, or an input would be overwritten.
    """
    from keras_audio_vae import audio
    from keras_audio_vae.errors import UserError
    from trainers import data, rundir

    run = rundir.RunDirectory(settings.run_dir)
    fit_settings, model = run.settings(), run.load_model()
    corpus = data.load(settings.input, fit_settings)
    print(corpus.report(), flush=True)
    names = output_names([recording.recording_id for recording in corpus.recordings])
    paths = {name: Path(settings.output).expanduser() / output for name, output in names.items()}
    inputs = {Path(recording.path).resolve() for recording in corpus.recordings}
    if overwritten := [str(path) for path in paths.values() if path.resolve() in inputs]:
        raise UserError(f"{overwritten[0]} is an input and would be overwritten: name another --output")
    written = 0
    for recording in corpus.recordings:
        path = paths[recording.recording_id]
        try:
            note = reconstruct_what_can_be(model, recording, fit_settings, path)
        except (UserError, OSError, ValueError) as reason:  # one file's trouble is not the others'
            print(f"skipped {audio.printable(recording.path)}: {reason}", flush=True)
            continue
        written += 1
        print(f"{path}: {note}", flush=True)
    if not written:
        raise UserError(f"{settings.input}: nothing of it could be decoded, so nothing was written")


def reconstruct_what_can_be(model: Any, recording: "Recording", settings: FitSettings, path: Path) -> str:
    """`reconstruct`, of the part before the damage where a recording is damaged behind its header."""
    from keras_audio_vae import audio
    from keras_audio_vae.errors import UserError

    try:
        return reconstruct(model, recording, settings, path)
    except UserError:
        usable = audio.usable_part(recording)
        return f"{reconstruct(model, usable, settings, path)}, {usable.partial}"


def reconstruct(model: Any, recording: "Recording", settings: FitSettings, path: Path) -> str:
    """Writes what the model makes of one recording, in memory that does not depend on its length.

    Args:
        model: The trained model.
        recording: What it hears.
        settings: The flags of the run.
        path: The WAV file.

    Returns:
        Its duration, and how much was clipped, in words.

    Raises:
        UserError: The recording cannot be decoded; the message names its file.
    """
    import numpy as np

    from keras_audio_vae import audio
    from keras_audio_vae.datasets.reading import Reader
    from keras_audio_vae.models import reconstruct_blocks

    reader = Reader(audio.Corpus((recording,)), settings.sample_rate, settings.channels, settings.normalization)
    samples, gain = int(reader.lengths[0]), float(reader.gains[0])

    def read(start: int, count: int) -> "np.ndarray":
        return reader.read(0, start, count)[np.newaxis]

    with audio.WavWriter(path, settings.sample_rate, settings.channels, samples) as writer:
        for block in reconstruct_blocks(model, read, samples):
            # The model heard the normalised recording; dividing by the gain gives it the recording's own level back.
            writer.write(block.numpy()[0] / gain)
    seconds = f"{samples / settings.sample_rate:.2f} s"
    return seconds + (f", {writer.clipped} samples clipped" if writer.clipped else "")


def output_names(recording_ids: Sequence[str]) -> dict[str, str]:
    """Names the WAV file of each recording; where two would have one name, all keep their extensions in it.

    Example:
        >>> output_names(["a/bell.flac", "drum.ogg"])
        {'a/bell.flac': 'a/bell.wav', 'drum.ogg': 'drum.wav'}
        >>> output_names(["a/bell.flac", "a/bell.mp3"])
        {'a/bell.flac': 'a/bell.flac.wav', 'a/bell.mp3': 'a/bell.mp3.wav'}
    """
    names = {name: str(PurePosixPath(name).with_suffix(".wav")) for name in recording_ids}
    if len(set(names.values())) == len(names):
        return names
    return {name: f"{name}.wav" for name in recording_ids}


def cli() -> int:
    """Runs the command with the process's command line and returns the exit status."""
    return command.run(
        main,
        ReconstructSettings,
        name="trainers.reconstruct",
        purpose="Sends sound through the model of a run and writes what comes out as WAV files.",
    )


if __name__ == "__main__":
    sys.exit(cli())
