"""Writing one shard of a record store, whole or not at all."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import IO, Any

import numpy as np
import tensorflow as tf

from keras_audio_vae import files
from keras_audio_vae.audio import Recording, printable, to_channels
from keras_audio_vae.audio.levels import Levels, measure
from keras_audio_vae.audio.resampling import resampled_blocks, resampled_length
from keras_audio_vae.audio.streaming import blocks, usable_part
from keras_audio_vae.datasets.records import FULL_SCALE, UNFINISHED, sha256_of
from keras_audio_vae.datasets.store.plan import ShardPlan, Source, StoreSettings
from keras_audio_vae.errors import UserError

# A decoded recording waits for its peak to be known: in memory up to this many bytes, beyond on the store's disk.
_IN_MEMORY = 2**26
_LEAST_SCALE = 2.0**-8  # -48 dB: below it, 16 bits hold the noise of any source
_RECORD_HEADER, _RECORD_FOOTER = 12, 4  # TFRecord: length and its checksum, then the data, then its checksum


def scale_for(peak: float) -> float:
    """The full scale that a recording is stored at: a power of two, just large enough.

    Nothing is clipped, however far above 1 it goes, and a quiet recording keeps its bits. Recordings of 16 bits
    are stored without loss.

    Args:
        peak: largest magnitude of the recording.

    Example:
        >>> scale_for(1.0), scale_for(0.3), scale_for(1.2), scale_for(0.0)
        (1.0, 0.5, 2.0, 0.00390625)
    """
    scale = max(_LEAST_SCALE, 2.0 ** math.ceil(math.log2(peak))) if peak > 0 else _LEAST_SCALE
    # int16 ends one step before +1. At full scale that step is what every 16-bit file lacks; below, there is room.
    return 2 * scale if scale < 1 and peak > scale * (1 - 0.5 / FULL_SCALE) else scale


def to_integers(waveform: np.ndarray, scale: float) -> np.ndarray:
    """What is stored of a waveform: int16, little-endian, of the same shape.

    Example:
        >>> to_integers(np.float32([[0.25, -0.5]]), scale=0.5)
        array([[ 16384, -32768]], dtype=int16)
    """
    return np.clip(np.rint(waveform * np.float32(FULL_SCALE / scale)), -32768, 32767).astype("<i2")


def receipt_path(plan: ShardPlan, folder: str) -> str:
    """Where the facts of a written shard lie until the store is finished."""
    return os.path.join(folder, UNFINISHED, f"{plan.file}.json")


def receipt(plan: ShardPlan, folder: str) -> dict[str, Any] | None:
    """What is known of a shard that an equal plan has written already; None if there is none, or not all of it."""
    try:
        with open(receipt_path(plan, folder), encoding="utf-8") as file:
            facts = json.load(file)
        written = os.stat(os.path.join(folder, plan.file)).st_size
    except (OSError, ValueError):
        return None
    return facts if facts["plan"] == plan.digest and facts["shard"]["bytes"] == written else None


def write_shard(plan: ShardPlan, folder: str) -> None:
    """Write a shard, and its receipt beside it; a recording that cannot be read is named there and left out.

    Args:
        plan: what goes into it.
        folder: of the store, which every writer must reach under this name.

    Raises:
        UserError: the store cannot be written.
    """
    if receipt(plan, folder):
        return
    try:
        os.makedirs(os.path.join(folder, UNFINISHED), exist_ok=True)
        # A name of its own: a cluster may have two workers write the same shard.
        handle, path = tempfile.mkstemp(prefix=f"{plan.file}-", dir=os.path.join(folder, UNFINISHED))
        os.close(handle)
        try:
            facts = _write_records(plan, path)
            facts["shard"].update(file=plan.file, bytes=os.path.getsize(path), sha256=sha256_of(path))
            os.chmod(path, 0o644)  # mkstemp makes files for the owner alone
            os.replace(path, os.path.join(folder, plan.file))
        except BaseException:
            os.unlink(path)
            raise
        write_json(receipt_path(plan, folder), {"plan": plan.digest, **facts})
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(f"{folder}: the record store cannot be written ({reason}); finished shards are kept") from error


def write_json(path: str, content: Any, indent: int | None = None) -> None:
    """Write a JSON file, whole or not at all, in ASCII: names of files may hold bytes that are no text."""
    files.write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")


def _write_records(plan: ShardPlan, path: str) -> dict[str, Any]:
    """Write the TFRecord file: the facts of its recordings, and the files that could not be read."""
    recordings, unreadable = [], []
    end = records = 0
    with tf.io.TFRecordWriter(path) as writer:
        for source in plan.sources:
            recording = source.recording
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=os.path.dirname(path)) as spool:
                try:
                    recording, levels = _decode_what_can_be(source, plan.settings, spool)
                except UserError as error:
                    reason = str(error).removeprefix(f"{printable(recording.path)}: ")
                    unreadable.append(
                        {"recording_id": recording.recording_id, "path": recording.path, "reason": reason}
                    )
                    continue
                scale, positions, samples = scale_for(levels.peak), [], 0
                for piece in _pieces(spool, plan.settings):
                    content = to_integers(piece, scale).tobytes()
                    record = _example(recording, plan.settings, content, samples, scale)
                    writer.write(record)
                    positions.append(end + _RECORD_HEADER + record.index(content))
                    end += _RECORD_HEADER + len(record) + _RECORD_FOOTER
                    samples += len(piece)
            records += len(positions)
            place = {"samples": samples, "scale": scale, "positions": positions}
            recordings.append(_facts(recording, levels) | place)
    return {"shard": {"records": records}, "recordings": recordings, "unreadable": unreadable}


def _decode_what_can_be(source: Source, settings: StoreSettings, spool: IO[bytes]) -> tuple[Recording, Levels]:
    """`_decode`, of the part before the damage where a recording is damaged: that part, and its levels."""
    try:
        return source.recording, _decode(source, settings, spool)
    except UserError:
        if not source.unchanged():
            raise
        usable = usable_part(source.recording)
        spool.seek(0)
        spool.truncate()
        return usable, _decode(replace(source, recording=usable), settings, spool)


def _decode(source: Source, settings: StoreSettings, spool: IO[bytes]) -> Levels:
    """Decode a recording once, at the store's rate and channels: float32 samples into the spool, and their levels."""
    recording = source.recording

    def kept() -> Iterator[np.ndarray]:
        mixed = (to_channels(block, settings.channels) for block in blocks(recording))
        for block in resampled_blocks(mixed, recording.sample_rate, settings.sample_rate):
            spool.write(np.ascontiguousarray(block, "<f4").tobytes())
            yield block

    levels = measure(kept(), settings.sample_rate)
    expected = resampled_length(recording.samples, recording.sample_rate, settings.sample_rate)
    if not source.unchanged() or spool.tell() != 4 * settings.channels * expected:
        raise UserError(f"{printable(recording.path)}: it was changed since it was looked at")
    spool.seek(0)
    return levels


def _pieces(spool: IO[bytes], settings: StoreSettings) -> Iterator[np.ndarray]:
    """The pieces of a decoded recording: float32 [samples, channels]."""
    while data := spool.read(4 * settings.channels * settings.piece_samples):
        yield np.frombuffer(data, "<f4").reshape(-1, settings.channels)


def _example(recording: Recording, settings: StoreSettings, audio: bytes, offset: int, scale: float) -> bytes:
    """One record: a piece of a recording that begins at sample `offset`."""

    def texts(value: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[os.fsencode(value)]))

    def number(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "audio": tf.train.Feature(bytes_list=tf.train.BytesList(value=[audio])),
        "sample_rate": number(settings.sample_rate),
        "channels": number(settings.channels),
        "recording_id": texts(recording.recording_id),
        "offset": number(offset),
        "split": texts(recording.split or ""),
        "scale": tf.train.Feature(float_list=tf.train.FloatList(value=[scale])),
    }
    # Deterministic: the same bytes whatever process writes them.
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def _facts(recording: Recording, levels: Levels) -> dict[str, Any]:
    """What the index says of a recording, but for where it lies."""
    loudness = levels.loudness if math.isfinite(levels.loudness) else None  # JSON knows no infinity
    return {
        "recording_id": recording.recording_id,
        "split": recording.split,
        "labels": dict(recording.labels),
        "format": recording.format,
        "partial": recording.partial,
        **asdict(levels),
        "loudness": loudness,
    }
