"""Sound files in: what a file holds, and its samples, in the tf.data graph or outside it.

tensorflow-io decodes the common formats inside the graph. What it cannot read, or would read wrongly (32-bit integer
WAV, WAV with odd chunks), goes through libsndfile. This is the one module that imports tensorflow-io.
"""

import functools
import os
import threading
import types
from dataclasses import dataclass

import numpy as np
import soundfile
import tensorflow as tf

from keras_audio_vae.audio import formats
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

# Opened in several threads at once, tensorflow-io's streams are mixed up: one then tells another file's length.
_ONE_STREAM_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class SoundHeader:
    """What is known of a sound file before it is decoded.

    Attributes:
        format: container and encoding, such as "FLAC PCM_16".
        decoder: which of `DECODERS` reads it.
        sample_rate: Hz.
        channels: how many.
        samples: length in samples, per channel.
    """

    format: str
    decoder: str
    sample_rate: int
    channels: int
    samples: int


@functools.cache
def _tfio_audio() -> types.ModuleType:
    """`tensorflow_io.audio`, with its native library loaded."""
    try:
        import tensorflow_io as tfio
        from tensorflow_io.python.ops import core_ops

        dir(core_ops)  # loads the library now; it would otherwise fail at the first file, less clearly
    except (ImportError, NotImplementedError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"tensorflow-io cannot be loaded beside TensorFlow {tf.__version__}: it needs TensorFlow 2.16.x"
            " (pip install 'tensorflow==2.16.2' 'tensorflow-io==0.37.1')"
        ) from error
    return tfio.audio


def read_header(path: str) -> SoundHeader:
    """Read a file's header, and look whether the end that it promises is there.

    Args:
        path: a file of any kind.

    Raises:
        UserError: the file is no sound, is empty or damaged; the message is the reason, without the path.

    Example:
        >>> from keras_audio_vae import datasets
        >>> read_header(datasets.load("fluidnotes").recordings[0].path)
        SoundHeader(format='FLAC PCM_16', decoder='flac16', sample_rate=22050, channels=1, samples=22050)
    """
    try:
        with open(path, "rb") as file:
            head = file.read(formats.HEAD_BYTES)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    if formats.sniff(head) is None:
        raise UserError(formats.describe_unknown(head))
    try:
        with soundfile.SoundFile(path) as sound:
            header = _choose_decoder(path, sound)
            # Looked at before decoding: a truncated file must be named in the scan, not stop the training later.
            complete = sound.frames > 0 and sound.seek(sound.frames - 1) >= 0 and len(sound.read(1)) == 1
    except soundfile.LibsndfileError as error:
        raise UserError(f"damaged: {error.error_string.strip().rstrip('.')}") from error
    if not header.samples:
        raise UserError("it holds no samples")
    if not complete:
        raise UserError(f"damaged: it ends before the {header.samples} samples that its header promises")
    return header


def _choose_decoder(path: str, sound: soundfile.SoundFile) -> SoundHeader:
    """The header, with the native decoder where it sees the same sound as libsndfile does."""
    name = f"{sound.format} {sound.subtype}"
    by_soundfile = SoundHeader(name, SOUNDFILE, sound.samplerate, sound.channels, sound.frames)
    native = _NATIVE.get((sound.format, sound.subtype))
    if native is None:
        return by_soundfile
    try:
        with _ONE_STREAM_AT_A_TIME, tf.device("/CPU:0"):
            stream = _tfio_audio().AudioIOTensor(path)
            samples, channels = (int(size) for size in stream.shape)
            by_native = SoundHeader(name, native, int(stream.rate), channels, samples)
    except tf.errors.OpError:
        return by_soundfile
    # libsndfile guesses the length of an MP3 without a Xing header; tensorflow-io counts its frames.
    trusted = native == "mp3" or by_native.samples == by_soundfile.samples
    same_stream = (by_native.sample_rate, channels) == (by_soundfile.sample_rate, by_soundfile.channels)
    return by_native if trusted and same_stream and samples else by_soundfile


def _from_integers(pcm: tf.Tensor) -> tf.Tensor:
    """Full scale of the integer type -> -1 to 1 (24 bits come in the upper bits of int32)."""
    return tf.cast(pcm, tf.float32) * np.float32(-1.0 / pcm.dtype.min)


def _native_waveform(decoder: str, contents: tf.Tensor) -> tf.Tensor:
    """Decode a file's bytes by one of the native decoders: float32 [samples, channels]."""
    audio = _tfio_audio()
    if decoder == "mp3":
        return audio.decode_mp3(contents)
    if decoder == "vorbis":
        return audio.decode_vorbis(contents)
    if decoder == "wav_float":
        return audio.decode_wav(contents, dtype=tf.float32)
    decode_integers = audio.decode_flac if decoder.startswith("flac") else audio.decode_wav
    return _from_integers(decode_integers(contents, dtype=tf.int16 if decoder.endswith("16") else tf.int32))


def decode_by_soundfile(path: str | bytes) -> np.ndarray:
    """Decode a file by libsndfile, outside the graph.

    Args:
        path: a sound file.

    Returns:
        float32 [samples, channels].

    Example:
        >>> from keras_audio_vae import datasets
        >>> decode_by_soundfile(datasets.load("fluidnotes").recordings[0].path).shape
        (22050, 1)
    """
    return soundfile.read(os.fsdecode(path), dtype="float32", always_2d=True)[0]


@tf.autograph.experimental.do_not_convert
def decode(path: tf.Tensor, decoder: tf.Tensor) -> tf.Tensor:
    """Decode a file inside the graph: the function to map over a tf.data pipeline of paths.

    Args:
        path: string [].
        decoder: string [], one of `DECODERS`, as `read_header` chose it.

    Returns:
        float32 [samples, channels], -1 to 1.

    Example:
        >>> from keras_audio_vae import datasets
        >>> recording = datasets.load("fluidnotes").recordings[0]
        >>> data = tf.data.Dataset.from_tensors((recording.path, recording.decoder)).map(decode)
        >>> next(iter(data)).shape
        TensorShape([22050, 1])
    """

    def by_soundfile(path) -> np.ndarray:
        return decode_by_soundfile(np.asarray(path).item())  # eagerly it comes as an array, in the graph as bytes

    def branch(name: str):
        if name == SOUNDFILE:
            return lambda: tf.numpy_function(by_soundfile, [path], tf.float32, stateful=False)
        return lambda: _native_waveform(name, tf.io.read_file(path))

    with tf.device("/CPU:0"):
        known = tf.equal(decoder, list(DECODERS))
        with tf.control_dependencies([tf.debugging.assert_equal(tf.reduce_any(known), True, "no such decoder")]):
            which = tf.argmax(known, output_type=tf.int32)
        waveform = tf.switch_case(which, [branch(name) for name in DECODERS])
    return tf.ensure_shape(waveform, [None, None])


def decode_file(path: str) -> tuple[np.ndarray, int]:
    """Decode one whole file.

    Args:
        path: a sound file of any supported format.

    Returns:
        The waveform, float32 [samples, channels], and its sample rate in Hz.

    Raises:
        UserError: the file is no sound, is empty or damaged.

    Example:
        >>> from keras_audio_vae import datasets
        >>> waveform, sample_rate = decode_file(datasets.load("fluidnotes").recordings[0].path)
        >>> waveform.shape, sample_rate
        ((22050, 1), 22050)
    """
    try:
        header = read_header(path)
    except UserError as reason:
        raise UserError(f"{path}: {reason}") from reason
    return decode_whole(path, header.decoder, header.samples), header.sample_rate


def decode_whole(path: str, decoder: str, samples: int) -> np.ndarray:
    """Decode one whole file whose header is known, and hold it to that header.

    A file that its own decoder cannot read in full gets a second chance with libsndfile.

    Args:
        path: a sound file.
        decoder: one of `DECODERS`.
        samples: the length that `read_header` found.

    Returns:
        float32 [samples, channels], finite.

    Raises:
        UserError: the file cannot be decoded, or not to that length.

    Example:
        >>> from keras_audio_vae import datasets
        >>> recording = datasets.load("fluidnotes").recordings[0]
        >>> decode_whole(recording.path, recording.decoder, recording.samples).shape
        (22050, 1)
    """
    try:
        waveform = decode(tf.constant(path), tf.constant(decoder)).numpy()
    except tf.errors.OpError:
        waveform = np.zeros((0, 1), np.float32)
    if len(waveform) != samples:
        try:
            waveform = decode_by_soundfile(path)
        except soundfile.SoundFileError as error:
            raise UserError(f"{path}: cannot be decoded ({error}); re-encode the file or move it away") from error
    check_decoded(path, waveform, samples)
    return waveform


def check_decoded(path: str, waveform: np.ndarray, samples: int) -> None:
    """Hold a decoded file to its header and to finite numbers.

    Args:
        path: the file, for the message.
        waveform: what was decoded, float32 [samples, channels].
        samples: the length that `read_header` found.

    Raises:
        UserError: the length differs, or a sample is NaN or infinite.

    Example:
        >>> check_decoded("a.wav", np.zeros((3, 1)), 4)
        Traceback (most recent call last):
        ...
        keras_audio_vae.errors.UserError: a.wav: 3 samples were decoded, its header promises 4; re-encode the file ...
    """
    if len(waveform) != samples:
        raise UserError(
            f"{path}: {len(waveform)} samples were decoded, its header promises {samples};"
            " re-encode the file or move it away"
        )
    if not np.isfinite(waveform).all():
        raise UserError(f"{path}: it holds samples that are NaN or infinite; repair the file or move it away")
