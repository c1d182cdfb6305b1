"""Recordings as training sees them: at one rate, with one number of channels, at a standard level; any stretch."""

import functools
import resource
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np

from keras_audio_vae import audio
from keras_audio_vae.audio import Corpus, Recording, SoundStream, levels
from keras_audio_vae.audio.resampling import resampled_blocks, resampled_stretch
from keras_audio_vae.audio.streaming import in_blocks
from keras_audio_vae.datasets import records
from keras_audio_vae.errors import UserError

# Kept open between two reads: to find a place in an MP3 of hours that is opened anew takes 200 ms, and then 1 ms. Each
# takes up to 300 kB.
_MOST_OPEN_FILES = 256
_MEASURING_THREADS = 4


class Stream(Protocol):
    """An open recording; `audio.SoundStream` and `records.RecordStream` are such."""

    def read(self, start: int, count: int) -> np.ndarray:
        """A stretch at the recording's own rate: float32 [count, channels]."""

    def close(self) -> None:
        """Let go of the file."""


def open_stream(recording: Recording) -> Stream:
    """Opens a recording, be it a file or a part of a record store."""
    return records.RecordStream(recording) if recording.decoder == records.DECODER else SoundStream(recording)


class Reader:
    """Reads stretches of a corpus's recordings, from any thread, in memory that no recording's length changes.

    Args:
        corpus: the recordings; "index" below is a recording's place in it.
        sample_rate: Hz, what is resampled to.
        channels: what is down-mixed or copied to.
        normalization: one of `audio.NORMALIZATIONS`, per recording, of what was mixed and resampled.

    Attributes:
        lengths: samples of each recording after resampling, int64 [recordings].

    Example:
        >>> from keras_audio_vae import datasets
        >>> reader = Reader(datasets.load("fluidnotes"), 11025, 1, "none")
        >>> reader.read(0, start=1000, count=500).shape, int(reader.lengths[0])
        ((500, 1), 11025)
    """

    def __init__(self, corpus: Corpus, sample_rate: int, channels: int, normalization: str = "none"):
        """Nothing is opened yet."""
        self.corpus, self.sample_rate, self.channels = corpus, sample_rate, channels
        self.normalization = normalization
        self.lengths = np.array(
            [
                audio.resampled_length(recording.samples, recording.sample_rate, sample_rate)
                for recording in corpus.recordings
            ],
            np.int64,
        )
        self._idle = _IdleStreams()

    def read(self, index: int, start: int, count: int) -> np.ndarray:
        """A stretch of one recording, at the standard level.

        Args:
            index: which recording.
            start: first sample, at the reader's rate.
            count: how many; start + count is at most the recording's length.

        Returns:
            float32 [count, channels].

        Raises:
            UserError: the recording is damaged, or no longer there.
        """
        recording = self.corpus.recordings[index]
        with self._stream(index) as stream:
            # Channels first: fewer of them are fewer to resample.
            waveform = resampled_stretch(
                lambda first, number: audio.to_channels(stream.read(first, number), self.channels),
                recording.samples,
                start,
                count,
                recording.sample_rate,
                self.sample_rate,
            )
        return waveform if self.normalization == "none" else waveform * self.gains[index]

    def prepare(self, index: int, waveform: np.ndarray) -> np.ndarray:
        """What `read` gives, of a recording that was decoded whole: float32 [samples, channels], before any gain."""
        mixed = audio.to_channels(waveform, self.channels)
        return audio.resample(mixed, self.corpus.recordings[index].sample_rate, self.sample_rate)

    def blocks(self, index: int) -> Iterator[np.ndarray]:
        """A whole recording in order, a block at a time, before any gain: float32 [samples, channels]."""
        recording = self.corpus.recordings[index]

        def mixed() -> Iterator[np.ndarray]:
            with self._stream(index) as stream:
                for block in in_blocks(stream.read, recording.samples):
                    yield audio.to_channels(block, self.channels)

        return resampled_blocks(mixed(), recording.sample_rate, self.sample_rate)

    @functools.cached_property
    def gains(self) -> np.ndarray:
        """The factor that brings each recording to the standard level: float32 [recordings].

        A record store knows its levels. Of files, each is decoded once to learn its level.
        """
        indices = range(len(self.corpus.recordings))
        if self.normalization == "none":
            return np.ones(len(indices), np.float32)
        with ThreadPoolExecutor(_MEASURING_THREADS) as pool:
            return np.fromiter(pool.map(self._gain, indices), np.float32, len(indices))

    def _gain(self, index: int) -> float:
        recording = self.corpus.recordings[index]
        if recording.decoder == records.DECODER:
            return levels.gain_for(records.levels(recording), self.normalization)

        def readable() -> Iterator[np.ndarray]:
            with suppress(UserError):  # a damaged recording has the level of what comes before the damage
                yield from self.blocks(index)

        return levels.gain_for(levels.measure(readable(), self.sample_rate), self.normalization)

    @contextmanager
    def _stream(self, index: int) -> Iterator[Stream]:
        """An open recording for one thread; it stays open afterwards while not too many are."""
        stream = self._idle.take(index) or open_stream(self.corpus.recordings[index])
        try:
            yield stream
        except BaseException:
            stream.close()
            raise
        self._idle.put(index, stream)


class _IdleStreams:
    """Open recordings that no thread is reading; of too many, those are closed that have waited longest."""

    def __init__(self) -> None:
        self._streams: OrderedDict[int, list[Stream]] = OrderedDict()
        self._count = 0
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(_MOST_OPEN_FILES, allowed // 4 if allowed >= 0 else _MOST_OPEN_FILES)  # -1: no limit
        self._lock = threading.Lock()

    def take(self, index: int) -> Stream | None:
        """One of a recording; None if none is idle."""
        with self._lock:
            streams = self._streams.get(index)
            self._count -= bool(streams)
            return streams.pop() if streams else None

    def put(self, index: int, stream: Stream) -> None:
        """Leave one for the next to take."""
        surplus: list[Stream] = []
        with self._lock:
            self._streams.setdefault(index, []).append(stream)
            self._streams.move_to_end(index)
            self._count += 1
            while self._count > self._most:
                _, longest_idle = self._streams.popitem(last=False)
                self._count -= len(longest_idle)
                surplus += longest_idle
        for one in surplus:
            one.close()
