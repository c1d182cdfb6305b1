"""Makers of the files that people really have (damaged, lying, oddly encoded), and what must hold of them."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_audio_vae.audio import SoundStream, blocks, decode_file, scan
from keras_audio_vae.errors import UserError


def tone(samples: int, channels: int = 1, sample_rate: int = 22050) -> np.ndarray:
    """A quiet chord with some noise, so that no encoder can store it in next to nothing."""
    pitches = 440 + 110 * np.arange(channels)
    chord = 0.4 * np.sin(2 * np.pi * pitches * np.arange(samples)[:, None] / sample_rate)
    return (chord + 0.01 * np.random.default_rng(0).standard_normal(chord.shape)).astype(np.float32)


def write(path: Path, waveform: np.ndarray, sample_rate: int = 22050, **options) -> Path:
    """Write by libsndfile; the format is that of the name, or `format`."""
    options.setdefault("format", path.suffix[1:].upper())
    soundfile.write(os.fsencode(path), waveform, sample_rate, **options)
    return path


def read(path: Path) -> np.ndarray:
    """All of an intact file, float32 [samples, channels]."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def cut_off(path: Path, share: float = 0.6) -> Path:
    """Leave only the beginning of a file."""
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * share)])
    return path


def overwrite(path: Path, position: int, contents: bytes) -> Path:
    """Replace bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        file.write(contents)
    return path


def announce_flac_length(path: Path, samples: int) -> Path:
    """Let a FLAC's header say another length; 0 is what an encoder writes that does not know it."""
    (last,) = struct.unpack(">Q", path.read_bytes()[18:26])
    return overwrite(path, 18, struct.pack(">Q", last >> 36 << 36 | samples))


def announce_wav_size(path: Path, size: int, whole: int | None = None) -> Path:
    """Let a plain WAV's header say another size of its samples, and of the whole, in bytes."""
    overwrite(path, 4, struct.pack("<I", whole if whole is not None else min(size + 36, 0xFFFFFFFF)))
    return overwrite(path, 40, struct.pack("<I", size))


def without_xing(path: Path) -> Path:
    """Take away an MP3's first frame, which holds no sound but the length."""
    contents = path.read_bytes()
    path.write_bytes(contents[contents.index(contents[:2], 4) :])
    return path


def with_tags(path: Path, picture_bytes: int) -> Path:
    """Put an ID3v2.3 tag with a title and a cover before an MP3, and an ID3v1 tag behind it."""
    title = b"TIT2" + struct.pack(">IH", 6, 0) + b"\0title"
    picture = b"\0image/png\0\3\0" + b"\xff\xfb\x90\x64" * (picture_bytes // 4)  # looks like frames of MPEG
    frames = title + b"APIC" + struct.pack(">IH", len(picture), 0) + picture
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frames + path.read_bytes() + b"TAG".ljust(128, b"\0"))
    return path


def chained(path: Path, *parts: Path) -> Path:
    """Several Ogg files one after another, as internet radio sends them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def say_opus_was_made_from(path: Path, sample_rate: int) -> Path:
    """Let an Opus file's header tell another rate of its source; the first page gets its check sum anew."""
    contents = bytearray(path.read_bytes())
    head = contents.index(b"OpusHead")
    struct.pack_into("<I", contents, head + 12, sample_rate)
    end = contents.index(b"OggS", 4)
    contents[22:26] = bytes(4)
    contents[22:26] = struct.pack("<I", _ogg_check_sum(contents[:end]))
    path.write_bytes(contents)
    return path


def _ogg_check_sum(page: bytes) -> int:
    """The CRC of Ogg: zlib's polynomial, but the other way round and without its inversions."""
    reverse = bytes(int(f"{byte:08b}"[::-1], 2) for byte in page)
    return int(f"{zlib.crc32(reverse, 0xFFFFFFFF) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def only(path):
    """The one recording of a file."""
    (recording,) = scan(path).recordings
    return recording


def streamed(recording, block_samples=1000):
    """All of a recording, by blocks; and a stretch from its end and its middle, read out of order, must agree."""
    whole = np.concatenate(list(blocks(recording, block_samples)))
    assert whole.dtype == np.float32 and whole.shape == (recording.samples, recording.channels)
    with SoundStream(recording) as stream:
        for start in (max(0, recording.samples - 700), recording.samples // 3, 0):
            count = min(700, recording.samples - start)
            np.testing.assert_allclose(stream.read(start, count), whole[start : start + count], atol=1e-6)
    return whole


def assert_whole(path, waveform, atol=1e-6):
    """That a file is read as if nothing were wrong with it, in blocks and as a whole."""
    recording = only(path)
    assert recording.partial == ""
    np.testing.assert_allclose(streamed(recording), waveform, atol=atol)
    np.testing.assert_allclose(decode_file(str(path))[0], waveform, atol=atol)


def assert_refused(path, reason):
    """That a scan skips a file beside a good one, with its reason; and strictly refuses both."""
    write(path.parent / "good.wav", tone(100))
    corpus = scan(path.parent)
    assert [recording.recording_id for recording in corpus.recordings] == ["good.wav"]
    assert [skipped.path for skipped in corpus.skipped] == [str(path)]
    assert reason in corpus.skipped[0].reason and "\n" not in corpus.skipped[0].reason
    assert reason in corpus.report()
    with pytest.raises(UserError, match="not all of the sound can be used: skipped"):
        scan(path.parent, strict=True)
