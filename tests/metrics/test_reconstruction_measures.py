"""Each measure against librosa, scipy or a closed form, and at the edges: silence, stereo, short, other rates."""

import tracemalloc

import librosa
import numpy as np
import pytest
from scipy.spatial.distance import cosine

from keras_audio_vae.frontends import mel_matrix
from keras_audio_vae.metrics import (
    MEASURES,
    cosine_similarity,
    log_spectral_distance,
    mel_distance,
    mse,
    multi_resolution_stft_distance,
    si_sdr,
)
from keras_audio_vae.metrics.reconstruction import MEL_RESOLUTIONS, STFT_RESOLUTIONS
from keras_audio_vae.metrics.spectra import power_spectrogram

RNG = np.random.default_rng(7)
SOUND = np.sin(2 * np.pi * 440 * np.arange(9001) / 22050) * np.exp(-np.arange(9001) / 4000)
ESTIMATE = 0.7 * SOUND + 0.01 * RNG.normal(size=9001)
SILENCE = np.zeros(9001)


def librosa_magnitudes(waveform, n_fft, hop, window):
    return np.abs(librosa.stft(waveform, n_fft=n_fft, hop_length=hop, win_length=window, pad_mode="constant"))


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(1024, 120, 600), (2048, 240, 1200), (512, 50, 240), (32, 8, 32)])
@pytest.mark.parametrize("samples", [1, 100, 9001])
@pytest.mark.filterwarnings("ignore:n_fft=")
def test_the_spectrogram_is_librosas(n_fft, hop, window, samples):
    expected = librosa_magnitudes(ESTIMATE[:samples], n_fft, hop, window)
    power = power_spectrogram(ESTIMATE[:samples], n_fft, hop, window)
    np.testing.assert_allclose(np.sqrt(power[0].T), expected, atol=1e-9)


def test_mse_and_cosine_similarity_agree_with_scipy():
    assert mse(SOUND, ESTIMATE) == pytest.approx(np.linalg.norm(SOUND - ESTIMATE) ** 2 / len(SOUND))
    assert cosine_similarity(SOUND, ESTIMATE) == pytest.approx(1 - cosine(SOUND, ESTIMATE))


@pytest.mark.parametrize("decibels", [-20.0, 0.0, 13.0, 40.0])
def test_si_sdr_of_orthogonal_noise_is_the_energy_ratio_at_any_gain_and_offset(decibels):
    signal, noise = np.linalg.qr(np.stack([np.ones(500), *RNG.normal(size=[2, 500])], axis=1))[0].T[1:]
    estimate = 3.0 * (signal + 10 ** (-decibels / 20) * noise) + 5.0
    assert si_sdr(signal - 2.0, estimate) == pytest.approx(decibels)


def test_multi_resolution_stft_distance_agrees_with_librosa():
    total = 0.0
    for n_fft, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        x, y = (np.maximum(librosa_magnitudes(v, n_fft, hop, window), 1e-4) for v in (SOUND, ESTIMATE))
        total += np.linalg.norm(y - x) / np.linalg.norm(x) + np.abs(np.log(y) - np.log(x)).mean()
    assert multi_resolution_stft_distance(SOUND, ESTIMATE) == pytest.approx(total / 3)


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100, 48000])
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_mel_distance_agrees_with_librosa(sample_rate):
    total = 0.0
    for window, bands in ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)):
        x, y = (
            librosa.feature.melspectrogram(
                y=v, sr=sample_rate, n_fft=window, hop_length=window // 4, n_mels=bands, power=1.0, pad_mode="constant"
            )
            for v in (SOUND, ESTIMATE)
        )
        total += np.abs(np.log10(np.maximum(x, 1e-5)) - np.log10(np.maximum(y, 1e-5))).mean()
    assert mel_distance(SOUND, ESTIMATE, sample_rate) == pytest.approx(total, rel=1e-6)


def test_log_spectral_distance_agrees_with_librosa():
    x, y = (np.maximum(librosa_magnitudes(v, 2048, 512, 2048) ** 2, 1e-8) for v in (SOUND, ESTIMATE))
    expected = np.sqrt(((np.log10(x) - np.log10(y)) ** 2).mean(axis=0)).mean()
    assert log_spectral_distance(SOUND, ESTIMATE) == pytest.approx(expected)


def whole(n_fft, hop, window=None, *, sounds, floor=0.0):
    return [np.maximum(power_spectrogram(sound, n_fft, hop, window), floor) for sound in sounds]


def test_sums_over_blocks_are_those_of_the_whole():
    """Ten seconds in stereo against the same formulas on spectrograms held at once."""
    sounds = RNG.normal(size=[2, 220500, 2]) * np.linspace(0.0, 1.0, 220500)[:, None]
    stft = mel = 0.0
    for resolution in STFT_RESOLUTIONS:
        x, y = whole(*resolution, sounds=sounds, floor=1e-8)
        stft += np.linalg.norm(np.sqrt(y) - np.sqrt(x)) / np.sqrt(np.sum(x)) + np.mean(np.abs(np.log(y / x))) / 2
    for window, bands in MEL_RESOLUTIONS:
        matrix = mel_matrix(22050, window, bands).astype(np.float64)
        powers = whole(window, window // 4, sounds=sounds)
        x, y = (np.maximum(np.sqrt(power) @ matrix, 1e-5) for power in powers)
        mel += np.mean(np.abs(np.log10(y / x)))
    x, y = whole(2048, 512, sounds=sounds, floor=1e-8)
    assert multi_resolution_stft_distance(*sounds) == pytest.approx(stft / 3, rel=1e-9)
    assert mel_distance(*sounds, 22050) == pytest.approx(mel, rel=1e-9)
    expected = np.mean(np.sqrt(np.mean(np.log10(y / x) ** 2, axis=-1)))
    assert log_spectral_distance(*sounds) == pytest.approx(expected, rel=1e-9)


def test_memory_grows_by_the_waveforms_alone():
    peaks = []
    for seconds in (5, 20):
        sounds = RNG.normal(size=[2, seconds * 22050])
        tracemalloc.start()
        for measure in MEASURES:
            measure.function(*sounds, 22050)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 15 * 22050 * 8 * 8  # eight copies in float64; the spectra would be some forty


def test_a_gain_shifts_every_logarithm_alike():
    loud = RNG.normal(size=20000)
    assert multi_resolution_stft_distance(loud, loud / 2) == pytest.approx(0.5 + np.log(2))
    assert log_spectral_distance(loud, loud / 10) == pytest.approx(2.0)
    assert cosine_similarity(loud, loud / 10) == pytest.approx(1.0)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
class TestEveryMeasure:
    def test_is_best_on_a_perfect_reconstruction(self, measure):
        best = {"cosine similarity": 1.0, "SI-SDR (dB)": 60.0}.get(measure.name, 0.0)
        for sound in (SOUND, SILENCE):
            assert measure.function(sound, sound, 22050) == pytest.approx(best, abs=1e-12)

    def test_is_finite_and_worse_where_one_side_is_silent(self, measure):
        worst = {"cosine similarity": 0.0, "SI-SDR (dB)": -60.0}.get(measure.name)
        for pair in ((SOUND, SILENCE), (SILENCE, SOUND)):
            value = measure.function(*pair, 22050)
            assert np.isfinite(value)
            assert value > 0.1 if worst is None else value == worst

    def test_of_two_equal_channels_is_that_of_one(self, measure):
        stereo = measure.function(np.stack([SOUND, SOUND], 1), np.stack([ESTIMATE, ESTIMATE], 1), 22050)
        assert stereo == pytest.approx(measure.function(SOUND, ESTIMATE, 22050))
        assert stereo == pytest.approx(measure.function(SOUND[:, None], ESTIMATE[:, None], 22050))

    @pytest.mark.parametrize("sample_rate", [8000, 16000, 44100, 96000])
    @pytest.mark.parametrize("samples", [1, 7, 500])
    def test_takes_any_length_and_sample_rate(self, measure, sample_rate, samples):
        assert np.isfinite(measure.function(SOUND[5:][:samples], ESTIMATE[5:][:samples], sample_rate))

    def test_does_not_hide_a_diverged_estimate(self, measure):
        assert np.isnan(measure.function(SOUND, np.where(np.arange(9001) == 50, np.nan, SOUND), 22050))

    @pytest.mark.parametrize("other", [SOUND[:-1], np.stack([SOUND, SOUND], 1)], ids=["length", "channels"])
    def test_refuses_waveforms_of_other_shapes(self, measure, other):
        with pytest.raises(ValueError, match="same samples and channels"):
            measure.function(SOUND, other, 22050)

    def test_refuses_an_empty_waveform(self, measure):
        with pytest.raises(ValueError, match="not empty"):
            measure.function(np.zeros(0), np.zeros(0), 22050)


def test_a_silent_channel_beside_a_sounding_one_counts_by_its_share():
    stereo = np.stack([SOUND, SILENCE], 1)
    assert mse(stereo, 0 * stereo) == pytest.approx(np.mean(SOUND**2) / 2)
    assert mel_distance(stereo, 0 * stereo, 22050) == pytest.approx(mel_distance(SOUND, SILENCE, 22050) / 2)
