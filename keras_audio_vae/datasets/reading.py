"""Recordings as training sees them: at one rate, with one number of channels, at a standard level."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_audio_vae import audio
from keras_audio_vae.audio import Corpus
from keras_audio_vae.audio.decoding import check_decoded, decode_whole


@dataclass(frozen=True)
class Reader:
    """Reads whole recordings of a corpus, inside the tf.data graph or outside it.

    Attributes:
        corpus: the recordings; "index" below is a recording's place in it.
        sample_rate: Hz, what is resampled to.
        channels: what is down-mixed or copied to.
        normalization: "none", "peak" or "rms", per recording, after the resampling.

    Example:
        >>> from keras_audio_vae import datasets
        >>> reader = Reader(datasets.load("fluidnotes"), 11025, 1, "none")
        >>> waveform, gain = reader.read(0)
        >>> waveform.shape, int(reader.lengths[0]), gain
        ((11025, 1), 11025, 1.0)
    """

    corpus: Corpus
    sample_rate: int
    channels: int
    normalization: str

    @property
    def lengths(self) -> np.ndarray:
        """Samples of each recording after resampling, int64 [recordings]."""
        return np.array(
            [
                audio.resampled_length(recording.samples, recording.sample_rate, self.sample_rate)
                for recording in self.corpus.recordings
            ],
            np.int64,
        )

    def read(self, index: int) -> tuple[np.ndarray, float]:
        """Read one recording outside the graph: float32 [samples, channels], and the gain of its normalisation."""
        recording = self.corpus.recordings[index]
        waveform = decode_whole(recording.path, recording.decoder, recording.samples)
        return self._prepare(waveform, recording.sample_rate)

    def mapper(self):
        """A function of an index, for tf.data's `map`: (index, waveform [samples, channels], gain)."""
        paths = tf.constant([recording.path for recording in self.corpus.recordings])
        decoders = tf.constant([recording.decoder for recording in self.corpus.recordings])

        def finish(index: np.ndarray, waveform: np.ndarray) -> tuple[np.ndarray, np.float32]:
            recording = self.corpus.recordings[index]
            check_decoded(recording.path, waveform, recording.samples)
            waveform, gain = self._prepare(waveform, recording.sample_rate)
            return waveform, np.float32(gain)

        def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            decoded = audio.decode(paths[index], decoders[index])
            waveform, gain = tf.numpy_function(finish, [index, decoded], (tf.float32, tf.float32), stateful=False)
            return index, tf.ensure_shape(waveform, [None, self.channels]), tf.ensure_shape(gain, [])

        return read

    def _prepare(self, waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
        # Channels first: fewer of them are fewer to resample.
        waveform = audio.to_channels(waveform, self.channels)
        waveform = audio.resample(waveform, sample_rate, self.sample_rate)
        return audio.normalize(waveform, self.normalization)


@dataclass(frozen=True)
class Bank:
    """Whole recordings in memory, end to end in one tensor, so that a batch of chunks is one gather.

    Attributes:
        samples: float32 [samples of all recordings + padding, channels], on the CPU.
        offsets: where each recording begins, int64 [recordings].
        gains: the gain of each recording's normalisation, float32 [recordings].
    """

    samples: tf.Tensor
    offsets: np.ndarray
    gains: np.ndarray


def load_bank(reader: Reader, padding: int) -> Bank:
    """Decode every recording once, in parallel.

    Args:
        reader: which recordings, and how.
        padding: samples of silence at the end, so that a chunk may be read beyond the last recording.

    Raises:
        UserError: a recording cannot be decoded, or not as its header promises.

    Example:
        >>> from keras_audio_vae import datasets
        >>> bank = load_bank(Reader(datasets.load("fluidnotes"), 22050, 1, "none"), padding=10)
        >>> round(float(bank.samples.shape[0] / 22050 / 60), 1)
        10.7
    """
    lengths = reader.lengths
    offsets = np.cumsum(lengths) - lengths
    samples = np.zeros((int(lengths.sum()) + padding, reader.channels), np.float32)
    gains = np.ones(len(lengths), np.float32)
    missing = set(range(len(lengths)))
    data = tf.data.Dataset.range(len(lengths)).map(reader.mapper(), tf.data.AUTOTUNE, deterministic=False)
    for index, waveform, gain in data.ignore_errors().as_numpy_iterator():
        samples[offsets[index] : offsets[index] + lengths[index]] = waveform
        gains[index] = gain
        missing.remove(int(index))
    # What failed is read again, outside the graph: by libsndfile where that can, or with an error that names the file.
    for index in sorted(missing):
        samples[offsets[index] : offsets[index] + lengths[index]], gains[index] = reader.read(index)
    with tf.device("/CPU:0"):
        return Bank(tf.constant(samples), offsets, gains)
