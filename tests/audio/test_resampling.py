import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.audio import resample, resampled_length

rates = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3000), rates, rates)
def test_length_is_the_planned_one(samples, from_rate, to_rate):
    resampled = resample(np.ones((samples, 2), np.float32), from_rate, to_rate)
    length = resampled_length(samples, from_rate, to_rate)
    assert resampled.shape == (length, 2) and resampled.dtype == np.float32
    assert abs(length - samples * to_rate / from_rate) <= 0.5 or (samples > 0 and length == 1)


def test_equal_rates_are_the_identity():
    waveform = np.ones((10, 1), np.float32)
    assert resample(waveform, 22050, 22050) is waveform


@pytest.mark.parametrize("from_rate", [8000, 44100, 48000])
def test_a_tone_keeps_its_frequency_phase_and_level(from_rate):
    def tone(rate):
        return np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[:, None].astype(np.float32)

    inside = slice(1000, -1000)  # without the filter's ringing at the ends
    np.testing.assert_allclose(resample(tone(from_rate), from_rate, 22050)[inside], tone(22050)[inside], atol=1e-4)


def test_what_the_new_rate_cannot_hold_is_gone_and_not_folded():
    too_high = np.sin(2 * np.pi * 15000 * np.arange(44100) / 44100)[:, None].astype(np.float32)
    assert np.abs(resample(too_high, 44100, 22050)[1000:-1000]).max() < 1e-4
