"""Recordings in memory: what is decoded once and fits."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from keras_audio_vae import audio
from keras_audio_vae.audio.decoding import check_decoded
from keras_audio_vae.datasets.faults import Faults
from keras_audio_vae.datasets.reading import Reader
from keras_audio_vae.errors import UserError

_THREADS = 4
# Up to this length a recording is decoded whole, in the graph; a longer one by pieces: decoded at its own rate and with
# all of its channels, it might not fit beside the others.
_WHOLE_SAMPLES = 2**22
_PIECE_SAMPLES = 2**16  # three seconds: as much of a damaged recording is lost around each damage


class Bank:
    """Whole recordings end to end in one array, at the standard level.

    Args:
        reader: which recordings, and how.
        faults: where a recording that can't be read is noted.

    Example:
        >>> from keras_audio_vae import datasets
        >>> corpus = datasets.load("fluidnotes")
        >>> bank = Bank(Reader(corpus, 22050, 1), Faults())
        >>> bank.read(0, start=0, count=100).shape
        (100, 1)
    """

    def __init__(self, reader: Reader, faults: Faults):
        """Decode everything, in parallel."""
        self._reader, self._faults = reader, faults
        self._offsets = np.cumsum(reader.lengths) - reader.lengths
        self._samples = np.zeros((int(reader.lengths.sum()), reader.channels), np.float32)
        self._damaged: dict[int, list[tuple[int, int, UserError]]] = {}  # by recording: from, to, why
        self._gains = reader.gains
        rest = set(range(len(reader.lengths))) - self._decode_in_graph()
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._read_by_pieces, sorted(rest)))

    def read(self, index: int, start: int, count: int) -> np.ndarray:
        """A stretch of one recording.

        Args:
            index: which recording.
            start: first sample.
            count: how many.

        Returns:
            float32 [count, channels].

        Raises:
            UserError: it could not be read there.
        """
        for damage, end, error in self._damaged.get(index, ()):
            if start < end and damage < start + count:
                raise error
        first = self._offsets[index] + start
        return self._samples[first : first + count]

    def _decode_in_graph(self) -> set[int]:
        """Decode the short recordings by tensorflow-io; returns those that worked."""
        recordings = self._reader.corpus.recordings
        short = [
            index
            for index, recording in enumerate(recordings)
            if recording.decoder in audio.DECODERS and recording.samples <= _WHOLE_SAMPLES and not recording.partial
        ]
        if not short:
            return set()
        paths = tf.constant([os.fsencode(recordings[index].path) for index in short])
        decoders = tf.constant([recordings[index].decoder for index in short])

        def put(index: np.int64, waveform: np.ndarray) -> np.int64:
            recording = recordings[index]
            check_decoded(recording.path, waveform, recording.samples)
            self._put(int(index), 0, self._reader.prepare(int(index), waveform) * self._gains[index])
            return index

        def decode(index: tf.Tensor, path: tf.Tensor, decoder: tf.Tensor) -> tf.Tensor:
            return tf.numpy_function(put, [index, audio.decode(path, decoder)], tf.int64)

        data = tf.data.Dataset.from_tensor_slices((tf.constant(short, tf.int64), paths, decoders))
        data = data.map(decode, tf.data.AUTOTUNE, deterministic=False)
        # What fails is read again by libsndfile, where it is either read or named.
        return {int(index) for index in data.ignore_errors().as_numpy_iterator()}

    def _read_by_pieces(self, index: int) -> None:
        """Read a long recording, or a damaged one: what can be read of it."""
        length = int(self._reader.lengths[index])
        for start in range(0, length, _PIECE_SAMPLES):
            count = min(_PIECE_SAMPLES, length - start)
            try:
                self._put(index, start, self._reader.read(index, start, count))
            except UserError as error:
                self._faults.note(self._reader.corpus.recordings[index], error)
                self._damaged.setdefault(index, []).append((start, start + count, error))

    def _put(self, index: int, start: int, waveform: np.ndarray) -> None:
        first = self._offsets[index] + start
        self._samples[first : first + len(waveform)] = waveform
