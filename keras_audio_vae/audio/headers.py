"""What can really be read of a sound file, by its header and a look at its end."""

import os
import stat
from dataclasses import dataclass

import soundfile

from keras_audio_vae.audio import containers, formats
from keras_audio_vae.audio.opening import SoundFile
from keras_audio_vae.errors import UserError

SOUNDFILE = "soundfile"  # the decoder that takes what no other does

# (container, encoding) as libsndfile names them -> the decoder that reads it inside the graph
_NATIVE = {
    ("FLAC", "PCM_16"): "flac16",
    ("FLAC", "PCM_24"): "flac24",
    ("MP3", "MPEG_LAYER_III"): "mp3",
    ("OGG", "VORBIS"): "vorbis",
    ("WAV", "PCM_16"): "wav16",
    ("WAV", "PCM_24"): "wav24",
    ("WAV", "FLOAT"): "wav_float",
    ("WAVEX", "PCM_16"): "wav16",
    ("WAVEX", "PCM_24"): "wav24",
    ("WAVEX", "FLOAT"): "wav_float",
}
DECODERS: tuple[str, ...] = (*dict.fromkeys(_NATIVE.values()), SOUNDFILE)

# Hz. No recorder is slower or faster: what says 1 Hz or 4 GHz is damaged, and resampling would make years of it.
_MIN_RATE, _MAX_RATE = 1000, 768_000
_LONGEST = 2**36 - 1  # samples, the most that a FLAC can announce; libsndfile says 2^63 - 1 of one that announces none


class NotSound(UserError):
    """The reason why a file is not even damaged sound: it begins otherwise, is no file, or may not be read.

    Example:
        >>> raise NotSound("the file is empty")
        Traceback (most recent call last):
        ...
        keras_audio_vae.audio.headers.NotSound: the file is empty
    """


@dataclass(frozen=True)
class SoundHeader:
    """What is known of a sound file before it is decoded.

    Attributes:
        format: container and encoding, such as "FLAC PCM_16".
        decoder: which of `DECODERS` reads it.
        sample_rate: Hz.
        channels: how many.
        samples: how many can be read, per channel.
        partial: why not all of the file is in `samples`, "" where all of it is.
    """

    format: str
    decoder: str
    sample_rate: int
    channels: int
    samples: int
    partial: str = ""


def read_header(path: str) -> SoundHeader:
    """Read a file's header, and find how much of what it promises is there.

    Nothing is decoded but the last sample. Damage before it shows when that place is read.

    Args:
        path: a file of any kind; nothing but a regular file is opened.

    Raises:
        NotSound: the file is no sound, is empty or cannot be read; the message is the reason, without the path.
        UserError: it is damaged sound, likewise.

    Example:
        >>> from keras_audio_vae import datasets
        >>> read_header(datasets.load("fluidnotes").recordings[0].path)
        SoundHeader(format='FLAC PCM_16', decoder='flac16', sample_rate=22050, channels=1, samples=22050, partial='')
    """
    check_regular(path)
    try:
        with open(path, "rb") as file:
            head = file.read(formats.HEAD_BYTES)
        if formats.sniff(head) is None:
            raise NotSound(formats.describe_unknown(head))
        with SoundFile(path) as sound:
            return _really(path, sound)
    except OSError as error:
        raise NotSound(f"cannot be read: {error.strerror}") from error
    except soundfile.LibsndfileError as error:
        raise UserError(f"damaged: {error.error_string.strip().rstrip('.')}") from error


def check_regular(path: str) -> None:
    """See that a path is a file before it is opened: to open a pipe is to wait for its other end.

    Raises:
        NotSound: it is no regular file, or a link that leads to none; the message is the reason, without the path.

    Example:
        >>> check_regular("/dev/null")
        Traceback (most recent call last):
        ...
        keras_audio_vae.audio.headers.NotSound: not a regular file, but a device
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        what = "a link to a file that is not there" if os.path.islink(path) else "there is no such file"
        raise NotSound(what) from error
    except OSError as error:  # among others a ring of links
        raise NotSound(f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        what = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}.get(stat.S_IFMT(mode), "device")
        raise NotSound(f"not a regular file, but a {what}")


def _really(path: str, sound: SoundFile) -> SoundHeader:
    """The header of an open file, corrected by what can be read of it."""
    if not _MIN_RATE <= sound.samplerate <= _MAX_RATE:
        raise UserError(f"damaged: its header says {sound.samplerate} Hz, which cannot be right")
    if not sound.frames:
        raise UserError("it holds no samples")
    samples, partial = sound.frames, containers.flaw(path)
    announced = samples <= _LONGEST
    if not announced or not _reaches(sound, samples):
        samples = _readable(path, min(samples, _LONGEST))
        if announced:
            partial = f"only {samples} of the {sound.frames} samples that its header promises can be read"
    if not samples:
        raise UserError("damaged: not one sample of it can be read")
    # The decoders in the graph believe the file's own header.
    believed = not partial and announced and containers.corrected_head(path, samples) is None
    decoder = _NATIVE.get((sound.format, sound.subtype), SOUNDFILE) if believed else SOUNDFILE
    return SoundHeader(f"{sound.format} {sound.subtype}", decoder, sound.samplerate, sound.channels, samples, partial)


def _reaches(sound: SoundFile, samples: int) -> bool:
    """Whether the last of so many samples can be read."""
    try:
        return sound.seek(samples - 1) == samples - 1 and len(sound.read(1)) == 1
    except soundfile.SoundFileError:
        return False


def _readable(path: str, most: int) -> int:
    """How many samples can be read, by halving: a file that can be read up to a place can be read up to any before."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        with SoundFile(path, middle) as sound:  # opened anew: libFLAC is of no more use after a failure
            if _reaches(sound, middle):
                least = middle
            else:
                most = middle - 1
    return least
