import os

import numpy as np
import pytest

from keras_audio_vae.audio import decode_file, write_wav


def test_sixteen_bits_come_back_bit_by_bit(tmp_path):
    pcm = np.random.default_rng(0).integers(-32768, 32768, (1000, 2))
    waveform = (pcm / 32768).astype(np.float32)
    assert write_wav(tmp_path / "new" / "a.wav", waveform, 44100) == 0
    decoded, sample_rate = decode_file(str(tmp_path / "new" / "a.wav"))
    assert sample_rate == 44100
    np.testing.assert_array_equal(decoded, waveform)


def test_clipped_samples_are_counted(tmp_path):
    assert write_wav(tmp_path / "a.wav", np.array([[1.0, -1.0], [1.01, -7.0]]), 8000) == 2
    decoded, _ = decode_file(str(tmp_path / "a.wav"))
    np.testing.assert_allclose(decoded, [[1, -1], [1, -1]], atol=1 / 32768)


def test_nothing_is_left_of_a_failed_write(tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        write_wav(tmp_path / "a.wav", np.array([np.nan]), 8000)
    with pytest.raises(ValueError):
        write_wav(tmp_path / "a.wav", np.zeros((3, 2, 2)), 8000)
    assert os.listdir(tmp_path) == []
