import numpy as np
import pytest
from scipy import signal

from keras_audio_vae.metrics import BASELINES, cosine_similarity, low_pass, silence


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
def test_the_low_pass_is_scipys_butterworth_run_both_ways(sample_rate):
    noise = np.random.default_rng(0).normal(size=sample_rate) * np.hanning(sample_rate)
    expected = signal.sosfiltfilt(signal.butter(8, 1000, fs=sample_rate, output="sos"), noise)
    # The digital Butterworth bends the frequency axis (bilinear transform), so the two agree closely, not exactly.
    assert cosine_similarity(expected, low_pass(noise, sample_rate)) > 0.995


@pytest.mark.parametrize(("frequency", "gain"), [(100, 1.0), (1000, 0.5), (2000, 1 / (1 + 2**16))])
def test_a_sine_comes_out_in_phase_with_the_stated_gain(frequency, gain):
    sine = np.sin(2 * np.pi * frequency * np.arange(44100) / 22050)
    middle = slice(10000, 34100)
    np.testing.assert_allclose(low_pass(sine, 22050)[middle], gain * sine[middle], atol=2e-4)


def test_the_end_does_not_ring_into_the_start():
    click = np.zeros(4000)
    click[-1] = 1.0
    assert np.max(np.abs(low_pass(click, 22050)[:1000])) < 1e-4


@pytest.mark.parametrize("shape", [(1,), (5, 1), (3000, 2)])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("sample_rate", [1500, 22050])
def test_every_baseline_keeps_the_shape(shape, baseline, sample_rate):
    waveform = np.random.default_rng(0).normal(size=shape)
    estimate = BASELINES[baseline](waveform, sample_rate)
    assert estimate.shape == shape
    assert np.all(np.isfinite(estimate))


def test_silence_is_silent():
    assert not np.any(silence(np.ones([10, 2])))
