import numpy as np
import pytest
from scipy.io import wavfile

from keras_audio_vae.metrics import Pair, draw_spectrograms, reconstruct_pairs, spread, write_pairs


def sine(hertz, samples, sample_rate, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / sample_rate)
    return np.repeat(wave[:, None], channels, axis=1)


def test_spread_reaches_both_ends_without_repeating():
    assert spread(10, 3) in ([0, 4, 9], [0, 5, 9])
    assert spread(3, 8) == [0, 1, 2]
    assert spread(5, 1) == [0]
    assert spread(5, 0) == []


def test_pairs_are_reconstructed_whole():
    class Double:
        def reconstruct(self, waveform):
            assert waveform.shape[0] == 1
            return 2 * waveform

    recordings = [(str(length), np.ones(length)) for length in (3, 5, 7)]
    pairs = reconstruct_pairs(Double(), iter(recordings), indices=[0, 2])
    assert [pair.name for pair in pairs] == ["3", "7"]
    np.testing.assert_array_equal(pairs[1].reconstruction, 2 * np.ones([7, 1]))


@pytest.mark.parametrize("channels", [1, 2])
def test_pairs_are_written_as_wav_with_plain_names_and_clipping_is_counted(tmp_path, channels):
    original = sine(440, 4000, 8000, channels)
    loud = original.copy()
    loud[:3] = 1.5
    clipped = write_pairs(tmp_path / "listen", [Pair("noten/Flöte p60.flac", original, loud)], 8000)
    assert list(clipped.values()) == [0, 3 * channels]
    files = sorted(path.name for path in (tmp_path / "listen").iterdir())
    assert files == ["00_noten-Flöte-p60_original.wav", "00_noten-Flöte-p60_reconstruction.wav"]
    rate, samples = wavfile.read(tmp_path / "listen" / files[0])
    assert rate == 8000
    np.testing.assert_allclose(samples.reshape(-1, channels) / 32768, original, atol=1e-4)


def test_pairs_of_before_make_way_and_nothing_else_does(tmp_path):
    pairs = [Pair(f"{name}.wav", *2 * [sine(440, 100, 8000)]) for name in "abc"]
    write_pairs(tmp_path, pairs, 8000)
    kept = ["mine_original.wav", "00_a_original.txt", "1_a_original.wav"]
    for name in kept:
        (tmp_path / name).touch()
    write_pairs(tmp_path, [Pair("d.wav", *2 * [sine(440, 100, 8000)])], 8000)
    written = ["00_d_original.wav", "00_d_reconstruction.wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, *written])


def test_a_picture_of_many_pairs_has_a_few_of_them_from_both_ends(tmp_path, monkeypatch):
    rows = []
    monkeypatch.setattr("keras_audio_vae.metrics.listening._shortened", rows.append)
    pairs = [Pair(f"{number}.wav", *2 * [sine(440, 600, 8000)]) for number in range(100)]
    path = tmp_path / "spectrograms.png"
    draw_spectrograms(path, pairs, 8000)
    assert len(rows) == 2 * 16 and (rows[0], rows[-1]) == ("0.wav", "99.wav")
    height = int.from_bytes(path.read_bytes()[20:24], "big")
    assert height < 5000


@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_spectrograms_of_any_rate_length_and_number_of_channels(tmp_path, sample_rate):
    pairs = [
        Pair("drums/kick.wav", sine(100, 4000, sample_rate), sine(200, 4000, sample_rate)),
        Pair("a/very/long/path/of/folders/to/a/recording/in/stereo.wav", *2 * [sine(1000, 700, sample_rate, 2)]),
        Pair("silence.wav", np.zeros([10, 1]), np.zeros([10, 1])),
        Pair("long.wav", *2 * [sine(50, sample_rate, sample_rate)]),
    ]
    path = tmp_path / "spectrograms.png"
    draw_spectrograms(path, pairs, sample_rate, seconds=0.2)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_one_pair_makes_a_picture(tmp_path):
    path = tmp_path / "spectrograms.png"
    draw_spectrograms(str(path), [Pair("a", *2 * [sine(440, 2000, 22050)])], 22050)
    assert path.stat().st_size > 5000
