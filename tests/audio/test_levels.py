import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_audio_vae.audio.levels import NORMALIZATIONS, Levels, gain_for, measure, normalize, to_channels

waveforms = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 40), st.integers(1, 3)),
    elements=st.floats(-2, 2, width=32, allow_subnormal=False),
)


def noise(seconds, rate, channels=1, seed=0):
    """Noise whose level changes, so that the gates have something to do."""
    random = np.random.default_rng(seed)
    waveform = random.normal(size=(round(seconds * rate), channels)) * 0.1
    envelope = np.concatenate([[1.0], 10 ** random.uniform(-4, 0, size=round(seconds))])
    return (waveform * envelope[np.arange(len(waveform)) // rate, None]).astype(np.float32)


@given(waveforms, st.sampled_from(NORMALIZATIONS))
def test_normalization_is_finite_bounded_and_undone_by_its_gain(waveform, how):
    normalized, gain = normalize(waveform, how, sample_rate=8000)
    assert normalized.dtype == np.float32 and normalized.shape == waveform.shape
    assert np.isfinite(normalized).all() and 0 < gain <= 1000
    np.testing.assert_allclose(normalized / gain, waveform, rtol=1e-6, atol=1e-35)


def test_targets():
    waveform = np.float32([[0.5], [-0.25], [0.0], [0.25]])
    peak, gain = normalize(waveform, "peak")
    assert np.abs(peak).max() == pytest.approx(0.9) and gain == pytest.approx(1.8)
    rms, _ = normalize(waveform, "rms")
    assert np.sqrt(np.mean(rms**2)) == pytest.approx(0.1)
    loud, _ = normalize(noise(3, 22050), "loudness", 22050)
    assert pyloudnorm.Meter(22050).integrated_loudness(loud) == pytest.approx(-23, abs=1e-4)


@pytest.mark.parametrize("how", NORMALIZATIONS)
def test_silence_stays_silence(how):
    normalized, gain = normalize(np.zeros((5000, 2), np.float32), how, 8000)
    assert gain == 1 and not normalized.any()


def test_a_constant_is_not_lifted_above_full_scale():
    normalized, gain = normalize(np.full((80000, 1), 0.5, np.float32), "loudness", 8000)
    assert gain == 2 and normalized.max() == 1
    assert gain_for(Levels(0.5, 0.5, -math.inf), "loudness") == 2


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="none, peak, rms, loudness"):
        normalize(np.zeros((1, 1), np.float32), "loud")
    with pytest.raises(ValueError, match="needs a sample rate"):
        normalize(np.ones((1, 1), np.float32), "loudness")


@pytest.mark.parametrize(
    ("seconds", "rate", "channels"),
    [(0.4, 22050, 1), (0.449, 8000, 1), (0.46, 8000, 2), (7.03, 11025, 1), (5.96, 44100, 2), (40, 22050, 1)],
)
def test_loudness_is_that_of_pyloudnorm(seconds, rate, channels):
    waveform = noise(seconds, rate, channels)
    expected = pyloudnorm.Meter(rate).integrated_loudness(waveform.astype(np.float64))
    assert measure([waveform], rate).loudness == pytest.approx(expected, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 4000), max_size=6), st.sampled_from([1000, 8000, 11025]))
def test_blocks_change_nothing(cuts, rate):
    waveform = noise(1, 4000, 2)
    whole, cut = measure([waveform], rate), measure(np.split(waveform, sorted(cuts)), rate)
    assert cut.peak == whole.peak
    assert cut.rms == pytest.approx(whole.rms, rel=1e-12) and cut.loudness == pytest.approx(whole.loudness, rel=1e-9)


def test_what_the_standard_leaves_open():
    silent = measure([np.zeros((9000, 1), np.float32)], 8000)
    assert silent == Levels(0, 0, -math.inf) and measure([], 8000) == silent
    # Shorter than a window: as loud as the same sound that goes on.
    click, tone = (measure([np.sin(np.arange(n))[:, None]], 8000).loudness for n in (2000, 8000))
    assert click == pytest.approx(tone, abs=0.3)
    assert -120 < measure([1e-3 * noise(2, 8000)], 8000).loudness < -70
    # A rate whose band ends below the corner of the shelf filter.
    assert -40 < measure([noise(3, 1000)], 1000).loudness < 0
    # More channels than pyloudnorm takes.
    assert math.isfinite(measure([noise(1, 8000, channels=6)], 8000).loudness)


def test_channels_are_mixed_copied_or_left():
    stereo = np.float32([[1, 2], [3, 5]])
    np.testing.assert_array_equal(to_channels(stereo, 1), [[1.5], [4]])
    assert to_channels(stereo, 2) is stereo
    np.testing.assert_array_equal(to_channels(stereo, 4), [[1, 2, 1, 2], [3, 5, 3, 5]])
    np.testing.assert_array_equal(to_channels(np.float32([[1, 2, 3]]), 2), [[2, 2]])
    with pytest.raises(ValueError, match="at least 1"):
        to_channels(stereo, 0)


@given(waveforms.filter(len), st.integers(1, 4))
def test_to_channels_has_the_shape_that_was_asked_for(waveform, channels):
    mapped = to_channels(waveform, channels)
    assert mapped.shape == (len(waveform), channels) and mapped.dtype == np.float32
