import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_audio_vae.audio import normalize, to_channels

waveforms = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 40), st.integers(1, 3)),
    elements=st.floats(-2, 2, width=32, allow_subnormal=False),
)


@given(waveforms, st.sampled_from(["none", "peak", "rms"]))
def test_normalization_is_finite_bounded_and_undone_by_its_gain(waveform, how):
    normalized, gain = normalize(waveform, how)
    assert normalized.dtype == np.float32 and normalized.shape == waveform.shape
    assert np.isfinite(normalized).all() and 0 < gain <= 1000
    np.testing.assert_allclose(normalized / gain, waveform, rtol=1e-6, atol=1e-35)


def test_targets():
    waveform = np.float32([[0.5], [-0.25], [0.0], [0.25]])
    peak, gain = normalize(waveform, "peak")
    assert np.abs(peak).max() == pytest.approx(0.9) and gain == pytest.approx(1.8)
    rms, _ = normalize(waveform, "rms")
    assert np.sqrt(np.mean(rms**2)) == pytest.approx(0.1)


@pytest.mark.parametrize("how", ["none", "peak", "rms"])
def test_silence_stays_silence(how):
    normalized, gain = normalize(np.zeros((5, 2), np.float32), how)
    assert gain == 1 and not normalized.any()


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="none, peak, rms"):
        normalize(np.zeros((1, 1), np.float32), "loud")


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
