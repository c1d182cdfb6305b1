"""What people really have on disk: each kind of file is used, used in part, or refused with a reason."""

import os
import tracemalloc

import numpy as np
import pytest

from keras_audio_vae.audio import SoundStream, blocks, decode_file, usable_part
from keras_audio_vae.errors import UserError
from tests.audio import faults
from tests.audio.faults import assert_refused, assert_whole, only, streamed, tone, write

# Content that is no sound


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "the file is empty"),
        (b"once upon a time", "not sound: it contains text"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(200), "MP4/AAC is not supported (supported are WAV, FLAC, MP3"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(200), "convert it to FLAC or WAV, for instance by ffmpeg"),
        (b"\x30\x26\xb2\x75" + bytes(200), "WMA is not supported"),
        (bytes(range(1, 200)), "no sound format that is known"),
        (b"fLaC" + bytes(60), "damaged"),
        (b"fLaC", "damaged"),
        (b"RIFF\xff\xff\xff\xffWAVEdata", "damaged"),
        (b"OggS\0\2" + bytes(60), "damaged"),
        (b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(60), "damaged"),
        (b"\xff\xfb\x90\x64", "damaged"),
    ],
)
def test_no_sound_is_refused_with_its_reason(tmp_path, contents, reason):
    (tmp_path / "a.wav").write_bytes(contents)
    assert_refused(tmp_path / "a.wav", reason)


def test_zero_samples_are_refused(tmp_path):
    assert_refused(write(tmp_path / "a.wav", np.zeros((0, 1))), "it holds no samples")


# Samples that are odd


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_named_with_its_place(tmp_path, bad):
    waveform = tone(5000, 2)
    waveform[3210, 1] = bad
    recording = only(write(tmp_path / "a.wav", waveform, subtype="FLOAT"))
    with pytest.raises(UserError, match=r"a\.wav: sample 3210 is NaN or infinite"):
        list(blocks(recording, 1000))
    with pytest.raises(UserError, match=r"a\.wav: sample 3210 is NaN or infinite"):
        decode_file(recording.path)
    with SoundStream(recording) as stream:
        assert stream.read(3211, 1000).shape == (1000, 2)
    assert usable_part(recording).samples == 3210


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros((3000, 1), np.float32),
        np.full((3000, 1), 0.75, np.float32),
        np.where(np.arange(3000) // 50 % 2, -1.0, 32767 / 32768)[:, None].astype(np.float32),
        np.float32([[0.5]]),
        tone(3000, 6),
    ],
    ids=["silence", "constant", "square", "one sample", "six channels"],
)
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_extreme_sounds_are_read_as_they_are(tmp_path, waveform, suffix):
    assert_whole(write(tmp_path / f"a.{suffix}", waveform), waveform, atol=1 / 32768)


def test_constant_offset_is_kept(tmp_path):
    waveform = tone(3000) + np.float32(0.3)
    assert_whole(write(tmp_path / "a.wav", waveform), waveform, atol=1 / 32768)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24), ("FLOAT", 0), ("DOUBLE", 0)],
)
def test_every_width_of_samples(tmp_path, subtype, step):
    assert_whole(write(tmp_path / "a.wav", tone(3000, 2), subtype=subtype), tone(3000, 2), atol=step)


@pytest.mark.parametrize("sample_rate", [8000, 96_000, 192_000])
def test_every_rate(tmp_path, sample_rate):
    path = write(tmp_path / "a.wav", tone(3000), sample_rate)
    assert only(path).sample_rate == sample_rate
    assert_whole(path, tone(3000), atol=1 / 32768)


@pytest.mark.parametrize("sample_rate", [1, 999, 2_000_000, 4_000_000_000])
def test_impossible_rates_are_refused(tmp_path, sample_rate):
    faults.overwrite(write(tmp_path / "a.wav", tone(3000)), 24, sample_rate.to_bytes(4, "little"))
    assert_refused(tmp_path / "a.wav", "damaged")


# Encodings


@pytest.mark.parametrize("xing", [True, False])
def test_variable_mp3_with_tags_and_cover(tmp_path, xing):
    path = write(tmp_path / "a.mp3", tone(100_000, 2, 44100), 44100, bitrate_mode="VARIABLE")
    if not xing:
        faults.without_xing(path)
    waveform = streamed(only(path), 2**15)
    assert_whole(faults.with_tags(path, picture_bytes=70_000), waveform)


def test_aiff_is_read(tmp_path):
    assert_whole(write(tmp_path / "a.aiff", tone(3000, 2)), tone(3000, 2), atol=1 / 32768)


def test_opus_tells_the_rate_that_it_is_decoded_at(tmp_path):
    """Opus knows five rates; what was made from 22,050 Hz is stored, and read, at 24,000."""
    path = write(tmp_path / "a.opus", tone(48_000, 1, 24_000), 24_000, format="OGG", subtype="OPUS")
    before = streamed(only(path))
    recording = only(faults.say_opus_was_made_from(path, 22_050))
    assert (recording.sample_rate, recording.samples) == (24_000, 48_000)
    np.testing.assert_array_equal(streamed(recording), before)


def test_lossy_stretches_equal_the_whole_wherever_the_reader_was_before(tmp_path):
    waveform = tone(200_000, 1, 22050)
    waveform[:60_000] = 0  # where silence ends, an MP3 of variable rate keeps many frames' bits in one place
    for name, options in (("a.mp3", {"bitrate_mode": "VARIABLE"}), ("a.ogg", {}), ("a.opus", {"subtype": "OPUS"})):
        rate = 24_000 if name == "a.opus" else 22_050
        options = {"format": "OGG", **options} if name != "a.mp3" else options
        path = write(tmp_path / name, waveform, rate, **options)
        whole, recording = faults.read(path), only(path)
        with SoundStream(recording) as stream:
            for start in np.random.default_rng(0).integers(50_000, 90_000, 60).tolist():
                np.testing.assert_allclose(stream.read(start, 500), whole[start : start + 500], atol=1e-6)


def test_a_bomb_costs_no_memory(tmp_path):
    """A FLAC of a hundred kilobytes that holds 80 MB of samples."""
    samples = 20_000_000
    with faults.soundfile.SoundFile(tmp_path / "a.flac", "w", 44_100, 1) as sound:
        for _ in range(samples // 1_000_000):
            sound.write(np.zeros(1_000_000, np.int16))
    assert os.path.getsize(tmp_path / "a.flac") < 500_000
    tracemalloc.start()
    try:
        assert sum(len(block) for block in blocks(only(tmp_path / "a.flac"))) == samples
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


# Files that change after their scan


def test_a_file_that_is_gone_or_another_is_named(tmp_path):
    recording = only(write(tmp_path / "a.flac", tone(5000)))
    write(tmp_path / "a.flac", tone(5000, 2))
    with pytest.raises(UserError, match=r"a\.flac: is not the sound any more that was scanned"):
        SoundStream(recording)
    write(tmp_path / "a.flac", tone(3000))
    with pytest.raises(UserError, match=r"a\.flac: cannot be read at sample|a\.flac: it ends"):
        list(blocks(recording))
    (tmp_path / "a.flac").unlink()
    with pytest.raises(UserError, match=r"a\.flac: cannot be opened any more \(there is no such file\)"):
        SoundStream(recording)
    os.mkfifo(tmp_path / "a.flac")
    with pytest.raises(UserError, match="a pipe"):
        SoundStream(recording)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_file_that_is_cut_off_while_it_is_open_is_named(tmp_path, suffix):
    recording = only(write(tmp_path / f"a.{suffix}", tone(400_000)))
    with SoundStream(recording) as stream:
        stream.read(0, 1000)
        faults.cut_off(tmp_path / f"a.{suffix}", 0.2)
        with pytest.raises(UserError, match=rf"a\.{suffix}: "):
            stream.read(399_000, 1000)
        assert stream.read(1000, 1000).shape == (1000, 1)
        (tmp_path / f"a.{suffix}").unlink()
        with pytest.raises(UserError, match=rf"a\.{suffix}: "):
            stream.read(399_000, 1000)
            stream.read(0, 1000)


def test_stretches_outside_a_recording_are_a_mistake_of_the_caller(tmp_path):
    with SoundStream(only(write(tmp_path / "a.wav", tone(100)))) as stream:
        assert stream.read(100, 0).shape == (0, 1)
        for start, count in ((-1, 5), (0, -1), (0, 101), (100, 1)):
            with pytest.raises(ValueError, match="of 100"):
                stream.read(start, count)
