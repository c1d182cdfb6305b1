"""Sends sound through a trained model: `python -m trainers.reconstruct --run_dir=runs/vae --input=DIR --output=DIR`."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from trainers import command
from trainers.flags import FlagSet, flag
from trainers.settings import FitSettings

if TYPE_CHECKING:
    from keras_audio_vae.audio import Recording


@dataclasses.dataclass(frozen=True)
class ReconstructSettings(FlagSet):
    """The settings of a reconstruction; the fields' help texts say what each is."""

    run_dir: str = flag("", "files", "folder that trainers.fit wrote", required=True)
    input: str = flag("", "files", "sound: a folder, a glob or a file", required=True)
    output: str = flag("", "files", "folder of what is written, in the input's tree", required=True)
    codes: bool = flag(False, "files", "writes the codes of sound (.kavc), or the sound of an input of code files")


class Job(NamedTuple):
    """One file to make of another.

    Attributes:
        source: The file that is read.
        path: The file that is written.
        work: Writes it, and says in words what it is.
    """

    source: str
    path: Path
    work: Callable[[Path], str]


def main(settings: ReconstructSettings) -> None:
    """Writes one file per file: a WAV, as long as the recording and at the model's sample rate, or its codes.

    Raises:
        UserError: There is no sound, or none of it can be decoded, or an input would be overwritten.
    """
    from keras_audio_vae import audio
    from keras_audio_vae.errors import UserError
    from trainers import coding, rundir

    run = rundir.RunDirectory(settings.run_dir)
    fit_settings, model = run.settings(), run.load_model()
    files: dict[str, Path] = {}
    if settings.codes:
        coding.check_codes(model, settings.run_dir)
        files = coding.code_files(settings.input)
    jobs = _decoding(model, files, settings) if files else _hearing(model, fit_settings, settings)
    inputs = {Path(job.source).resolve() for job in jobs}
    if overwritten := [str(job.path) for job in jobs if job.path.resolve() in inputs]:
        raise UserError(f"{overwritten[0]} is an input and would be overwritten: name another --output")
    written = 0
    for job in jobs:
        try:
            note = job.work(job.path)
        except (UserError, OSError, ValueError) as reason:  # one file's trouble is not the others'
            named = str(reason).startswith((job.source, audio.printable(job.source)))
            print(f"skipped {'' if named else audio.printable(job.source) + ': '}{reason}", flush=True)
            continue
        written += 1
        print(f"{job.path}: {note}", flush=True)
    if 0 < written < len(jobs):
        print(f"{written} of {len(jobs)} written, {len(jobs) - written} skipped", flush=True)
    if not written:
        raise UserError(f"{settings.input}: nothing of it could be decoded, so nothing was written")


def _hearing(model: Any, fit_settings: FitSettings, settings: ReconstructSettings) -> list[Job]:
    """One job for each recording: its reconstruction, or its codes."""
    from keras_audio_vae.serving.code_file import SUFFIX
    from trainers import coding, data

    corpus = data.load(settings.input, fit_settings)
    print(corpus.report(), flush=True)
    write, suffix = (coding.encode, SUFFIX) if settings.codes else (reconstruct, ".wav")
    names = output_names([recording.recording_id for recording in corpus.recordings], suffix)
    folder = Path(settings.output).expanduser()
    return [
        Job(
            recording.path,
            folder / names[recording.recording_id],
            functools.partial(as_far_as_possible, write, model, recording, fit_settings),
        )
        for recording in corpus.recordings
    ]


def _decoding(model: Any, files: dict[str, Path], settings: ReconstructSettings) -> list[Job]:
    """One job for each code file: the sound that it stands for."""
    from trainers import coding

    names, folder = output_names(list(files), ".wav"), Path(settings.output).expanduser()
    return [
        Job(str(path), folder / names[name], functools.partial(coding.decode, model, path))
        for name, path in files.items()
    ]


def as_far_as_possible(
    write: Callable[[Any, "Recording", FitSettings, Path], str],
    model: Any,
    recording: "Recording",
    settings: FitSettings,
    path: Path,
) -> str:
    """`write`, of the part before the damage where a recording is damaged behind its header."""
    from keras_audio_vae import audio
    from keras_audio_vae.errors import UserError

    try:
        return write(model, recording, settings, path)
    except UserError:
        usable = audio.usable_part(recording)
        return f"{write(model, usable, settings, path)}, {usable.partial}"


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
    from keras_audio_vae.models import reconstruct_blocks
    from trainers.sound import Heard, write_blocks

    heard = Heard(recording, settings)
    return write_blocks(
        path,
        reconstruct_blocks(model, heard.read, heard.samples),
        sample_rate=settings.sample_rate,
        channels=settings.channels,
        samples=heard.samples,
        gain=heard.gain,
    )


def output_names(recording_ids: Sequence[str], suffix: str) -> dict[str, str]:
    """Names what is written of each recording; where two would have one name, all keep their extensions in it.

    Example:
        >>> output_names(["a/bell.flac", "drum.ogg"], ".wav")
        {'a/bell.flac': 'a/bell.wav', 'drum.ogg': 'drum.wav'}
        >>> output_names(["a/bell.flac", "a/bell.mp3"], ".wav")
        {'a/bell.flac': 'a/bell.flac.wav', 'a/bell.mp3': 'a/bell.mp3.wav'}
    """
    names = {name: str(PurePosixPath(name).with_suffix(suffix)) for name in recording_ids}
    if len(set(names.values())) == len(names):
        return names
    return {name: f"{name}{suffix}" for name in recording_ids}


cli = functools.partial(
    command.run,
    main,
    ReconstructSettings,
    name="trainers.reconstruct",
    purpose="Sends sound through the model of a run and writes what comes out as WAV files.",
)


if __name__ == "__main__":
    sys.exit(cli())
