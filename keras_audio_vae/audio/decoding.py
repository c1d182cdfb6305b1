"""Whole sound files in: their samples, in the tf.data graph or outside it.

tensorflow-io decodes the common formats inside the graph. What it cannot read, or would read wrongly (32-bit integer
WAV, WAV with odd chunks), goes through libsndfile. This is the one module that imports tensorflow-io.
"""

import contextlib
import functools
import os
import types

import numpy as np
import soundfile
import tensorflow as tf

from keras_audio_vae.audio.formats import printable
from keras_audio_vae.audio.headers import DECODERS, SOUNDFILE, read_header
from keras_audio_vae.audio.opening import SoundFile
from keras_audio_vae.errors import UserError


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
    """Decode a file by libsndfile, outside the graph, as far as it can be read.

    Args:
        path: a sound file.

    Returns:
        float32 [samples, channels].

    Raises:
        UserError: the file is no sound, is empty or damaged.

    Example:
        >>> from keras_audio_vae import datasets
        >>> decode_by_soundfile(datasets.load("fluidnotes").recordings[0].path).shape
        (22050, 1)
    """
    path = os.fsdecode(path)
    try:
        samples = read_header(path).samples
        with SoundFile(path, samples) as sound:
            return sound.read(samples, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError, UserError) as error:
        raise UserError(
            f"{printable(path)}: cannot be decoded ({error}); re-encode the file or move it away"
        ) from error


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
        raise UserError(f"{printable(path)}: {reason}") from reason
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
    waveform = np.zeros((0, 1), np.float32)
    if decoder != SOUNDFILE:
        with contextlib.suppress(tf.errors.OpError):
            waveform = decode(tf.constant(os.fsencode(path)), tf.constant(decoder)).numpy()
    if len(waveform) != samples:
        waveform = decode_by_soundfile(path)
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
            f"{printable(path)}: {len(waveform)} samples were decoded, its header promises {samples};"
            " re-encode the file or move it away"
        )
    if not np.isfinite(waveform).all():
        where = int(np.argmin(np.isfinite(waveform).all(axis=1)))
        raise UserError(f"{printable(path)}: sample {where} is NaN or infinite; repair the file or move it away")
