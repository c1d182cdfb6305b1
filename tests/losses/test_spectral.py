import librosa
import numpy as np
import pytest
import tensorflow as tf

from keras_audio_vae.losses.spectral import magnitudes, spectral_terms

RATE = 22050


def noise(*shape, seed=0, level=0.3):
    return (level * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def numpy_magnitudes(signal, window):
    """One frame per started hop, centred on its hop; zeros outside; a periodic Hann window."""
    hop = window // 4
    before, count = (window - hop) // 2, -(-len(signal) // hop)
    padded = np.pad(signal.astype(np.float64), (before, window + hop))
    frames = np.stack([padded[t * hop : t * hop + window] for t in range(count)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.sqrt(np.abs(np.fft.rfft(frames * hann)) ** 2 + 1e-12)


def numpy_terms(original, estimate):
    mel = stft = 0.0
    for window, bands in ((32, 5), (128, 20), (512, 80), (2048, 320)):
        x, y = numpy_magnitudes(original, window), numpy_magnitudes(estimate, window)
        matrix = librosa.filters.mel(sr=RATE, n_fft=window, n_mels=bands).T
        mel += np.mean(np.abs(np.log10(np.maximum(x @ matrix, 1e-5)) - np.log10(np.maximum(y @ matrix, 1e-5))))
        if window >= 512:
            floor = 1e-5 * 0.75 * window * len(original)
            stft += np.linalg.norm(x - y) / np.sqrt(np.sum(x**2) + floor)
            stft += np.mean(np.abs(np.log(np.maximum(x, 1e-4)) - np.log(np.maximum(y, 1e-4))))
    return stft / 2, mel


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("samples", [700, 4410])
@pytest.mark.parametrize("level", [1e-4, 0.3])
def test_terms_are_those_of_an_independent_numpy_implementation(samples, level):
    original, estimate = noise(samples, level=level), noise(samples, seed=1, level=0.7 * level)
    estimate[: samples // 2] = 0.0
    terms = spectral_terms(original[None], estimate[None], tf.ones([1, samples]), RATE)
    np.testing.assert_allclose([terms.stft[0], terms.mel[0]], numpy_terms(original, estimate), rtol=2e-3)


@pytest.mark.parametrize("window", [32, 128, 512])
def test_magnitudes_are_numpys_also_by_matrix_product(window):
    signal = noise(1, 1000)
    np.testing.assert_allclose(magnitudes(signal, window)[0], numpy_magnitudes(signal[0], window), atol=1e-4)


def test_equal_sounds_are_at_no_distance_and_unequal_ones_at_some():
    sound, other = noise(2, 2000), noise(2, 2000, seed=1)
    mask = tf.ones([2, 2000])
    for near, far in zip(
        spectral_terms(sound, sound, mask, RATE), spectral_terms(sound, other, mask, RATE), strict=True
    ):
        assert (near.numpy() < 1e-4).all() and (far.numpy() > 0.3).all()


@pytest.mark.parametrize("original", [0.0, 0.3])
@pytest.mark.parametrize("estimate", [0.0, 1e-12, 1e-3])
def test_silence_gives_a_finite_loss_and_gradient(original, estimate):
    x, y = tf.constant(noise(2, 3000, level=original)), tf.constant(noise(2, 3000, seed=1, level=estimate))
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        total = tf.add_n(spectral_terms(x, y, tf.ones([2, 3000]), RATE))
    for tensor in (total, *tape.gradient(total, [x, y])):
        assert np.isfinite(tensor).all()


def test_a_padded_chunk_costs_what_the_unpadded_one_does():
    original, estimate = noise(2, 3000), noise(2, 3000, seed=1)
    padding = [(0, 0), (0, 2345)]
    mask = np.pad(np.ones((2, 3000), np.float32), padding)
    plain = spectral_terms(original, estimate, tf.ones([2, 3000]), RATE)
    padded = spectral_terms(np.pad(original, padding), np.pad(estimate, padding), mask, RATE)
    for a, b in zip(plain, padded, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_examples_do_not_mix():
    original, estimate = noise(3, 2000), noise(3, 2000, seed=1)
    together = spectral_terms(original, estimate, tf.ones([3, 2000]), RATE)
    for row in range(3):
        alone = spectral_terms(original[row : row + 1], estimate[row : row + 1], tf.ones([1, 2000]), RATE)
        for term, expected in zip(alone, together, strict=True):
            np.testing.assert_allclose(term[0], expected[row], rtol=1e-5)
