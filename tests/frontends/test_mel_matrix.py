import warnings

import librosa
import numpy as np
import pytest

from keras_audio_vae.frontends.mel_matrix import mel_matrix


@pytest.mark.parametrize("sample_rate", [8000, 22050, 48000])
def test_it_maps_magnitudes_to_librosas_mel_bands(sample_rate):
    noise = np.random.default_rng(0).normal(size=3000)
    magnitudes = np.abs(librosa.stft(noise, n_fft=512, hop_length=128))
    bands = librosa.feature.melspectrogram(S=magnitudes, sr=sample_rate, n_fft=512, n_mels=40)
    np.testing.assert_allclose(magnitudes.T @ mel_matrix(sample_rate, 512, 40), bands.T, rtol=1e-6)


def test_it_is_float32_shared_and_protected():
    matrix = mel_matrix(22050, 1024, 80)
    assert matrix.dtype == np.float32
    assert matrix is mel_matrix(22050, 1024, 80)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1.0


def test_bands_between_two_bins_are_empty_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix = mel_matrix(48000, 32, 5)
    np.testing.assert_array_equal(matrix.sum(axis=0) == 0, [True, False, False, False, False])
