"""Files whose header tells a wrong length, or none: what is there is read, and what is missing is said."""

import os
import struct

import numpy as np
import pytest

from keras_audio_vae.audio import SoundStream, blocks, decode_file, decoding, scan, usable_part
from keras_audio_vae.errors import UserError
from tests.audio import faults
from tests.audio.faults import assert_whole, only, streamed, tone, write


def test_truncated_flac_is_used_up_to_its_last_whole_frame(tmp_path):
    waveform = faults.read(write(tmp_path / "a.flac", tone(100_000)))
    recording = only(faults.cut_off(tmp_path / "a.flac"))
    assert recording.samples % 4096 == 0 and 50_000 < recording.samples < 60_000
    assert recording.partial == f"only {recording.samples} of the 100000 samples that its header promises can be read"
    np.testing.assert_array_equal(streamed(recording), waveform[: recording.samples])
    np.testing.assert_array_equal(decode_file(recording.path)[0], waveform[: recording.samples])
    assert f"partly used {recording.path}: only" in scan(recording.path).report()
    with pytest.raises(UserError, match=r"partly used .*a\.flac"):
        scan(recording.path, strict=True)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_truncated_mp3_is_used_as_far_as_it_goes(tmp_path, mode):
    waveform = faults.read(write(tmp_path / "a.mp3", tone(100_000, 2, 44100), 44100, bitrate_mode=mode))
    recording = only(faults.cut_off(tmp_path / "a.mp3"))
    assert 40_000 < recording.samples < 80_000 and "of the 100000 samples" in recording.partial
    inside = recording.samples - 2000  # the last frames may lack bits that were cut off
    np.testing.assert_allclose(streamed(recording)[:inside], waveform[:inside], atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "caf", "w64", "rf64"])
def test_other_truncated_files_are_used_and_reported(tmp_path, suffix):
    options = {"format": "RF64"} if suffix == "rf64" else {}
    waveform = faults.read(write(tmp_path / f"a.{suffix}", tone(10_000), subtype="PCM_16", **options))
    assert only(tmp_path / f"a.{suffix}").partial == ""
    recording = only(faults.cut_off(tmp_path / f"a.{suffix}"))
    assert 5_000 < recording.samples < 7_000 and "before the end that its header announces" in recording.partial
    np.testing.assert_array_equal(streamed(recording), waveform[: recording.samples])


def test_streamed_caf_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "a.caf", tone(3000), subtype="PCM_16")
    assert_whole(faults.overwrite(path, path.read_bytes().index(b"data") + 4, b"\xff" * 8), tone(3000), atol=1 / 32768)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_truncated_ogg_is_used_and_reported(tmp_path, subtype):
    write(tmp_path / "a.ogg", tone(200_000, 1, 24000), 24000, format="OGG", subtype=subtype)
    assert only(tmp_path / "a.ogg").partial == ""
    recording = only(faults.cut_off(tmp_path / "a.ogg"))
    assert 50_000 < recording.samples < 150_000 and recording.partial == "it ends before its last page"
    streamed(recording)


@pytest.mark.parametrize("samples", [0, 60_000, 140_000])
def test_flac_of_unknown_or_wrong_length(tmp_path, samples):
    waveform = faults.read(write(tmp_path / "a.flac", tone(100_000)))
    faults.announce_flac_length(tmp_path / "a.flac", samples)
    if samples == 0:  # streamed: nothing is promised, so nothing is missing
        assert_whole(tmp_path / "a.flac", waveform, atol=0)
        return
    recording = only(tmp_path / "a.flac")
    assert recording.samples == min(samples, 100_000)
    assert bool(recording.partial) == (samples > 100_000)
    np.testing.assert_array_equal(streamed(recording), waveform[: recording.samples])


@pytest.mark.parametrize(("size", "whole"), [(0, 0), (0, 36), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF000, 0x7FFFF024)])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_streamed_wav_is_read_to_its_end(tmp_path, size, whole, subtype):
    waveform = faults.read(write(tmp_path / "a.wav", tone(5000, 2), subtype="PCM_16"))
    if subtype == "FLOAT":
        (tmp_path / "a.wav").write_bytes(plain_float_wav(waveform))
    assert_whole(faults.announce_wav_size(tmp_path / "a.wav", size, whole), waveform)


def plain_float_wav(waveform):
    """A float WAV whose samples begin at byte 44; libsndfile writes more chunks before them."""
    head = struct.pack("<4sI8sIHHIIHH", b"RIFF", 0, b"WAVEfmt ", 16, 3, 2, 22050, 22050 * 8, 8, 32)
    return head + b"data" + bytes(4) + waveform.astype("<f4").tobytes()


def test_wav_that_promises_more_than_it_holds(tmp_path):
    waveform = faults.read(write(tmp_path / "a.wav", tone(5000)))
    recording = only(faults.announce_wav_size(tmp_path / "a.wav", 12_000))
    assert recording.partial == "it ends 2000 bytes before the end that its header announces"
    np.testing.assert_array_equal(streamed(recording), waveform)


def test_wav_that_promises_less_than_it_holds_is_believed_and_reported(tmp_path):
    waveform = faults.read(write(tmp_path / "a.wav", tone(5000)))
    recording = only(faults.announce_wav_size(tmp_path / "a.wav", 6000))
    assert recording.partial == "4000 bytes after the end that its header announces are not read"
    np.testing.assert_array_equal(streamed(recording), waveform[:3000])


def test_wav_too_large_for_its_header_is_read_to_its_end(tmp_path):
    """5 GiB, of which the header knows 1: most of the file is a hole that takes no room."""
    path = write(tmp_path / "a.wav", tone(5000))
    samples = 5 * 2**29
    os.truncate(path, 44 + 2 * samples)
    recording = only(faults.announce_wav_size(path, 2 * samples % 2**32))
    assert (recording.samples, recording.partial) == (samples, "")
    with SoundStream(recording) as stream:
        np.testing.assert_allclose(stream.read(0, 5000), tone(5000), atol=1 / 32768)
        assert not stream.read(samples - 100, 100).any()


@pytest.mark.parametrize(("sample_rate", "channels"), [(44100, 2), (44100, 1), (22050, 1), (11025, 2), (8000, 1)])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("loud_first", [True, False])
def test_mp3_without_xing_frame_has_its_true_length(tmp_path, sample_rate, channels, mode, loud_first):
    """libsndfile guesses it by the first frame: far too short or too long where the bit rate varies."""
    waveform = tone(5 * sample_rate, channels, sample_rate)
    waveform[sample_rate:] *= 1.0 if not loud_first else 0.0
    waveform[:sample_rate] *= 1.0 if loud_first else 0.0
    path = write(tmp_path / "a.mp3", waveform, sample_rate, bitrate_mode=mode)
    recording = only(faults.without_xing(path))
    # tensorflow-io decodes all frames, beginning with the 529 samples of the decoder's own delay.
    expected = decoding._tfio_audio().decode_mp3(path.read_bytes()).numpy()[529:]
    assert (recording.samples, recording.partial) == (len(expected), "")
    np.testing.assert_allclose(streamed(recording, 2**15), expected, atol=1e-5)
    np.testing.assert_allclose(decode_file(str(path))[0], expected, atol=1e-5)
    if mode == "VARIABLE":
        guess = faults.soundfile.info(path).frames
        assert guess < 0.9 * len(expected) if loud_first else guess > 1.1 * len(expected)


def test_chained_ogg_is_used_as_far_as_its_first_stream_and_says_so(tmp_path):
    for subtype in ("VORBIS", "OPUS"):
        parts = [
            write(tmp_path / name, tone(samples, 1, 24000), 24000, format="OGG", subtype=subtype)
            for name, samples in (("first", 48_000), ("second", 30_000))
        ]
        recording = only(faults.chained(tmp_path / f"{subtype}.ogg", *parts))
        assert recording.samples == 48_000
        assert recording.partial == "it holds several streams, one after another; only the first is read"
        streamed(recording)


def test_flac_damaged_in_the_middle(tmp_path):
    waveform = faults.read(write(tmp_path / "a.flac", tone(100_000)))
    size = os.path.getsize(tmp_path / "a.flac")
    recording = only(faults.overwrite(tmp_path / "a.flac", size // 2, bytes(3000)))
    with pytest.raises(UserError, match=r"a\.flac: cannot be read at sample"):
        list(blocks(recording, 5000))
    with SoundStream(recording) as stream:
        for _ in range(2):  # what lies before and behind the damage can be read, also after a failure
            np.testing.assert_array_equal(stream.read(10_000, 5000), waveform[10_000:15_000])
            np.testing.assert_array_equal(stream.read(80_000, 5000), waveform[80_000:85_000])
            with pytest.raises(UserError):
                stream.read(45_000, 20_000)
    part = usable_part(recording)
    assert 40_000 < part.samples < 50_000
    assert part.partial == f"only the first {part.samples} of 100000 samples can be read"
    np.testing.assert_array_equal(streamed(part), waveform[: part.samples])
