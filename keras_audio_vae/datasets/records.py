"""Record stores: a corpus that `trainers.prepare` decoded once, read by stretches without any decoding.

A store is a folder. `manifest.json` says what is in it, `index.json` where each recording lies, `sources.json` which
files it was made of, and the sound is in shards, TFRecord files of `tf.train.Example`: 16-bit samples with a scale for
each recording, at one rate, in pieces of a minute at most. Any TFRecord reader can use them; this one goes by the
index, straight to the samples, so that a stretch costs one read of the disk and one multiplication.
"""

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from keras_audio_vae.audio import Corpus, Recording, Skipped
from keras_audio_vae.audio.levels import Levels
from keras_audio_vae.errors import UserError

DECODER = "records"  # `Recording.decoder` of what lies in a store
FORMAT = "keras_audio_vae record store"
VERSION = 1
MANIFEST, INDEX, SOURCES, UNFINISHED = "manifest.json", "index.json", "sources.json", ".unfinished"
# What the index has of each recording: one list for each of these.
COLUMNS = (
    *("recording_id", "split", "labels", "format", "partial"),
    *("shard", "samples", "scale", "positions", "peak", "rms", "loudness"),
)
FULL_SCALE = 32768.0  # a sample is its integer / FULL_SCALE * the recording's scale


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a record store, finished or not, rather than a folder of sound files.

    Example:
        >>> is_store("/music")
        False
    """
    if os.path.isdir(os.path.join(path, UNFINISHED)):
        return True
    try:
        with open(os.path.join(path, MANIFEST), encoding="utf-8") as file:
            return json.load(file).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a store says of itself: its settings, counts, shards with their digests, and skipped files.

    Args:
        path: the store's folder.

    Raises:
        UserError: it is no store, an unfinished one, or one of a newer version.
    """
    file = os.path.join(path, MANIFEST)
    if not os.path.exists(file):
        unfinished = os.path.isdir(os.path.join(path, UNFINISHED))
        raise UserError(
            f"{path}: the record store is not finished; run the same trainers.prepare again, which goes on"
            if unfinished
            else f"{path}: no record store (it has no {MANIFEST}); trainers.prepare makes one"
        )
    manifest = _read_json(file)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{file}: this is the manifest of something else, not of a record store")
    if manifest["version"] != VERSION:
        raise UserError(
            f"{path}: a record store of version {manifest['version']}, and this package reads version {VERSION};"
            " use the package that wrote it, or prepare the store again"
        )
    return manifest


def load_store(path: str | os.PathLike[str]) -> Corpus:
    """A record store as a corpus: its recordings with their splits and labels, and what was skipped on the way in.

    Args:
        path: the store's folder.

    Raises:
        UserError: it is no store, unfinished, or a file of it is missing or of another size than it was.
    """
    index = _open_index(path)
    for shard in index.manifest["shards"]:
        _check_size(index.folder, shard)
    shards = [os.path.join(index.folder, shard["file"]) for shard in index.manifest["shards"]]
    settings, columns = index.manifest["settings"], index.columns
    names = ("recording_id", "shard", "samples", "split", "labels", "format", "partial")
    recordings = tuple(
        Recording(
            path=shards[shard],
            recording_id=recording_id,
            decoder=DECODER,
            sample_rate=settings["sample_rate"],
            channels=settings["channels"],
            samples=samples,
            split=split,
            labels=labels,
            format=f"records of {format}",
            partial=partial,
        )
        for recording_id, shard, samples, split, labels, format, partial in zip(
            *(columns[name] for name in names), strict=True
        )
    )
    return Corpus(recordings, tuple(Skipped(**skipped) for skipped in index.manifest["skipped"]))


def read_sources(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The files that a store was made of, those that could not be read too.

    Returns:
        By recording id: path, size in bytes, time of change in ns, length in samples at the file's rate, and split.
    """
    part = read_manifest(path)["sources"]
    _check_size(os.fspath(path), part)
    return _read_json(os.path.join(path, part["file"]))


def levels(recording: Recording) -> Levels:
    """How loud a recording of a store is: measured when the store was written, at the store's rate and channels."""
    index = _open_index(os.path.dirname(recording.path))
    return Levels(*(index.value(recording, name) for name in ("peak", "rms", "loudness")))


def verify(path: str | os.PathLike[str]) -> None:
    """Read a whole store and compare it with its digests.

    Args:
        path: the store's folder.

    Raises:
        UserError: a file is missing or was changed; the message names each.
    """
    manifest = read_manifest(path)
    damaged = []
    for part in [manifest["index"], manifest["sources"], *manifest["shards"]]:
        file = os.path.join(path, part["file"])
        if not os.path.exists(file):
            damaged.append(f"{part['file']} is missing")
        elif sha256_of(file) != part["sha256"]:
            damaged.append(f"{part['file']} was changed")
    if damaged:
        raise UserError(f"{path}: the record store is damaged: {', '.join(damaged)}; prepare it again")


class RecordStream:
    """One recording of a store, open for reading at any place and from any thread.

    Args:
        recording: one that `load_store` gave.

    Raises:
        UserError: the store is no longer there.
    """

    def __init__(self, recording: Recording):
        """Open the shard."""
        index = _open_index(os.path.dirname(recording.path))
        self.recording = recording
        self._piece_samples: int = index.manifest["piece_samples"]
        self._positions: list[int] = index.value(recording, "positions")
        self._scale = np.float32(index.value(recording, "scale") / FULL_SCALE)
        try:
            self._file = os.open(recording.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{recording.path}: cannot be opened any more ({error.strerror})") from error

    def read(self, start: int, count: int) -> np.ndarray:
        """Read a stretch.

        Args:
            start: first sample, at the store's rate.
            count: how many; start + count is at most the recording's length.

        Returns:
            float32 [count, channels].

        Raises:
            UserError: the shard has become shorter, or the disk fails.
        """
        if start < 0 or count < 0 or start + count > self.recording.samples:
            raise ValueError(f"samples {start} to {start + count} of a recording of {self.recording.samples}")
        waveform = np.empty((count, self.recording.channels), np.float32)
        done = 0
        while done < count:
            piece, within = divmod(start + done, self._piece_samples)
            part = waveform[done : done + min(count - done, self._piece_samples - within)]
            np.multiply(self._integers(self._positions[piece], within, len(part)), self._scale, out=part)
            done += len(part)
        return waveform

    def _integers(self, position: int, within: int, count: int) -> np.ndarray:
        """Stored samples of one piece: int16 [count, channels]."""
        # Not a memory map: that would count as this process's memory, and kill it should the file become shorter.
        frame = 2 * self.recording.channels
        try:
            data = os.pread(self._file, count * frame, position + within * frame)
        except OSError as error:
            raise UserError(f"{self.recording.path}: cannot be read ({error.strerror})") from error
        if len(data) != count * frame:
            raise UserError(f"{self.recording.path}: it is shorter than when the record store was made")
        return np.frombuffer(data, "<i2").reshape(count, -1)

    def close(self) -> None:
        """Close the shard."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> "RecordStream":
        """Be a context manager."""
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the shard."""
        self.close()

    def __del__(self) -> None:
        """Close the shard of a stream that was forgotten; one whose opening failed has none."""
        if hasattr(self, "_file"):
            self.close()


@dataclass(frozen=True)
class StoreIndex:
    """Where everything in a store lies.

    Attributes:
        folder: of the store.
        manifest: as `read_manifest` gives it.
        columns: one list for each fact, with an entry for each recording.
        rows: each recording's place in the columns, by its id.
    """

    folder: str
    manifest: dict[str, Any]
    columns: Mapping[str, list]
    rows: Mapping[str, int]

    def value(self, recording: Recording, name: str) -> Any:
        """One fact of one recording.

        Raises:
            UserError: the store holds no such recording (any more).
        """
        row = self.rows.get(recording.recording_id)
        if row is None:
            raise UserError(f"{self.folder}: the record store was changed: it has no {recording.recording_id!r}")
        return self.columns[name][row]


def _open_index(path: str | os.PathLike[str]) -> StoreIndex:
    """The index of a store, read once for as long as its manifest is the same file."""
    folder = os.path.abspath(path)
    try:
        changed = os.stat(os.path.join(folder, MANIFEST)).st_mtime_ns
    except OSError:
        changed = 0  # reading says what is wrong
    return _read_index(folder, changed)


@functools.lru_cache(maxsize=4)
def _read_index(folder: str, changed: int) -> StoreIndex:
    manifest = read_manifest(folder)
    _check_size(folder, manifest["index"])
    columns = _read_json(os.path.join(folder, manifest["index"]["file"]))
    # JSON has no infinity: null stands for the loudness of silence.
    columns["loudness"] = [-math.inf if value is None else value for value in columns["loudness"]]
    return StoreIndex(folder, manifest, columns, {name: row for row, name in enumerate(columns["recording_id"])})


def _check_size(folder: str, part: Mapping[str, Any]) -> None:
    """Whether a file of the store is there, and as long as it was."""
    try:
        size = os.stat(os.path.join(folder, part["file"])).st_size
    except OSError as error:
        raise UserError(
            f"{folder}: the record store lacks {part['file']} ({error.strerror}); prepare it again"
        ) from error
    if size != part["bytes"]:
        raise UserError(
            f"{folder}: {part['file']} has {size} bytes and not {part['bytes']}: the record store is damaged;"
            " prepare it again"
        )


def _read_json(file: str) -> Any:
    try:
        with open(file, encoding="utf-8") as text:
            return json.load(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}); prepare the record store again") from error


def sha256_of(file: str) -> str:
    """The digest of a file's content, in hexadecimal digits."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
