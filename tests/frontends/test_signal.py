import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_audio_vae.frontends.signal import (
    analysis_window,
    frame,
    inverse_stft,
    lapped_basis,
    num_frames,
    overlap_add,
    sine_window,
    stft,
)

exhaustively = settings(max_examples=40, deadline=None)
hops = st.integers(1, 12)
overlaps = st.integers(1, 5)
lengths = st.integers(1, 80)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def frames_by_index(signal, size, hop):
    """Frame t holds the samples from t * hop - (size - hop) // 2 on; what lies outside the signal is zero."""
    count = -(-len(signal) // hop)
    index = np.arange(count)[:, None] * hop - (size - hop) // 2 + np.arange(size)
    inside = (index >= 0) & (index < len(signal))
    return np.where(inside, signal[np.clip(index, 0, len(signal) - 1)], 0.0)


@exhaustively
@given(samples=lengths, hop=hops, overlap=overlaps)
def test_frames_are_those_of_the_definition(samples, hop, overlap):
    signal = noise(2, samples)
    frames = frame(signal, hop * overlap, hop).numpy()
    assert frames.shape == (2, num_frames(samples, hop), hop * overlap)
    for row in range(2):
        np.testing.assert_array_equal(frames[row], frames_by_index(signal[row], hop * overlap, hop))


@exhaustively
@given(samples=lengths, hop=hops, overlap=st.integers(2, 5))
def test_overlap_add_undoes_frame_also_at_either_end(samples, hop, overlap):
    signal, window = noise(2, samples), analysis_window(hop * overlap)
    again = overlap_add(frame(signal, hop * overlap, hop) * window**2, window, hop).numpy()
    assert again.shape == (2, num_frames(samples, hop) * hop)
    np.testing.assert_allclose(again[:, :samples], signal, atol=1e-5)
    assert not again[:, samples:].any()


def test_lengths_are_exact_when_they_are_known_only_at_run_time():
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def there_and_back(signal):
        return frame(signal, 12, 4), inverse_stft(stft(signal, 12, 4), 12, 4)

    for samples in (1, 4, 7, 40):
        signal = noise(3, samples)
        frames, again = there_and_back(signal)
        np.testing.assert_array_equal(frames, frame(signal, 12, 4))
        np.testing.assert_allclose(again[:, :samples], signal, atol=1e-5)
        assert again.shape[1] == num_frames(samples, 4) * 4


def test_size_that_is_no_multiple_of_the_hop_is_refused():
    with pytest.raises(ValueError, match="frame of 10 samples must be a multiple of its hop of 4"):
        frame(tf.zeros([1, 20]), 10, 4)


@pytest.mark.parametrize(("n_fft", "hop"), [(16, 8), (24, 6), (15, 5), (840, 210)])
def test_stft_is_numpys_fourier_transform_of_windowed_frames(n_fft, hop):
    signal = noise(1, 5 * hop + 3)
    window = np.hanning(2 * n_fft + 1)[1::2]
    expected = np.fft.rfft(frames_by_index(signal[0], n_fft, hop) * window / np.sqrt(np.sum(window**2)))
    np.testing.assert_allclose(stft(signal, n_fft, hop)[0], expected, atol=1e-4)


def test_white_noise_of_variance_one_has_bins_of_variance_one():
    spectrum = stft(noise(1, 210 * 200), 840, 210).numpy()[0, 5:-5, 1:-1]
    assert np.mean(np.abs(spectrum) ** 2) == pytest.approx(1.0, abs=0.05)


@exhaustively
@given(samples=lengths, hop=st.integers(2, 12), overlap=st.integers(2, 5))
def test_inverse_stft_is_exact_at_any_length(samples, hop, overlap):
    signal = noise(2, samples)
    again = inverse_stft(stft(signal, hop * overlap, hop), hop * overlap, hop).numpy()
    np.testing.assert_allclose(again[:, :samples], signal, atol=1e-4)
    assert again.shape == (2, num_frames(samples, hop) * hop)


def test_inverse_stft_is_the_least_squares_signal_of_any_spectrum():
    spectrum = tf.complex(noise(1, 6, 13), noise(1, 6, 13, seed=1))
    nearest = inverse_stft(spectrum, 24, 6)
    analysed = tf.signal.irfft(stft(nearest, 24, 6)) - tf.signal.irfft(spectrum, [24])
    gradient = overlap_add(analysed * analysis_window(24), analysis_window(24), 6)
    np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=1e-5)


@pytest.mark.parametrize("hop", [4, 5, 30, 31])
def test_lapped_functions_are_orthonormal_within_and_across_frames(hop):
    basis = lapped_basis(hop, hop).astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(hop), atol=1e-5)
    np.testing.assert_allclose(basis[hop:].T @ basis[:hop], np.zeros((hop, hop)), atol=1e-5)


@pytest.mark.parametrize("hop", [4, 5, 30])
def test_lapped_functions_are_cosines_under_a_half_sine(hop):
    window = sine_window(hop).astype(np.float64)
    np.testing.assert_allclose(window[:hop] ** 2 + window[hop:] ** 2, np.ones(hop), atol=1e-6)
    basis = lapped_basis(hop, hop)
    crossings = (np.diff(np.sign(basis[np.abs(window) > 1e-6]), axis=0) != 0).sum(axis=0)
    assert (np.diff(crossings) >= 0).all() and crossings[0] <= 1, "the bands rise in frequency"


@pytest.mark.parametrize("bands", [0, 9])
def test_number_of_bands_must_fit_the_hop(bands):
    with pytest.raises(ValueError, match=f"1 to 8 bands, not {bands}"):
        lapped_basis(8, bands)
