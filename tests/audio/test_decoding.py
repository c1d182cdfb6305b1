import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_audio_vae.audio import DECODERS, decode, decode_file, decoding, headers
from keras_audio_vae.errors import UserError

# container, encoding, sample rate, channels, the decoder that is to be chosen
FILES = [
    ("FLAC", "PCM_16", 22050, 1, "flac16"),
    ("FLAC", "PCM_24", 44100, 2, "flac24"),
    ("FLAC", "PCM_S8", 8000, 1, "soundfile"),
    ("WAV", "PCM_16", 8000, 1, "wav16"),
    ("WAV", "PCM_24", 48000, 2, "wav24"),
    ("WAV", "PCM_32", 8000, 1, "soundfile"),  # tensorflow-io takes the integers for floats
    ("WAV", "FLOAT", 44100, 2, "wav_float"),
    ("WAV", "DOUBLE", 44100, 1, "soundfile"),
    ("WAV", "PCM_U8", 8000, 1, "soundfile"),
    ("WAV", "ULAW", 8000, 1, "soundfile"),
    ("WAVEX", "PCM_16", 8000, 3, "wav16"),
    ("RF64", "PCM_16", 8000, 1, "soundfile"),
    ("MP3", "MPEG_LAYER_III", 44100, 2, "mp3"),
    ("MP3", "MPEG_LAYER_III", 8000, 1, "mp3"),
    ("OGG", "VORBIS", 44100, 2, "vorbis"),
    ("OGG", "OPUS", 48000, 1, "soundfile"),
    ("AIFF", "PCM_16", 22050, 2, "soundfile"),
    ("CAF", "PCM_16", 22050, 1, "soundfile"),
    ("W64", "PCM_16", 22050, 1, "soundfile"),
    ("AU", "PCM_16", 22050, 1, "soundfile"),
]


def tones(samples: int, channels: int, sample_rate: int) -> np.ndarray:
    pitches = 440 + 110 * np.arange(channels)
    return (0.5 * np.sin(2 * np.pi * pitches * np.arange(samples)[:, None] / sample_rate)).astype(np.float32)


@pytest.fixture
def flac(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tones(5000, 1, 22050), 22050)
    return path


@pytest.mark.parametrize(("container", "encoding", "sample_rate", "channels", "decoder"), FILES)
def test_every_format_in_the_graph_equals_libsndfile(tmp_path, container, encoding, sample_rate, channels, decoder):
    path = str(tmp_path / "named.wrongly")
    soundfile.write(path, tones(9137, channels, sample_rate), sample_rate, format=container, subtype=encoding)
    header = headers.read_header(path)
    assert header == headers.SoundHeader(f"{container} {encoding}", decoder, sample_rate, channels, 9137)

    data = tf.data.Dataset.from_tensors((path, header.decoder)).map(decode)
    waveform = next(iter(data)).numpy()
    assert waveform.dtype == np.float32 and waveform.shape == (9137, channels)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_allclose(waveform, expected, atol=2e-6)

    again, rate = decode_file(path)
    np.testing.assert_array_equal(again, waveform)
    assert rate == sample_rate


def test_every_decoder_is_covered():
    assert {row[-1] for row in FILES} == set(DECODERS)


def test_mp3_without_length_header_is_counted_by_its_frames(tmp_path):
    whole = tmp_path / "whole.mp3"
    soundfile.write(whole, tones(44100, 2, 44100), 44100)
    contents = whole.read_bytes()
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(contents[contents.index(contents[:2], 4) :])  # from the second frame: the first holds the length
    waveform, _ = decode_file(str(bare))
    assert len(waveform) == headers.read_header(str(bare)).samples >= 44100
    assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("extra", [b"INFOISFT\x04\x00\x00\x00abcd", b"odd chunk"])
def test_wav_with_other_chunks_loses_nothing(tmp_path, extra):
    path = tmp_path / "a.wav"
    soundfile.write(path, tones(3000, 1, 8000), 8000)
    contents = path.read_bytes()
    chunk = b"LIST" + struct.pack("<I", len(extra)) + extra + b"\0" * (len(extra) % 2)
    size = struct.pack("<I", len(contents) + len(chunk) - 8)
    path.write_bytes(contents[:4] + size + contents[8:36] + chunk + contents[36:])
    waveform, _ = decode_file(str(path))
    np.testing.assert_allclose(waveform, tones(3000, 1, 8000), atol=1 / 32768)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "empty"),
        (b"once upon a time", "it contains text"),
        (b"OggS" + bytes(60), "damaged"),
        (b"RIFF\x24\x00\x00\x00WAVE" + bytes(30), "damaged"),
    ],
)
def test_what_is_no_sound_is_refused_with_path_and_reason(tmp_path, contents, reason):
    path = tmp_path / "a.wav"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=f"{path}: .*{reason}"):
        decode_file(str(path))


def test_truncated_file_is_named_by_its_header(flac):
    flac.write_bytes(flac.read_bytes()[:-2000])
    with pytest.raises(UserError, match="damaged"):
        headers.read_header(str(flac))


def test_file_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 8000)
    with pytest.raises(UserError, match="no samples"):
        headers.read_header(str(tmp_path / "a.wav"))


def test_file_that_changed_since_its_scan_is_refused(flac):
    with pytest.raises(UserError, match="5000 samples were decoded, its header promises 6000"):
        decoding.decode_whole(str(flac), "flac16", 6000)


def test_wrong_native_decoder_gets_a_second_chance(flac):
    np.testing.assert_array_equal(
        decoding.decode_whole(str(flac), "wav16", 5000), decoding.decode_whole(str(flac), "flac16", 5000)
    )


def test_not_a_number_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.float32([0, np.nan, 0]), 8000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav.*NaN"):
        decode_file(str(tmp_path / "a.wav"))


def test_a_tensorflow_io_that_cannot_load_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_io", None)
    decoding._tfio_audio.cache_clear()
    try:
        with pytest.raises(UserError, match=r"needs TensorFlow 2\.16"):
            decoding._tfio_audio()
    finally:
        decoding._tfio_audio.cache_clear()
